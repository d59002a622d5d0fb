package config

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// This file has the values that Strata's own language adds to those of bake:
// local.NAME, self.ATTRIBUTE, super.ATTRIBUTE and git.NAME. A variable or a global of the
// same name hides them.

// builtinRoots are their first words, and what one is called in a message.
var builtinRoots = map[string]string{
	"git":   "value",
	"local": "local value",
	"self":  "attribute",
	"super": "attribute",
}

// isBuiltin reports whether root is one of them in sc.
func (e *evaluator) isBuiltin(root string, sc scope) bool {
	if e.mode != ModeStrata || builtinRoots[root] == "" || e.declares(root) {
		return false
	}
	return sc.in != nil || root != "self" && root != "super"
}

// addBuiltin notes a reference such as local.NAME.
func (r references) addBuiltin(e *evaluator, t hcl.Traversal) bool {
	root, name := t.RootName(), ""
	if len(t) > 1 {
		switch step := t[1].(type) {
		case hcl.TraverseAttr:
			name = step.Name
		case hcl.TraverseIndex:
			if step.Key.Type() == cty.String {
				name = step.Key.AsString()
			}
		}
	}
	if name == "" && root != "local" {
		e.report(problem(t.SourceRange(), "Invalid reference", "%s is not a value: write %s.ATTRIBUTE.", root, root))
		return false
	}
	if r[root] == nil {
		r[root] = map[string]map[string]hcl.Range{}
	}
	r[root][name] = map[string]hcl.Range{"": t.SourceRange()}
	return true
}

// builtin evaluates what an expression names of root.
func (e *evaluator) builtin(root string, names map[string]map[string]hcl.Range, sc scope) (cty.Value, bool) {
	if _, whole := names[""]; whole {
		rng := names[""][""]
		names = map[string]map[string]hcl.Range{}
		for _, name := range e.localNames() {
			names[name] = map[string]hcl.Range{"": rng}
		}
	}
	vals, ok := map[string]cty.Value{}, true
	for _, name := range sortedKeys(names) {
		v, exists, good := e.builtinValue(root, name, names[name][""], sc)
		ok = ok && good
		if exists {
			vals[name] = v
		}
	}
	return cty.ObjectVal(vals), ok
}

func (e *evaluator) builtinValue(root, name string, from hcl.Range, sc scope) (v cty.Value, exists, ok bool) {
	switch root {
	case "local":
		return e.local(name, from)
	case "git":
		if gitValues[name] == nil {
			return cty.NilVal, false, true
		}
		v, err := e.git.value(name)
		return v, err == nil, true // try() can catch it, else explainBuiltin says why
	}
	def := e.attributeCalled(name)
	if def == nil {
		return cty.NilVal, false, true
	}
	var s *spec
	if root == "self" {
		s, ok = e.merged(sc.in.name, def, from)
	} else {
		s, ok = e.inherited(sc.in, def, from)
	}
	if name == "name" {
		return cty.StringVal(sc.in.plain), true, ok
	}
	return present(def.get(s)), true, ok
}

// present is v with an empty list or map instead of null.
func present(v cty.Value) cty.Value {
	switch typ := v.Type(); {
	case !v.IsNull():
	case typ.IsListType():
		return cty.ListValEmpty(typ.ElementType())
	case typ.IsMapType():
		return cty.MapValEmpty(typ.ElementType())
	}
	return v
}

// explainBuiltin says what is wrong with a name after local, self or super.
func (e *evaluator) explainBuiltin(t hcl.Traversal) *hcl.Diagnostic {
	root := t.RootName()
	if e.mode != ModeStrata || builtinRoots[root] == "" || len(t) < 2 {
		return nil
	}
	name, ok := t[1].(hcl.TraverseAttr)
	if !ok {
		return nil
	}
	known := e.attributeNames()
	switch root {
	case "local":
		known = e.localNames()
	case "git":
		known = sortedKeys(gitValues)
		if err := e.git.errs[name.Name]; err != nil {
			return problem(t.SourceRange(), "No such git value", "There is no git.%s: %s.", name.Name, err)
		}
	}
	if slices.Contains(known, name.Name) {
		return nil // it is there: something inside of it is not
	}
	return problem(name.SrcRange, "Unknown "+builtinRoots[root], "There is no %s.%s.%s", root, name.Name, didYouMean(name.Name, known))
}

// addLocals reads a locals block.
func (m *module) addLocals(b *hcl.Block) {
	attrs, diags := b.Body.JustAttributes()
	m.report(diags...)
	for _, name := range sortedKeys(attrs) {
		attr := attrs[name]
		if old := m.locals[name]; old != nil && old.Range.Filename == attr.Range.Filename {
			m.report(problem(attr.NameRange, "Duplicate local value", "The local value %q is declared at %s already.", name, position(old.NameRange)))
			continue
		}
		m.locals[name] = attr
	}
}

