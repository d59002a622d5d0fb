package config

import (
	"context"
	"crypto/sha1" //nolint:gosec // git's own name for a file, no secret
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/agext/levenshtein"
)

// A ChangedFile is a path whose content differs. From and To are git's object
// ids, shortened; "" where the path does not exist.
type ChangedFile struct {
	Path     string // from the root of the work tree, with slashes
	From, To string
}

// Changes are what differs between a revision and the work tree.
type Changes struct {
	Tree    string        // root of the work tree, absolute
	Commit  string        // what is compared with
	Head    string        // commit that is checked out, "" if there is none
	Branch  string        // that Commit is the tip of; else the one checked out; "" if there is neither
	Shallow bool          // the clone lacks history
	Files   []ChangedFile // by path

	repo *repository
}

// A RevisionError says that a revision is not in the repository.
type RevisionError struct {
	Rev     string
	Near    []string // names of branches and tags that are spelled like it
	Shallow bool     // the clone lacks history, and maybe the revision
	Base    bool     // it is there, and what it has in common with HEAD is not
}

// Error says what can be done.
func (e *RevisionError) Error() string {
	switch {
	case e.Base && e.Shallow:
		return fmt.Sprintf("this clone is shallow and lacks the commit that %s and HEAD have in common: get more of the history with git fetch --deepen=100, or all of it with git fetch --unshallow", e.Rev)
	case e.Base:
		return fmt.Sprintf("%s and HEAD have no commit in common", e.Rev)
	case e.Shallow:
		return fmt.Sprintf("this clone is shallow and lacks revision %q: get it with git fetch --depth=1 origin %s, or more of the history with git fetch --deepen=100%s", e.Rev, e.Rev, e.near())
	}
	return fmt.Sprintf("git knows no revision %q%s", e.Rev, e.near())
}

func (e *RevisionError) near() string {
	if len(e.Near) == 0 {
		return ""
	}
	return "; did you mean " + strings.Join(e.Near, " or ") + "?"
}

// errNoCheckout says that there is nothing to compare with.
var errNoCheckout = errors.New("the directory of the command is in no git repository")

// changesTime is how long git may take to find what has changed.
const changesTime = 2 * time.Minute

// ChangedFiles lists what differs between the revision rev and the files in the
// work tree around dir: what was committed since, staged, not staged, and files
// that git neither tracks nor ignores. "REV..." compares with the last commit
// that REV and HEAD have in common. A renamed file is one that is gone and one
// that is new. An unknown revision is a *RevisionError.
func ChangedFiles(ctx context.Context, dir, rev string) (*Changes, error) {
	r := &repository{dir: dir}
	if err := r.open(); errors.Is(err, errNoRepository) {
		return nil, errNoCheckout
	} else if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, changesTime)
	defer cancel()
	c := &Changes{Tree: r.tree, repo: r}
	if err := c.resolve(ctx, rev); err != nil {
		return nil, err
	}
	raw, err := r.runIn(ctx, "-c", "diff.autoRefreshIndex=true", "diff", "--raw", "-z", "--no-relative", "--no-renames", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--abbrev=12", c.Commit, "--")
	if err != nil {
		return nil, err
	}
	others, err := r.runIn(ctx, "ls-files", "--others", "--exclude-standard", "-z")
	if err != nil {
		return nil, err
	}
	return c, c.collect(raw, others)
}

// resolve finds out what rev is.
func (c *Changes) resolve(ctx context.Context, rev string) error {
	r := c.repo
	_, err := os.Stat(filepath.Join(r.common, "shallow"))
	c.Shallow = err == nil
	c.Head, _ = r.commit() // there may be none yet
	name, common := strings.CutSuffix(rev, "...")
	if name == "" {
		return &RevisionError{Rev: rev}
	}
	full, err := r.revision(ctx, name)
	if err != nil {
		return err
	}
	if full == "" {
		return &RevisionError{Rev: name, Near: r.near(ctx, name), Shallow: c.Shallow}
	}
	c.Commit = full
	c.Branch, _ = strings.CutPrefix(r.head, "refs/heads/")
	if ref, err := r.runIn(ctx, "rev-parse", "--symbolic-full-name", "--verify", "--quiet", "--end-of-options", name); err == nil && !common {
		if branch, ok := branchOf(strings.TrimSpace(ref)); ok {
			c.Branch = branch
		}
	}
	if !common {
		return nil
	}
	base, err := r.runIn(ctx, "merge-base", c.Commit, "HEAD")
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return &RevisionError{Rev: name, Shallow: c.Shallow, Base: true}
	}
	c.Commit = strings.TrimSpace(base)
	return err
}

