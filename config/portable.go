package config

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// This file prints names that bake does not read as names that it does.

// PrintBake is PrintJSON with names that bake can read. It takes letters, digits, _
// and - only, so the path of an included file is joined to the name by _.
func (s *Selection) PrintBake() ([]byte, error) {
	portable := newPortable(s)
	if portable == nil {
		return s.PrintJSON()
	}
	out := printed{Target: map[string]*printedTarget{}}
	for name, g := range s.groups {
		if out.Group == nil {
			out.Group = map[string]*printedGroup{}
		}
		out.Group[portable.name(name)] = &printedGroup{Description: g.description, Targets: portable.list(g.targets)}
	}
	for _, t := range s.Targets {
		p := t.spec.print()
		p.Contexts = portable.contexts(p.Contexts)
		p.Needs = portable.list(p.Needs)
		out.Target[portable.name(t.Name)] = p
	}
	return json.MarshalIndent(out, "", "  ")
}

// portable are names that bake can read, by full name.
type portable map[string]string

// newPortable is nil if all names of s are so already.
func newPortable(s *Selection) portable {
	taken := map[string]bool{}
	var long []string
	note := func(name string) {
		if validName(name) {
			taken[name] = true
		} else {
			long = append(long, name)
		}
	}
	for _, name := range sortedKeys(s.groups) {
		note(name)
	}
	for _, t := range s.Targets {
		note(t.Name)
	}
	if len(long) == 0 {
		return nil
	}
	p := portable{}
	for _, name := range dropRepeats(long) {
		short := notInNames.ReplaceAllString(name, "_")
		for taken[short] {
			short += "_"
		}
		taken[short] = true
		p[name] = short
	}
	return p
}

var notInNames = lazyregexp.New(`[^a-zA-Z0-9_-]`)

func (p portable) name(full string) string {
	if short, ok := p[full]; ok {
		return short
	}
	return full
}

func (p portable) list(full []string) []string {
	out := slices.Clone(full)
	for i, name := range out {
		out[i] = p.name(name)
	}
	return out
}

func (p portable) contexts(contexts map[string]string) map[string]string {
	out := maps.Clone(contexts)
	for key, c := range out {
		if name, ok := targetName(c); ok {
			out[key] = "target:" + p.name(name)
		}
	}
	return out
}
