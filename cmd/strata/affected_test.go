package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// affectedProject has one of everything that targets are made of.
var affectedProject = map[string]string{
	"build.hcl": `
variable "VERSION" { default = "1" }
target "base" {
  context = "base"
  output  = ["type=cacheonly"]
}
target "copies" {
  context           = "copies"
  dockerfile-inline = "FROM scratch\nCOPY --from=base /kept /kept\n"
  contexts          = { base = "target:base" }
  output            = ["type=cacheonly"]
}
target "stands" {
  context  = "stands"
  contexts = { base = "target:base" }
  args     = { VERSION = VERSION, UNUSED = "1" }
  output   = ["type=cacheonly"]
}
target "svc" {
  name       = "svc-${n}"
  matrix     = { n = ["a", "b"] }
  context    = "."
  dockerfile = "svc.Dockerfile"
  args       = { NAME = n }
  output     = ["type=cacheonly"]
}
target "steps" {
  context = "steps"
  output  = ["type=cacheonly"]
  step { from = "scratch" }
  step { copy = ["in", "/in"] }
}
target "after" {
  context = "steps"
  needs   = [target.base]
  output  = ["type=cacheonly"]
  step { from = "scratch" }
  step { env = { A = file("text.txt") } }
}
`,
	"text.txt":              "1",
	"base/Dockerfile":       "FROM scratch AS tools\nCOPY tools /tools\nFROM scratch\nCOPY kept /kept\nCOPY --from=tools /tools /tools\nLABEL a=b\n",
	"base/kept":             "1",
	"base/tools/x":          "1",
	"base/README.md":        "1",
	"copies/unused":         "1",
	"stands/Dockerfile":     "FROM base\nARG VERSION\nCOPY *.txt link /in/\nLABEL v=$VERSION\n",
	"stands/a.txt":          "1",
	"stands/real/deep":      "1",
	"svc.Dockerfile":        "FROM scratch AS a\nCOPY shared/a /x\nFROM scratch AS b\nCOPY shared/b /x\nFROM scratch\nARG NAME\nCOPY shared/common /common\nLABEL name=$NAME\n",
	"shared/common":         "1",
	"shared/a":              "1",
	"shared/b":              "1",
	"steps/in":              "1",
	"steps/other":           "1",
	"svc.Dockerfile.ignore": "1",
}

// TestAffectedIsWhatAPlanSolves edits a project whose targets have records, and
// compares what strata affected says of the edit with what strata plan would
// solve after it.
func TestAffectedIsWhatAPlanSolves(t *testing.T) {
	p := &planProject{t, t.TempDir()}
	for name, text := range affectedProject {
		p.write(name, text)
	}
	if err := os.Symlink("real/deep", filepath.Join(p.dir, "stands/link")); err != nil {
		t.Fatal(err)
	}
	p.write(".gitignore", ".home\n")
	p.run("git", "init", "-q", "-b", "main")
	p.run("git", "add", ".")
	p.run("git", "-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-m", "first")
	p.run("strata-record", "1", "1h", "*")
	replace := func(name, old, new string) func() {
		return func() {
			t.Helper()
			text := affectedProject[name]
			if !strings.Contains(text, old) {
				t.Fatalf("%s has no %q", name, old)
			}
			p.write(name, strings.Replace(text, old, new, 1))
		}
	}
	write := func(name string) func() { return func() { p.write(name, "2") } }
	file := func(name string) string { return filepath.Join(p.dir, name) }
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name string
		edit func()
		want string // names, sorted
	}{
		{"nothing", func() {}, ""},
		{"an unread file", write("base/README.md"), ""},
		{"a file of a needed target", write("base/kept"), "base copies stands"},
		{"a file that the one who copies does not take", write("base/tools/x"), "base copies stands"},
		{"a config that the one who copies does not take", replace("base/Dockerfile", "a=b", "a=c"), "base stands"},
		{"a context that no step reads", write("copies/unused"), ""},
		{"a pattern's new file", write("stands/b.txt"), "stands"},
		{"a pattern's file that is gone", func() { try(os.Remove(file("stands/a.txt"))); p.write("stands/c.txt", "1") }, "stands"},
		{"where a link leads", write("stands/real/deep"), "stands"},
		{"a link", func() { try(os.Remove(file("stands/link"))); try(os.Symlink("real", file("stands/link"))) }, "stands"},
		{"a mode", func() { try(os.Chmod(file("steps/in"), 0o755)) }, "steps"}, //nolint:gosec // its mode is the test
		{"a shared file", write("shared/common"), "svc-a svc-b"},
		{"a stage that nobody uses", write("shared/a"), ""},
		{"a policy", func() { p.write("stands/Dockerfile.rego", "package docker\n") }, "stands"},
		{"a policy of what others need", func() { p.write("base/Dockerfile.rego", "package docker\n") }, "base copies stands"},
		{"rules that are nobody's", func() { p.write("other.rego", "package docker\n") }, ""},
		{"a comment", replace("svc.Dockerfile", "FROM scratch AS a", "# new\nFROM scratch AS a"), ""},
		{"an unused stage's step", replace("svc.Dockerfile", "COPY shared/a /x", "COPY shared/a /y"), ""},
		{"an argument", replace("build.hcl", `default = "1"`, `default = "2"`), "stands"},
		{"an argument that nobody declares", replace("build.hcl", `UNUSED = "1"`, `UNUSED = "2"`), ""},
		{"a variant", replace("build.hcl", `["a", "b"]`, `["a", "b", "c"]`), "svc-c"},
		{"a step's file", write("steps/in"), "steps"},
		{"a step of the build file", replace("build.hcl", `"/in"`, `"/on"`), "steps"},
		{"a file that the build file reads", write("text.txt"), "after"},
		{"an order", replace("build.hcl", "  needs   = [target.base]\n", ""), ""},
		{"an ignore file", func() { p.write("base/.dockerignore", "tools/x\n") }, "base copies stands"},
		{"a renamed context", func() {
			p.run("git", "mv", "steps", "moved")
			p.write("build.hcl", strings.ReplaceAll(affectedProject["build.hcl"], `context = "steps"`, `context = "moved"`))
		}, ""},
	}
	for _, test := range tests {
		test.edit()
		affected := strings.Fields(p.run("strata", "affected", "*", "--since", "main", "-q"))
		slices.Sort(affected)
		if got := strings.Join(affected, " "); got != test.want {
			t.Errorf("%s: affected are %q, want %q\n%s", test.name, got, test.want, p.run("strata", "affected", "*", "--since", "main"))
		}
		if solved := strings.Join(p.solved(), " "); solved != test.want {
			t.Errorf("%s: a plan solves %q, want %q", test.name, solved, test.want)
		}
		p.run("git", "reset", "-q", "--hard")
		p.run("git", "clean", "-qfd")
	}
}

// solved are the targets that a plan would solve, sorted.
func (p *planProject) solved() []string {
	p.t.Helper()
	var doc struct {
		Targets []struct{ Name, Action string }
	}
	if err := json.Unmarshal([]byte(p.run("strata", "plan", "*", "--json")), &doc); err != nil {
		p.t.Fatal(err)
	}
	var out []string
	for _, t := range doc.Targets {
		if t.Action == "solve" {
			out = append(out, t.Name)
		}
	}
	slices.Sort(out)
	return out
}
