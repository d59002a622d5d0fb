package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// An evaluator turns expressions into values, each when it is first needed and
// once. What an expression names is evaluated before it; a name that is being
// evaluated already is a cycle.
//
// A value that went wrong is reported where it went wrong and is unknown from
// then on, so that those who use it do not complain again.
type evaluator struct {
	*module
	*evaluation
	parent *evaluator       // of the file that includes this one, nil for the first
	root   *hcl.EvalContext // variables and functions evaluated so far
	states map[string]state // of variables and globals, by name
	funcs  map[string]state
	hasOwn bool // functions of files can be called here

	localValues map[string]cty.Value
}

// An evaluation is what the evaluators of all files share.
type evaluation struct {
	meter    *meter
	outside  outside
	world    *world
	standard map[string]bool // functions that no file declares
	all      []*evaluator    // each after that of the file it sees
	byModule map[*module]*evaluator
	reader   *includer // reads files that are named while evaluating; may be nil
	readable *checkout // what expressions read, nil if they can not

	index   nameIndex              // of targets and groups
	named   map[string][]*instance // targets by name, in order of declaration
	group   map[string]*groupDecl  // the last of each name
	unnamed bool                   // the names of some targets are not known
	stack   []string               // what is being evaluated, outermost first

	whole      map[string]*attributeState // attributes of targets, merged, by target.attribute
	poolSizes  map[string]int
	poolPlaces map[string]hcl.Range // labels of pools
	cacheBlock *CacheBlock
	git        *repository
	depth      int // of inheritance that is being followed
}

// outside is what the files may see of the world around them.
type outside struct {
	env  func(string) (string, bool)
	vars map[string]string
}

// lookup finds an override of a variable: those given win over the environment.
func (o outside) lookup(name string) (string, bool) {
	if v, ok := o.vars[name]; ok {
		return v, true
	}
	if o.env == nil {
		return "", false
	}
	return o.env(name)
}

type state int

const (
	fresh state = iota
	busy
	done
)

// A scope is where an expression stands.
type scope struct {
	ctx  *hcl.EvalContext
	refs bool      // target.x.y and group.x.y can be named
	in   *instance // the target it stands in, for self and super; may be nil
	// params are names bound when the expression runs, not to be looked for.
	params map[string]bool
	// strict makes an unknown name an error even inside try().
	strict bool
}

// maxStack bounds how long a chain of values that need one another may be.
const maxStack = 2000

func newEvaluator(m *module, out outside, builtins map[string]string) *evaluator {
	shared := &evaluation{
		meter:   &meter{watch: m.watch},
		outside: out,

		byModule: map[*module]*evaluator{},

		index: nameIndex{known: map[string]bool{}, plain: map[string][]string{}},
		named: map[string][]*instance{},
		group: map[string]*groupDecl{},
		whole: map[string]*attributeState{},
		git:   &repository{},

		poolSizes:  map[string]int{},
		poolPlaces: map[string]hcl.Range{},
	}
	e := shared.evaluator(m, nil)
	e.root.Functions = maps.Clone(standardFunctions())
	e.root.Functions[countName] = e.meter.counter()
	e.noteStandard()
	for name, v := range builtins {
		e.root.Variables[name] = cty.StringVal(v)
	}
	return e
}

// enter notes that what is being evaluated; it returns false, with a problem
// reported, if that can not be.
func (e *evaluator) enter(what string, rng hcl.Range, s state) bool {
	if s == busy {
		from := slices.Index(e.stack, what)
		chain := append(slices.Clone(e.stack[max(from, 0):]), what)
		e.report(problem(rng, "Reference cycle", "These need one another: %s.", strings.Join(chain, " -> ")))
		return false
	}
	if len(e.stack) >= maxStack {
		e.report(problem(rng, "Nested too deeply", "More than %d values need one another in a row.", maxStack))
		return false
	}
	e.stack = append(e.stack, what)
	return true
}

func (e *evaluator) leave() { e.stack = e.stack[:len(e.stack)-1] }

// value evaluates expr. ok is false if it went wrong, which has been reported.
func (e *evaluator) value(expr hcl.Expression, sc scope) (v cty.Value, ok bool) {
	if e.meter.stopped.Load() || e.meter.over != nil {
		return cty.DynamicVal, false // said already
	}
	if lit, isLit := expr.(*hclsyntax.LiteralValueExpr); isLit {
		return lit.Val, true
	}
	ctx, ok := e.prepare(expr, sc)
	if !ok {
		return cty.DynamicVal, false
	}
	return e.run(expr, ctx)
}

