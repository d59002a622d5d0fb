package config

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// This file turns values of the language into Go and back. Errors read as the
// end of a sentence: "must be a string". A cty.PathError in them says which
// element is meant.

var errNull = errors.New("must not be null")

func stringOf(v cty.Value) (string, error) {
	p, err := optionalString(v)
	if err != nil {
		return "", err
	}
	if p == nil {
		return "", errNull
	}
	return *p, nil
}

// optionalString is nil for null. Numbers and bools become text.
func optionalString(v cty.Value) (*string, error) {
	v, err := convertTo(v, cty.String)
	if err != nil || v.IsNull() {
		return nil, err
	}
	s := v.AsString()
	return &s, nil
}

func optionalBool(v cty.Value) (*bool, error) {
	v, err := convertTo(v, cty.Bool)
	if err != nil || v.IsNull() {
		return nil, err
	}
	b := v.True()
	return &b, nil
}

// stringsOf is nil for null only; an empty list is empty and not nil.
func stringsOf(v cty.Value) ([]string, error) {
	if v.IsNull() {
		_, err := convertTo(v, cty.List(cty.String))
		return nil, err
	}
	if !v.Type().IsTupleType() && !v.Type().IsListType() && !v.Type().IsSetType() {
		return nil, fmt.Errorf("must be a list of string, not %s", article(v.Type()))
	}
	// Converting a tuple as a whole compares all its elements with one another.
	out := make([]string, 0, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		_, elem := it.Element()
		s, err := stringOf(elem)
		if err != nil {
			return nil, cty.IndexIntPath(len(out)).NewError(err)
		}
		out = append(out, s)
	}
	return out, nil
}

// stringMap keeps null values as nil.
func stringMap(v cty.Value) (map[string]*string, error) {
	if v.IsNull() {
		_, err := convertTo(v, cty.Map(cty.String))
		return nil, err
	}
	if !v.Type().IsObjectType() && !v.Type().IsMapType() {
		return nil, fmt.Errorf("must be a map of string, not %s", article(v.Type()))
	}
	out := make(map[string]*string, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, elem := it.Element()
		s, err := optionalString(elem)
		if err != nil {
			return nil, cty.IndexPath(k).NewError(err)
		}
		out[k.AsString()] = s
	}
	return out, nil
}

func convertTo(v cty.Value, typ cty.Type) (cty.Value, error) {
	out, err := convert.Convert(v, typ)
	if err == nil {
		return out, nil
	}
	if _, ok := errors.AsType[cty.PathError](err); ok {
		return out, err
	}
	return out, fmt.Errorf("must be %s, not %s", article(typ), article(v.Type()))
}

func article(typ cty.Type) string {
	name := typ.FriendlyName()
	switch name[0] {
	case 'a', 'e', 'i', 'o', 'u':
		return "an " + name
	}
	return "a " + name
}

func ctyString(s *string) cty.Value {
	if s == nil {
		return cty.NullVal(cty.String)
	}
	return cty.StringVal(*s)
}

func ctyBool(b *bool) cty.Value {
	if b == nil {
		return cty.NullVal(cty.Bool)
	}
	return cty.BoolVal(*b)
}

func ctyInt(n *int64) cty.Value {
	if n == nil {
		return cty.NullVal(cty.Number)
	}
	return cty.NumberIntVal(*n)
}

func stringList(list []string) cty.Value {
	if list == nil {
		return cty.NullVal(cty.List(cty.String))
	}
	return listOf(cty.String, list, cty.StringVal)
}

// listOf makes a list of typ, also of no elements.
func listOf[T any](typ cty.Type, list []T, value func(T) cty.Value) cty.Value {
	if len(list) == 0 {
		return cty.ListValEmpty(typ)
	}
	out := make([]cty.Value, len(list))
	for i, v := range list {
		out[i] = value(v)
	}
	return cty.ListVal(out)
}

func ctyMap(m map[string]*string) cty.Value {
	if m == nil {
		return cty.NullVal(cty.Map(cty.String))
	}
	if len(m) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	out := make(map[string]cty.Value, len(m))
	for k, v := range m {
		out[k] = ctyString(v)
	}
	return cty.MapVal(out)
}

// plainMap is for maps whose values are never null, with more entries added.
func plainMap(m map[string]string, more ...string) cty.Value {
	out := make(map[string]cty.Value, len(m)+len(more)/2)
	for k, v := range m {
		out[k] = cty.StringVal(v)
	}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i]] = cty.StringVal(more[i+1])
	}
	if len(out) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	return cty.MapVal(out)
}

// guilty finds the part of expr that err is about, as far as err says where in
// the value it is and expr is written out as a list or an object.
func guilty(expr hcl.Expression, err error) hcl.Range {
	if pathErr, ok := errors.AsType[cty.PathError](err); ok {
		for _, step := range pathErr.Path {
			inner := element(expr, step)
			if inner == nil {
				break
			}
			expr = inner
		}
	}
	return expr.Range()
}

func element(expr hcl.Expression, step cty.PathStep) hcl.Expression {
	var key cty.Value
	switch s := step.(type) {
	case cty.IndexStep:
		key = s.Key
	case cty.GetAttrStep:
		key = cty.StringVal(s.Name)
	}
	if !key.IsKnown() || key.IsNull() {
		return nil
	}
	if key.Type() == cty.Number {
		list, diags := hcl.ExprList(expr)
		i, _ := key.AsBigFloat().Int64()
		if diags.HasErrors() || i < 0 || i >= int64(len(list)) {
			return nil
		}
		return list[i]
	}
	for _, pair := range pairs(expr) {
		if pair.key == key.AsString() {
			return pair.value
		}
	}
	return nil
}

// A pair is one entry of an object as written.
type pair struct {
	key   string
	value hcl.Expression
}

// pairs lists the entries of an object that is written out and whose keys are
// plain, in the order of the source. It is nil for any other expression.
func pairs(expr hcl.Expression) []pair {
	list, diags := hcl.ExprMap(expr)
	if diags.HasErrors() {
		return nil
	}
	out := make([]pair, 0, len(list))
	for _, kv := range list {
		key, diags := kv.Key.Value(nil)
		if diags.HasErrors() || key.Type() != cty.String || key.IsNull() || !key.IsKnown() {
			continue
		}
		out = append(out, pair{key.AsString(), kv.Value})
	}
	return out
}

// jsonStrings lists all strings in a JSON text, keys too.
func jsonStrings(text []byte) []string {
	var out []string
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		end := stringEnd(text, i)
		var s string
		if json.Unmarshal(text[i:end], &s) == nil {
			out = append(out, s)
		}
		i = end - 1
	}
	return out
}
