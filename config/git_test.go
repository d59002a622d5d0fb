package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitIn runs git in dir for the tests' own needs.
func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(withoutGit(os.Environ()), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func gitRepository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	gitIn(t, dir, "init", "-q", "-b", "feature/x")
	writeFile(t, filepath.Join(dir, "a"), "a")
	gitIn(t, dir, "add", "a")
	gitIn(t, dir, "commit", "-q", "-m", "a")
	return dir
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const gitExpr = `"${git.commit} ${git.branch} ${git.tag} ${git.dirty}"`

func TestGitValues(t *testing.T) {
	dir := gitRepository(t)
	commit := gitIn(t, dir, "rev-parse", "HEAD")
	check := func(name, in, want string) {
		t.Helper()
		if got := argOf(t, in, gitExpr, LoadOptions{}); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	check("fresh", dir, commit+" feature/x  false")
	gitIn(t, dir, "tag", "v1.9.0")
	gitIn(t, dir, "tag", "-a", "-m", "x", "v1.10.0")
	check("tags", dir, commit+" feature/x v1.10.0 false")
	gitIn(t, dir, "pack-refs", "--all")
	check("packed", dir, commit+" feature/x v1.10.0 false")
	sub := filepath.Join(dir, "sub", "deep")
	if err := os.MkdirAll(sub, 0o700); err != nil {
		t.Fatal(err)
	}
	check("directory inside", sub, commit+" feature/x v1.10.0 false")
	tree := filepath.Join(t.TempDir(), "tree")
	gitIn(t, dir, "worktree", "add", "-q", "-b", "other", tree)
	check("linked work tree", tree, commit+" other v1.10.0 false")
	writeFile(t, filepath.Join(dir, "a"), "changed")
	check("dirty", dir, commit+" feature/x v1.10.0 true")
	gitIn(t, dir, "checkout", "-q", "--detach")
	check("detached", dir, commit+"  v1.10.0 true")
}

func TestGitMissing(t *testing.T) {
	dir := t.TempDir()
	if got := argOf(t, dir, `try(git.commit, "none")`, LoadOptions{}); got != "none" {
		t.Errorf("got %q", got)
	}
	for expr, want := range map[string]string{
		`git.commit`: "build.hcl:2:16: No such git value; There is no git.commit: the directory of the command is in no git repository",
		`git.comit`:  "build.hcl:2:19: Unknown value; There is no git.comit. Did you mean \"commit\"?",
		`git`:        "build.hcl:2:16: Invalid reference",
	} {
		if got := argOf(t, dir, expr, LoadOptions{}); !strings.HasPrefix(got, "error: "+want) {
			t.Errorf("%s is %q", expr, got)
		}
	}
	gitIn(t, dir, "init", "-q", "-b", "main")
	if got := argOf(t, dir, `git.branch`, LoadOptions{}); got != "main" {
		t.Errorf("got %q", got)
	}
	if got := argOf(t, dir, `git.commit`, LoadOptions{}); !strings.Contains(got, "refs/heads/main has no commit yet") {
		t.Errorf("got %q", got)
	}
}

// TestThreat_T20_gitConfig has a repository whose configuration names programs in
// every place that asking for its state could reach.
func TestThreat_T20_gitConfig(t *testing.T) {
	dir := gitRepository(t)
	pwned := filepath.Join(t.TempDir(), "pwned")
	program := filepath.Join(t.TempDir(), "evil.sh")
	writeFile(t, program, "#!/bin/sh\ntouch "+pwned+"\ncat\n")
	if err := os.Chmod(program, 0o700); err != nil { //nolint:gosec // it must be executable
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, ".gitattributes"), "* filter=evil diff=evil\n")
	gitIn(t, dir, "add", ".gitattributes")
	gitIn(t, dir, "commit", "-q", "-m", "attributes")
	writeFile(t, filepath.Join(dir, ".git", "included"), "[filter \"evil\"]\n\tclean = "+program+"\n\tprocess = "+program+"\n\trequired = true\n")
	config, err := os.ReadFile(filepath.Join(dir, ".git", "config"))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, ".git", "config"), string(config)+`
[include]
	path = included
[core]
	fsmonitor = `+program+`
	hooksPath = `+filepath.Dir(program)+`
	sshCommand = `+program+`
	pager = `+program+`
	editor = `+program+`
[diff]
	external = `+program+`
[diff "evil"]
	textconv = `+program+`
[alias]
	status = !`+program+`
	for-each-ref = !`+program+`
`)
	writeFile(t, filepath.Join(dir, "a"), "changed, as long as it takes")
	if got := argOf(t, dir, gitExpr, LoadOptions{}); !strings.HasSuffix(got, " true") {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat(pwned); err == nil {
		t.Error("a program of the repository ran")
	}
	for _, head := range []string{"ref: ../../../etc/passwd", "ref: refs/../../../etc/passwd", "ref: --upload-pack=x", "-x", "", "ref: "} {
		writeFile(t, filepath.Join(dir, ".git", "HEAD"), head+"\n")
		if got := argOf(t, dir, gitExpr, LoadOptions{}); !strings.HasPrefix(got, "error: ") || strings.Contains(got, "root:") {
			t.Errorf("HEAD %q: got %q", head, got)
		}
	}
}
