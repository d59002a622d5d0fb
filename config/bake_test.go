package config

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A bakeCase is files in bake's language and what they come to. Want is one line
// a target, "name {json}" without what every target has, or "error: Summary".
type bakeCase struct {
	name  string
	hcl   string            // docker-bake.hcl
	files map[string]string // more files
	env   map[string]string
	vars  map[string]string
	req   Request
	want  string
}

func runBakeCases(t *testing.T, cases []bakeCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			files := maps.Clone(tt.files)
			if files == nil {
				files = map[string]string{}
			}
			if tt.hcl != "" {
				files["docker-bake.hcl"] = tt.hcl
			}
			var environ []string
			for k, v := range tt.env {
				environ = append(environ, k+"="+v)
			}
			got := outcome(t, files, LoadOptions{Environ: environ, Vars: tt.vars, Mode: ModeBake}, tt.req)
			if got != strings.TrimSpace(tt.want) {
				t.Errorf("got:\n%s\nwant:\n%s", got, strings.TrimSpace(tt.want))
			}
		})
	}
}

func outcome(t *testing.T, files map[string]string, opts LoadOptions, req Request) string {
	t.Helper()
	opts.Dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(opts.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(context.Background(), opts)
	if err != nil {
		return failure(t, err)
	}
	sel, err := c.Resolve(req)
	if err != nil {
		return failure(t, err)
	}
	return summary(t, sel)
}

// failure lists the summaries of an error.
func failure(t *testing.T, err error) string {
	t.Helper()
	e, ok := err.(*Error)
	if !ok {
		t.Fatal(err)
	}
	var out []string
	for _, d := range e.Diags {
		out = append(out, "error: "+d.Summary)
	}
	return strings.Join(out, "\n")
}

// summary is one line a target, by name.
func summary(t *testing.T, sel *Selection) string {
	t.Helper()
	text, err := sel.PrintJSON()
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Target map[string]map[string]any }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(all.Target)) {
		m := all.Target[name]
		if m["context"] == "." {
			delete(m, "context")
		}
		if m["dockerfile"] == "Dockerfile" {
			delete(m, "dockerfile")
		}
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, fmt.Sprintf("%s %s", name, b))
	}
	return strings.Join(lines, "\n")
}