// run evaluates expr when all it names is in ctx.
func (e *evaluator) run(expr hcl.Expression, ctx *hcl.EvalContext) (v cty.Value, ok bool) {
	defer func() {
		// A library that panics on strange input must not take the command down.
		if r := recover(); r != nil {
			e.report(problem(expr.Range(), "Invalid expression", "Evaluating this went wrong: %v.", r))
			v, ok = cty.DynamicVal, false
		}
	}()
	rng := expr.Range()
	e.meter.at.Store(&rng)
	e.meter.work = 0
	v, diags := expr.Value(ctx)
	if over := e.meter.over; over != nil {
		e.report(problem(rng, "Evaluation too large", "Evaluating this was stopped: %s.", over))
		return cty.DynamicVal, false
	}
	e.report(e.explain(diags)...)
	if diags.HasErrors() {
		return cty.DynamicVal, false
	}
	sum := 0
	if err := weigh(v, &sum); err != nil {
		e.report(problem(rng, "Value too large", "The value can not be used: %s.", err))
		return cty.DynamicVal, false
	}
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		if !e.diags.HasErrors() {
			e.report(problem(expr.Range(), "Unknown value", "The value can not be known."))
		}
		return v, false
	}
	return v, true
}

// prepare evaluates what expr names and returns the context that has it all. A
// file's own names come before those of the file that includes it.
func (e *evaluator) prepare(expr hcl.Expression, sc scope) (*hcl.EvalContext, bool) {
	ok := true
	for _, name := range e.calls(expr) {
		ok = e.needFunction(name, expr.Range(), sc.strict) && ok
	}
	refs := references{}
	for _, t := range expr.Variables() {
		root := t.RootName()
		switch {
		case sc.params[root]:
		case sc.refs && (root == "target" || root == "group"):
			ok = refs.add(e, t) && ok
		case e.bound(sc.ctx, root):
		case e.isBuiltin(root, sc):
			ok = refs.addBuiltin(e, t) && ok
		default:
			ok = e.needValue(root, t, sc.strict) && ok
		}
	}
	if !ok || len(refs) == 0 {
		return sc.ctx, ok
	}
	vars, ok := refs.evaluate(e, sc)
	ctx := sc.ctx.NewChild()
	ctx.Variables = vars
	return ctx, ok
}

// bound reports whether name has a value in ctx without those of other files.
func (e *evaluator) bound(ctx *hcl.EvalContext, name string) bool {
	for ; ctx != nil; ctx = ctx.Parent() {
		if _, ok := ctx.Variables[name]; ok {
			return true
		}
		if ctx == e.root {
			break
		}
	}
	return false
}

// needValue makes sure that the variable or global called name is evaluated.
func (e *evaluator) needValue(name string, from hcl.Traversal, strict bool) bool {
	_, isGlobal := e.globals[name]
	_, isVariable := e.variables[name]
	if !isGlobal && !isVariable {
		if _, there := e.root.Variables[name]; there {
			return true // a built-in one
		}
		if e.parent != nil {
			return e.parent.needValue(name, from, strict)
		}
		if strict {
			e.report(e.noVariable(name, from.SourceRange()))
		}
		return !strict // else evaluation says so, or try() catches it
	}
	before := len(e.diags)
	e.global(name, from.SourceRange())
	return !e.diags[before:].HasErrors()
}

func (e *evaluator) noVariable(name string, rng hcl.Range) *hcl.Diagnostic {
	var known []string
	if len(e.diags) < maxShown { // nobody sees the others
		for at := e; at != nil; at = at.parent {
			known = slices.Concat(known, sortedKeys(at.variables), sortedKeys(at.globals))
		}
	}
	return problem(rng, "Unknown variable", "There is no variable named %q.%s", name, didYouMean(name, known))
}

// references are the targets and groups that an expression names: type, name and
// attributes; an empty attribute means the whole.
type references map[string]map[string]map[string]hcl.Range

// add notes one reference, which must be target.NAME or target.NAME.ATTRIBUTE.
func (r references) add(e *evaluator, t hcl.Traversal) bool {
	root := t.RootName()
	if len(t) < 2 {
		e.report(problem(t.SourceRange(), "Invalid reference", "%s is not a value: write %s.NAME.ATTRIBUTE.", root, root))
		return false
	}
	name := e.referredName(t)
	if name == "" {
		e.report(problem(t.SourceRange(), "Invalid reference", "Write %s.NAME.ATTRIBUTE; the name can not be an index.", root))
		return false
	}
	attr := ""
	if len(t) > 2 {
		if a, ok := t[2].(hcl.TraverseAttr); ok {
			attr = a.Name
		}
	}
	if r[root] == nil {
		r[root] = map[string]map[string]hcl.Range{}
	}
	if r[root][name] == nil {
		r[root][name] = map[string]hcl.Range{}
	}
	r[root][name][attr] = t.SourceRange()
	return true
}

