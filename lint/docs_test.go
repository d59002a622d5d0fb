package lint

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// example is a block of code with its language.
var example = regexp.MustCompile("(?ms)^```(dockerfile|hcl)\n(.*?)^```$")

// sections are the parts of the reference page by their headings of third order.
func sections(t *testing.T) (page string, list map[string]string) {
	t.Helper()
	text, err := os.ReadFile("../docs/reference/check.md")
	if err != nil {
		t.Fatal(err)
	}
	list = map[string]string{}
	for _, part := range strings.Split(string(text), "\n### ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		rest, _, _ = strings.Cut(rest, "\n## ")
		list[name] = rest
	}
	return string(text), list
}

// TestReference keeps the reference page true: it has every rule, in the order
// of the table, and what its examples show is found.
func TestReference(t *testing.T) {
	page, list := sections(t)
	at := 0
	for _, r := range Rules() {
		t.Run(r.ID, func(t *testing.T) {
			text, ok := list[r.ID]
			if !ok {
				t.Fatal("the page has no section of this rule")
			}
			i := strings.Index(page, "\n### "+r.ID+"\n")
			if i < at {
				t.Error("the section is not where the table has it")
			}
			at = i
			if want := fmt.Sprintf("*%s* - %s.", r.Severity, r.Title); !strings.Contains(text, want) {
				t.Errorf("the section does not say %q", want)
			}
			blocks := example.FindAllStringSubmatch(text+"\n", -1)
			if len(blocks) == 0 {
				t.Error("there is no example")
			}
			for _, b := range blocks {
				checkExample(t, r, b[1], b[2])
			}
		})
	}
	if len(list) != len(Rules()) {
		t.Errorf("there are %d sections and %d rules", len(list), len(Rules()))
	}
	for _, id := range slices.Concat(Known(), broken) {
		if !strings.Contains(page, "`"+id+"`") && list[id] == "" {
			t.Errorf("the page does not name %s", id)
		}
	}
}

// checkExample wants r, of our rules r alone, to speak of the example.
func checkExample(t *testing.T, r *Rule, lang, text string) {
	t.Helper()
	ar := &txtar.Archive{Files: []txtar.File{{Name: "build.hcl", Data: []byte("target \"default\" {}\n")}, {Name: "Dockerfile", Data: []byte(text)}}}
	if lang == "hcl" {
		ar.Files = []txtar.File{{Name: "build.hcl", Data: []byte(text)}}
	}
	ar.Files = append(ar.Files, map[string][]txtar.File{
		"key-in-context": {{Name: "id_rsa", Data: []byte("-----BEGIN RSA PRIVATE KEY-----\n")}},
		"git-in-context": {{Name: ".git/HEAD"}},
	}[r.ID]...)
	flags := "enable=" + r.ID
	switch r.ID {
	case "missing-dockerignore":
		flags += " large-file=data/large"
	case "base-not-allowed":
		flags += " allow-base=official"
	}
	ar.Comment = []byte(flags)
	dir := unpack(t, ar)
	rep := check(t, dir, options(t, ar, dir))
	found := false
	for _, f := range rep.Findings {
		found = found || f.Rule == r.ID
		if f.Rule != r.ID && f.Severity >= Warning && f.Severity > r.Severity {
			t.Errorf("the example shows %s too: %s", f.Rule, f.Message)
		}
	}
	if !found {
		t.Errorf("nothing is found in\n%s", text)
	}
}

// TestBuildKitRules keeps the list of BuildKit's checks complete.
func TestBuildKitRules(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/moby/buildkit/frontend/dockerfile/linter").Output()
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "ruleset.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`\bName:\s+"([A-Za-z]+)"`).FindAllStringSubmatch(string(src), -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	if want := slices.Sorted(slices.Values(buildkitRules)); !slices.Equal(names, want) {
		t.Errorf("BuildKit has %v and we know %v", names, want)
	}
}