func TestVariables(t *testing.T) {
	use := "\ntarget \"default\" { args = { V = V } }\n"
	list := "variable \"V\" {\n type = list(string)\n default = [\"d\"]\n}\ntarget \"default\" { tags = V }\n"
	runBakeCases(t, []bakeCase{
		{name: "no default", hcl: `variable "V" {}` + use, want: `default {"args":{"V":""}}`},
		{name: "typed, no default is null", hcl: `variable "V" { type = string }` + use, want: `default {}`},
		{name: "null default", hcl: `variable "V" { default = null }` + use, want: `default {}`},
		{name: "environment", hcl: `variable "V" { default = "d" }` + use, env: map[string]string{"V": "e"}, want: `default {"args":{"V":"e"}}`},
		{name: "empty environment", hcl: `variable "V" { default = "d" }` + use, env: map[string]string{"V": ""}, want: `default {"args":{"V":""}}`},
		{name: "given wins", hcl: `variable "V" { default = "d" }` + use, env: map[string]string{"V": "e"}, vars: map[string]string{"V": "f"}, want: `default {"args":{"V":"f"}}`},
		{name: "environment switched off", hcl: `variable "V" { default = "d" }` + use, env: map[string]string{"V": "e", "BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP": "1"}, want: `default {"args":{"V":"d"}}`},
		{name: "number by default", hcl: `variable "V" { default = 1 }` + use, env: map[string]string{"V": "1.50"}, want: `default {"args":{"V":"1.5"}}`},
		{name: "not a number", hcl: `variable "V" { default = 1 }` + use, env: map[string]string{"V": "0x10"}, want: `error: Invalid value of a variable`},
		{name: "bool", hcl: `variable "V" { default = true }` + use, env: map[string]string{"V": "F"}, want: `default {"args":{"V":"false"}}`},
		{name: "not a bool", hcl: `variable "V" { default = true }` + use, env: map[string]string{"V": "yes"}, want: `error: Invalid value of a variable`},
		{name: "list", hcl: list, env: map[string]string{"V": `a,"b,c"`}, want: `default {"tags":["a","b,c"]}`},
		{name: "list by JSON", hcl: list, env: map[string]string{"V": "x", "V_JSON": `["a","b"]`}, want: `default {"tags":["a","b"]}`},
		{name: "empty list", hcl: list, env: map[string]string{"V": ""}, want: `error: Invalid value of a variable`},
		{name: "map", hcl: "variable \"V\" { type = map(string) }\ntarget \"default\" { args = V }", env: map[string]string{"V": `a:1,b:2`}, want: `default {"args":{"a":"1","b":"2"}}`},
		{name: "map with colons", hcl: "variable \"V\" { type = map(string) }\ntarget \"default\" { args = V }", env: map[string]string{"V": `u:http://x`}, want: `error: Invalid value of a variable`},
		{name: "object by JSON", hcl: "variable \"V\" { type = object({a=string, b=optional(number)}) }\ntarget \"default\" { args = V }", env: map[string]string{"V_JSON": `{"a":"1"}`}, want: `default {"args":{"a":"1"}}`},
		{name: "object needs JSON", hcl: "variable \"V\" { type = object({a=string}) }" + "\ntarget \"default\" {}", env: map[string]string{"V": `a`}, want: `error: Invalid value of a variable`},
		{name: "list without a type", hcl: "variable \"V\" { default = [\"a\"] }\ntarget \"default\" {}", env: map[string]string{"V": `a`}, want: `error: Invalid value of a variable`},
		{name: "untyped JSON is text", hcl: `variable "V" { default = "d" }` + use, env: map[string]string{"V_JSON": `"j"`}, want: `default {"args":{"V":"\"j\""}}`},
		{name: "JSON name of its own", hcl: "variable \"V\" { type = string }\nvariable \"V_JSON\" { default = \"x\" }" + use, env: map[string]string{"V_JSON": `"j"`}, want: `default {}`},
		{name: "global attribute is the default", hcl: "variable \"V\" { default = \"d\" }\nV = \"g\"" + use, want: `default {"args":{"V":"g"}}`},
		{name: "global attribute and environment", hcl: "variable \"V\" {}\nV = 5" + use, env: map[string]string{"V": "6"}, want: `default {"args":{"V":"6"}}`},
		{name: "global alone is fixed", hcl: `V = "g"` + use, env: map[string]string{"V": "e"}, want: `default {"args":{"V":"g"}}`},
		{name: "later file wins", hcl: `V = "g"` + use, files: map[string]string{"docker-bake.override.hcl": `V = "h"`}, want: `default {"args":{"V":"h"}}`},
		{name: "bad default of the type", hcl: "variable \"V\" {\n type = number\n default = \"x\"\n}\ntarget \"default\" {}", want: `error: Unsuitable default`},
		{name: "reserved name", hcl: `variable "BAKE_CMD_CONTEXT" { default = "x" }` + "\ntarget \"default\" { context = BAKE_CMD_CONTEXT }", want: `default {}`},
		{name: "cycle", hcl: "variable \"V\" { default = W }\nvariable \"W\" { default = V }" + use, want: `error: Reference cycle`},
		{name: "unknown in try", hcl: "variable \"V\" { default = try(NOPE, \"t\") }" + use, want: `default {"args":{"V":"t"}}`},
		{name: "validation holds", hcl: "variable \"V\" {\n default = \"a\"\n validation {\n condition = V != \"\"\n error_message = \"m\"\n }\n}" + use, want: `default {"args":{"V":"a"}}`},
		{name: "validation fails", hcl: "variable \"V\" {\n default = \"\"\n validation {\n condition = V != \"\"\n error_message = \"m\"\n }\n}" + use, want: `error: Validation failed`},
		{name: "message of another type", hcl: "variable \"V\" {\n validation {\n condition = false\n error_message = [5]\n }\n}" + use, want: `error: Validation failed`},
		{name: "null condition", hcl: "variable \"V\" {\n validation {\n condition = null\n error_message = \"m\"\n }\n}" + use, want: `error: Invalid condition`},
	})
}

