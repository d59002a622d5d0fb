package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// A Name is one thing that can be asked for.
type Name struct {
	Name        string
	Short       string // the plain name if that means only this one, else Name
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
	r := newResolver(c, &watch{})
	for _, g := range c.groups {
		out = append(out, Name{Name: g.name, Short: r.short(g.name), Description: g.description, Group: true, Targets: slices.Clone(g.targets), Place: line(g.rng)})
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
		n := Name{Name: name, Short: r.short(name), Description: t.Description, Tags: t.Tags, Place: line(t.Range)}
		for _, id := range t.Needs {
			n.Needs = append(n.Needs, string(id))
		}
		out = append(out, n)
	}
	return out
}

// Find is Names without those that no argument means. An argument is a name, a
// pattern, PATH:NAME, or a path for all that is declared there.
func (c *Config) Find(args []string) ([]Name, error) {
	all := c.Names()
	if len(args) == 0 {
		return all, nil
	}
	r := newResolver(c, &watch{})
	wanted := map[string]bool{}
	for _, arg := range args {
		means, err := r.meant(arg)
		if err != nil {
			r.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No such target", Detail: err.Error(), Subject: r.anyFile()})
			continue
		}
		found := false
		for _, n := range all {
			if means(n.Name) {
				found, wanted[n.Name] = true, true
			}
		}
		if !found {
			r.noMatch(arg)
		}
	}
	if r.diags.HasErrors() {
		return nil, r.failure()
	}
	return slices.DeleteFunc(all, func(n Name) bool { return !wanted[n.Name] }), nil
}

// meant says which full names an argument of [Config.Find] means.
func (r *resolver) meant(arg string) (func(full string) bool, error) {
	a, ok := parseAddress(arg, "")
	switch {
	case ok && r.Mode == ModeStrata && !strings.Contains(arg, ":"):
		return func(full string) bool {
			dir, _ := splitName(full)
			return a.inDir(dir)
		}, nil
	case ok && r.Mode == ModeStrata && a.one() && !isPattern(a.name):
		return func(full string) bool { return full == a.full() }, nil
	case isPattern(arg):
		return r.pattern(arg)
	}
	return func(full string) bool { return full == arg || full == r.onlyOne(arg) }, nil
}

// onlyOne is the full name of what is called name in one file only, or "".
func (r *resolver) onlyOne(name string) string {
	if list := r.plainTargets()[name]; len(list) == 1 && r.specs[name] == nil && r.findGroup(name) == nil {
		return list[0]
	}
	return ""
}

// short is the plain name of full if it means nothing else.
func (r *resolver) short(full string) string {
	if _, plain := splitName(full); r.onlyOne(plain) == full {
		return plain
	}
	return full
}

func line(r hcl.Range) string { return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line) }
