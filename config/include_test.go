package config

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree is a checkout in which files include one another.
var tree = map[string]string{
	"build.hcl": `
include { paths = ["services/*", "lib/base/build.hcl"] }

variable "REGISTRY" { default = "example.com" }
variable "VERSION" { default = "1" }
locals { team = "core" }

function "image" {
  params = [name]
  result = "${REGISTRY}/${name}:${VERSION}"
}

template "service" {
  params     = { port = optional(number, 80) }
  inherits   = ["_common"]
  dockerfile = "service.Dockerfile"
  tags       = [image(self.name)]
  args       = { PORT = param.port, LINES = trimspace(file("lines.txt")) }
  contexts   = { base = "target:base" }
}

target "_common" {
  labels   = { team = local.team }
  contexts = { common = "common" }
  secret   = ["id=token,src=token.txt", "id=plain"]
  output   = ["type=local,dest=out"]
}

group "default" { targets = ["api", "services/web:default", target.root] }
target "root" {
  tags = [target.api.tags[0], target["services/web:web"].context]
}
`,
	"services/api/build.hcl": `
target "api" {
  template = "service"
  with     = { port = 8080 }
  needs    = ["lint"]
}
target "lint" { context = "../lint" }
`,
	"services/api/lines.txt": "3\n",
	"services/web/lines.txt": "5\n",
	"services/web/build.hcl": `
variable "VERSION" { default = "2" }
locals { team = "front" }
target "web" {
  template = "service"
  context  = "src"
  labels   = { of = local.team }
  args     = { HERE = self.context, API = target.api.context != null ? target.api.context : "none" }
  contexts = { gen = "target:lint", assets = "../../assets", layout = "oci-layout://images/x:1", here = "cwd://x" }
  cache-to = ["type=local,dest=cache"]
  ssh      = ["key=id_rsa"]
}
target "lint" {}
group "default" { targets = [target.web, "lint"] }
`,
	"services/README.hcl.txt": "not HCL {",
	"lib/base/build.hcl": `
target "base" {
  dockerfile-inline = "FROM scratch"
  contexts          = { tools = "target:lib/tools:tools" }
}
`,
	"lib/tools/build.hcl": `
target "tools" { tags = [image("tools")] }
`,
}