func TestMerge(t *testing.T) {
	parent := `
target "p" {
  args = { A = "1", B = "2" }
  labels = { l = "1" }
  tags = ["p"]
  platforms = ["linux/amd64"]
  cache-from = ["x"]
  cache-to = ["type=inline"]
  secret = ["id=s,env=A"]
  output = ["type=docker"]
  annotations = ["a=1"]
  entitlements = ["network.host"]
  attest = ["type=sbom"]
  contexts = { k = "dir" }
  description = "pd"
  resources = { memory = "1g" }
  network = "none"
}
`
	child := parent + "target \"default\" {\n inherits = [\"p\"]\n args = null\n attest = [\"type=sbom,disabled=true\"]\n}\n"
	const rest = `"entitlements":["network.host"],"labels":{"l":"1"},"network":"none","output":[{"type":"docker"}],"platforms":["linux/amd64"],"resources":{"memory":"1g"},"secret":[{"env":"A","id":"s"}],`
	runBakeCases(t, []bakeCase{
		{name: "all inherited", hcl: child, want: `default {"annotations":["a=1"],"args":{"A":"1","B":"2"},"attest":[{"disabled":true,"type":"sbom"}],"cache-from":[{"ref":"x","type":"registry"}],"cache-to":[{"type":"inline"}],"contexts":{"k":"dir"},"description":"pd",` + rest + `"tags":["p"]}`},
		{name: "replaced, merged and appended", hcl: parent + `target "default" {
 inherits = ["p"]
 args = { B = "3", C = null }
 attest = ["type=sbom,disabled=true"]
 tags = []
 cache-from = ["y", "x"]
 cache-to = ["type=gha"]
 annotations = ["a=1", "b=2"]
 contexts = { k = "", l = "d2" }
}
`, want: `default {"annotations":["a=1","b=2"],"args":{"A":"1","B":"3"},"attest":[{"disabled":true,"type":"sbom"}],"cache-from":[{"ref":"x","type":"registry"},{"ref":"y","type":"registry"}],"cache-to":[{"type":"gha"}],"contexts":{"l":"d2"},"description":"pd",` + rest[:len(rest)-1] + `}`},
		{name: "later parent wins, own last", hcl: `target "a" {
 args = { X = "a", Y = "a", Z = "a" }
}
target "b" { args = { Y = "b", Z = "b" } }
target "default" {
 inherits = ["a", "b"]
 args = { Z = "c" }
}
`, want: `default {"args":{"X":"a","Y":"b","Z":"c"}}`},
		{name: "cycle is cut", hcl: "target \"a\" {\n inherits = [\"b\"]\n tags = [\"a\"]\n}\ntarget \"b\" {\n inherits = [\"a\"]\n target = \"b\"\n}\n", req: Request{Targets: []string{"a"}}, want: `a {"tags":["a"],"target":"b"}`},
		{name: "missing parent", hcl: `target "default" { inherits = ["nope"] }`, want: `error: Unknown target`},
		{name: "blocks of one name", hcl: "target \"default\" {\n tags = [\"a\"]\n args = { A = 1 }\n}\ntarget \"default\" {\n tags = [\"b\"]\n args = { B = 2 }\n}\n", want: `default {"args":{"A":"1","B":"2"},"tags":["b"]}`},
		{name: "override file", hcl: "target \"default\" { tags = [\"a\"] }\n", files: map[string]string{"docker-bake.override.hcl": `target "default" { pull = true }`}, want: `default {"pull":true,"tags":["a"]}`},
		{name: "host network asks", hcl: `target "default" { network = "host" }`, want: `default {"entitlements":["network.host"],"network":"host"}`},
		{name: "parents keep their own overrides", hcl: parent + `target "default" { inherits = ["q"] }` + "\ntarget \"q\" { tags = [\"q\"] }", req: Request{Set: []string{"q.tags=set"}}, want: `default {"tags":["set"]}`},
	})
}

