package main

import (
	"os"
	"os/exec"
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

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		out, err := exec.Command("strata", "completion", shell).Output()
		if err != nil || !strings.Contains(string(out), "__complete") {
			t.Errorf("%s: %v, %d bytes", shell, err, len(out))
		}
	}
}
