package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// A Name is one thing that can be asked for.
type Name struct {
	Name        string
	Description string
	Group       bool
	Targets     []string // of a group: targets and groups it names
	Needs       []string // of a target: targets it needs
	Tags        []string // of a target
	Place       string   // "build.hcl:12"
}

// Names lists targets and groups, groups first, each in the order declared.
func (c *Config) Names() []Name {
	var out []Name
	for _, g := range c.groups {
		out = append(out, Name{Name: g.name, Description: g.description, Group: true, Targets: slices.Clone(g.targets), Place: line(g.rng)})
	}
	all := map[string]*Target{}
	if sel, err := c.Resolve(Request{Targets: c.order}); err == nil && len(c.order) > 0 {
		for _, t := range sel.Targets {
			all[t.Name] = t
		}
	}
	for _, name := range c.order {
		t := all[name]
		if t == nil {
			t = c.specs[name].target(c.Dir)
		}
		n := Name{Name: name, Description: t.Description, Tags: t.Tags, Place: line(t.Range)}
		for _, id := range t.Needs {
			n.Needs = append(n.Needs, string(id))
		}
		out = append(out, n)
	}
	return out
}

func line(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