func TestOverrides(t *testing.T) {
	file := "target \"a\" {\n tags = [\"t\"]\n args = { A = \"1\" }\n output = [\"type=image\"]\n secret = [\"id=s,src=f\"]\n}\n"
	set := func(list ...string) Request { return Request{Targets: []string{"a"}, Set: list} }
	with := func(changed string) string {
		base := map[string]string{"args": `{"A":"1"}`, "output": `[{"type":"image"}]`, "secret": `[{"id":"s","src":"f"}]`, "tags": `["t"]`}
		var over map[string]json.RawMessage
		if err := json.Unmarshal([]byte(changed), &over); err != nil {
			t.Fatal(err)
		}
		for k, v := range over {
			base[k] = string(v)
		}
		var parts []string
		for _, k := range slices.Sorted(maps.Keys(base)) {
			if base[k] != "null" {
				parts = append(parts, fmt.Sprintf("%q:%s", k, base[k]))
			}
		}
		return "a {" + strings.Join(parts, ",") + "}"
	}
	runBakeCases(t, []bakeCase{
		{name: "replace", hcl: file, req: set("a.tags=x"), want: with(`{"tags":["x"]}`)},
		{name: "replace by several", hcl: file, req: set("a.tag=x", "*.tags=y"), want: with(`{"tags":["x","y"]}`)},
		{name: "append", hcl: file, req: set("a.tags+=x"), want: with(`{"tags":["t","x"]}`)},
		{name: "last operator decides", hcl: file, req: set("a.tags=x", "a.tags+=y"), want: with(`{"tags":["t","x","y"]}`)},
		{name: "clear", hcl: file, req: set("a.tags="), want: with(`{"tags":null}`)},
		{name: "clear then add", hcl: file, req: set("a.tags=", "a.tags+=y"), want: with(`{"tags":["y"]}`)},
		{name: "argument with dots", hcl: file, req: set("a.args.x.y=z"), want: with(`{"args":{"A":"1","x.y":"z"}}`)},
		{name: "argument from the environment", hcl: file, env: map[string]string{"E": "v"}, req: set("a.args.E"), want: with(`{"args":{"A":"1","E":"v"}}`)},
		{name: "argument not in the environment", hcl: file, req: set("a.args.E"), want: with(`{}`)},
		{name: "push after output", hcl: file, req: Request{Targets: []string{"a"}, Push: true, Set: []string{"a.output=type=docker"}}, want: with(`{"output":[{"type":"docker"},{"push":"true","type":"image"}]}`)},
		{name: "push an image", hcl: file, req: Request{Targets: []string{"a"}, Push: true}, want: with(`{"output":[{"push":"true","type":"image"}]}`)},
		{name: "push nothing local", hcl: file, req: Request{Targets: []string{"a"}, Push: true, Set: []string{"a.output=out"}}, want: with(`{"output":[{"dest":"out","type":"local"}]}`)},
		{name: "no push", hcl: file, req: set("a.output=type=registry", "a.output=type=image", "a.push=false"), want: with(`{"output":[{"push":"false","type":"image"}]}`)},
		{name: "load", hcl: file, req: Request{Targets: []string{"a"}, Load: true}, want: with(`{"output":[{"type":"image"},{"type":"docker"}]}`)},
		{name: "load with push", hcl: file, req: Request{Targets: []string{"a"}, Load: true, Push: true, Set: []string{"a.output="}}, want: with(`{"output":[{"push":"true","type":"image"},{"type":"docker"}]}`)},
		{name: "secret from elsewhere", hcl: file, req: set("a.secret.s=env=E"), want: with(`{"secret":[{"env":"E","id":"s"}]}`)},
		{name: "secret that is not there", hcl: file, req: set("a.secret.t=env=E"), want: `error: Invalid override`},
		{name: "attestations are merged", hcl: file, req: Request{Targets: []string{"a"}, SBOM: "true", Provenance: "mode=max"}, want: with(`{"attest":[{"type":"sbom"},{"mode":"max","type":"provenance"}]}`)},
		{name: "call is lint", hcl: file, req: Request{Targets: []string{"a"}, Call: "check"}, want: with(`{"call":"lint"}`)},
		{name: "call build", hcl: file, req: Request{Targets: []string{"a"}, Call: "build"}, want: with(`{}`)},
		{name: "policy off", hcl: file, req: Request{Targets: []string{"a"}, Policy: []string{"disabled=true"}}, want: with(`{"policy":[{"Disabled":true,"Files":null,"LogLevel":null,"Reset":false,"Strict":null}]}`)},
		{name: "resources", hcl: file, req: set("a.resource.memory=1g"), want: with(`{"resources":{"memory":"1g"}}`)},
		{name: "date", hcl: file, env: map[string]string{"SOURCE_DATE_EPOCH": "5"}, req: set(), want: with(`{"args":{"A":"1","SOURCE_DATE_EPOCH":"5"}}`)},
		{name: "unknown key", hcl: file, req: set("a.nope=1"), want: `error: Invalid override`},
		{name: "no key", hcl: file, req: set("a=1"), want: `error: Invalid override`},
		{name: "no value", hcl: file, req: set("a.tags"), want: `error: Invalid override`},
		{name: "no target", hcl: file, req: set("b.tags=x"), want: `error: Invalid override`},
		{name: "not a bool", hcl: file, req: set("a.pull=maybe"), want: `error: Invalid override`},
		{name: "part of a list", hcl: file, req: set("a.tags.x=y"), want: `error: Invalid override`},
	})
}