// referredName is NAME in target.NAME; in Strata's own language it can be written
// as target["PATH:NAME"] too. It is "" if it is neither.
func (e *evaluator) referredName(t hcl.Traversal) string {
	switch step := t[1].(type) {
	case hcl.TraverseAttr:
		return step.Name
	case hcl.TraverseIndex:
		if e.mode == ModeStrata && step.Key.Type() == cty.String && !step.Key.IsNull() {
			return step.Key.AsString()
		}
	}
	return ""
}

// evaluate returns the objects "target" and "group" and those of Strata's own
// language with just what is named.
func (r references) evaluate(e *evaluator, sc scope) (map[string]cty.Value, bool) {
	vars, ok := map[string]cty.Value{}, true
	for _, root := range sortedKeys(r) {
		if root != "target" && root != "group" {
			v, good := e.builtin(root, r[root], sc)
			vars[root], ok = v, ok && good
			continue
		}
		objects := map[string]cty.Value{}
		for _, name := range sortedKeys(r[root]) {
			attrs, exists, good := e.object(root, name, r[root][name])
			ok = ok && good
			if exists {
				objects[name] = cty.ObjectVal(attrs)
			}
		}
		vars[root] = cty.ObjectVal(objects)
	}
	return vars, ok
}

// object evaluates the named attributes of one target or group.
func (e *evaluator) object(typ, name string, attrs map[string]hcl.Range) (map[string]cty.Value, bool, bool) {
	full, good := e.fullName(name, anyRange(attrs))
	if !good {
		return nil, false, false
	}
	if typ == "group" {
		return e.groupObject(full, attrs)
	}
	list := e.named[full]
	if len(list) == 0 {
		return nil, false, true
	}
	in := list[len(list)-1] // bake sees the last of several blocks only
	out, ok := map[string]cty.Value{}, true
	for _, attr := range sortedKeys(attrs) {
		wanted := []string{attr}
		if attr == "" {
			wanted = e.attributeNames()
		}
		for _, a := range wanted {
			def := e.attributeCalled(a)
			switch {
			case def == nil:
			case e.mode == ModeStrata:
				s, good := e.merged(full, def, attrs[attr])
				out[a], ok = present(def.get(s.moved(in.owner.dir, e.dir))), ok && good
			default:
				ok = e.attribute(in, def, attrs[attr]) && ok
				out[a] = def.get(in.spec)
			}
		}
	}
	return out, true, ok
}

// calls lists the functions that expr calls, as far as they are not standard.
func (e *evaluator) calls(expr hcl.Expression) []string {
	if !e.hasOwn {
		return nil
	}
	node, ok := expr.(hclsyntax.Node)
	if !ok {
		return e.callsJSON(expr)
	}
	var names []string
	_ = hclsyntax.VisitAll(node, func(n hclsyntax.Node) hcl.Diagnostics {
		if call, ok := n.(*hclsyntax.FunctionCallExpr); ok {
			names = append(names, call.Name)
		}
		return nil
	})
	return names
}

// callsJSON finds the calls in the templates of a JSON value, whose syntax tree
// the library does not show: it reads the source again.
func (e *evaluator) callsJSON(expr hcl.Expression) []string {
	rng := expr.Range()
	f := e.files[rng.Filename]
	if f == nil || !rng.CanSliceBytes(f.Bytes) {
		return nil
	}
	var names []string
	for _, text := range jsonStrings(rng.SliceBytes(f.Bytes)) {
		if !strings.Contains(text, "${") && !strings.Contains(text, "%{") {
			continue
		}
		tmpl, diags := hclsyntax.ParseTemplate([]byte(text), rng.Filename, rng.Start)
		if !diags.HasErrors() {
			names = append(names, e.calls(tmpl)...)
		}
	}
	return names
}

// needFunction makes sure that a function of the files can be called.
func (e *evaluator) needFunction(name string, rng hcl.Range, strict bool) bool {
	if e.funcs[name] == done {
		return true
	}
	f, standard := e.functions[name], e.standard[name]
	if f == nil && !standard && e.parent != nil {
		return e.parent.needFunction(name, rng, strict)
	}
	if f == nil || standard {
		if strict && !standard {
			e.report(problem(rng, "Unknown function", "There is no function named %q.%s", name, didYouMean(name, e.functionNames())))
		}
		return standard || !strict
	}
	if !e.enter("function "+e.qualified(name), rng, e.funcs[name]) {
		return false
	}
	defer e.leave()
	e.funcs[name] = busy
	fn, ok := e.define(f)
	e.funcs[name] = done
	if ok {
		e.root.Functions[name] = fn
	}
	return ok
}

