package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// An instance is one target that a block stands for: a block without a matrix
// has one, else there is one for every combination.
type instance struct {
	owner  *evaluator // of the file it is declared in
	block  *block
	name   string           // as other files name it: PATH:NAME
	plain  string           // as its own file does
	ctx    *hcl.EvalContext // with the values of the matrix
	states map[string]state // of attributes
	failed map[string]bool
	spec   *spec
}

// scope is where the expressions of the target stand.
func (in *instance) scope() scope { return scope{ctx: in.ctx, refs: true, in: in} }

// expand makes the instances of a target block and names them.
func (e *evaluator) expand(b *block) {
	contexts, ok := e.combinations(b)
	if !ok {
		e.unnamed = true
		return
	}
	taken := map[string]bool{}
	for _, ctx := range contexts {
		name, ok := e.instanceName(b, ctx)
		if !ok {
			e.unnamed = true
			continue
		}
		if taken[name] {
			e.report(problem(nameRange(b), "Duplicate name",
				"Two combinations of the matrix are named %q. Use all keys of the matrix in the name.", name))
			continue
		}
		taken[name] = true
		block, ctx, ok := e.fromTemplate(b, ctx)
		if !ok {
			e.unnamed = true
			continue
		}
		full := e.qualified(name)
		in := &instance{
			owner: e, block: block, name: full, plain: name, ctx: ctx,
			states: map[string]state{}, failed: map[string]bool{},
			spec: &spec{name: full, owner: e, rng: b.header, places: map[string]hcl.Range{}},
		}
		if other := e.named[full]; len(other) > 0 && other[0].owner != e {
			e.declaredElsewhere(b.label, "target", full, other[0].block.label)
			continue
		}
		b.instances = append(b.instances, in)
		e.named[full] = append(e.named[full], in)
	}
}

// combinations returns one context for every combination of the matrix. The
// first key varies slowest, in the order written.
func (e *evaluator) combinations(b *block) ([]*hcl.EvalContext, bool) {
	attr := b.content.Attributes["matrix"]
	if attr == nil {
		return []*hcl.EvalContext{e.root}, true
	}
	v, ok := e.value(attr.Expr, scope{ctx: e.root})
	if !ok {
		return nil, false
	}
	if v.IsNull() || !v.Type().IsMapType() && !v.Type().IsObjectType() {
		e.report(problem(attr.Expr.Range(), "Invalid matrix", "A matrix is an object whose values are lists."))
		return nil, false
	}
	axes := v.AsValueMap()
	changes, ok := e.matrixChanges(attr.Expr, axes)
	if !ok {
		return nil, false
	}
	rows := []map[string]cty.Value{{}}
	if changes != nil && len(axes) == 0 {
		rows = nil
	}
	for _, key := range axisOrder(attr.Expr, axes) {
		axis := axes[key]
		if axis.IsNull() || !axis.CanIterateElements() {
			e.report(problem(guilty(attr.Expr, cty.GetAttrPath(key).NewError(errNull)), "Invalid matrix", "The value of %q must be a list.", key))
			return nil, false
		}
		rows = cross(rows, key, axis.AsValueSlice())
		if len(rows) > maxCombinations {
			e.report(problem(attr.Expr.Range(), "Matrix too large", "It has more than %d combinations.", maxCombinations))
			return nil, false
		}
	}
	if rows = changes.apply(rows); len(rows) > maxCombinations {
		e.report(problem(attr.Expr.Range(), "Matrix too large", "It has more than %d combinations.", maxCombinations))
		return nil, false
	}
	out := make([]*hcl.EvalContext, len(rows))
	for i, row := range rows {
		out[i] = e.root.NewChild()
		out[i].Variables = row
	}
	return out, true
}

// matrixChanges are the exclude and include of a matrix in Strata's own language.
// They mean what they mean in GitHub Actions.
type matrixChanges struct{ exclude, include []map[string]cty.Value }

// matrixChanges takes exclude and include out of axes; nil if there are none.
func (e *evaluator) matrixChanges(expr hcl.Expression, axes map[string]cty.Value) (*matrixChanges, bool) {
	if e.mode != ModeStrata {
		return nil, true
	}
	exclude, include := axes["exclude"], axes["include"]
	if exclude == cty.NilVal && include == cty.NilVal {
		return nil, true
	}
	delete(axes, "exclude")
	delete(axes, "include")
	less, ok := e.matrixRows(expr, "exclude", exclude)
	if !ok {
		return nil, false
	}
	out := &matrixChanges{exclude: less}
	for i, row := range out.exclude {
		for _, key := range sortedKeys(row) {
			if _, known := axes[key]; !known {
				e.report(problem(guilty(expr, cty.GetAttrPath("exclude").IndexInt(i).GetAttr(key).NewError(errNull)),
					"Invalid matrix", "The matrix has no key %q to exclude.%s", key, didYouMean(key, sortedKeys(axes))))
				ok = false
			}
		}
	}
	more, good := e.matrixRows(expr, "include", include)
	out.include = more
	return out, ok && good
}