func TestOverrideOfChildLeavesParent(t *testing.T) {
	runBakeCases(t, []bakeCase{{
		name: "push one", hcl: "target \"p\" { output = [\"type=image\"] }\ntarget \"c\" { inherits = [\"p\"] }\n",
		req:  Request{Targets: []string{"p", "c"}, Set: []string{"c.push=true"}},
		want: "c {\"output\":[{\"push\":\"true\",\"type\":\"image\"}]}\np {\"output\":[{\"type\":\"image\"}]}",
	}})
}

func TestMatrix(t *testing.T) {
	all := Request{Targets: []string{"*"}}
	runBakeCases(t, []bakeCase{
		{name: "one axis", hcl: "target \"m\" {\n name = \"m-${x}\"\n matrix = { x = [\"a\", \"b\"] }\n args = { X = x }\n}\n", req: Request{Targets: []string{"m"}}, want: "m-a {\"args\":{\"X\":\"a\"}}\nm-b {\"args\":{\"X\":\"b\"}}"},
		{name: "objects", hcl: "target \"m\" {\n name = x.n\n matrix = { x = [{ n = \"a\" }, { n = \"b\", t = \"q\" }] }\n target = try(x.t, null)\n}\n", req: Request{Targets: []string{"m"}}, want: "a {}\nb {\"target\":\"q\"}"},
		{name: "empty axis", hcl: "target \"m\" {\n name = x\n matrix = { x = [] }\n}\ntarget \"o\" {}\n", req: all, want: "o {}"},
		{name: "no axis", hcl: "target \"m\" { matrix = {} }\n", req: all, want: "m {}"},
		{name: "map is its values", hcl: "target \"m\" {\n name = x\n matrix = { x = { k = \"v\" } }\n}\n", req: Request{Targets: []string{"m"}}, want: "v {}"},
		{name: "name equals the label", hcl: "target \"m\" {\n name = \"m\"\n matrix = { x = [\"1\"] }\n}\n", req: Request{Targets: []string{"m"}}, want: "m {}"},
		{name: "same names", hcl: "target \"m\" { matrix = { x = [\"1\", \"2\"] } }\n", req: all, want: "error: Duplicate name"},
		{name: "null name", hcl: "target \"m\" {\n name = null\n matrix = { x = [\"1\"] }\n}\n", req: all, want: "error: Invalid name"},
		{name: "not visible in functions", hcl: "function \"f\" {\n params = []\n result = x\n}\ntarget \"m\" {\n name = \"m-${x}\"\n matrix = { x = [\"1\"] }\n}\n", req: all, want: "error: Unknown variable"},
		{name: "plain block adds", hcl: "target \"m\" {\n name = \"m-${x}\"\n matrix = { x = [\"1\"] }\n}\ntarget \"m-1\" { tags = [\"t\"] }\n", req: Request{Targets: []string{"m"}}, want: "m-1 {\"tags\":[\"t\"]}"},
		{name: "label is not a target", hcl: "target \"m\" {\n name = \"m-${x}\"\n matrix = { x = [\"1\"] }\n}\ntarget \"c\" { inherits = [\"m\"] }\n", req: Request{Targets: []string{"c"}}, want: "error: Unknown target"},
	})
}

func TestMatrixOrder(t *testing.T) {
	sel := resolveText(t, `target "m" {
  name   = "m-${os}-${v}"
  matrix = { os = ["b", "a"], v = ["2", "1"] }
}
`, "m")
	want := []string{"m-b-2", "m-b-1", "m-a-2", "m-a-1"}
	if !slices.Equal(sel.Requested, want) {
		t.Errorf("got %v, want %v", sel.Requested, want)
	}
}

