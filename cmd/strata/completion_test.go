package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// complete is what the shell offers for the words, the last one unfinished.
func complete(t *testing.T, dir string, words ...string) []string {
	t.Helper()
	cmd := exec.Command("strata", append([]string{"__complete"}, words...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if name != "" && !strings.HasPrefix(name, ":") {
			names = append(names, name)
		}
	}
	return names
}

func TestCompletionOffersTargets(t *testing.T) {
	const shop = "../../examples/shop"
	for _, command := range []string{"build", "bake", "print", "check", "graph"} {
		args := []string{command, ""}
		if command == "bake" {
			args = []string{command, "-f", "build.hcl", ""}
		}
		got := complete(t, shop, args...)
		for _, want := range []string{"services", "api", "config-dev"} {
			if !slices.Contains(got, want) {
				t.Errorf("%s offers %v, without %s", command, got, want)
			}
		}
	}
	if got := complete(t, shop, "build", "config-"); !slices.Equal(got, []string{"config-dev", "config-prod"}) {
		t.Errorf("config- is completed to %v", got)
	}
	if got := complete(t, shop, "bui"); !slices.Contains(got, "build") {
		t.Errorf("bui is completed to %v", got)
	}
}

// TestCompletionOffersPaths completes names of other files: from the directory of the
// command, from the top of the checkout, and plain where that is unmistakable.
func TestCompletionOffersPaths(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		".git/HEAD":              "ref: refs/heads/main\n",
		"build.hcl":              "include { paths = [\"services/api\"] }\ntarget \"root\" {}\n",
		"services/api/build.hcl": "target \"api\" {}\ntarget \"test\" {}\n",
		"services/web/build.hcl": "target \"web\" {}\n",
	} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		in, word string
		want     []string
	}{
		{"", "", []string{"root", "api", "test"}},
		{"", "a", []string{"api"}},
		{"", "services/", []string{"services/api:api", "services/api:test"}},
		{"services/web", "//services/", []string{"//services/api:api", "//services/api:test", "//services/web:web"}},
		{"services/web", "//services/w", []string{"//services/web:web"}},
		{"services/web", "w", []string{"web"}},
	} {
		if got := complete(t, filepath.Join(dir, tt.in), "build", tt.word); !slices.Equal(got, tt.want) {
			t.Errorf("in %q %q is completed to %q, want %q", tt.in, tt.word, got, tt.want)
		}
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, err := exec.Command("strata", "completion", shell).Output()
		if err != nil || !strings.Contains(string(out), "__complete") {
			t.Errorf("%s: %v, %d bytes", shell, err, len(out))
		}
	}
}
