package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/strata-build/strata/config"
)

// buildSchema is the schema that strata schema prints, compiled.
func buildSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := config.Schema()
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("build.schema.json", parsedJSON(t, string(text))); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("build.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func parsedJSON(t *testing.T, text string) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSchemaFitsWhatPrintWrites(t *testing.T) {
	schema := buildSchema(t)
	for _, dir := range []string{"../../examples/lab", "../../examples/shop", "../.."} {
		cmd := exec.Command("strata", "print", "*")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v\n%s", dir, err, &errs)
			continue
		}
		if err := schema.Validate(parsedJSON(t, string(out))); err != nil {
			t.Errorf("%s: %v", filepath.Base(dir), err)
		}
	}
}

func TestSchema(t *testing.T) {
	schema := buildSchema(t)
	for text, want := range map[string]bool{
		`{}`:                      true,
		`{"//": "x", "V": ["a"]}`: true,
		`{"target": {"a": {"tags": ["x"], "pull": true, "args": {"A": 1, "B": null}}}}`:                           true,
		`{"target": {"a": [{"tags": "${split(\",\", T)}"}, {"pull": "${PULL}"}]}}`:                                true,
		`{"target": {"a": {"output": ["type=local,dest=x", {"type": "oci"}]}}}`:                                   true,
		`{"target": {"a": {"resources": {"memory": "1g", "cpu-shares": 5}}}}`:                                     true,
		`{"variable": {"V": {"type": "string", "validation": {"condition": "${V != 1}", "error_message": "x"}}}}`: true,
		`{"template": {"t": {"params": {"port": "number"}, "tags": ["x"], "step": {"from": "x"}}}}`:               true,
		`{"steps": {"s": {"step": [{"run": "x", "mount": {"type": "cache"}}, {"use": "t", "when": "${V}"}]}}}`:    true,
		`{"target": {"a": {"dynamic": {"step": {"for_each": [1], "content": {"run": "x"}}}}}}`:                    true,
		`{"locals": [{"a": [1]}, {"b": "${local.a}"}], "strata": {"edition": 1}}`:                                 true,
		`{"function": {"f": {"params": ["x"], "result": "${x}"}}, "group": {"g": {"targets": ["a"]}}}`:            true,

		`[]`:                                false,
		`{"target": {"a": {"tag": ["x"]}}}`: false,
		`{"target": {"a": {"tags": {"x": "y"}}}}`:                             false,
		`{"target": {"a": {"tags": [["x"]]}}}`:                                false,
		`{"target": {"a": {"pull": 1}}}`:                                      false,
		`{"target": {"a": {"args": ["A=1"]}}}`:                                false,
		`{"target": {"a": {"resources": {"cpus": 5}}}}`:                       false,
		`{"target": ["a"]}`:                                                   false,
		`{"group": {"g": {}}}`:                                                false,
		`{"function": {"f": {"params": []}}}`:                                 false,
		`{"variable": {"V": {"validation": {"condition": true}}}}`:            false,
		`{"variable": {"V": {"type": ["string"]}}}`:                           false,
		`{"variable": {"V": {"description": ["x"]}}}`:                         false,
		`{"group": {"g": {"targets": {"a": true}}}}`:                          false,
		`{"function": {"f": {"params": [1], "result": 1}}}`:                   false,
		`{"steps": {"s": {"step": {"run": "x", "from": "y"}}}}`:               false,
		`{"steps": {"s": {"step": {"walk": "x"}}}}`:                           false,
		`{"target": {"a": {"dynamic": {"step": {"content": {"run": "x"}}}}}}`: false,
		`{"template": {"t": {"matrix": {"a": ["x"]}}}}`:                       false,
		`{"template": {"t": {"params": {"port": 80}}}}`:                       false,
		`{"strata": {"edition": ["x"]}}`:                                      false,
		`{"locals": 1}`:                                                       false,
	} {
		if err := schema.Validate(parsedJSON(t, text)); (err == nil) != want {
			t.Errorf("%s: fits is %v, want %v (%v)", text, err == nil, want, err)
		}
	}
}