func TestReferences(t *testing.T) {
	base := "target \"b\" {\n args = { X = \"1\" }\n tags = [\"bt\"]\n output = [\"type=tar,dest=d\"]\n inherits = [\"p\"]\n}\ntarget \"p\" { target = \"pt\" }\ngroup \"g\" { targets = [\"b\"] }\n"
	use := func(expr string) string { return base + "target \"default\" { args = { R = " + expr + " } }\n" }
	for expr, want := range map[string]string{
		`target.b.args.X`:                `default {"args":{"R":"1"}}`,
		`target.b.tags[0]`:               `default {"args":{"R":"bt"}}`,
		`target.b.output[0].dest`:        `default {"args":{"R":"d"}}`,
		`target.b.target`:                `default {}`, // inherits are not seen
		`target.default.name`:            `default {"args":{"R":"default"}}`,
		`group.g.targets[0]`:             `default {"args":{"R":"b"}}`,
		`try(target.nope.args.X, "t")`:   `default {"args":{"R":"t"}}`,
		`target["b"].args.X`:             `error: Invalid reference`,
		`target`:                         `error: Invalid reference`,
		`target.nope.args.X`:             `error: Unknown target`,
		`target.b.nope`:                  `error: Unknown attribute`,
		`target.default.args.R`:          `error: Reference cycle`,
		`join(",", target.b.tags)`:       `default {"args":{"R":"bt"}}`,
		`[for t in target.b.tags: t][0]`: `default {"args":{"R":"bt"}}`,
	} {
		runBakeCases(t, []bakeCase{{name: expr, hcl: use(expr), want: want}})
	}
	runBakeCases(t, []bakeCase{
		{name: "last block only", hcl: "target \"b\" { target = \"x\" }\ntarget \"b\" { network = \"none\" }\ntarget \"default\" {\n target = target.b.target\n network = target.b.network\n}\n", want: `default {"network":"none"}`},
		{name: "not in variables", hcl: "variable \"V\" { default = target.b.context }\ntarget \"b\" {}\n", want: `error: Unknown variable`},
		{name: "cycle of two", hcl: "target \"a\" { context = target.b.context }\ntarget \"b\" { context = target.a.context }\n", want: `error: Reference cycle`},
		{name: "no cycle by attribute", hcl: "target \"default\" {\n target = \"t\"\n network = target.default.target\n}\n", want: `default {"network":"t","target":"t"}`},
	})
}

