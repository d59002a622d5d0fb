package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// A Listed is one target or group that can be asked for.
type Listed struct {
	Name        string
	Description string
	Group       bool
	Members     []string // of a group, sorted
	Range       hcl.Range
}

// List returns the targets and groups by name. Those whose names begin with an
// underscore are private and left out.
func (c *Config) List() []Listed {
	var out []Listed
	for _, name := range c.order {
		s := c.specs[name]
		out = append(out, Listed{Name: name, Description: s.description, Range: s.rng})
	}
	for _, g := range c.groups {
		out = append(out, Listed{
			Name: g.name, Description: g.description, Group: true,
			Members: slices.Sorted(slices.Values(g.targets)), Range: g.rng,
		})
	}
	out = slices.DeleteFunc(out, func(l Listed) bool {
		_, plain := splitName(l.Name)
		return strings.HasPrefix(plain, "_")
	})
	slices.SortStableFunc(out, func(a, b Listed) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// A ListedVariable is one variable with the value it has now.
type ListedVariable struct {
	Name        string
	Description string
	Type        string  // as declared, "" if not
	Value       *string // nil is null; lists and objects are JSON
	Range       hcl.Range
}

// Variables returns the declared variables by name: nil if all files are compose
// files, which have none.
func (c *Config) Variables() []ListedVariable { return slices.Clone(c.variables) }

func (e *evaluator) listVariables() []ListedVariable {
	var out []ListedVariable
	for _, name := range sortedKeys(e.variables) {
		v := e.variables[name]
		l := ListedVariable{Name: e.qualified(name), Description: v.description, Range: v.rng}
		typ, typed, _ := v.constraint()
		typed = typed && e.globals[name] == nil
		if typed {
			l.Type = typ.FriendlyNameForConstraint()
		}
		l.Value = shownValue(e.root.Variables[name], typ, typed)
		out = append(out, l)
	}
	return out
}

func shownValue(v cty.Value, typ cty.Type, typed bool) *string {
	if v == cty.NilVal || !v.IsWhollyKnown() || v.IsNull() {
		return nil
	}
	var text string
	if !typed && v.Type().IsPrimitiveType() {
		if s, err := convert.Convert(v, cty.String); err == nil {
			text = s.AsString()
		}
		return &text
	}
	if !typed {
		typ = v.Type()
	}
	if b, err := ctyjson.Marshal(v, typ); err == nil {
		text = string(b)
	}
	if typ == cty.String {
		text = strings.Trim(text, `"`)
	}
	return &text
}
