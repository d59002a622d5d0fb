package config

import (
	"slices"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

func TestFunctionExamples(t *testing.T) {
	for _, f := range Functions() {
		if f.Description == "" || f.Example == "" {
			t.Errorf("%s has no description or no example; add it to functionHelp", f.Name)
			continue
		}
		opts := LoadOptions{Files: []string{"build.hcl"}, Environ: []string{"SOURCE_DATE_EPOCH=1700000000", "HOME=/"}}
		if refusals[f.Name] != "" {
			opts.Mode = ModeBake
		}
		c, err := load(t, map[string]string{
			"build.hcl": "target \"default\" {\n  args = { V = jsonencode(" + f.Example + ") }\n}\n",
			"VERSION":   "1.4.0\n", "motd.tmpl": "hello ${name}\n",
			"services/api/Dockerfile": "", "services/web/Dockerfile": "",
		}, opts)
		if err != nil {
			t.Errorf("%s: %v", f.Example, err)
			continue
		}
		sel, err := c.Resolve(Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := sel.Targets[0].Args["V"]; got != f.Value {
			t.Errorf("%s is %s, want %s", f.Example, got, f.Value)
		}
	}
	for name := range functionHelp {
		if !slices.ContainsFunc(Functions(), func(f FunctionInfo) bool { return f.Name == name }) {
			t.Errorf("the example of %s is of no function", name)
		}
	}
}

func TestAttributeExamples(t *testing.T) {
	for _, b := range Blocks() {
		if _, err := loadExample(t, b.Example); err != nil || b.Example == "" {
			t.Errorf("the example of %s: %v", b.Name, err)
		}
		for _, a := range b.Attributes {
			if a.Description == "" || a.Type == "" || b.Name == "target" && a.Example == "" {
				t.Errorf("%s.%s has no description, type or example; add it to attributeHelp", b.Name, a.Name)
				continue
			}
			text := b.Example
			if b.Name == "target" {
				text = "pool \"heavy\" {\n size = 2\n}\ntemplate \"service\" {\n params = { owner = string }\n}\ntarget \"base\" {}\ntarget \"_base\" {}\ntarget \"api\" {\n" + a.Example + "\n}\n"
			}
			f, diags := hclsyntax.ParseConfig([]byte(text), "build.hcl", hcl.InitialPos)
			if diags.HasErrors() {
				t.Errorf("%s.%s: %v", b.Name, a.Name, diags)
				continue
			}
			if !uses(f.Body.(*hclsyntax.Body), a.Name) {
				t.Errorf("the example of %s.%s does not use it", b.Name, a.Name)
			}
			if _, err := loadExample(t, text); err != nil {
				t.Errorf("%s.%s: %v", b.Name, a.Name, err)
			}
		}
	}
}

// loadExample reads text as build.hcl, beside the files that examples include.
func loadExample(t *testing.T, text string) (*Config, error) {
	return load(t, map[string]string{
		"build.hcl":              text,
		"services/api/build.hcl": "target \"api\" {}\n",
		"services/web/build.hcl": "target \"web\" {}\n",
		"lib/base/build.hcl":     "target \"base\" {}\n",
	}, LoadOptions{})
}

// uses says whether a block in body has the attribute.
func uses(body *hclsyntax.Body, name string) bool {
	for _, b := range body.Blocks {
		if b.Body.Attributes[name] != nil || uses(b.Body, name) {
			return true
		}
	}
	return false
}

func TestAttributeHelpIsOfAttributes(t *testing.T) {
	known := map[string]bool{}
	for _, b := range Blocks() {
		for _, a := range b.Attributes {
			if b.Name == "target" {
				known[a.Name] = true
			}
			known[b.Name+"."+a.Name] = true
		}
	}
	for name := range attributeHelp {
		if !known[name] {
			t.Errorf("the help of %s is of no attribute", name)
		}
	}
}