func TestGroups(t *testing.T) {
	file := "group \"default\" { targets = [\"b\", \"a\"] }\ngroup \"g\" { targets = [\"default\", \"c\"] }\ngroup \"same\" { targets = [\"same\"] }\ngroup \"loop\" { targets = [\"loop2\"] }\ngroup \"loop2\" { targets = [\"loop\"] }\ntarget \"a\" {}\ntarget \"b\" {}\ntarget \"c\" {}\ntarget \"same\" {}\n"
	for args, want := range map[string]string{
		"":          "[b a]",
		"g":         "[b a c]",
		"c a":       "[c a]",
		"a g":       "[a b c]",
		"same":      "[same]",
		"[ab]":      "[a b]",
		"loop":      "error: Unknown target",
		"x*":        "error: No such target",
		"nope":      "error: Unknown target",
		"a default": "[a b]",
	} {
		t.Run(args, func(t *testing.T) {
			m := newModule(ModeBake)
			c, err := m.load(context.Background(), []source{{"docker-bake.hcl", []byte(file)}}, LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			sel, err := c.Resolve(Request{Targets: strings.Fields(args)})
			got := ""
			if err != nil {
				got = failure(t, err)
			} else {
				got = fmt.Sprint(sel.Requested)
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	file := "target \"base\" {\n output = [\"type=image\"]\n entitlements = [\"network.host\"]\n}\ntarget \"app\" { contexts = { b = \"target:base\" } }\n"
	runBakeCases(t, []bakeCase{
		{name: "implicit", hcl: file, req: Request{Targets: []string{"app"}}, want: "app {\"contexts\":{\"b\":\"target:base\"},\"entitlements\":[\"network.host\"]}\nbase {\"entitlements\":[\"network.host\"],\"output\":[{\"type\":\"cacheonly\"}]}"},
		{name: "asked for too", hcl: file, req: Request{Targets: []string{"app", "base"}}, want: "app {\"contexts\":{\"b\":\"target:base\"},\"entitlements\":[\"network.host\"]}\nbase {\"entitlements\":[\"network.host\"],\"output\":[{\"type\":\"image\"}]}"},
		{name: "implicit is not pushed", hcl: file, req: Request{Targets: []string{"app"}, Push: true, Set: []string{"base.tags=x"}}, want: "app {\"contexts\":{\"b\":\"target:base\"},\"entitlements\":[\"network.host\"],\"output\":[{\"push\":\"true\",\"type\":\"image\"}]}\nbase {\"entitlements\":[\"network.host\"],\"output\":[{\"type\":\"cacheonly\"}],\"tags\":[\"x\"]}"},
		{name: "itself", hcl: `target "a" { contexts = { b = "target:a" } }`, req: Request{Targets: []string{"a"}}, want: "error: Dependency cycle"},
		{name: "platforms missing", hcl: "target \"base\" { platforms = [\"linux/amd64\", \"linux/arm64\"] }\ntarget \"a\" {\n platforms = [\"linux/amd64\", \"linux/s390x\"]\n contexts = { b = \"target:base\" }\n}\n", req: Request{Targets: []string{"a"}}, want: "error: Missing platform"},
	})
	sel := resolveText(t, file, "app")
	if !sel.Targets[0].Implicit || sel.Targets[1].Implicit || fmt.Sprint(sel.Graph.Order(), sel.Requested, sel.Targets[1].Needs) != "[base app] [app] [base]" {
		t.Errorf("got %v, requested %v", sel.Graph.Order(), sel.Requested)
	}
}

func TestBakeForgives(t *testing.T) {
	text := "target \"default\" {\n nope = NOPE\n blk { x = NOPE }\n tags = [\"t\"]\n}\nother \"x\" { y = NOPE }\nvariable \"V\" { sensitive = true }\n"
	runBakeCases(t, []bakeCase{{name: "unknown things", hcl: text, want: `default {"tags":["t"]}`}})
	m := newModule(ModeBake)
	c, err := m.load(context.Background(), []source{{"docker-bake.hcl", []byte(text)}}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range c.Warnings {
		got = append(got, fmt.Sprintf("%d %s", d.Subject.Start.Line, d.Summary))
	}
	want := []string{"2 Unknown attribute", "3 Unknown block", "6 Unknown block", "7 Unknown attribute"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestChecks(t *testing.T) {
	for attr, want := range map[string]string{
		`context = "-"`:                              "error: Unsuitable value",
		`dockerfile = "-"`:                           "error: Unsuitable value",
		`shm-size = "x"`:                             "error: Unsuitable value",
		`platforms = ["a/b/c/d"]`:                    "error: Unsuitable value",
		`platforms = ["local", "linux/arm64,linux"]`: `default {"platforms":["local","linux/arm64,linux"]}`,
		`ulimits = ["x"]`:                            "error: Unsuitable value",
		`resources = { memory = "x" }`:               "error: Unsuitable value",
		`annotations = ["x"]`:                        "error: Unsuitable value",
		`annotations = ["bad:k=v"]`:                  "error: Unsuitable value",
		`annotations = ["index[linux/amd64]:k=v"]`:   `default {"annotations":["index[linux/amd64]:k=v"]}`,
		`output = ["type=local"]`:                    "error: Unsuitable value",
		`output = ["-", "type=tar"]`:                 "error: Unsuitable value",
		`output = ["type=tar"]`:                      `default {"output":[{"dest":"-","type":"tar"}]}`,
		`output = ["dest=x"]`:                        `default {"output":[{"dest":"dest=x","type":"local"}]}`,
		`output = [{ dest = "x" }]`:                  "error: Unsuitable value",
		`output = [null]`:                            "error: Unsuitable value",
		`secret = ["src=x"]`:                         "error: Unsuitable value",
		`ssh = ["", "default"]`:                      `default {"ssh":[{"id":"default"}]}`,
		`context = "./a/../b/"`:                      `default {"context":"b"}`,
		`context = "cwd://x/"`:                       `default {"context":"x"}`,
		`context = "https://x/y.git#a:b"`:            `default {"context":"https://x/y.git#a:b"}`,
	} {
		runBakeCases(t, []bakeCase{{name: attr, hcl: "target \"default\" {\n " + attr + "\n}\n", want: want}})
	}
}

func TestPrintEscapes(t *testing.T) {
	sel := resolveText(t, "target \"default\" {\n args = { A = \"$${x}<\" }\n tags = [\"$${y}\"]\n}\n")
	got, err := sel.PrintJSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{
  "group": {
    "default": {
      "targets": [
        "default"
      ]
    }
  },
  "target": {
    "default": {
      "context": ".",
      "dockerfile": "Dockerfile",
      "args": {
        "A": "$${x}\u003c"
      },
      "tags": [
        "${y}"
      ]
    }
  }
}`
	if string(got) != want {
		t.Errorf("got:\n%s", got)
	}
}
