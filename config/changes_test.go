package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// changedSince says shortly what differs: "+new -gone ~other".
func changedSince(t *testing.T, dir, rev string) string {
	t.Helper()
	c, err := ChangedFiles(t.Context(), dir, rev)
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, f := range c.Files {
		sign := "~"
		switch {
		case f.From == "":
			sign = "+"
		case f.To == "":
			sign = "-"
		}
		out = append(out, sign+f.Path)
	}
	return strings.Join(out, " ")
}

func TestChangedFiles(t *testing.T) {
	dir := gitRepository(t)
	write := func(name, text string) { t.Helper(); writeFile(t, filepath.Join(dir, name), text) }
	write(".gitignore", "*.log\n")
	write("sub/moved", "a file that is long enough to be taken for a renamed one\n")
	write("kept", "kept")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-q", "-m", "b")
	gitIn(t, dir, "tag", "before")
	check := func(name, want string) {
		t.Helper()
		if got := changedSince(t, dir, "before"); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	check("nothing", "")

	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "a"), long, long); err != nil {
		t.Fatal(err)
	}
	check("only touched", "")

	write("committed", "x")
	gitIn(t, dir, "add", "committed")
	gitIn(t, dir, "commit", "-q", "-m", "c")
	write("staged", "x")
	gitIn(t, dir, "add", "staged")
	write("a", "other")
	write("sub/un tracked\n", "x")
	write("noise.log", "x")
	check("all at once", "~a +committed +staged +sub/un tracked\n")

	gitIn(t, dir, "mv", "sub/moved", "sub/to")
	check("renamed", "~a +committed +staged -sub/moved +sub/to +sub/un tracked\n")
	if got := changedSince(t, filepath.Join(dir, "sub"), "HEAD~1"); got != "~a +committed +staged -sub/moved +sub/to +sub/un tracked\n" {
		t.Errorf("from below: %q", got)
	}

	gitIn(t, dir, "rm", "-q", "--cached", "kept")
	if got := changedSince(t, dir, "before"); strings.Contains(got, "kept") {
		t.Errorf("no longer tracked and as it was: %q", got)
	}

	if err := os.Chmod(filepath.Join(dir, "sub", "to"), 0o755); err != nil { //nolint:gosec // its mode is the test
		t.Fatal(err)
	}
	gitIn(t, dir, "commit", "-q", "-a", "-m", "d")
	gitIn(t, dir, "checkout", "-q", "-f", "-b", "side", "before")
	gitIn(t, dir, "clean", "-qfdx")
	write("side", "x")
	gitIn(t, dir, "add", "side")
	gitIn(t, dir, "commit", "-q", "-m", "side")
	if got := changedSince(t, dir, "feature/x..."); got != "+side" {
		t.Errorf("since what is common: %q", got)
	}
}

func TestChangedFilesIDsAreGits(t *testing.T) {
	dir := gitRepository(t)
	before := gitIn(t, dir, "rev-parse", "HEAD:a")
	writeFile(t, filepath.Join(dir, "a"), "other")
	after := gitIn(t, dir, "hash-object", "a")
	c, err := ChangedFiles(t.Context(), dir, "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	if want := []ChangedFile{{"a", before[:12], after[:12]}}; !slices.Equal(c.Files, want) {
		t.Errorf("got %v, want %v", c.Files, want)
	}
	if c.Commit != c.Head || c.Branch != "feature/x" || c.Shallow {
		t.Errorf("got %+v", c)
	}
}

