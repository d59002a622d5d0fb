package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// This file says what one build file sees of others. Every included file has an
// evaluator of its own. What a file does not declare is looked for in the file
// that includes it, and so on up to the first: variables, locals, functions,
// templates and steps.

// evaluator makes the evaluator of one file.
func (s *evaluation) evaluator(m *module, parent *evaluator) *evaluator {
	e := &evaluator{
		module: m, evaluation: s, parent: parent,
		states: map[string]state{}, funcs: map[string]state{}, localValues: map[string]cty.Value{},
		hasOwn: len(m.functions) > 0 || parent != nil && parent.hasOwn,
	}
	if parent == nil {
		e.root = &hcl.EvalContext{}
	} else {
		e.root = parent.root.NewChild()
		e.root.Functions = s.world.functionsIn(m.dir)
	}
	e.root.Variables = map[string]cty.Value{}
	s.all = append(s.all, e)
	s.byModule[m] = e
	return e
}

// inSight is what name stands for in the file of e; the zero value if nothing.
func inSight[V any](e *evaluator, name string, declared func(*module) map[string]V) (found V) {
	for at := e; at != nil; at = at.parent {
		if v, ok := declared(at.module)[name]; ok {
			return v
		}
	}
	return found
}

// namesInSight are the names that inSight finds something for.
func namesInSight[V any](e *evaluator, declared func(*module) map[string]V) []string {
	var names []string
	for at := e; at != nil; at = at.parent {
		names = append(names, sortedKeys(declared(at.module))...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// declares reports whether name is a variable or a global in sight.
func (e *evaluator) declares(name string) bool {
	return inSight(e, name, func(m *module) map[string]*variable { return m.variables }) != nil ||
		inSight(e, name, func(m *module) map[string]*hcl.Attribute { return m.globals }) != nil
}

func (e *evaluator) localNames() []string {
	return namesInSight(e, func(m *module) map[string]*hcl.Attribute { return m.locals })
}

// qualified is how other files name what this one calls name.
func (m *module) qualified(name string) string {
	if m.dir == "" {
		return name
	}
	return m.dir + ":" + name
}

// declaredElsewhere reports a name that another file of the directory has taken.
func (e *evaluator) declaredElsewhere(rng hcl.Range, kind, full string, first hcl.Range) {
	e.report(problem(rng, "Duplicate "+kind, "A %s named %q is declared at %s already. Files of one directory share their names: rename one of the two.",
		kind, full, position(first)))
}

// A nameIndex holds the targets and groups there are, and how they can be found.
type nameIndex struct {
	known map[string]bool     // by full name
	plain map[string][]string // full names by plain ones, of the first file and what it includes
}

// add makes the targets and groups of e known.
func (n *nameIndex) add(e *evaluator) {
	note := func(plain string) {
		full := e.qualified(plain)
		if n.known[full] {
			return
		}
		n.known[full] = true
		if e.reader == nil || e.reader.tree[e.module] {
			n.plain[plain] = append(n.plain[plain], full)
		}
	}
	for _, b := range e.targets {
		for _, in := range b.instances {
			note(in.plain)
		}
		if len(b.instances) > 0 {
			note(b.name) // the label of a matrix is a group
		}
	}
	for _, b := range e.groups {
		note(b.name)
	}
}

// candidates are the full names that a name written in the file of e can mean:
// the first file outwards that has it, else those of all included files.
func (n *nameIndex) candidates(e *evaluator, plain string) []string {
	for at := e; at != nil; at = at.parent {
		if full := at.qualified(plain); n.known[full] {
			return []string{full}
		}
	}
	return n.plain[plain]
}

// resolve is the full name that ref means in the file of e, or ref.
func (n *nameIndex) resolve(e *evaluator, ref string) string {
	if a, ok := parseAddress(ref, e.dir); ok {
		return a.full()
	}
	if list := n.candidates(e, ref); len(list) == 1 {
		return list[0]
	}
	return ref
}

// fullName is the full name that ref means in the file of e: a name, PATH:NAME
// or //PATH:NAME. A file that is named so and was not read is read now. What
// nothing is found for stays as it is, to be reported where it is used; ok is
// false if ref was reported.
func (e *evaluator) fullName(ref string, rng hcl.Range) (full string, ok bool) {
	if e.mode != ModeStrata {
		return ref, true
	}
	a, ok := parseAddress(ref, e.dir)
	if ok {
		if a.dir != "" && !e.index.known[a.full()] {
			ok = e.open(a.dir, rng)
		}
		return a.full(), ok || a.dir == ""
	}
	if len(e.all) == 1 {
		return ref, true
	}
	list := e.index.candidates(e, ref)
	switch len(list) {
	case 0:
		return ref, true
	case 1:
		return list[0], true
	}
	e.report(ambiguous(ref, list, rng))
	return ref, false
}

// fullNames makes the names of a list full, each at its place. Those that were
// reported are taken out.
func (e *evaluator) fullNames(list *[]string, places []hcl.Range) bool {
	ok, left := true, (*list)[:0]
	for i, ref := range *list {
		full, good := e.fullName(ref, places[i])
		if ok = ok && good; good {
			left = append(left, full)
		}
	}
	*list = left
	return ok
}

// nameTargets makes the names of targets in an attribute full.
func (e *evaluator) nameTargets(s *spec, attr string, expr hcl.Expression) bool {
	switch attr {
	case "inherits":
		return e.fullNames(&s.inherits, listPlaces(expr, len(s.inherits)))
	case "needs":
		return e.fullNames(&s.after, listPlaces(expr, len(s.after)))
	case "contexts":
		ok := true
		for _, key := range sortedKeys(s.contexts) {
			ref, isTarget := targetName(s.contexts[key])
			if !isTarget {
				continue
			}
			full, good := e.fullName(ref, guilty(expr, cty.GetAttrPath(key).NewError(errNull)))
			if ok = ok && good; good {
				s.contexts[key] = "target:" + full
			} else {
				delete(s.contexts, key)
			}
		}
		return ok
	}
	return true
}