// local evaluates local.NAME.
func (e *evaluator) local(name string, from hcl.Range) (v cty.Value, exists, ok bool) {
	attr := e.locals[name]
	if attr == nil && e.parent != nil {
		return e.parent.local(name, from)
	}
	if attr == nil {
		return cty.NilVal, false, true
	}
	key := "local." + name
	if e.states[key] == done {
		v, ok = e.localValues[name]
		if !ok {
			v = cty.DynamicVal
		}
		return v, true, ok
	}
	if !e.enter("local."+e.qualified(name), from, e.states[key]) {
		return cty.DynamicVal, true, false
	}
	defer e.leave()
	e.states[key] = busy
	v, ok = e.value(attr.Expr, scope{ctx: e.root, refs: true})
	e.states[key] = done
	if ok {
		e.localValues[name] = v
	}
	return v, true, ok
}

// An attributeState is an attribute of a target, merged with what is inherited.
type attributeState struct {
	state state
	spec  *spec
	ok    bool
}

// merged evaluates one attribute of the target called name as the target will
// have it, with what it inherits; overrides of the command line are not in it.
func (e *evaluator) merged(name string, def *attributeDef, from hcl.Range) (*spec, bool) {
	key := name + "." + def.name
	at := e.whole[key]
	if at == nil {
		at = &attributeState{}
		e.whole[key] = at
	}
	switch at.state {
	case busy:
		return &spec{}, true // a cycle of inherits is reported when it is resolved
	case done:
		return at.spec, at.ok
	}
	at.state = busy
	list := e.named[name]
	at.spec, at.ok = e.mergedFrom(name, len(list), def, from)
	if len(list) > 0 {
		at.spec.name = list[0].plain
	}
	at.spec.normalize()
	at.state = done
	return at.spec, at.ok
}

// inherited is what the block of in gets to see of an attribute: what the target
// inherits, with what earlier files say of it.
func (e *evaluator) inherited(in *instance, def *attributeDef, from hcl.Range) (*spec, bool) {
	for i, other := range e.named[in.name] {
		if other == in {
			return e.mergedFrom(in.name, i, def, from)
		}
	}
	return &spec{}, true
}

// mergedFrom merges what the target called name inherits and its first n blocks.
func (e *evaluator) mergedFrom(name string, n int, def *attributeDef, from hcl.Range) (*spec, bool) {
	if len(e.stack) > maxStack || e.depth > maxStack {
		e.report(problem(from, "Nested too deeply", "More than %d targets inherit from one another in a row.", maxStack))
		return &spec{}, false
	}
	e.depth++
	defer func() { e.depth-- }()
	out, ok := &spec{}, true
	own := &spec{}
	for i, in := range e.named[name] {
		ok = e.attribute(in, attributes["inherits"], from) && ok
		if def.name != "inherits" && def.name != "name" {
			for _, parent := range in.spec.inherits {
				if len(e.named[parent]) == 0 {
					continue // reported when it is resolved
				}
				s, good := e.merged(parent, def, from)
				ok = ok && good
				out.merge(s.moved(e.named[parent][0].owner.dir, in.owner.dir), e.mode)
			}
		}
		if i >= n {
			continue
		}
		ok = e.attribute(in, def, from) && ok
		part := &spec{}
		if def.name != "inherits" && def.name != "clear" && e.attribute(in, attributes["clear"], from) {
			part.clear = in.spec.clear
		}
		def.pick(part, in.spec)
		own.merge(part, e.mode)
	}
	out.merge(own, e.mode)
	out.clear = own.clear
	if def.name != "clear" {
		out.clear = nil
	}
	return out, ok
}

// names evaluates a list of names, in which target.NAME and group.NAME stand for
// the name.
func (e *evaluator) names(expr hcl.Expression, sc scope) (cty.Value, bool) {
	list, diags := hcl.ExprList(expr)
	if diags.HasErrors() {
		return e.value(expr, sc)
	}
	vals, ok := make([]cty.Value, len(list)), true
	for i, elem := range list {
		if name := e.bareReference(elem); name != "" {
			vals[i] = cty.StringVal(name)
			continue
		}
		v, good := e.value(elem, sc)
		vals[i], ok = v, ok && good
	}
	return cty.TupleVal(vals), ok
}

// bareReference is NAME for target.NAME and group.NAME, else "".
func (e *evaluator) bareReference(expr hcl.Expression) string {
	ref, ok := expr.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(ref.Traversal) != 2 {
		return ""
	}
	if root := ref.Traversal.RootName(); root != "target" && root != "group" {
		return ""
	}
	return e.referredName(ref.Traversal)
}
