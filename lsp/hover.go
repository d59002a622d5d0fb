package lsp

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/strata-build/strata/config"
)

// hover explains the word at the place.
func (q *question) hover() *hover {
	word, ok := config.At(config.Words(q.path, q.data), q.offset)
	if !ok {
		return nil
	}
	rng := word.Range
	text := q.explainWord(word)
	if m, ok := word.Mention(); ok && text == "" {
		if found := q.project.find(m, q.path); len(found) > 0 {
			text, rng = q.project.explain(found[0]), m.Range
		}
	}
	if text == "" {
		text = q.explainBuiltIn(word)
	}
	if text == "" {
		return nil
	}
	return &hover{Contents: markdown(text), Range: q.rangeOf(rng)}
}

// explainWord is for words that mean something by where they stand.
func (q *question) explainWord(w config.Word) string {
	switch w.Role {
	case config.RoleBlock:
		_, blocks := config.Holds(q.project.mode, blockTypes(w.Place)[:len(w.Blocks)-1])
		for _, b := range blocks {
			if b.Name == w.Text {
				return blockText(b)
			}
		}
	case config.RoleAttribute:
		attributes, _ := config.Holds(q.project.mode, blockTypes(w.Place))
		if text := findAttribute(attributes, w.Text); text != "" {
			return text
		}
		return q.explainDeclared(w)
	case config.RoleLabel, config.RoleKey:
		return q.explainDeclared(w)
	}
	return ""
}

// explainDeclared is for words that declare a name.
func (q *question) explainDeclared(w config.Word) string {
	for _, d := range q.project.index().declared {
		if d.path == q.path && d.Range.Start.Byte == w.Range.Start.Byte && d.Name == w.Text {
			return q.project.explain(d)
		}
	}
	return ""
}

// explainBuiltIn is for names that no file declares.
func (q *question) explainBuiltIn(w config.Word) string {
	switch w.Role {
	case config.RoleCall:
		for _, f := range config.Functions() {
			if f.Name == w.Text {
				return functionText(f)
			}
		}
	case config.RoleName:
		for _, r := range config.Roots() {
			if r.Name == w.Text {
				return "`" + r.Name + "`\n\n" + r.Description
			}
		}
	case config.RoleMember:
		return q.explainMember(w)
	}
	return ""
}

func (q *question) explainMember(w config.Word) string {
	switch root := w.Path[0]; {
	case root == "git" && len(w.Path) == 1:
		for _, m := range config.GitMembers() {
			if m.Name == w.Text {
				return "`git." + m.Name + "`: " + m.Description
			}
		}
	case root == "target" && len(w.Path) == 2, (root == "self" || root == "super") && len(w.Path) == 1:
		attributes, _ := config.Holds(q.project.mode, []string{"target"})
		return findAttribute(attributes, w.Text)
	}
	return ""
}

func findAttribute(list []config.AttributeInfo, name string) string {
	for _, a := range list {
		if a.Name == name {
			return "`" + a.Name + "`: " + a.Type + "\n\n" + attributeText(a)
		}
	}
	return ""
}

func attributeText(a config.AttributeInfo) string {
	text := a.Description
	if a.Required {
		text += " It must be given."
	}
	return text + code(a.Example)
}

func blockText(b config.BlockInfo) string { return b.Description + code(b.Example) }

func functionText(f config.FunctionInfo) string {
	text := "`" + f.Signature + "`\n\n" + f.Description
	if f.Example != "" {
		text += code(f.Example + " # " + f.Value)
	}
	return text
}

// code is text as a paragraph of its own in the language of build files.
func code(text string) string {
	if text = strings.TrimSpace(text); text == "" {
		return ""
	}
	return "\n\n```hcl\n" + text + "\n```"
}

// word is what people call the kind of d.
func (d declared) word() string {
	switch d.Kind {
	case config.NameLocal:
		return "local value"
	case config.NameParam:
		return "parameter of " + d.Block
	case config.NameInner:
		return "name in this block"
	}
	return string(d.Kind)
}

// explain tells what a declaration is: its kind, description, value and text.
func (p *project) explain(d declared) string {
	var out strings.Builder
	place, err := filepath.Rel(p.dir, d.path)
	if err != nil {
		place = d.path
	}
	fmt.Fprintf(&out, "%s `%s`, %s:%d", d.word(), d.Name, place, d.Range.Start.Line)
	if d.Description != "" {
		fmt.Fprintf(&out, "\n\n%s", d.Description)
	}
	if d.Kind == config.NameVariable {
		out.WriteString(p.value(d))
	}
	out.WriteString(code(p.excerpt(d)))
	return out.String()
}

// value is the value that a variable has now; nothing if the files are wrong.
func (p *project) value(d declared) string {
	name := d.Name
	if d.dir != "" {
		name = d.dir + ":" + d.Name
	}
	for _, v := range p.variables {
		if v.Name != name {
			continue
		}
		value := "null"
		if v.Value != nil {
			value = *v.Value
		}
		return fmt.Sprintf("\n\nIts value is `%s`.", strings.ReplaceAll(value, "`", "'"))
	}
	return ""
}

// maxExcerpt is how many lines of a declaration are shown.
const maxExcerpt = 15

// excerpt is the text of a declaration: its line, and for a block what follows up
// to the line that closes it.
func (p *project) excerpt(d declared) string {
	data := p.files[d.path].data
	from := bytes.LastIndexByte(data[:d.Range.Start.Byte], '\n') + 1
	indent := len(data[from:]) - len(bytes.TrimLeft(data[from:], " \t"))
	var out []string
	for line := range bytes.Lines(data[from:]) {
		text := strings.TrimRight(string(line), "\r\n")
		out = append(out, text[min(indent, len(text)-len(strings.TrimLeft(text, " \t"))):])
		closes := strings.HasPrefix(text[min(indent, len(text)):], "}")
		if closes || len(out) == 1 && !strings.HasSuffix(strings.TrimSpace(text), "{") {
			return strings.Join(out, "\n")
		}
		if len(out) == maxExcerpt {
			break
		}
	}
	return strings.Join(append(out, "..."), "\n")
}
