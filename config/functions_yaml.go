package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	ctyjson "github.com/zclconf/go-cty/cty/json"
	"go.yaml.in/yaml/v3"
)

// This file reads and writes YAML in expressions.

func yamldecodeFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Reads a text as one YAML document.",
		Params:      []function.Parameter{{Name: "text", Type: cty.String}},
		Type: func(args []cty.Value) (cty.Type, error) {
			if !args[0].IsKnown() {
				return cty.DynamicPseudoType, nil
			}
			v, err := fromYAML(args[0].AsString())
			return v.Type(), err
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return fromYAML(args[0].AsString()) },
	})
}

func fromYAML(text string) (cty.Value, error) {
	null := cty.NullVal(cty.DynamicPseudoType)
	dec := yaml.NewDecoder(strings.NewReader(text))
	var doc, more any
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return null, nil
	} else if err != nil {
		return null, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return null, errors.New("the text has more than one YAML document")
	}
	count := 0
	return yamlValue(doc, &count)
}

// yamlValue makes a value of what the library has decoded.
func yamlValue(x any, count *int) (cty.Value, error) {
	if *count++; *count > maxElements {
		return cty.NilVal, fmt.Errorf("the YAML has more than %d values", maxElements)
	}
	switch x := x.(type) {
	case nil:
		return cty.NullVal(cty.DynamicPseudoType), nil
	case bool:
		return cty.BoolVal(x), nil
	case string:
		return cty.StringVal(x), nil
	case int, int64, uint64, float64:
		return cty.ParseNumberVal(fmt.Sprint(x))
	case time.Time:
		return cty.StringVal(x.Format(time.RFC3339Nano)), nil
	case []any:
		list := make([]cty.Value, len(x))
		for i, elem := range x {
			v, err := yamlValue(elem, count)
			if err != nil {
				return v, err
			}
			list[i] = v
		}
		return cty.TupleVal(list), nil
	case map[string]any:
		attrs := make(map[string]cty.Value, len(x))
		for key, elem := range x {
			v, err := yamlValue(elem, count)
			if err != nil {
				return v, err
			}
			attrs[key] = v
		}
		return cty.ObjectVal(attrs), nil
	case map[any]any:
		named := make(map[string]any, len(x))
		for key, elem := range x {
			named[fmt.Sprint(key)] = elem
		}
		return yamlValue(named, count)
	}
	return cty.NilVal, fmt.Errorf("the YAML has a value of an unknown kind (%T)", x)
}

func yamlencodeFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Writes a value as YAML: keys sorted, text quoted.",
		Params:      []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			data, err := ctyjson.Marshal(args[0], args[0].Type())
			if err != nil {
				return cty.NilVal, err
			}
			var node yaml.Node // JSON is YAML
			if err := yaml.Unmarshal(data, &node); err != nil {
				return cty.NilVal, err
			}
			plain(&node)
			var b bytes.Buffer
			enc := yaml.NewEncoder(&b)
			enc.SetIndent(2)
			if err := enc.Encode(&node); err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(b.String()), nil
		},
	})
}

// plain writes lists and maps in lines. Text stays quoted: what means text without
// quotes is not the same in all versions of YAML.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode {
		n.Style = 0
	}
	for _, inner := range n.Content {
		plain(inner)
	}
}
