package config

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckout(t *testing.T) {
	git := func(dir string, args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	check := func(what, dir, commit, branch string) {
		t.Helper()
		if c, b := Checkout(dir); c != commit || b != branch {
			t.Errorf("%s: commit %q and branch %q, want %q and %q", what, c, b, commit, branch)
		}
	}
	dir := t.TempDir()
	check("no repository", dir, "", "")
	git(dir, "init", "-q", "-b", "main")
	check("no commit", dir, "", "main")
	git(dir, "commit", "-q", "--allow-empty", "-m", "one")
	head := git(dir, "rev-parse", "HEAD")
	check("a branch", dir, head, "main")
	sub := filepath.Join(dir, "sub")
	if err := os.Mkdir(sub, 0o755); err != nil {
		t.Fatal(err)
	}
	check("a directory in it", sub, head, "main")
	git(dir, "checkout", "-q", "-b", "feature/x")
	check("a branch with a slash", dir, head, "feature/x")
	git(dir, "pack-refs", "--all")
	check("packed", dir, head, "feature/x")
	tree := filepath.Join(t.TempDir(), "tree")
	git(dir, "worktree", "add", "-q", "-b", "other", tree)
	check("another work tree", tree, head, "other")
	git(dir, "checkout", "-q", "--detach")
	check("detached", dir, head, "")
	if err := os.WriteFile(filepath.Join(dir, ".git", "HEAD"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, _ := Checkout(dir); c != "" {
		t.Errorf("a damaged HEAD is commit %q", c)
	}
}
