package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/strata-build/strata/report"
)

const planSchemaFile = "../../docs/reference/plan.schema.json"

// A planProject is a repository whose targets have records.
type planProject struct {
	t   *testing.T
	dir string
}

func newPlanProject(t *testing.T) *planProject {
	t.Helper()
	p := &planProject{t, t.TempDir()}
	for name, text := range map[string]string{
		"build.hcl": "group \"default\" {\n  targets = [\"api\", \"gateway\"]\n}\n" +
			"target \"api\" {\n  context = \"api\"\n  output = [\"type=cacheonly\"]\n  args = { V = \"1\" }\n}\n" +
			"target \"gateway\" {\n  dockerfile-inline = \"FROM api\\nLABEL a=b\\n\"\n  contexts = { api = \"target:api\" }\n  output = [\"type=cacheonly\"]\n}\n",
		"api/Dockerfile": "FROM scratch\nARG V\nCOPY main.go /src/\nCOPY lib /lib/\n",
		"api/main.go":    "package main\n",
		"api/lib/lib.go": "package lib\n",
	} {
		p.write(name, text)
	}
	p.run("git", "init", "-q", "-b", "main")
	p.run("git", "add", "build.hcl", "api")
	p.run("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "first")
	p.run("strata-record", "4100aaaabbbbcccc", "1h")
	p.write("api/main.go", "package api\n")
	p.write("api/lib/new.go", "package lib\n")
	p.run("strata-record", "4200aaaabbbbcccc", "0s")
	p.write("api/main.go", "package other\n")
	return p
}

func (p *planProject) write(name, text string) {
	p.t.Helper()
	file := filepath.Join(p.dir, name)
	// modes are inputs; these are those that git gives
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // see above
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // see above
		p.t.Fatal(err)
	}
}

func (p *planProject) run(name string, args ...string) string {
	p.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "STRATA_ENGINE=embedded", "HOME="+filepath.Join(p.dir, ".home"), "XDG_CACHE_HOME=", "XDG_STATE_HOME=", "XDG_DATA_HOME=", "XDG_CONFIG_HOME=")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %q: %v\n%s", name, args, err, &errs)
	}
	return string(out)
}

// The JSON of plan, why and affected fits the schema in the documentation.
func TestPlanSchema(t *testing.T) {
	text, err := os.ReadFile(planSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("plan.schema.json", parsedJSON(t, string(text))); err != nil {
		t.Fatal(err)
	}
	p := newPlanProject(t)
	for _, call := range [][]string{
		{"plan", "plan", "--json"},
		{"plan", "plan", "--json", "--set", "api.args.V=2"},
		{"why", "why", "gateway", "--json"},
		{"why", "why", "default", "--json", "--set", "api.args.V=2"},
		{"why", "why", "api", "--json", "--from", "4100", "--to", "4200"},
		{"affected", "affected", "--since", "main", "--json"},
		{"affected", "affected", "--files", "build.hcl", "--json"},
		{"affected", "affected", "--files", "nosuch", "--json"},
	} {
		schema, err := c.Compile("plan.schema.json#/$defs/" + call[0])
		if err != nil {
			t.Fatal(err)
		}
		out := p.run("strata", call[1:]...)
		if err := schema.Validate(parsedJSON(t, out)); err != nil {
			t.Errorf("%q: %v\n%s", call[1:], err, out)
		}
		if err := schema.Validate(parsedJSON(t, `{"schema":1,"targets":[{"name":"x"}],"unknown":true}`)); err == nil {
			t.Errorf("the schema of %s takes anything", call[0])
		}
	}
	p.run("strata", "plan", "--out", "plan.json")
	file, err := os.ReadFile(filepath.Join(p.dir, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("plan.schema.json#/$defs/plan")
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(parsedJSON(t, string(file))); err != nil {
		t.Error(err)
	}
}

// plan, why and affected tell the same change by the same reason.
func TestReasonsAreTheSameEverywhere(t *testing.T) {
	p := newPlanProject(t)
	type reason struct{ Kind, Path, Place string }
	of := func(args ...string) []reason {
		var doc struct {
			Targets []struct {
				Name    string
				Reasons []reason
			}
		}
		if err := json.Unmarshal([]byte(p.run("strata", args...)), &doc); err != nil {
			t.Fatal(err)
		}
		return doc.Targets[0].Reasons
	}
	want := []reason{{"file", "api/main.go", "api/Dockerfile:3"}}
	for _, args := range [][]string{
		{"plan", "api", "--json"},
		{"why", "api", "--json"},
		{"affected", "api", "--files", "api/main.go", "--json"},
	} {
		if got := of(args...); !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", args, got, want)
		}
	}
}

func TestPlanSchemaNamesEveryKind(t *testing.T) {
	text, err := os.ReadFile(planSchemaFile)
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs struct {
			Reason struct {
				Properties struct {
					Kind struct{ Enum []string }
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	if got, want := schema.Defs.Reason.Properties.Kind.Enum, report.ReasonKinds(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	page, err := os.ReadFile("../../docs/reference/plan.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range report.ReasonKinds() {
		if !bytes.Contains(page, []byte("| `"+kind+"` |")) {
			t.Errorf("docs/reference/plan.md does not tell of %s", kind)
		}
	}
}
