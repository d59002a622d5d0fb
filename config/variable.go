package config

import (
	"fmt"
	"math"
	"math/big"
	"strconv"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/tonistiigi/go-csvvalue"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// global evaluates the variable or global attribute called name.
func (e *evaluator) global(name string, rng hcl.Range) {
	if e.states[name] == done {
		return
	}
	if !e.enter(e.qualified(name), rng, e.states[name]) {
		return
	}
	defer e.leave()
	e.states[name] = busy
	v, ok := e.resolve(name)
	if !ok {
		v = cty.DynamicVal
	}
	e.states[name] = done
	e.root.Variables[name] = v
}

// resolve finds the value of a name: an override of a variable if there is one,
// else its default. A global attribute of the same name stands for the default
// and gives the type; without a variable it can not be overridden.
func (e *evaluator) resolve(name string) (cty.Value, bool) {
	attr, v := e.globals[name], e.variables[name]
	typ, typed := cty.DynamicPseudoType, false
	if attr == nil {
		var diags hcl.Diagnostics
		typ, typed, diags = v.constraint()
		e.report(diags...)
		if diags.HasErrors() {
			return cty.NilVal, false
		}
		attr = v.def
	}
	val, ok := e.fallback(attr, typ, typed, e.globals[name] != nil && e.mode == ModeBake)
	if v == nil || !ok {
		return val, ok
	}
	text, isJSON, found := e.override(name, typed)
	if !found {
		return val, true
	}
	val, err := overridden(name, text, val, typ, typed, isJSON, attr == nil)
	if err != nil {
		e.report(problem(v.rng, "Invalid value of a variable", "%s.", err))
		return cty.NilVal, false
	}
	return val, true
}

// fallback is the value without an override. In bake a global attribute can name
// targets and groups; a variable can not.
func (e *evaluator) fallback(attr *hcl.Attribute, typ cty.Type, typed, refs bool) (cty.Value, bool) {
	if attr == nil {
		if typed {
			return cty.NullVal(typ), true
		}
		return cty.StringVal(""), true
	}
	v, ok := e.value(attr.Expr, scope{ctx: e.root, refs: refs})
	if !ok {
		return v, false
	}
	out, err := convert.Convert(v, typ)
	if err != nil {
		e.report(problem(guilty(attr.Expr, err), "Unsuitable default", "The variable is %s: %s.", article(typ), err))
		return out, false
	}
	return out, true
}

// constraint is the declared type; typed is false if none is.
func (v *variable) constraint() (typ cty.Type, typed bool, diags hcl.Diagnostics) {
	if v.typ == nil {
		return cty.DynamicPseudoType, false, nil
	}
	typ, diags = typeexpr.TypeConstraint(v.typ)
	if !diags.HasErrors() {
		return typ, typ != cty.DynamicPseudoType || hcl.ExprAsKeyword(v.typ) == "any", nil
	}
	if null, nullDiags := v.typ.Value(nil); !nullDiags.HasErrors() && null.IsNull() {
		return cty.DynamicPseudoType, false, nil
	}
	return typ, false, diags
}

// override finds what replaces the default: NAME, or NAME_JSON, which is
// preferred for a typed variable, unless that is a name of its own.
func (e *evaluator) override(name string, typed bool) (text string, isJSON, found bool) {
	text, found = e.outside.lookup(name)
	if found && !typed {
		return text, false, true
	}
	other := name + "_JSON"
	if e.variables[other] != nil || reserved[other] {
		return text, false, found
	}
	if j, ok := e.outside.lookup(other); ok {
		return j, true, true
	}
	return text, false, found
}

// overridden converts the text of an override to the variable's type, or without
// one to the type of its default.
func overridden(name, text string, def cty.Value, typ cty.Type, typed, isJSON, noDefault bool) (cty.Value, error) {
	switch {
	case typed && isJSON:
		v, err := ctyjson.Unmarshal([]byte(text), typ)
		if err != nil {
			return v, fmt.Errorf("%s_JSON must be JSON of type %s: %w", name, typ.FriendlyName(), err)
		}
		return v, nil
	case typ.IsListType() || typ.IsSetType() || typ.IsTupleType() || typ.IsMapType():
		return fromCSV(name, text, typ)
	case typed && typ.IsPrimitiveType():
		return fromText(name, text, typ)
	case typed:
		return cty.NilVal, fmt.Errorf("%s is %s and can be given as JSON only, in %s_JSON", name, article(typ), name)
	case noDefault || def.Type() == cty.DynamicPseudoType:
		return cty.StringVal(text), nil
	case def.Type().IsPrimitiveType():
		return fromText(name, text, def.Type())
	}
	return cty.NilVal, fmt.Errorf("%s has %s as its default and no type, so that it can not be overridden: give it a type",
		name, article(def.Type()))
}

func fromText(name, text string, typ cty.Type) (cty.Value, error) {
	switch typ {
	case cty.String:
		return cty.StringVal(text), nil
	case cty.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return cty.NilVal, fmt.Errorf("%s is %q, not true or false", name, text)
		}
		return cty.BoolVal(b), nil
	case cty.Number:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return cty.NilVal, fmt.Errorf("%s is %q, not a number", name, text)
		}
		return cty.NumberVal(big.NewFloat(n)), nil
	}
	return cty.NilVal, fmt.Errorf("%s has elements that are not text, numbers or bools: give it as JSON, in %s_JSON", name, name)
}