func loadTree(t *testing.T, opts LoadOptions) *Config {
	t.Helper()
	c, err := load(t, tree, opts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// printedTree is what a request prints, by target.
func printedTree(t *testing.T, c *Config, req Request) map[string]map[string]any {
	t.Helper()
	sel, err := c.Resolve(req)
	if err != nil {
		t.Fatal(err)
	}
	data, err := sel.PrintJSON()
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Target map[string]map[string]any }
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out.Target
}

func TestInclude(t *testing.T) {
	targets := printedTree(t, loadTree(t, LoadOptions{}), Request{})
	for name, want := range map[string]string{
		"services/api:api": `{"args":{"LINES":"3","PORT":"8080"},"context":"services/api",` +
			`"contexts":{"base":"target:lib/base:base","common":"common"},"dockerfile":"service.Dockerfile","labels":{"team":"core"},"needs":["services/api:lint"],` +
			`"output":[{"dest":"out","type":"local"}],"secret":[{"id":"token","src":"token.txt"},{"id":"plain"}],"tags":["example.com/api:1"]}`,
		"services/web:web": `{"args":{"API":"none","HERE":"src"},"cache-to":[{"dest":"services/web/cache","type":"local"}],"context":"services/web/src",` +
			`"contexts":{"assets":"assets","common":"common","gen":"target:services/web:lint","here":"cwd://x","layout":"oci-layout://services/web/images/x:1"},` +
			`"dockerfile":"service.Dockerfile","labels":{"of":"front","team":"core"},` +
			`"output":[{"dest":"out","type":"local"}],"secret":[{"id":"token","src":"token.txt"},{"id":"plain"}],"ssh":[{"id":"key","paths":["services/web/id_rsa"]}],"tags":["example.com/web:1"]}`,
		"services/api:lint": `{"context":"services/lint","dockerfile":"Dockerfile","output":[{"type":"cacheonly"}]}`,
		"services/web:lint": `{"context":"services/web","dockerfile":"Dockerfile"}`,
		"lib/tools:tools":   `{"context":"lib/tools","dockerfile":"Dockerfile","output":[{"type":"cacheonly"}],"tags":["example.com/tools:1"]}`,
		"root":              `{"context":".","dockerfile":"Dockerfile","tags":["example.com/api:1","services/web/src"]}`,
	} {
		if got := jsonOf(t, targets[name]); got != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
	if len(targets) != 7 {
		t.Errorf("%d targets", len(targets))
	}
}

func TestSelectInTree(t *testing.T) {
	for _, tt := range []struct{ arg, want string }{
		{"api", "services/api:api"},
		{"services/api:api", "services/api:api"},
		{"//services/api:api", "services/api:api"},
		{"//services/...", "services/api:api services/api:lint services/web:web services/web:lint"},
		{"services/...:lint", "services/api:lint services/web:lint"},
		{"//...:w*", "services/web:web"},
		{"services/*:api", "services/api:api"},
		{"li*", "services/api:lint services/web:lint"},
		{"//services/web", "services/web:web services/web:lint"},
		{"//:root", "root"},
		{"root", "root"},
		{"//...", "root services/api:api services/api:lint services/web:web services/web:lint lib/base:base extra:extra lib/tools:tools"},
		{"extra:extra", "extra:extra"},
		{"//extra/...", "extra:extra"},
		{"_common", "_common"},
		{"lint", "! Ambiguous name"},
		{"//services/api", "! Nothing to build by default"},
		{"//services/x/...", "! No such target"},
		{"//services/x:y", "! No such target"},
		{"../x:y", "! No such target"},
		{"nope:*", "! No such target"},
	} {
		t.Run(tt.arg, func(t *testing.T) {
			files := map[string]string{
				"extra/build.hcl":                 "target \"extra\" { tags = [image(\"x\")] }",
				"node_modules/p/build.hcl":        "target \"p\" {}",
				".git/build.hcl":                  "target \"p\" {}",
				"services/gen/build.hcl":          "target \"p\" {}",
				"out/a/build.hcl":                 "target \"p\" {}",
				".gitignore":                      "# made\n/out/\n",
				"services/.strataignore":          "gen\n",
				"services/web/vendor/a/build.hcl": "target \"p\" {}",
				"services/web/.gitignore":         "vendor\n",
			}
			for name, text := range tree {
				files[name] = text
			}
			files["build.hcl"] = strings.Replace(tree["build.hcl"], "services/*", "services/[aw]*", 1)
			c, err := load(t, files, LoadOptions{Targets: []string{tt.arg}})
			var sel *Selection
			if err == nil {
				sel, err = c.Resolve(Request{Targets: []string{tt.arg}})
			}
			got := ""
			if err != nil {
				got = "! " + err.(*Error).Diags[0].Summary
			} else {
				got = strings.Join(sel.Requested, " ")
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s\n%v", got, tt.want, err)
			}
		})
	}
}

func TestOverridesInTree(t *testing.T) {
	c := loadTree(t, LoadOptions{})
	for set, want := range map[string]string{
		"*.tags=x":                     "services/api:api services/api:lint root",
		"api.tags=x":                   "services/api:api",
		"services/api:api.tags=x":      "services/api:api",
		"//services/...:l*t.tags=x":    "services/api:lint",
		"services/*:*.tags=x":          "services/api:api services/api:lint",
		"services/api:api.label.tags=": "",
	} {
		var got []string
		for name, target := range printedTree(t, c, Request{Targets: []string{"api", "root"}, Set: []string{set}}) {
			if jsonOf(t, target["tags"]) == `["x"]` && !strings.HasPrefix(name, "lib/") {
				got = append(got, name)
			}
		}
		want := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", set, got, want)
		}
	}
	if _, err := c.Resolve(Request{Targets: []string{"api"}, Set: []string{"lint.tags=x"}}); err == nil || !strings.Contains(err.Error(), "services/api:lint, services/web:lint") {
		t.Error(err)
	}
}

func TestSplitOverride(t *testing.T) {
	for text, want := range map[string]string{
		"a.tags":                     "a|tags",
		"a.contexts.docker.io/x:1":   "a|contexts|docker.io/x:1",
		"svc/v1.2/a:b.args.X.Y":      "svc/v1.2/a:b|args|X.Y",
		"svc/v1.2:b.contexts.a/b.c":  "svc/v1.2:b|contexts|a/b.c",
		"a.b.tags":                   "a|b|tags",
		"svc/v1.2:b.nothing":         "svc/v1|2:b|nothing",
		"a":                          "a",
		"//a.tags/...:x.annotations": "//a.tags/...:x|annotations",
	} {
		if got := strings.Join(splitOverride(text), "|"); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// TestIncludeVariables: --var and the environment set a variable wherever it is
// declared, and what a file declares hides what it inherits.
func TestIncludeVariables(t *testing.T) {
	files := map[string]string{
		"build.hcl": `
include { paths = ["a"] }
V = "root"
variable "W" { default = "root" }
function "f" {
  params = []
  result = "${V}-${W}"
}
target "r" { tags = [f()] }
`,
		"a/build.hcl": `
variable "V" { default = "a" }
variable "W" { default = "a" }
function "g" {
  params = []
  result = "${f()}-${V}"
}
include { paths = ["b/build.hcl"] }
target "a" { tags = [f(), g(), V, W] }
`,
		"a/b/build.hcl": `
function "f" {
  params = []
  result = "b"
}
target "b" { tags = [f(), g(), V] }
`,
	}
	for _, tt := range []struct{ vars, want string }{
		{"", "root-root | root-root root-root-a a | b root-root-a a"},
		{"W", "root-x | root-x root-x-a a x | b root-x-a a"},
		{"V", "root-root | root-root root-root-x x a | b root-root-x x"},
	} {
		vars := map[string]string{}
		if tt.vars != "" {
			vars[tt.vars] = "x"
		}
		c, err := load(t, files, LoadOptions{Vars: vars})
		if err != nil {
			t.Fatal(err)
		}
		sel, err := c.Resolve(Request{Targets: []string{"r", "a", "b"}})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, target := range sel.Targets {
			got[target.Name] = strings.Join(target.Tags, " ")
		}
		if all := got["r"] + " | " + got["a:a"] + " | " + got["a/b:b"]; all != tt.want {
			t.Errorf("%s: got %s, want %s", tt.vars, all, tt.want)
		}
	}
}

// TestThreat_T01_include: no path leads out of the directory of the command.
func TestThreat_T01_include(t *testing.T) {
	outside := t.TempDir()
	writeTo(t, filepath.Join(outside, "build.hcl"), "target \"secret\" {}\n")
	for name, text := range map[string]string{
		"above":             `include { paths = ["../x.hcl"] }`,
		"above, later":      `include { paths = ["a/../../x.hcl"] }`,
		"absolute":          `include { paths = ["` + outside + `/build.hcl"] }`,
		"link to a file":    `include { paths = ["link.hcl"] }`,
		"link to a folder":  `include { paths = ["folder"] }`,
		"pattern":           `include { paths = ["folder/*.hcl"] }`,
		"pattern above":     `include { paths = ["../*/build.hcl"] }`,
		"device":            `include { paths = ["null.hcl"] }`,
		"by reference":      `target "a" { needs = ["folder:secret"] }`,
		"reference above":   `target "a" { needs = ["../x:secret"] }`,
		"context by name":   `target "a" { contexts = { x = "target:folder:secret" } }`,
		"file of a folder":  `include { paths = ["in"] }`,
		"steps by name":     "target \"a\" {\n  step { from = \"target:folder:secret\" }\n}",
		"group by name":     `group "default" { targets = ["folder:secret"] }`,
		"inherited by name": `target "a" { inherits = ["folder:secret"] }`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			writeTo(t, filepath.Join(dir, "build.hcl"), text+"\n")
			writeTo(t, filepath.Join(dir, "in/build.hcl"), "target \"a\" { tags = [file(\"../../x\")] }\n")
			for link, to := range map[string]string{"link.hcl": outside + "/build.hcl", "folder": outside, "null.hcl": "/dev/null"} {
				if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Load(context.Background(), LoadOptions{Dir: dir})
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v, want a problem", err)
			}
			if rng := e.Diags[0].Subject; rng == nil || rng.Start.Line == 0 {
				t.Errorf("no place: %v", err)
			}
		})
	}
}

// TestRemoteIncludesNothing: a definition from elsewhere reads no file from here.
func TestRemoteIncludesNothing(t *testing.T) {
	dir := t.TempDir()
	writeTo(t, filepath.Join(dir, "a/build.hcl"), "target \"a\" {}\n")
	for _, text := range []string{`include { paths = ["a"] }`, `target "x" { needs = ["a:a"] }`, `include { paths = ["*"] }`} {
		_, err := Load(context.Background(), LoadOptions{Dir: dir, Remote: &Remote{Files: []RemoteFile{{OwnFile, []byte(text)}}}})
		if err == nil || !strings.Contains(err.Error(), "comes from elsewhere") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestRoot(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"git/.git", "git/a/b", "plain/a/b"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	writeTo(t, filepath.Join(top, "git/a/build.hcl"), "")
	writeTo(t, filepath.Join(top, "plain/a/build.hcl"), "")
	for _, tt := range []struct{ dir, target, want string }{
		{"git/a/b", "//x", "git"},
		{"git/a/b", "x", "git/a/b"},
		{"git", "//...", "git"},
		{"plain/a/b", "//...", "plain/a"},
	} {
		if got := Root(filepath.Join(top, tt.dir), []string{"y", tt.target}); got != filepath.Join(top, tt.want) {
			t.Errorf("%v: got %s", tt, got)
		}
	}
}
