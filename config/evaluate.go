package config

import (
	"path"

	"github.com/hashicorp/hcl/v2"
)

// addFiles makes an evaluator for every file that l has read.
func (e *evaluator) addFiles(l *includer) {
	e.reader = l
	if l == nil {
		return
	}
	l.done = true
	for _, m := range l.modules[len(e.all)-1:] {
		e.of(m)
	}
}

// of is the evaluator of a module; those of the files it sees are made before it.
func (s *evaluation) of(m *module) *evaluator {
	if e := s.byModule[m]; e != nil {
		return e
	}
	return s.evaluator(m, s.of(s.reader.parents[m]))
}

// open reads the build file of a directory while others are evaluated, if it was
// not read yet. It returns false if there is none, which was reported.
func (e *evaluator) open(dir string, rng hcl.Range) bool {
	l := e.reader
	if l == nil || l.hasDir(dir) {
		return true
	}
	if outsideOf(dir) {
		e.report(problem(rng, "Unsuitable path", "%q leads out of the directory of the command, below which all files must be.", dir))
		return false
	}
	err := l.open()
	if err != nil {
		e.report(problem(rng, "Unreadable file", "%s can not be read: %s.", path.Join(dir, OwnFile), err))
		return false
	}
	if _, err = l.root.Stat(path.Join(dir, OwnFile)); err != nil {
		e.report(problem(rng, unknownTarget, "There is no %s. The path before the colon starts at the directory of the command.", path.Join(dir, OwnFile)))
		return false
	}
	before := len(e.all)
	l.discover(path.Join(dir, OwnFile))
	e.all[0].addFiles(l)
	for _, added := range e.all[before:] {
		added.declareValues()
	}
	for _, added := range e.all[before:] {
		added.declareNames()
	}
	return true
}

// evaluate evaluates everything there is, so that all problems are found. Files
// may be added while it runs.
func (e *evaluator) evaluate() {
	for _, file := range e.all {
		file.declareValues()
	}
	for _, file := range e.all {
		file.declareNames()
	}
	for i := 0; i < len(e.all); i++ {
		e.all[i].evaluateTargets()
	}
	for i := 0; i < len(e.all); i++ {
		e.all[i].evaluateRest()
	}
}

// declareValues evaluates what targets can be named by. The order is bake's: what
// is evaluated later can not be seen by earlier parts.
func (e *evaluator) declareValues() {
	for _, name := range sortedKeys(e.variables) {
		e.guarded(e.variables[name].rng, func() { e.global(name, e.variables[name].rng) })
	}
	e.validate()
	for _, name := range sortedKeys(e.functions) {
		e.needFunction(name, e.functions[name].rng, false)
	}
}

// declareNames names the targets and groups.
func (e *evaluator) declareNames() {
	for _, b := range e.targets {
		e.guarded(b.header, func() { e.expand(b) })
	}
	for _, b := range e.groups {
		full := e.qualified(b.name)
		if other := e.group[full]; other != nil && other.owner != e {
			e.declaredElsewhere(b.label, "group", full, other.block.label)
			continue
		}
		e.group[full] = &groupDecl{owner: e, block: b, state: map[string]state{}, name: full, rng: b.header}
	}
	e.index.add(e)
}

// evaluateTargets evaluates targets and groups.
func (e *evaluator) evaluateTargets() {
	for _, b := range e.targets {
		for _, in := range b.instances {
			e.guarded(b.header, func() { e.target(in) })
		}
	}
	for _, b := range e.groups {
		if g := e.declaredGroup(b); g != nil {
			e.guarded(b.header, func() {
				e.groupAttribute(g, "targets", b.label)
				e.groupAttribute(g, "description", b.label)
			})
		}
	}
}

// evaluateRest evaluates what nothing has asked for.
func (e *evaluator) evaluateRest() {
	for _, name := range sortedKeys(e.globals) {
		e.global(name, e.globals[name].Range)
	}
	for _, name := range sortedKeys(e.locals) {
		e.guarded(e.locals[name].Range, func() { e.local(name, e.locals[name].Range) })
	}
	e.evaluatePools()
	e.evaluateCache()
}

// declaredGroup is the group of b if no later block has its name.
func (e *evaluator) declaredGroup(b *block) *groupDecl {
	if g := e.group[e.qualified(b.name)]; g != nil && g.block == b {
		return g
	}
	return nil
}

// guarded runs do for the block at rng. A panic in a library on strange input is
// a problem of that block and not the end of the command.
func (e *evaluator) guarded(rng hcl.Range, do func()) {
	defer func() {
		if r := recover(); r != nil {
			e.unnamed = true
			e.stack = nil
			e.report(problem(rng, "Invalid block", "Reading this block went wrong: %v.", r))
		}
	}()
	do()
}
