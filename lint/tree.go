package lint

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// How much of a context is looked at, and from when on it is large.
const (
	maxEntries = 100_000
	largeFiles = 10_000
	largeBytes = 50 << 20
)

// A tree is what a build context has in it, what is ignored left out.
type tree struct {
	ignored bool // there is an ignore file
	files   int
	bytes   int64
	whole   bool     // nothing was left out for want of time
	git     bool     // .git is in it
	keys    []string // private keys, relative paths with slashes
}

func (t *tree) large() bool { return t.files > largeFiles || t.bytes > largeBytes }

// tree walks the target's context, once for all targets that have the same one
// and the same ignore file. It returns nil if there is none on this machine.
func (s *scope) tree() *tree {
	res := s.lowered[s.target.Name]
	if s.file == nil || res == nil {
		return nil
	}
	dir := res.Request.Locals["context"]
	if dir == "" {
		return nil
	}
	ignore := ignoreFile(dir, res.Request.Locals["dockerfile"], res.Request.Attrs["filename"])
	key := dir + "\x00" + ignore
	if t, ok := s.trees[key]; ok {
		return t
	}
	t := walk(dir, ignore)
	s.trees[key] = t
	return t
}

// ignoreFile is the file that says what the context leaves out, or "".
func ignoreFile(context, dockerfiles, name string) string {
	for _, f := range []string{filepath.Join(dockerfiles, name+".dockerignore"), filepath.Join(context, ".dockerignore")} {
		if fi, err := os.Stat(f); err == nil && fi.Mode().IsRegular() {
			return f
		}
	}
	return ""
}

var errEnough = errors.New("enough has been seen")

// walk looks at dir without following links. What can not be read is left out.
func walk(dir, ignore string) *tree {
	t := &tree{ignored: ignore != "", whole: true}
	match := readIgnore(ignore)
	seen := 0
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return nil //nolint:nilerr // what can not be read is no part of the context
		}
		if seen++; seen > maxEntries {
			return errEnough
		}
		rel := filepath.ToSlash(strings.TrimPrefix(strings.TrimPrefix(p, dir), string(filepath.Separator)))
		if out, err := match.MatchesOrParentMatches(rel); err == nil && out {
			if e.IsDir() && !match.Exclusions() {
				return fs.SkipDir
			}
			return nil
		}
		t.entry(p, rel, e)
		return nil
	})
	t.whole = err == nil
	return t
}

// readIgnore reads an ignore file; one that does not read ignores nothing, and
// BuildKit says so.
func readIgnore(file string) *patternmatcher.PatternMatcher {
	f, err := os.Open(file)
	if err != nil {
		return parseIgnore(strings.NewReader(""))
	}
	defer f.Close()
	return parseIgnore(f)
}

func parseIgnore(r io.Reader) *patternmatcher.PatternMatcher {
	patterns, err := ignorefile.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		patterns = nil
	}
	m, err := patternmatcher.New(patterns)
	if err != nil {
		m, _ = patternmatcher.New(nil)
	}
	return m
}

func (t *tree) entry(file, rel string, e fs.DirEntry) {
	if rel == ".git" {
		t.git = true
	}
	if !e.Type().IsRegular() {
		return
	}
	t.files++
	if fi, err := e.Info(); err == nil {
		t.bytes += fi.Size()
	}
	if keyName(path.Base(rel)) && holdsKey(file) {
		t.keys = append(t.keys, rel)
	}
}

// keyName says whether a file of this name may be a private key.
func keyName(name string) bool {
	switch name {
	case "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "identity":
		return true
	}
	return slices.Contains([]string{".pem", ".key", ".p8"}, path.Ext(name))
}

var privateKey = lazyregexp.New(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----`)

func holdsKey(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	var head bytes.Buffer
	if _, err := io.CopyN(&head, f, 64<<10); err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	return privateKey.Match(head.Bytes())
}

// A take is an instruction that reads from the main context.
type take struct {
	stage   *stage
	command instructions.Command
	sources []string // clean, relative; "." is all of it
	except  []string // patterns left out
	copies  bool     // into the image, unlike a mount
	word    string   // the source that is all of it, as written
}

// whole reports whether the whole context is taken.
func (t take) whole() bool { return slices.Contains(t.sources, ".") }

// takes lists what the target reads from its main context.
func (s *scope) takes() []take {
	var out []take
	each(s, func(st *stage, c instructions.Command) {
		t := take{stage: st, command: c, copies: true}
		var list []string
		switch c := c.(type) {
		case *instructions.CopyCommand:
			if c.From == "" {
				list, t.except = c.SourcePaths, c.ExcludePatterns
			}
		case *instructions.AddCommand:
			list, t.except = c.SourcePaths, c.ExcludePatterns
		case *instructions.RunCommand:
			t.copies = false
			for _, m := range instructions.GetMounts(c) {
				if m.Type == instructions.MountTypeBind && m.From == "" {
					list = append(list, m.Source)
				}
			}
		}
		for _, src := range list {
			if strings.Contains(src, "://") || strings.HasPrefix(src, "git@") {
				continue
			}
			clean := strings.TrimPrefix(path.Clean("/"+src), "/")
			if clean == "" || clean == "*" {
				clean, t.word = ".", src
			}
			t.sources = append(t.sources, clean)
		}
		if len(t.sources) > 0 {
			out = append(out, t)
		}
	})
	return out
}

// covers reports whether t copies the file rel.
func (t take) covers(rel string) bool {
	if !t.copies || matches(t.except, rel) {
		return false
	}
	return t.whole() || matches(t.sources, rel)
}

func matches(patterns []string, rel string) bool {
	ok, err := patternmatcher.MatchesOrParentMatches(rel, patterns)
	return err == nil && ok
}
