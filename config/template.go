package config

import (
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// This file has templates: blocks like targets, with typed parameters, that
// targets are made from.

// templateSchema is what a template block may hold.
var templateSchema = newSchema(makeTemplateSchema())

func makeTemplateSchema() *hcl.BodySchema {
	schema := targetSchema(ModeStrata)
	schema.Attributes = slices.DeleteFunc(schema.Attributes, func(a hcl.AttributeSchema) bool {
		return slices.Contains([]string{"matrix", "name", "template", "with"}, a.Name)
	})
	schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: "params"})
	return schema
}

// addTemplate reads a template block.
func (m *module) addTemplate(b *hcl.Block) {
	out := &block{typ: b.Type, name: b.Labels[0], header: b.DefRange, label: b.LabelRanges[0], content: m.content(b, templateSchema)}
	m.liftDemand(b, out.content)
	m.checkTwice(out)
	m.templates[out.name] = out
	if params := out.content.Attributes["params"]; params != nil {
		_, _, diags := paramTypes(params.Expr)
		m.report(diags...)
	}
}

// paramTypes reads { name = string, port = optional(number, 80) } as what an
// object type has in it.
func paramTypes(expr hcl.Expression) (cty.Type, *typeexpr.Defaults, hcl.Diagnostics) {
	inner, ok := expr.(hclsyntax.Expression)
	if !ok {
		var diags hcl.Diagnostics
		if inner, diags = jsonTypes(expr); diags.HasErrors() {
			return cty.NilType, nil, diags
		}
	}
	rng := expr.Range()
	return typeexpr.TypeConstraintWithDefaults(&hclsyntax.FunctionCallExpr{
		Name: "object", NameRange: rng, OpenParenRange: rng, CloseParenRange: rng, Args: []hclsyntax.Expression{inner},
	})
}

// jsonTypes reads { "name": "string" }, which is how types are written in JSON.
func jsonTypes(expr hcl.Expression) (hclsyntax.Expression, hcl.Diagnostics) {
	list, diags := hcl.ExprMap(expr)
	out := &hclsyntax.ObjectConsExpr{SrcRange: expr.Range(), OpenRange: expr.Range()}
	for _, p := range list {
		key, keyDiags := p.Key.Value(nil)
		text, textDiags := p.Value.Value(nil)
		diags = append(append(diags, keyDiags...), textDiags...)
		if diags.HasErrors() {
			break
		}
		word, err := stringOf(text)
		if err != nil {
			diags = append(diags, problem(p.Value.Range(), "Invalid parameters", "A type %s, such as \"list(string)\".", err))
			continue
		}
		at := p.Value.Range()
		typ, typDiags := hclsyntax.ParseExpression([]byte(word), at.Filename, at.Start)
		diags = append(diags, typDiags...)
		out.Items = append(out.Items, hclsyntax.ObjectConsItem{
			KeyExpr: &hclsyntax.ScopeTraversalExpr{
				Traversal: hcl.Traversal{hcl.TraverseRoot{Name: key.AsString(), SrcRange: p.Key.Range()}}, SrcRange: p.Key.Range(),
			},
			ValueExpr: typ,
		})
	}
	return out, diags
}

// fromTemplate returns what b is with its template filled in, and the context in
// which that stands; b itself if it has no template.
func (e *evaluator) fromTemplate(b *block, ctx *hcl.EvalContext) (*block, *hcl.EvalContext, bool) {
	attr, with := b.content.Attributes["template"], b.content.Attributes["with"]
	if attr == nil {
		if with != nil {
			e.report(problem(with.NameRange, "Missing attribute", "There is with, but no template that it is for."))
		}
		return b, ctx, with == nil
	}
	name, ok := e.templateName(attr, ctx)
	if !ok {
		return nil, nil, false
	}
	templates := func(m *module) map[string]*block { return m.templates }
	tmpl := inSight(e, name, templates)
	if tmpl == nil {
		e.report(problem(attr.Expr.Range(), "Unknown template", "There is no template %q.%s", name, didYouMean(name, namesInSight(e, templates))))
		return nil, nil, false
	}
	params, ok := e.params(b, tmpl, attr, with, ctx)
	if !ok {
		return nil, nil, false
	}
	inner := ctx.NewChild()
	inner.Variables = map[string]cty.Value{"param": params}
	out := *b
	out.content = filled(tmpl.content, b.content)
	return &out, inner, true
}

func (e *evaluator) templateName(attr *hcl.Attribute, ctx *hcl.EvalContext) (string, bool) {
	v, ok := e.value(attr.Expr, scope{ctx: ctx})
	if !ok {
		return "", false
	}
	name, err := stringOf(v)
	if err != nil {
		e.report(problem(attr.Expr.Range(), "Unsuitable value", "The attribute template %s.", err))
	}
	return name, err == nil
}

// params are the values of a template's parameters for one target.
func (e *evaluator) params(b, tmpl *block, attr, with *hcl.Attribute, ctx *hcl.EvalContext) (cty.Value, bool) {
	given, rng, expr := cty.EmptyObjectVal, attr.Expr.Range(), attr.Expr
	if with != nil {
		v, ok := e.value(with.Expr, scope{ctx: ctx})
		if !ok {
			return v, false
		}
		if v.IsNull() || !v.Type().IsObjectType() && !v.Type().IsMapType() {
			e.report(problem(with.Expr.Range(), "Unsuitable value", "The attribute with must be an object of parameters."))
			return v, false
		}
		given, rng, expr = v, with.Expr.Range(), with.Expr
	}
	typ, defaults := cty.EmptyObject, (*typeexpr.Defaults)(nil)
	if declared := tmpl.content.Attributes["params"]; declared != nil {
		var diags hcl.Diagnostics
		if typ, defaults, diags = paramTypes(declared.Expr); diags.HasErrors() {
			return cty.NilVal, false // said already
		}
	}
	for _, key := range sortedKeys(given.AsValueMap()) {
		if !typ.HasAttribute(key) {
			e.report(problem(guilty(expr, cty.GetAttrPath(key).NewError(errNull)), "Unknown parameter",
				"The template %q has no parameter %q.%s", tmpl.name, key, didYouMean(key, sortedKeys(typ.AttributeTypes()))))
			return cty.NilVal, false
		}
	}
	if defaults != nil {
		given = defaults.Apply(given)
	}
	v, err := convert.Convert(given, typ)
	if err != nil {
		if with != nil {
			rng = guilty(expr, err)
		}
		e.report(problem(rng, "Unsuitable parameter", "The template %q (%s) can not be used for %s: %s.", tmpl.name, position(tmpl.header), b, reason(err)))
		return v, false
	}
	return v, true
}

// filled is the content of a template with what a target says itself, which
// replaces what the template says.
func filled(tmpl, own *hcl.BodyContent) *hcl.BodyContent {
	out := &hcl.BodyContent{Attributes: maps.Clone(tmpl.Attributes), Blocks: tmpl.Blocks, MissingItemRange: own.MissingItemRange}
	delete(out.Attributes, "params")
	if own.Attributes["dockerfile"] != nil || own.Attributes["dockerfile-inline"] != nil || len(own.Blocks) > 0 {
		delete(out.Attributes, "dockerfile")
		delete(out.Attributes, "dockerfile-inline")
		out.Blocks = own.Blocks
	}
	maps.Copy(out.Attributes, own.Attributes)
	return out
}
