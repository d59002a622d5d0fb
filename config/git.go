package config

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// This file answers git.commit, git.branch, git.tag and git.dirty. A checkout may
// come from a stranger, and so may its .git/config, which can name programs: what
// HEAD is gets read here, and git runs only for tags and changes, with everything
// that could start another program switched off.

// gitValues are the names after git.
var gitValues = map[string]func(*repository) (cty.Value, error){
	"branch": func(r *repository) (cty.Value, error) {
		branch, _ := strings.CutPrefix(r.head, "refs/heads/")
		if !strings.HasPrefix(r.head, "refs/heads/") {
			branch = r.branch
		}
		return cty.StringVal(branch), nil
	},
	"commit": func(r *repository) (cty.Value, error) {
		commit, err := r.commit()
		return cty.StringVal(commit), err
	},
	"dirty": func(r *repository) (cty.Value, error) {
		out, err := r.run("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
		return cty.BoolVal(len(out) > 0), err
	},
	"tag": func(r *repository) (cty.Value, error) {
		commit, err := r.commit()
		if err != nil {
			return cty.NilVal, err
		}
		out, err := r.run("for-each-ref", "--points-at="+commit, "--sort=-version:refname", "--format=%(refname:strip=2)", "refs/tags")
		first, _, _ := strings.Cut(out, "\n")
		return cty.StringVal(first), err
	},
}

// A repository is the git repository that the directory of the command is in.
type repository struct {
	dir    string // where to look from
	branch string // what git.branch is if HEAD names none
	opened bool
	err    error

	tree   string // the work tree
	gitDir string // .git, or that of a linked work tree
	common string // where refs are
	head   string // the ref that HEAD is, "" if it is a commit
	direct string // the commit if HEAD is one
	values map[string]cty.Value
	errs   map[string]error
}

// value evaluates git.NAME once.
func (r *repository) value(name string) (cty.Value, error) {
	if r.values == nil {
		r.values, r.errs = map[string]cty.Value{}, map[string]error{}
	}
	if v, ok := r.values[name]; ok {
		return v, r.errs[name]
	}
	v, err := cty.NilVal, r.open()
	if err == nil {
		v, err = gitValues[name](r)
	}
	r.values[name], r.errs[name] = v, err
	return v, err
}

var errNoRepository = errors.New("the directory of the command is in no git repository; use try(git.commit, \"\") if it need not be in one")

// open finds the repository and reads its HEAD.
func (r *repository) open() error {
	if !r.opened {
		r.opened = true
		r.err = r.find()
	}
	return r.err
}

func (r *repository) find() error {
	dir, err := filepath.Abs(r.dir)
	if err != nil {
		return err
	}
	for {
		st, err := os.Stat(filepath.Join(dir, ".git"))
		if err == nil {
			r.tree, r.gitDir = dir, filepath.Join(dir, ".git")
			if !st.IsDir() {
				if err := r.link(); err != nil {
					return err
				}
			}
			return r.readHead()
		}
		if dir == filepath.Dir(dir) {
			return errNoRepository
		}
		dir = filepath.Dir(dir)
	}
}

// link follows a .git that is a file: that of a linked work tree or a submodule.
func (r *repository) link() error {
	text, err := small(r.gitDir)
	if err != nil {
		return err
	}
	to, ok := strings.CutPrefix(text, "gitdir: ")
	if !ok {
		return fmt.Errorf("%s is not git's", r.gitDir)
	}
	if !filepath.IsAbs(to) {
		to = filepath.Join(r.tree, to)
	}
	r.gitDir = to
	return nil
}

var (
	commitText = lazyregexp.New(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	refText    = lazyregexp.New(`^refs/[^\s\\:?*\[^~]+$`)
)

func (r *repository) readHead() error {
	r.common = r.gitDir
	if text, err := small(filepath.Join(r.gitDir, "commondir")); err == nil {
		if r.common = text; !filepath.IsAbs(text) {
			r.common = filepath.Join(r.gitDir, text)
		}
	}
	text, err := small(filepath.Join(r.gitDir, "HEAD"))
	if err != nil {
		return err
	}
	if ref, ok := strings.CutPrefix(text, "ref: "); ok {
		if !refText.MatchString(ref) || strings.Contains(ref, "..") {
			return fmt.Errorf("HEAD is %q, which is not the name of a ref", ref)
		}
		r.head = ref
		return nil
	}
	if !commitText.MatchString(text) {
		return errors.New("HEAD is neither a commit nor a ref")
	}
	r.direct = text
	return nil
}

// commit resolves HEAD.
func (r *repository) commit() (string, error) {
	if r.direct != "" {
		return r.direct, nil
	}
	text, err := small(filepath.Join(r.common, filepath.FromSlash(r.head)))
	if err == nil && commitText.MatchString(text) {
		return text, nil
	}
	packed, err := limitedFile(filepath.Join(r.common, "packed-refs"), maxFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for line := range bytes.Lines(packed) {
		hash, name, ok := strings.Cut(strings.TrimSpace(string(line)), " ")
		if ok && name == r.head && commitText.MatchString(hash) {
			return hash, nil
		}
	}
	return "", fmt.Errorf("%s has no commit yet", r.head)
}

// small reads a file of one line.
func small(name string) (string, error) {
	data, err := limitedFile(name, 4<<10)
	return strings.TrimSpace(string(data)), err
}

func limitedFile(name string, most int64) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > most {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", name, most)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}

// gitTime is how long git may take.
const gitTime = 8 * time.Second

// run runs git on the repository.
func (r *repository) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), gitTime)
	defer cancel()
	safe, err := r.disarmed(ctx)
	if err != nil {
		return "", err
	}
	return r.git(ctx, append(safe, args...)...)
}

// disarmed are options that switch off the filters that the repository's own
// configuration names. Asking for them starts none.
func (r *repository) disarmed(ctx context.Context) ([]string, error) {
	out, err := r.git(ctx, "config", "--local", "--includes", "--name-only", "--null", "--get-regexp", `^filter\.`)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		return nil, nil // there are none
	}
	if err != nil {
		return nil, err
	}
	var options []string
	for key := range strings.SplitSeq(out, "\x00") {
		i := strings.LastIndexByte(key, '.')
		if i < 0 {
			continue
		}
		if strings.ContainsAny(key, "=\n") {
			return nil, fmt.Errorf("the repository has a filter with an unusable name, %q", key)
		}
		options = append(options, "-c", key[:i]+".clean=", "-c", key[:i]+".smudge=", "-c", key[:i]+".process=", "-c", key[:i]+".required=false")
	}
	return options, nil
}

func (r *repository) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{
		"--no-pager", "--git-dir=" + r.gitDir, "--work-tree=" + r.tree, "--literal-pathspecs",
		"-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.bareRepository=explicit",
	}, args...)...)
	cmd.Dir = r.tree
	cmd.Env = append(withoutGit(os.Environ()), "GIT_CONFIG_NOSYSTEM=1", "GIT_OPTIONAL_LOCKS=0", "GIT_TERMINAL_PROMPT=0", "GIT_NO_LAZY_FETCH=1", "LC_ALL=C")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(problems.String()); text != "" {
			return "", fmt.Errorf("git: %s: %w", text, err)
		}
		return "", fmt.Errorf("git: %w", err)
	}
	return out.String(), nil
}

// withoutGit drops the variables that would make git look at something else.
func withoutGit(environ []string) []string {
	var out []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "GIT_") {
			out = append(out, kv)
		}
	}
	return out
}
