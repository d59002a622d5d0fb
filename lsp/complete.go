package lsp

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strata-build/strata/config"
)

// complete lists what can be written at the place.
func (q *question) complete() *completionList {
	c := completer{question: q, at: config.CursorAt(q.data, q.offset), items: []completionItem{}}
	switch c.at.Want {
	case config.WantItem:
		c.item()
	case config.WantLabel:
		c.label()
	case config.WantKey:
		c.key()
	case config.WantValue:
		c.value()
	case config.WantMember:
		c.member()
	case config.WantText:
		c.text()
	}
	return &completionList{Items: c.items}
}

// A completer collects what can be written at one place.
type completer struct {
	*question
	at    config.Cursor
	items []completionItem
}

// add offers a name in the place of the word at the cursor.
func (c *completer) add(kind int, name, detail, text string) *completionItem {
	item := completionItem{Label: name, Kind: kind, Detail: detail, Edit: textEdit{c.word(), name}}
	if text != "" {
		item.Documentation = markdown(text)
	}
	c.items = append(c.items, item)
	return &c.items[len(c.items)-1]
}

// word is the range of the word at the cursor, with what of it follows.
func (c *completer) word() textRange {
	end := c.offset
	for end < len(c.data) {
		r, size := utf8.DecodeRune(c.data[end:])
		if r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			break
		}
		end += size
	}
	return c.span(c.offset-len(c.at.Prefix), end)
}

// snippet makes the item a text with places to fill in, if the editor can.
func (c *completer) snippet(item *completionItem, text string) {
	if c.snippets {
		item.Format = formatSnippet
		item.Edit.NewText = text
	}
}

// item offers attributes and blocks.
func (c *completer) item() {
	if len(c.at.Item) > 0 {
		return // the rest of a block's header
	}
	attributes, blocks := config.Holds(c.project.mode, c.types())
	there := c.present()
	for _, a := range attributes {
		if there[a.Name] {
			continue
		}
		item := c.add(kindProperty, a.Name, a.Type, attributeText(a))
		item.Edit.NewText = a.Name + " = "
		c.snippet(item, a.Name+" = "+valueSnippet(a.Type))
	}
	for _, b := range blocks {
		item := c.add(kindClass, b.Name, "block", blockText(b))
		c.snippet(item, blockSnippet(b.Name))
	}
}

// types are the types of the blocks around the cursor.
func (c *completer) types() []string { return blockTypes(c.at.Place) }

func blockTypes(p config.Place) []string {
	var out []string
	for _, b := range p.Blocks {
		out = append(out, b.Type)
	}
	return out
}

// present are the attributes that the block at the cursor has in other lines.
func (c *completer) present() map[string]bool {
	out := map[string]bool{}
	block := c.at.Block()
	for _, w := range config.Words(c.path, c.data) {
		if w.Role == config.RoleAttribute && len(w.Blocks) == len(c.at.Blocks) && start(w.Block().Header) == start(block.Header) &&
			(w.Range.End.Byte < c.offset || w.Range.Start.Byte > c.offset) {
			out[w.Text] = true
		}
	}
	return out
}

// valueSnippet is a value of a type with the cursor in it.
func valueSnippet(typ string) string {
	switch {
	case typ == "string":
		return `"$0"`
	case strings.HasPrefix(typ, "list"):
		return "[$0]"
	case strings.HasPrefix(typ, "map"), strings.HasPrefix(typ, "object"):
		return "{ $0 }"
	}
	return "$0"
}

// blockSnippet is a block with the cursor in it.
func blockSnippet(name string) string {
	switch name {
	case "target", "group", "variable", "function", "steps", "template":
		return name + " \"${1:name}\" {\n  $0\n}"
	case "dynamic":
		return name + " \"step\" {\n  for_each = $1\n  content { $0 }\n}"
	case "step", "mount", "onbuild":
		return name + " { $0 }"
	}
	return name + " {\n  $0\n}"
}

func (c *completer) label() {
	if len(c.at.Item) == 1 && c.at.Item[0] == "dynamic" {
		c.add(kindKeyword, "step", "", "")
	}
}

// key offers the keys of an object.
func (c *completer) key() {
	block := c.at.Block()
	switch {
	case block.Type == "target" && c.at.Attribute == "with" && len(c.at.Keys) == 0:
		template := c.project.template(c.at.Place, c.path)
		for _, d := range c.project.index().declared {
			if d.Kind == config.NameParam && d.Block == template {
				c.add(kindField, d.Name, "parameter of "+template, "").Edit.NewText = d.Name + " = "
			}
		}
	case block.Type == "target" && c.at.Attribute == "matrix" && len(c.at.Keys) == 0:
		for _, name := range []string{"exclude", "include"} {
			c.add(kindKeyword, name, "combinations", "").Edit.NewText = name + " = "
		}
	default: // it may be the value of a for expression
		c.names()
	}
}