// branchOf is the branch that a ref is, here or at a remote.
func branchOf(ref string) (string, bool) {
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		return branch, true
	}
	if rest, ok := strings.CutPrefix(ref, "refs/remotes/"); ok {
		_, branch, ok := strings.Cut(rest, "/")
		return branch, ok && branch != "HEAD"
	}
	return "", false
}

// revision is the commit called name, "" if there is none.
func (r *repository) revision(ctx context.Context, name string) (string, error) {
	out, err := r.runIn(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if _, refused := errors.AsType[*exec.ExitError](err); refused {
		return "", nil
	}
	if out = strings.TrimSpace(out); err == nil && !commitText.MatchString(out) {
		return "", nil // a range, for instance
	}
	return out, err
}

// nearNames is how many names are offered for one that is unknown.
const nearNames = 3

// near are the names of branches and tags that are spelled like name.
func (r *repository) near(ctx context.Context, name string) []string {
	out, err := r.runIn(ctx, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes", "refs/tags")
	if err != nil {
		return nil
	}
	var near []string
	for ref := range strings.FieldsSeq(out) {
		_, last, _ := strings.Cut(ref, "/")
		if levenshtein.Distance(name, ref, nil) <= max(1, len(name)/2) || last == name {
			near = append(near, ref)
		}
	}
	return near[:min(len(near), nearNames)]
}

// collect reads what git lists: ":oldmode newmode oldid newid status", NUL, path,
// NUL (git-diff(1), raw output format), and paths that are not tracked.
func (c *Changes) collect(raw, others string) error {
	found := map[string]ChangedFile{}
	words := strings.Split(raw, "\x00")
	for i := 0; i+1 < len(words); i += 2 {
		head := strings.Fields(words[i])
		if len(head) != 5 {
			return fmt.Errorf("git: the difference has a line that is not understood: %q", words[i])
		}
		f := ChangedFile{Path: words[i+1], From: head[2]}
		if head[4] == "A" {
			f.From = ""
		}
		if head[4] != "D" {
			f.To = c.id(f.Path)
		}
		found[f.Path] = f
	}
	for _, path := range strings.Split(others, "\x00") {
		if path == "" {
			continue
		}
		path = strings.TrimSuffix(path, "/") // a repository in this one
		f := ChangedFile{Path: path, From: found[path].From, To: c.id(path)}
		if f.From == f.To { // no longer tracked, and as it was
			delete(found, path)
			continue
		}
		found[path] = f
	}
	for _, path := range sortedKeys(found) {
		c.Files = append(c.Files, found[path])
	}
	return nil
}

// unreadable stands for the id of what can not be read, or is no file.
const unreadable = "?"

// id is git's name for the content at path: that of a blob.
func (c *Changes) id(path string) string {
	full := filepath.Join(c.Tree, filepath.FromSlash(path))
	st, err := os.Lstat(full)
	if err != nil {
		return unreadable
	}
	switch {
	case st.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(full)
		if err != nil {
			return unreadable
		}
		return c.blob(strings.NewReader(to), int64(len(to)))
	case st.Mode().IsRegular():
		f, err := os.Open(full)
		if err != nil {
			return unreadable
		}
		defer f.Close()
		return c.blob(f, st.Size())
	}
	return unreadable
}

// blob hashes content of size bytes as git does.
func (c *Changes) blob(content io.Reader, size int64) string {
	h := sha1.New() //nolint:gosec // see the import
	if len(c.Commit) == hex.EncodedLen(sha256.Size) {
		h = sha256.New()
	}
	fmt.Fprintf(h, "blob %d\x00", size)
	if _, err := io.Copy(h, content); err != nil {
		return unreadable
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Checkout writes the files of the revision to the directory to, which is empty,
// as a linked work tree of the repository, in which nothing is changed. No
// filter and no hook of the repository runs.
func (c *Changes) Checkout(ctx context.Context, to string) error {
	ctx, cancel := context.WithTimeout(ctx, changesTime)
	defer cancel()
	link := &repository{tree: to, gitDir: filepath.Join(to, ".git")}
	if err := os.Mkdir(link.gitDir, 0o700); err != nil {
		return err
	}
	for name, text := range map[string]string{"HEAD": c.Commit, "commondir": c.repo.common} {
		if err := os.WriteFile(filepath.Join(link.gitDir, name), []byte(text+"\n"), 0o600); err != nil {
			return err
		}
	}
	_, err := link.runIn(ctx, "-c", "core.sparseCheckout=false", "read-tree", "--reset", "-u", c.Commit)
	if err != nil {
		return fmt.Errorf("reading the files of %s: %w", c.Commit, err)
	}
	return nil
}

// runIn runs git on the repository as run does, for as long as ctx lets it.
func (r *repository) runIn(ctx context.Context, args ...string) (string, error) {
	safe, err := r.disarmed(ctx)
	if err != nil {
		return "", err
	}
	return r.git(ctx, append(safe, args...)...)
}
