package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/strata-build/strata/config"
)

// TestSchemaFitsExamples turns build files into JSON and checks that the schema
// takes them, and that they mean the same.
func TestSchemaFitsExamples(t *testing.T) {
	files := map[string]string{}
	for _, b := range config.Blocks() {
		if b.Name != "resources" { // in JSON there is no such block
			files["the example of "+b.Name] = b.Example
		}
	}
	found, err := filepath.Glob("../../examples/*/build.hcl")
	if err != nil || len(found) < 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, name := range append(found, "../../build.hcl") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = string(text)
	}
	schema := buildSchema(t)
	for name, text := range files {
		t.Run(name, func(t *testing.T) {
			converted := asJSON(t, text)
			if err := schema.Validate(parsedJSON(t, converted)); err != nil {
				t.Fatalf("%v\n%s", err, converted)
			}
			dir := included(t)
			if strings.HasSuffix(name, ".hcl") {
				dir = filepath.Dir(name) // functions and includes read files there
			}
			if got, want := printed(t, dir, converted), printed(t, dir, text); got != want {
				t.Errorf("the JSON is %s\nand the HCL %s\nfrom %s", got, want, converted)
			}
		})
	}
}

// included is a directory with the files that the example of include names.
func included(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"services/api/build.hcl": "target \"api\" {}\n",
		"lib/base/build.hcl":     "target \"base\" {}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// printed is what strata print writes for all targets of a file that says text.
func printed(t *testing.T, dir, text string) string {
	t.Helper()
	cfg, err := config.Load(context.Background(), config.LoadOptions{
		Dir: dir, Files: []string{"-"}, Stdin: strings.NewReader(text), Mode: config.ModeStrata,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(config.Request{Targets: []string{"*"}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := sel.PrintJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// asJSON is a build file in HCL's JSON syntax.
func asJSON(t *testing.T, text string) string {
	t.Helper()
	f, diags := hclsyntax.ParseConfig([]byte(text), "build.hcl", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	c := converter{[]byte(text)}
	out, err := json.MarshalIndent(c.body("", f.Body.(*hclsyntax.Body)), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

type converter struct{ src []byte }

func (c converter) text(n hclsyntax.Node) string { return string(n.Range().SliceBytes(c.src)) }

// An object keeps the order of its keys: that of step and dynamic blocks counts.
type object struct {
	keys   []string
	values map[string]any
}

func (o *object) set(key string, value any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = value
}

func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, key := range o.keys {
		value, err := json.Marshal(o.values[key])
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s%q:%s", map[bool]string{true: "{", false: ","}[i == 0], key, value)
	}
	if len(o.keys) == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (c converter) template(e hclsyntax.Expression) string {
	text := c.text(e)
	if strings.HasPrefix(text, "<<") { // a here-document ends with a line
		text += "\n"
	}
	return "${" + text + "}"
}

func (c converter) body(block string, b *hclsyntax.Body) *object {
	out := &object{values: map[string]any{}}
	for _, name := range slices.Sorted(maps.Keys(b.Attributes)) {
		out.set(name, c.attribute(block+"."+name, b.Attributes[name].Expr))
	}
	for _, inner := range b.Blocks {
		at := out
		path := append([]string{inner.Type}, inner.Labels...)
		for _, key := range path[:len(path)-1] {
			if at.values[key] == nil {
				at.set(key, &object{values: map[string]any{}})
			}
			at = at.values[key].(*object)
		}
		last := path[len(path)-1]
		list, _ := at.values[last].([]any)
		at.set(last, append(list, c.body(inner.Type, inner.Body)))
	}
	return out
}

func (c converter) attribute(name string, e hclsyntax.Expression) any {
	switch name {
	case "variable.type", "dynamic.iterator", "function.variadic_params":
		return c.text(e)
	case "template.params", "function.params":
		return c.each(e, func(e hclsyntax.Expression) any { return c.text(e) })
	case "strata.link", "strata.edition", "include.paths": // plain text
		return c.literal(e)
	case "target.needs", "group.targets":
		return c.each(e, c.name)
	}
	return c.value(e)
}

// literal is a value that is written out.
func (c converter) literal(e hclsyntax.Expression) any {
	if v, diags := e.Value(nil); !diags.HasErrors() {
		if out, err := ctyjson.Marshal(v, v.Type()); err == nil {
			return json.RawMessage(out)
		}
	}
	return c.text(e)
}

// name is target.x as the name that it means.
func (c converter) name(e hclsyntax.Expression) any {
	if t, ok := e.(*hclsyntax.ScopeTraversalExpr); ok && t.Traversal.RootName() == "target" && len(t.Traversal) == 2 {
		return t.Traversal[1].(hcl.TraverseAttr).Name
	}
	return c.value(e)
}

// each converts the elements of a list or an object.
func (c converter) each(e hclsyntax.Expression, convert func(hclsyntax.Expression) any) any {
	switch x := e.(type) {
	case *hclsyntax.TupleConsExpr:
		out := []any{}
		for _, elem := range x.Exprs {
			out = append(out, convert(elem))
		}
		return out
	case *hclsyntax.ObjectConsExpr:
		out := &object{values: map[string]any{}}
		for _, item := range x.Items {
			key, diags := item.KeyExpr.Value(nil)
			if diags.HasErrors() {
				return c.template(e)
			}
			out.set(key.AsString(), convert(item.ValueExpr))
		}
		return out
	}
	return c.template(e)
}

func (c converter) value(e hclsyntax.Expression) any {
	switch x := e.(type) {
	case *hclsyntax.TupleConsExpr, *hclsyntax.ObjectConsExpr:
		return c.each(e, c.value)
	case *hclsyntax.LiteralValueExpr:
		out, err := ctyjson.Marshal(x.Val, x.Val.Type())
		if err == nil {
			return json.RawMessage(out)
		}
	}
	return c.template(e)
}