// matrixRows reads a list of objects.
func (e *evaluator) matrixRows(expr hcl.Expression, name string, v cty.Value) ([]map[string]cty.Value, bool) {
	if v == cty.NilVal {
		return nil, true
	}
	bad := func(path cty.Path) ([]map[string]cty.Value, bool) {
		e.report(problem(guilty(expr, path.NewError(errNull)), "Invalid matrix", "The value of %q must be a list of objects.", name))
		return nil, false
	}
	path := cty.GetAttrPath(name)
	if v.IsNull() || !v.CanIterateElements() || v.Type().IsObjectType() || v.Type().IsMapType() {
		return bad(path)
	}
	var out []map[string]cty.Value
	for i, row := range v.AsValueSlice() {
		if row.IsNull() || !row.Type().IsObjectType() && !row.Type().IsMapType() {
			return bad(path.IndexInt(i))
		}
		out = append(out, row.AsValueMap())
	}
	return out, true
}

// apply takes rows away and adds to them. A key that only some rows have is null
// in the others.
func (c *matrixChanges) apply(rows []map[string]cty.Value) []map[string]cty.Value {
	if c == nil {
		return rows
	}
	rows = slices.DeleteFunc(rows, func(row map[string]cty.Value) bool {
		return slices.ContainsFunc(c.exclude, func(x map[string]cty.Value) bool { return agrees(row, x) })
	})
	original := make([]map[string]cty.Value, len(rows))
	for i, row := range rows {
		original[i] = maps.Clone(row)
	}
	for _, more := range c.include {
		added := false
		for i := range original {
			if fits(original[i], more) {
				maps.Copy(rows[i], more)
				added = true
			}
		}
		if !added {
			rows = append(rows, maps.Clone(more))
		}
	}
	keys := map[string]bool{}
	for _, row := range rows {
		for key := range row {
			keys[key] = true
		}
	}
	for _, row := range rows {
		for key := range keys {
			if _, there := row[key]; !there {
				row[key] = cty.NullVal(cty.DynamicPseudoType)
			}
		}
	}
	return rows
}

// agrees reports whether row has all that part has.
func agrees(row, part map[string]cty.Value) bool {
	for key, v := range part {
		if w, ok := row[key]; !ok || !w.RawEquals(v) {
			return false
		}
	}
	return true
}

// fits reports whether more changes nothing that row has.
func fits(row, more map[string]cty.Value) bool {
	for key, v := range more {
		if w, ok := row[key]; ok && !w.RawEquals(v) {
			return false
		}
	}
	return true
}

// maxCombinations bounds the product of a matrix.
const maxCombinations = 100_000

func cross(rows []map[string]cty.Value, key string, vals []cty.Value) []map[string]cty.Value {
	if len(rows)*len(vals) > maxCombinations {
		return make([]map[string]cty.Value, maxCombinations+1)
	}
	out := make([]map[string]cty.Value, 0, len(rows)*len(vals))
	for _, row := range rows {
		for _, v := range vals {
			next := maps.Clone(row)
			next[key] = v
			out = append(out, next)
		}
	}
	return out
}

// axisOrder is the order of the keys in the source, or else by name.
func axisOrder(expr hcl.Expression, axes map[string]cty.Value) []string {
	var order []string
	seen := map[string]bool{}
	for _, p := range pairs(expr) {
		if _, ok := axes[p.key]; ok && !seen[p.key] {
			seen[p.key] = true
			order = append(order, p.key)
		}
	}
	for _, key := range sortedKeys(axes) {
		if !seen[key] {
			order = append(order, key)
		}
	}
	return order
}

func nameRange(b *block) hcl.Range {
	if attr := b.content.Attributes["name"]; attr != nil {
		return attr.Expr.Range()
	}
	return b.label
}

func (e *evaluator) instanceName(b *block, ctx *hcl.EvalContext) (string, bool) {
	attr := b.content.Attributes["name"]
	if attr == nil {
		return b.name, true
	}
	if b.content.Attributes["matrix"] == nil {
		e.report(problem(attr.NameRange, "Name without a matrix", "The label %q is the name; the attribute name is for targets with a matrix.", b.name))
		return "", false
	}
	v, ok := e.value(attr.Expr, scope{ctx: ctx})
	if !ok {
		return "", false
	}
	name, err := stringOf(v)
	if err != nil {
		e.report(problem(attr.Expr.Range(), "Invalid name", "The name %s.", err))
		return "", false
	}
	if !validName(name) {
		e.report(problem(attr.Expr.Range(), "Invalid name",
			"%q can not be the name of a target: only letters, digits, _ and - are allowed. sanitize() replaces others.", name))
		return "", false
	}
	return name, true
}
