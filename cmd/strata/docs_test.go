package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func testRoot(t *testing.T) *cobra.Command {
	t.Helper()
	root := newRootCmd(newApp(osStreams()))
	root.SetOut(io.Discard)
	root.SetErr(io.Discard)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

func TestReferencePagesAreWhatTheCodeSays(t *testing.T) {
	pages, err := referencePages(testRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join("../../docs/reference", name))
		if err != nil {
			t.Error(err)
			continue
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is not what the code says; run go generate ./cmd/strata\n%s", name, firstDifference(string(got), want))
		}
	}
}

// firstDifference shows the first line that differs.
func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return "page: " + a[i] + "\ncode: " + b[i]
		}
	}
	return "one is longer than the other"
}

func TestCommandsPageNamesEveryCommandAndFlag(t *testing.T) {
	root := testRoot(t)
	page := commandsPage(root)
	for _, c := range documented(root) {
		if !strings.Contains(page, "\n## "+c.CommandPath()+"\n") {
			t.Errorf("%s is not on the page", c.CommandPath())
		}
	}
	for _, text := range []string{"`--set PATTERN.KEY[+]=VALUE`", "`-j, --jobs N`", "## strata completion bash", "70 internal error"} {
		if !strings.Contains(page, text) {
			t.Errorf("the page lacks %s", text)
		}
	}
	if strings.Contains(page, "strata docs") {
		t.Error("hidden commands are on the page")
	}
}

// TestExamples runs the examples of the help that need neither an engine nor a
// network; of the others it checks that the flags exist.
func TestExamples(t *testing.T) {
	ran := 0
	for _, c := range documented(testRoot(t)) {
		for line := range strings.Lines(c.Example) {
			line = strings.TrimSpace(line)
			if line == "" {
				continue
			}
			t.Run(line, func(t *testing.T) {
				parseExample(t, c.CommandPath(), line)
				if runsAlone(c.CommandPath(), line) {
					ran++
					runExample(t, line)
				}
			})
		}
	}
	if ran < 15 {
		t.Errorf("only %d examples were run", ran)
	}
}

// runsAlone says whether an example needs no engine and no network.
func runsAlone(path, line string) bool {
	switch path {
	case "strata bake":
		return strings.Contains(line, "--print") || strings.Contains(line, "--list")
	case "strata list", "strata print", "strata graph", "strata check", "strata fmt", "strata init",
		"strata import bake", "strata import compose", "strata images", "strata schema":
		return true
	}
	return false
}

// parseExample checks the words of an example against the command's flags.
func parseExample(t *testing.T, path, line string) {
	t.Helper()
	_, rest, found := strings.Cut(line, "strata ")
	if !found {
		t.Fatalf("the example does not call strata")
	}
	words, err := exec.Command("sh", "-c", `printf '%s\0' `+strings.TrimRight(redirected(rest), " ")).Output()
	if err != nil {
		t.Fatal(err)
	}
	args := strings.Split(strings.TrimSuffix(string(words), "\x00"), "\x00")
	cmd, rem, err := testRoot(t).Find(args)
	if err != nil {
		t.Fatal(err)
	}
	inner := len(cmd.Commands()) == 0 && strings.HasPrefix(cmd.CommandPath(), path+" ") // of a group
	if cmd.CommandPath() != path && !inner {
		t.Fatalf("the example of %s calls %s", path, cmd.CommandPath())
	}
	if err := cmd.ParseFlags(rem); err != nil {
		t.Fatal(err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Fatal(err)
	}
}

// redirected cuts what the shell does with standard input and output.
func redirected(line string) string {
	for _, mark := range []string{" | ", " > ", " < "} {
		line, _, _ = strings.Cut(line, mark)
	}
	return line
}

// exampleFiles are what the examples work on.
var exampleFiles = map[string]string{
	"build.hcl":       "group \"default\" {\n  targets = [\"api\"]\n}\n\ntarget \"api\" {\n  tags = [\"shop/api:dev\"]\n}\n",
	"docker-bake.hcl": "target \"default\" {\n  inherits = [\"release\"]\n}\n\ntarget \"release\" {\n  tags = [\"shop/api:dev\"]\n}\n",
	"compose.yaml":    "services:\n  api:\n    build: .\n",
	"FILE":            "target \"default\" {\n}\n",
	"Dockerfile":      "FROM debian:12.5-slim\nCOPY app /app\nUSER nobody\nCMD [\"/app\"]\n",
	".dockerignore":   ".git\n",
	"app":             "",
}

// runExample runs an example where its files are, and build.hcl only if it does
// not write that itself.
func runExample(t *testing.T, line string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range exampleFiles {
		if name == "build.hcl" && (strings.HasPrefix(line, "strata init") || strings.HasPrefix(line, "strata import")) {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if strings.HasPrefix(line, "strata import compose") {
		line = strings.Replace(line, "FILE", "compose.yaml", 1)
	}
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir = dir
	home := filepath.Join(dir, ".home")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_DATA_HOME=" + home, "XDG_STATE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_CACHE_HOME=" + home}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
}