// fromCSV reads "a,b" for lists, sets and tuples and "k:v,l:w" for maps.
func fromCSV(name, text string, typ cty.Type) (cty.Value, error) {
	list, err := csvvalue.Fields(text, nil)
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s is %q, not comma-separated values: %w", name, text, err)
	}
	if typ.IsMapType() {
		return mapFromCSV(name, list, typ.ElementType())
	}
	if typ.IsTupleType() && typ.Length() != len(list) {
		return cty.NilVal, fmt.Errorf("%s has %d values, not %d", name, typ.Length(), len(list))
	}
	vals := make([]cty.Value, len(list))
	for i, f := range list {
		elem := cty.NilType
		if typ.IsTupleType() {
			elem = typ.TupleElementType(i)
		} else {
			elem = typ.ElementType()
		}
		if vals[i], err = fromText(name, f, elem); err != nil {
			return cty.NilVal, err
		}
	}
	switch {
	case typ.IsTupleType():
		return cty.TupleVal(vals), nil
	case typ.IsSetType():
		return cty.SetVal(vals), nil
	}
	return cty.ListVal(vals), nil
}

func mapFromCSV(name string, list []string, elem cty.Type) (cty.Value, error) {
	parser := csvvalue.Parser{Comma: ':'}
	vals := make(map[string]cty.Value, len(list))
	for _, f := range list {
		kv, err := parser.Fields(f, nil)
		if err != nil || len(kv) != 2 {
			return cty.NilVal, fmt.Errorf(`%s has %q, not key:value (quote a value with ":" in it)`, name, f)
		}
		if vals[kv[0]], err = fromText(name, kv[1], elem); err != nil {
			return cty.NilVal, err
		}
	}
	return cty.MapVal(vals), nil
}

// validate checks the conditions of all variables.
func (e *evaluator) validate() {
	for _, name := range sortedKeys(e.variables) {
		for _, rule := range e.variables[name].validations {
			e.check(rule)
		}
	}
}

func (e *evaluator) check(rule validation) {
	v, ok := e.ruleValue(rule.condition)
	if !ok {
		return
	}
	rng := rule.condition.Range()
	v, err := convertTo(v, cty.Bool)
	if err == nil && v.IsNull() {
		err = errNull
	}
	if err != nil {
		e.report(problem(rng, "Invalid condition", "A condition %s.", err))
		return
	}
	if v.True() {
		return
	}
	msg, ok := e.ruleValue(rule.message)
	if !ok {
		return
	}
	text, err := stringOf(msg)
	if err != nil {
		text = fmt.Sprintf("The condition does not hold. (Its error_message %s.)", err)
	}
	e.report(problem(rng, "Validation failed", "%s", text))
}

// ruleValue evaluates a part of a validation. Bake checks variables before it
// defines functions, so that only those exist that some default has called.
func (e *evaluator) ruleValue(expr hcl.Expression) (cty.Value, bool) {
	if e.mode == ModeBake {
		return e.run(expr, e.root)
	}
	return e.value(expr, scope{ctx: e.root})
}