// value offers what an expression can begin with.
func (c *completer) value() {
	if kind := c.at.TextNames(); kind != "" && kind != config.NameFile {
		for _, d := range c.all(kind) {
			c.declared(d, c.name(d)).Edit.NewText = `"` + c.name(d) + `"`
		}
	}
	attributes, _ := config.Holds(c.project.mode, c.types())
	for _, a := range attributes {
		if a.Name == c.at.Attribute && a.Type == "bool" && len(c.at.Keys) == 0 {
			c.add(kindKeyword, "true", "", "")
			c.add(kindKeyword, "false", "", "")
		}
	}
	c.names()
}

// names offers variables, roots of names and functions.
func (c *completer) names() {
	for _, kind := range []config.NameKind{config.NameInner, config.NameVariable, config.NameFunction} {
		for _, d := range c.all(kind) {
			c.declared(d, d.Name)
		}
	}
	if c.project.mode == config.ModeBake {
		c.add(kindModule, "target", "target.NAME.ATTRIBUTE", "")
	} else {
		for _, r := range config.Roots() {
			c.add(kindModule, r.Name, "", r.Description)
		}
	}
	for _, f := range config.Functions() {
		item := c.add(kindFunction, f.Name, f.Signature, functionText(f))
		c.snippet(item, f.Name+"($0)")
	}
}

// member offers what can follow a name and a dot.
func (c *completer) member() {
	path := c.at.Path
	switch {
	case len(path) == 1 && (path[0] == "target" || path[0] == "group"):
		c.targets(config.NameKind(path[0]))
	case len(path) == 2 && path[0] == "target", len(path) == 1 && (path[0] == "self" || path[0] == "super"):
		c.attributes(path[0] == "self")
	case len(path) == 2 && path[0] == "group":
		c.add(kindProperty, "targets", "list of strings", "The names in the group.")
	case len(path) == 1 && (path[0] == "local" || path[0] == "param"):
		for _, d := range c.all(config.NameKind(path[0])) {
			c.declared(d, d.Name)
		}
	case len(path) == 1 && path[0] == "git":
		for _, m := range config.GitMembers() {
			c.add(kindProperty, m.Name, "", m.Description)
		}
	}
}

// targets offers names after target and group; after a dot only those that are a
// single word there.
func (c *completer) targets(kind config.NameKind) {
	start := c.offset - len(c.at.Prefix)
	dotted := start > 0 && c.data[start-1] == '.'
	for _, d := range c.all(kind) {
		if name := c.name(d); !dotted || !strings.ContainsAny(name, ":/") {
			c.declared(d, name)
		}
	}
}

func (c *completer) attributes(named bool) {
	attributes, _ := config.Holds(c.project.mode, []string{"target"})
	for _, a := range attributes {
		if a.Name != "name" || named {
			c.add(kindProperty, a.Name, a.Type, attributeText(a))
		}
	}
}

// text offers what a text can say.
func (c *completer) text() {
	switch kind := c.at.TextNames(); {
	case kind != "":
		for _, d := range c.all(kind) {
			c.declared(d, c.name(d))
		}
	case c.at.TakesTargetURL():
		for _, d := range c.all(config.NameTarget) {
			c.declared(d, "target:"+c.name(d))
		}
	case c.at.Attribute == "clear" && c.at.Block().Type == "target":
		c.attributes(false)
	}
}

// name is how d is written here.
func (c *completer) name(d declared) string {
	if isTarget(d.Kind) {
		return c.project.written(d, c.path)
	}
	return d.Name
}

// all lists the declarations of a kind that can be named here, each name once.
func (c *completer) all(kind config.NameKind) []declared {
	seen := map[string]bool{}
	var out []declared
	for _, d := range c.project.index().declared {
		if kind != config.NameAny && d.Kind != kind || kind == config.NameAny && !isTarget(d.Kind) || !d.seen(c.at.Place, c.path) || d.Name == "" {
			continue
		}
		if name := c.name(d); !seen[name] {
			seen[name] = true
			out = append(out, d)
		}
	}
	return out
}

// declared offers a declaration by one of its names.
func (c *completer) declared(d declared, name string) *completionItem {
	kinds := map[config.NameKind]int{
		config.NameTarget: kindRef, config.NameGroup: kindRef, config.NameTemplate: kindRef, config.NameSteps: kindRef,
		config.NameFunction: kindFunction, config.NameParam: kindField,
	}
	kind, ok := kinds[d.Kind]
	if !ok {
		kind = kindVariable
	}
	return c.add(kind, name, d.word(), c.project.explain(d))
}
