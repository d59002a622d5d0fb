package config

import (
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
)

// A NameKind is what a name stands for.
type NameKind string

// The kinds of names that build files declare.
const (
	NameTarget   NameKind = "target"
	NameGroup    NameKind = "group"
	NameVariable NameKind = "variable" // also an attribute outside of all blocks
	NameLocal    NameKind = "local"
	NameFunction NameKind = "function"
	NameTemplate NameKind = "template"
	NameSteps    NameKind = "steps"
	NameParam    NameKind = "param"  // of a template
	NameInner    NameKind = "inner"  // a key of a matrix or a parameter of a function
	NameFile     NameKind = "file"   // a path of an include block
	NameAny      NameKind = "member" // a target or a group, only of mentions
)

// A Declaration is a name that a build file declares.
type Declaration struct {
	Kind  NameKind
	Name  string
	Range hcl.Range // of the name
	// Block is the label of the template that a param belongs to, and the header
	// of the block outside of which an inner name means nothing.
	Block       string
	Scope       hcl.Range
	Description string // if it is said as text
}

// A Mention is a name that a build file uses, as it is written.
type Mention struct {
	Kind  NameKind
	Name  string
	Range hcl.Range
	Place
}

// Declarations lists what a file declares, from its words.
func Declarations(words []Word) []Declaration {
	var out []Declaration
	for _, w := range words {
		if d, ok := w.declares(); ok {
			out = append(out, d)
		}
		if w.Role == RoleText && w.Attribute == "description" && len(w.Keys) == 0 && len(w.Blocks) == 1 {
			describe(out, w)
		}
	}
	return out
}

// describe gives the declaration of the block that w stands in its description.
func describe(list []Declaration, w Word) {
	for i := len(list) - 1; i >= 0; i-- {
		if d := &list[i]; d.Scope == w.Block().Header && string(d.Kind) == w.Block().Type {
			d.Description = w.Text
			return
		}
	}
}

// declares tells what w declares.
func (w Word) declares() (Declaration, bool) {
	b := w.Block()
	d := Declaration{Name: w.Text, Range: w.Range, Scope: b.Header}
	if len(b.Labels) > 0 {
		d.Block = b.Labels[0]
	}
	switch {
	case w.Role == RoleLabel && len(w.Blocks) == 1 && b.Type != "dynamic":
		d.Kind = NameKind(b.Type)
		return d, declaring[d.Kind]
	case w.Role == RoleAttribute && len(w.Blocks) == 0:
		d.Kind = NameVariable
	case w.Role == RoleAttribute && len(w.Blocks) == 1 && b.Type == "locals":
		d.Kind = NameLocal
	case w.Role == RoleKey && len(w.Keys) == 0 && b.Type == "template" && w.Attribute == "params":
		d.Kind = NameParam
	case w.Role == RoleKey && len(w.Keys) == 0 && b.Type == "target" && w.Attribute == "matrix":
		d.Kind = NameInner
		return d, w.Text != "exclude" && w.Text != "include"
	case w.Role == RoleName && b.Type == "function" && (w.Attribute == "params" || w.Attribute == "variadic_params"):
		d.Kind = NameInner
	default:
		return d, false
	}
	return d, true
}

// declaring are the kinds that a block of the same type declares.
var declaring = map[NameKind]bool{
	NameTarget: true, NameGroup: true, NameVariable: true, NameFunction: true, NameTemplate: true, NameSteps: true,
}

// roots are the names whose members are declared somewhere.
var roots = map[string]NameKind{"target": NameTarget, "group": NameGroup, "local": NameLocal, "param": NameParam}

// Mention tells which name w mentions; ok is false if it mentions none.
func (w Word) Mention() (m Mention, ok bool) {
	m = Mention{Name: w.Text, Range: w.Range, Place: w.Place}
	switch w.Role {
	case RoleMember:
		if len(w.Path) != 1 {
			return m, false
		}
		m.Kind = roots[w.Path[0]]
		return m, m.Kind != ""
	case RoleName:
		m.Kind = NameVariable
		return m, true
	case RoleCall:
		m.Kind = NameFunction
		return m, true
	case RoleText:
		return w.mentionInText()
	}
	return m, false
}

func (w Word) mentionInText() (Mention, bool) {
	m := Mention{Kind: w.TextNames(), Name: w.Text, Range: w.Range, Place: w.Place}
	if rest, ok := strings.CutPrefix(w.Text, "target:"); ok && w.TakesTargetURL() {
		m.Kind, m.Name = NameTarget, rest
		m.Range.Start.Byte += len("target:")
		m.Range.Start.Column += len("target:")
	}
	return m, m.Kind != "" && m.Name != ""
}

// TextNames is the kind of what a text at p names, "" if it names nothing.
func (p Place) TextNames() NameKind {
	b := p.Block()
	of := func(types ...string) bool {
		for _, t := range types {
			if b.Type == t && len(p.Keys) == 0 {
				return true
			}
		}
		return false
	}
	switch {
	case of("target", "template") && (p.Attribute == "inherits" || p.Attribute == "needs"):
		return NameTarget
	case of("group") && p.Attribute == "targets":
		return NameAny
	case of("target") && p.Attribute == "template":
		return NameTemplate
	case of("step", "content") && p.Attribute == "use":
		return NameSteps
	case of("include") && p.Attribute == "paths":
		return NameFile
	}
	return ""
}

// TakesTargetURL reports whether a text at p can be target:NAME.
func (p Place) TakesTargetURL() bool {
	switch p.Block().Type {
	case "target", "template":
		return p.Attribute == "contexts" && len(p.Keys) == 1
	case "step", "content", "mount", "onbuild":
		return p.Attribute == "from" || p.Attribute == "mounts"
	}
	return false
}

// MatchName reports whether a name of a target or group, written in a file of
// directory from, can mean the one that a file of directory dir declares as plain.
// Directories are relative to that of the command, which is "". Of several that
// match, those in from are meant first.
func MatchName(written, from, dir, plain string) bool {
	if a, ok := parseAddress(written, from); ok {
		return a.dir == dir && a.name == plain
	}
	return written == plain
}

// MatchPath reports whether a path of an include block, or a pattern for such,
// means the file or directory name. Both are from the directory of the command.
func MatchPath(pattern, name string) bool {
	ok, err := doublestar.Match(pattern, name)
	return pattern == name || ok && err == nil
}
