package config

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// This file finds the targets and groups that arguments mean.

// match are the groups and targets that a name, an address or a pattern stands for.
func (r *resolver) match(arg string) []string {
	if a, ok := parseAddress(arg, ""); ok && r.Mode == ModeStrata {
		return r.matchAddress(a)
	}
	arg = strings.ReplaceAll(arg, ".", "_")
	if !strings.ContainsAny(arg, "*?[]") {
		return r.exact(arg)
	}
	means, err := r.pattern(arg)
	if err != nil {
		return r.noMatch(arg)
	}
	return r.matching(arg, means)
}

// exact is the target or group of a plain name: that of the first file, or the
// only one there is.
func (r *resolver) exact(name string) []string {
	if r.specs[name] != nil || r.findGroup(name) != nil {
		return []string{name}
	}
	list := r.plainTargets()[name]
	if len(list) > 1 {
		r.report(ambiguous(name, list, hcl.Range{}))
		return nil
	}
	if len(list) == 1 {
		return list
	}
	return []string{name} // unknown, as will be found
}

// plainTargets are the full names of targets and groups of all files but the
// first by their plain names.
func (r *resolver) plainTargets() map[string][]string {
	if r.plain != nil {
		return r.plain
	}
	r.plain = map[string][]string{}
	seen := map[string]bool{}
	note := func(full string) {
		if dir, plain := splitName(full); dir != "" && !seen[full] {
			seen[full] = true
			r.plain[plain] = append(r.plain[plain], full)
		}
	}
	for _, g := range r.groups {
		note(g.name)
	}
	for _, name := range r.order {
		note(name)
	}
	return r.plain
}

func (r *resolver) matchAddress(a address) []string {
	if !a.one() || isPattern(a.name) {
		return r.matching(a.String(), a.matches)
	}
	full := a.full()
	if a.name == "default" && r.specs[full] == nil && r.findGroup(full) == nil {
		r.report(r.noDefaultIn(a))
		return nil
	}
	return []string{full}
}

// matching are the groups and targets that are meant. Groups count only for
// patterns of names: what they hold is there anyway.
func (r *resolver) matching(arg string, means func(full string) bool) []string {
	var out []string
	if !strings.HasSuffix(arg, "...") {
		for _, g := range r.groups {
			if means(g.name) {
				out = append(out, g.name)
			}
		}
	}
	for _, name := range r.order {
		if means(name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return r.noMatch(arg)
	}
	return out
}

func (r *resolver) noMatch(arg string) []string {
	r.report(&hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "No such target",
		Detail: fmt.Sprintf("No target or group matches %q.", arg), Subject: r.anyFile(),
	})
	return nil
}

// pattern says which full names a pattern means: a plain one those of all files.
func (r *resolver) pattern(text string) (func(full string) bool, error) {
	if a, ok := parseAddress(text, ""); ok && r.Mode == ModeStrata {
		return a.matches, nil
	}
	if _, err := path.Match(text, ""); err != nil {
		return nil, fmt.Errorf("%q is not a pattern", text)
	}
	return func(full string) bool {
		_, plain := splitName(full)
		ok, err := path.Match(text, plain)
		return ok && err == nil
	}, nil
}

// noDefaultIn says what is in a directory that has no default.
func (r *resolver) noDefaultIn(a address) *hcl.Diagnostic {
	var there []string
	in := address{dir: a.dir}
	for _, name := range append(r.groupNames(), r.order...) {
		if dir, plain := splitName(name); dir == a.dir && in.matches(name) {
			there = append(there, plain)
		}
	}
	return &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Nothing to build by default",
		Detail: fmt.Sprintf("There is no group or target named \"default\" in %s. There are: %s. Write //%s:NAME for one of them, or //%s:* for all.",
			orHere(a.dir), someOf(dropRepeats(there), 30), a.dir, a.dir),
		Subject: r.anyFile(),
	}
}

func orHere(dir string) string {
	if dir == "" {
		return "the first file"
	}
	return dir
}

func (c *Config) groupNames() []string {
	names := make([]string, len(c.groups))
	for i, g := range c.groups {
		names[i] = g.name
	}
	return names
}
