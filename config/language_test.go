package config

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/graph"
)

// built returns the attributes of the last target, as printed.
func built(t *testing.T, text string) map[string]any {
	t.Helper()
	return builtOf(t, text, "default")
}

func builtOf(t *testing.T, text, name string) map[string]any {
	t.Helper()
	sel := resolveText(t, text, name)
	data, err := sel.PrintJSON()
	if err != nil {
		t.Fatal(err)
	}
	var out struct{ Target map[string]map[string]any }
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out.Target[name]
}

// jsonOf is an attribute as JSON text.
func jsonOf(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestLanguagePage reads every example of docs/reference/language.md.
func TestLanguagePage(t *testing.T) {
	page, err := os.ReadFile("../docs/reference/language.md")
	if err != nil {
		t.Fatal(err)
	}
	steps, err := os.ReadFile("../docs/reference/steps.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```hcl\n")[1:]
	_, sequences, _ := strings.Cut(string(steps), "## Conditions")
	sequences, _, _ = strings.Cut(sequences, "\n## ")
	examples = append(examples, strings.Split(sequences, "```hcl\n")[1:]...)
	for i, text := range examples {
		text, _, _ = strings.Cut(text, "```")
		if _, err := loadExample(t, text); err != nil {
			t.Errorf("example %d: %v\n%s", i+1, err, text)
		}
	}
	if len(examples) < 4 {
		t.Errorf("%d examples", len(examples))
	}
}

// A languageCase is a file and what an attribute of its target default is.
type languageCase struct{ name, text, attr, want string }

func runLanguage(t *testing.T, cases []languageCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			if got := jsonOf(t, built(t, tt.text)[tt.attr]); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestLocals(t *testing.T) {
	runLanguage(t, []languageCase{
		{"any order", `
target "default" { tags = [local.b, local["c"]] }
locals {
  b = "${local.a}:1"
  a = "x"
}
locals { c = "y" }
`, "tags", `["x:1","y"]`},
		{"of a target", `
locals { t = target.base.tags[0] }
target "base" { tags = ["b:1"] }
target "default" { args = { B = local.t } }
`, "args", `{"B":"b:1"}`},
		{"in a function, a variable and a matrix", `
locals { l = ["a"] }
variable "V" { default = local.l[0] }
function "f" {
  params = [x]
  result = "${x}${local.l[0]}${V}"
}
target "t" {
  matrix = { k = local.l }
  name   = k
}
target "default" { tags = [f("i"), target.a.name] }
`, "tags", `["iaa","a"]`},
		{"whole", `
locals {
  a = 1
  b = 2
}
target "default" { args = { K = join(",", keys(local)) } }
`, "args", `{"K":"a,b"}`},
		{"hidden by a variable", `
variable "local" { default = { a = "v" } }
locals { a = "l" }
target "default" { tags = [local.a] }
`, "tags", `["v"]`},
	})
}

func TestSelfAndMergedReferences(t *testing.T) {
	const base = `
target "base" {
  tags        = ["base:1"]
  args        = { A = "1", B = "2" }
  annotations = ["a=b"]
}
target "mid" {
  inherits = [target.base]
  args     = { B = "mid" }
}
`
	runLanguage(t, []languageCase{
		{"self", `target "default" {
  tags = ["x/${self.name}:1"]
  args = { T = self.tags[0] }
}`, "args", `{"T":"x/default:1"}`},
		{"self inherits", base + `target "default" {
  inherits = ["mid"]
  labels   = { A = self.args.A, B = self.args.B }
}`, "labels", `{"A":"1","B":"mid"}`},
		{"merged", base + `target "default" { args = { B = target.mid.args.B, T = target.mid.tags[0] } }`, "args", `{"B":"mid","T":"base:1"}`},
		{"nothing is empty", base + `target "default" { args = { N = length(target.mid.platforms) } }`, "args", `{"N":"0"}`},
		{"super list", base + `target "default" {
  inherits = ["mid"]
  tags     = concat(super.tags, ["more:1"])
}`, "tags", `["base:1","more:1"]`},
		{"super of nothing", `target "default" { tags = concat(super.tags, ["more:1"]) }`, "tags", `["more:1"]`},
		{"super without one", base + `target "default" {
  inherits = ["mid"]
  args     = { C = join(",", [for k, v in super.args : k if k != "A"]) }
}`, "args", `{"A":"1","B":"mid","C":"B"}`},
		{"empty clears", base + `target "default" {
  inherits    = ["mid"]
  annotations = []
}`, "annotations", `null`},
		{"clear", base + `target "default" {
  inherits    = ["mid"]
  clear       = ["annotations", "args"]
  annotations = ["c=d"]
  args        = { A = "own" }
  labels      = { keys = join(",", keys(self.args)) }
}`, "annotations", `["c=d"]`},
		{"clear is seen", base + `target "default" {
  inherits = ["mid"]
  clear    = ["args"]
  args     = { Z = "own" }
  labels   = { keys = join(",", keys(self.args)) }
}`, "labels", `{"keys":"Z"}`},
		{"clear a text", base + `target "ctx" { context = "x" }
target "default" {
  inherits = ["ctx"]
  clear    = ["context"]
}`, "context", `"."`},
	})
}

func TestClearIsNotInherited(t *testing.T) {
	got := built(t, `
target "a" { annotations = ["a=1"] }
target "b" {
  clear       = ["annotations"]
  annotations = ["b=1"]
}
target "default" { inherits = ["a", "b"] }
`)
	if got := jsonOf(t, got["annotations"]); got != `["a=1","b=1"]` {
		t.Errorf("got %s", got)
	}
}

func TestMatrixChanges(t *testing.T) {
	for _, tt := range []struct{ name, matrix, want string }{
		{"exclude one", `{ os = ["l", "w"], go = [1, 2], exclude = [{ os = "w", go = 1 }] }`, "l-1- l-2- w-2-"},
		{"exclude a part", `{ os = ["l", "w"], go = [1, 2], exclude = [{ os = "w" }] }`, "l-1- l-2-"},
		{"exclude all", `{ os = ["l"], go = [1], exclude = [{}] }`, ""},
		{"include adds to all", `{ os = ["l", "w"], go = [1], include = [{ x = "p" }] }`, "l-1-p w-1-p"},
		{"include adds to some", `{ os = ["l", "w"], go = [1], include = [{ os = "w", x = "p" }] }`, "l-1- w-1-p"},
		{"include changes what include added", `{ os = ["l", "w"], go = [1], include = [{ x = "p" }, { os = "w", x = "q" }] }`, "l-1-p w-1-q"},
		{"include makes one", `{ os = ["l"], go = [1], include = [{ os = "m", go = 3 }] }`, "l-1- m-3-"},
		{"include brings back", `{ os = ["l", "w"], go = [1], exclude = [{ os = "w" }], include = [{ os = "w", go = 1 }] }`, "l-1- w-1-"},
		{"include only", `{ include = [{ os = "a", go = 1 }, { os = "b", go = 2, x = "p" }] }`, "a-1- b-2-p"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loadText("target \"t\" {\n matrix = " + tt.matrix + "\n name = \"${os}-${go}-${try(x, null) == null ? \"\" : x}\"\n}\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(c.order, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStepSequences(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"list", `
  dynamic "step" {
    for_each = ["a", "b"]
    content { run = "echo ${step.key} ${step.value}" }
  }`, "RUN echo 0 a\nRUN echo 1 b\n"},
		{"map and iterator", `
  dynamic "step" {
    for_each = { x = { v = 1 }, y = { v = 2 } }
    iterator = it
    content { env = { "${it.key}" = it.value.v, N = self.name } }
  }`, "ENV N=default x=1\nENV N=default y=2\n"},
		{"set", `
  dynamic "step" {
    for_each = toset(["b", "a"])
    content {
      run  = step.value
      when = step.value != "b"
    }
  }`, "RUN a\n"},
		{"nothing", `
  dynamic "step" {
    for_each = []
    content { run = step.value }
  }`, ""},
		{"when", `
  step {
    run  = "no"
    when = false
  }
  step {
    run  = "yes"
    when = length(self.tags) == 0
  }`, "RUN yes\n"},
		{"use", `
  step { use = "install" }
  step {
    use  = "install"
    when = false
  }
  step { user = "1" }`, "RUN apk add curl\nRUN echo default\nUSER 1\n"},
		{"use again and again", `
  dynamic "step" {
    for_each = [1, 2]
    content { use = "one" }
  }`, "WORKDIR /x\nWORKDIR /x\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sel := resolveText(t, `
steps "install" {
  dynamic "step" {
    for_each = ["curl"]
    content { run = "apk add ${step.value}" }
  }
  step { run = "echo ${self.name}" }
}
steps "one" {
  step { workdir = "/x" }
}
target "default" {
  step { from = "alpine" }
`+tt.text+"\n}\n")
			if got := strings.TrimPrefix(sel.Targets[0].Steps.Text, "FROM alpine\n"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	const service = `
template "service" {
  params = { port = optional(number, 8080), owner = string, env = optional(map(string), {}) }
  context = "services/${self.name}"
  tags    = ["shop/${self.name}:dev"]
  args    = merge({ PORT = param.port, OWNER = param.owner }, param.env)
}
template "stepped" {
  step { from = "alpine" }
  step { label = { n = self.name } }
}
`
	runLanguage(t, []languageCase{
		{"default", service + `target "default" {
  template = "service"
  with     = { owner = "core" }
}`, "args", `{"OWNER":"core","PORT":"8080"}`},
		{"self", service + `target "default" {
  template = "service"
  with     = { owner = "core" }
}`, "context", `"services/default"`},
		{"own replaces", service + `target "default" {
  template = "service"
  with     = { owner = "core", port = "1", env = { A = 2 } }
  tags     = ["own:${param.port}"]
}`, "tags", `["own:1"]`},
		{"matrix", service + `target "t" {
  name     = "t-${o}"
  matrix   = { o = ["x", "y"] }
  template = "service"
  with     = { owner = o }
}
target "default" { args = { A = target.t-y.args.OWNER } }`, "args", `{"A":"y"}`},
		{"inherits too", service + `target "base" { args = { Z = "z" } }
target "default" {
  inherits = ["base"]
  template = "service"
  with     = { owner = "core" }
}`, "args", `{"OWNER":"core","PORT":"8080","Z":"z"}`},
		{"steps", service + `target "default" { template = "stepped" }`, "dockerfile-inline", `"FROM alpine\nLABEL n=default\n"`},
		{"own Dockerfile", service + `target "default" {
  template   = "stepped"
  dockerfile = "D"
}`, "dockerfile", `"D"`},
	})
}

func TestNeeds(t *testing.T) {
	sel := resolveText(t, `
group "default" { targets = [target.app] }
target "app" {
  inherits  = [target.common]
  needs     = [target.lint, "test"]
  platforms = ["linux/amd64", "linux/arm64"]
}
target "common" { needs = ["lint"] }
target "lint" {
  platforms    = ["linux/386", "linux/amd64"]
  entitlements = ["network.host"]
}
target "test" { needs = [target.lint] }
`)
	var names []string
	for _, target := range sel.Targets {
		names = append(names, target.Name)
	}
	if got := strings.Join(names, " "); got != "lint test app" {
		t.Errorf("order %s", got)
	}
	app := sel.Targets[2]
	if !slices.Equal(app.Needs, []graph.ID{"lint", "test"}) || len(app.Contexts) != 0 || len(app.Entitlements) != 0 {
		t.Errorf("needs %v contexts %v entitlements %v", app.Needs, app.Contexts, app.Entitlements)
	}
	if !sel.Targets[0].Implicit {
		t.Error("a need that was not asked for is not implicit")
	}
}
