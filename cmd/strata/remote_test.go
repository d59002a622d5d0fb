package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/config"
)

func TestRemoteArgs(t *testing.T) {
	for _, c := range []struct {
		args                   []string
		definition, cmdContext string
		targets                []string
	}{
		{nil, "", "", nil},
		{[]string{"app", "https://h/a.git"}, "", "", []string{"app", "https://h/a.git"}},
		{[]string{"https://h/a.git"}, "https://h/a.git", "", nil},
		{[]string{"https://h/a.git", "app"}, "https://h/a.git", "", []string{"app"}},
		{[]string{"https://h/a.git", "git@h:b.git", "app"}, "https://h/a.git", "git@h:b.git", []string{"app"}},
	} {
		definition, cmdContext, targets := remoteArgs(c.args)
		if definition != c.definition || cmdContext != c.cmdContext || !slices.Equal(targets, c.targets) {
			t.Errorf("%v: got %q, %q, %v", c.args, definition, cmdContext, targets)
		}
	}
}

func TestBakeReadsADefinitionByHTTP(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("# more than a kilobyte\n", 100) + `
target "app" {
  context = "src"
  args    = { C = BAKE_CMD_CONTEXT }
}
`))
	}))
	defer srv.Close()
	cmd := exec.Command("strata", "bake", srv.URL+"/docker-bake.hcl", "https://h/b.git", "app", "--print")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"context": "src"`, `"C": "https://h/b.git"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

// TestBakeFileFromTheEnvironment is read with a definition from elsewhere too.
func TestBakeFileFromTheEnvironment(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("target \"app\" {\n  tags = [\"there\"]\n}\n"))
	}))
	defer srv.Close()
	cmd := exec.Command("strata", "bake", srv.URL+"/docker-bake.hcl", "app", "--print")
	cmd.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(cmd.Dir, "here.hcl"), []byte("target \"app\" {\n  args = { A = \"here\" }\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "BUILDX_BAKE_FILE=cwd://here.hcl", "BUILDX_BAKE_PATH_SEPARATOR=;")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"there"`, `"A": "here"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

func TestGitSecretsGoToTargetsOnTheHost(t *testing.T) {
	t.Setenv("BUILDX_BAKE_GIT_AUTH_TOKEN", "t")
	targets := []*config.Target{
		{Name: "same", Context: "https://h/a.git#:api"},
		{Name: "named", Context: ".", Contexts: map[string]string{"lib": "https://h/lib.git"}},
		{Name: "other", Context: "https://evil/a.git"},
		{Name: "local", Context: "."},
	}
	newApp(osStreams()).shareGitSecrets("https://h/a.git", targets)
	for _, target := range targets {
		if got, want := len(target.Secrets), target.Name == "same" || target.Name == "named"; (got == 1) != want {
			t.Errorf("%s has %d secrets", target.Name, got)
		}
	}
}