func (e *evaluator) functionNames() []string {
	var names []string
	for at := e; at != nil; at = at.parent {
		names = slices.Concat(names, sortedKeys(at.root.Functions), sortedKeys(at.functions))
	}
	return slices.DeleteFunc(names, func(n string) bool { return n == countName })
}

// define makes a function that evaluates f's result with its parameters bound.
func (e *evaluator) define(f *userFunction) (function.Function, bool) {
	spec := &function.Spec{}
	params := map[string]bool{}
	list, diags := hcl.ExprList(f.params.Expr)
	e.report(diags...)
	ok := !diags.HasErrors()
	add := func(expr hcl.Expression) *function.Parameter {
		name := hcl.ExprAsKeyword(expr)
		if name == "" {
			e.report(problem(expr.Range(), "Invalid parameter", "Each parameter is a name without quotes."))
			ok = false
		}
		params[name] = true
		return &function.Parameter{Name: name, Type: cty.DynamicPseudoType}
	}
	for _, p := range list {
		spec.Params = append(spec.Params, *add(p))
	}
	if f.variadic != nil {
		spec.VarParam = add(f.variadic.Expr)
	}
	base, good := e.prepare(f.result.Expr, scope{ctx: e.root, params: params, strict: true})
	if !good || !ok {
		return function.Function{}, false
	}
	call := func(args []cty.Value) (cty.Value, error) {
		for _, a := range args {
			if err := e.meter.result(a); err != nil {
				return cty.DynamicVal, err
			}
		}
		ctx := base.NewChild()
		ctx.Variables = map[string]cty.Value{}
		for i, p := range spec.Params {
			ctx.Variables[p.Name] = args[i]
		}
		if spec.VarParam != nil {
			ctx.Variables[spec.VarParam.Name] = cty.TupleVal(args[len(spec.Params):])
		}
		v, diags := f.result.Expr.Value(ctx)
		if err := e.meter.result(v); err != nil {
			return cty.DynamicVal, err
		}
		if diags.HasErrors() {
			return cty.DynamicVal, diags
		}
		return v, nil
	}
	spec.Type = func(args []cty.Value) (cty.Type, error) {
		v, err := call(args)
		return v.Type(), err
	}
	spec.Impl = func(args []cty.Value, _ cty.Type) (cty.Value, error) { return call(args) }
	return function.New(spec), true
}

// explain makes the library's diagnostics name what was meant. An expression
// sees only what it names, so the library's own suggestions would be empty.
func (e *evaluator) explain(diags hcl.Diagnostics) hcl.Diagnostics {
	for i, d := range diags {
		switch expr := d.Expression.(type) {
		case *hclsyntax.ScopeTraversalExpr:
			if better := e.explainName(d, expr.Traversal); better != nil {
				diags[i] = better
			}
		case *hclsyntax.FunctionCallExpr:
			if d.Summary == "Call to unknown function" {
				diags[i] = problem(*d.Subject, "Unknown function", "There is no function named %q.%s",
					expr.Name, didYouMean(expr.Name, e.functionNames()))
			}
		}
	}
	return diags
}

func (e *evaluator) explainName(d *hcl.Diagnostic, t hcl.Traversal) *hcl.Diagnostic {
	if d.Summary == "Unknown variable" {
		return e.noVariable(t.RootName(), t.SourceRange())
	}
	if d.Summary != "Unsupported attribute" || len(t) < 2 {
		return nil
	}
	if t.RootName() != "target" {
		return e.explainBuiltin(t)
	}
	name := e.referredName(t)
	if name == "" {
		return nil
	}
	if len(e.named[e.index.resolve(e, name)]) == 0 {
		known := slices.Sorted(maps.Keys(e.named))
		return problem(t[1].SourceRange(), unknownTarget, "No target is named %q.%s", name, didYouMean(name, known))
	}
	if attr, ok := t[min(2, len(t)-1)].(hcl.TraverseAttr); ok && len(t) > 2 && e.attributeCalled(attr.Name) == nil {
		return problem(attr.SrcRange, "Unknown attribute", "A target has no attribute %q.%s",
			attr.Name, didYouMean(attr.Name, e.attributeNames()))
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func (in *instance) String() string { return fmt.Sprintf("target.%s", in.name) }

func anyRange(attrs map[string]hcl.Range) hcl.Range {
	return attrs[sortedKeys(attrs)[0]]
}