func TestChangedFilesUnknownRevision(t *testing.T) {
	dir := gitRepository(t)
	gitIn(t, dir, "branch", "release")
	gitIn(t, dir, "tag", "v1.2.0")
	for rev, want := range map[string]string{
		"relaese":      `error: git knows no revision "relaese"; did you mean release?`,
		"v1.2.1":       `error: git knows no revision "v1.2.1"; did you mean v1.2.0?`,
		"x":            `error: git knows no revision "x"; did you mean feature/x?`,
		"--output=pwn": `error: git knows no revision "--output=pwn"`,
		"HEAD..HEAD":   `error: git knows no revision "HEAD..HEAD"`,
		"":             `error: git knows no revision ""`,
		"HEAD:a":       `error: git knows no revision "HEAD:a"`,
	} {
		if got := changedSince(t, dir, rev); got != want {
			t.Errorf("%q: %s", rev, got)
		}
	}
	if got := changedSince(t, t.TempDir(), "HEAD"); !strings.Contains(got, "in no git repository") || strings.Contains(got, "try(") {
		t.Errorf("no repository: %s", got)
	}
	gitIn(t, dir, "checkout", "-q", "--orphan", "alone")
	gitIn(t, dir, "commit", "-q", "-m", "alone")
	if got := changedSince(t, dir, "release..."); got != "error: release and HEAD have no commit in common" {
		t.Errorf("got %s", got)
	}
}

func TestChangedFilesShallowClone(t *testing.T) {
	origin := gitRepository(t)
	gitIn(t, origin, "branch", "old")
	for _, name := range []string{"b", "c"} {
		writeFile(t, filepath.Join(origin, name), name)
		gitIn(t, origin, "add", name)
		gitIn(t, origin, "commit", "-q", "-m", name)
	}
	clone := filepath.Join(t.TempDir(), "clone")
	gitIn(t, origin, "clone", "-q", "--depth=1", "--no-single-branch", "file://"+origin, clone)
	_, err := ChangedFiles(t.Context(), clone, "HEAD~2")
	if e, ok := errors.AsType[*RevisionError](err); !ok || !e.Shallow || !strings.Contains(e.Error(), "git fetch --deepen=100") {
		t.Errorf("a revision that is not there: %v", err)
	}
	if got := changedSince(t, clone, "origin/old"); got != "+b +c" {
		t.Errorf("a revision that is there: %s", got)
	}
	_, err = ChangedFiles(t.Context(), clone, "origin/old...")
	if e, ok := errors.AsType[*RevisionError](err); !ok || !e.Base || !strings.Contains(e.Error(), "git fetch --unshallow") {
		t.Errorf("what is common is not there: %v", err)
	}
}

func TestCheckoutOfChanges(t *testing.T) {
	dir := gitRepository(t)
	pwned := filepath.Join(t.TempDir(), "pwned")
	writeFile(t, filepath.Join(dir, ".gitattributes"), "* filter=evil\na export-ignore\n")
	gitIn(t, dir, "add", ".gitattributes")
	gitIn(t, dir, "commit", "-q", "-m", "attributes")
	gitIn(t, dir, "tag", "v1")
	gitIn(t, dir, "config", "filter.evil.smudge", "touch "+pwned+"; cat")
	writeFile(t, filepath.Join(dir, "a"), "changed")
	writeFile(t, filepath.Join(dir, "b"), "new")
	c, err := ChangedFiles(t.Context(), dir, "feature/x")
	if err != nil {
		t.Fatal(err)
	}
	state := gitIn(t, dir, "status", "--porcelain")
	to := t.TempDir()
	if err := c.Checkout(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(to, "a")); err != nil || string(data) != "a" {
		t.Errorf("a is %q, %v", data, err)
	}
	if _, err := os.Stat(filepath.Join(to, "b")); err == nil {
		t.Error("what is not in the revision is there")
	}
	if _, err := os.Stat(pwned); err == nil {
		t.Error("a filter of the repository ran")
	}
	if got := argOf(t, to, gitExpr, LoadOptions{Branch: c.Branch}); got != c.Commit+" feature/x v1 false" {
		t.Errorf("the files see %q", got)
	}
	if got := gitIn(t, dir, "status", "--porcelain"); got != state {
		t.Errorf("the work tree was %q and is %q", state, got)
	}
}
