package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/plan"
)

// A sight is what a plan rests on: the files that say what targets are made of,
// and the sets of files that the targets are sent.
type sight struct {
	r    *buildRun
	says map[string]string // build files, Dockerfiles, ignore files and what expressions read: SHA-256, "" if not there
	sets map[string][]*plan.Tree
	has  map[string]bool // directories that hold files which are read
}

// newSight looks at what the plan of r rests on.
func newSight(ctx context.Context, r *buildRun) *sight {
	s := &sight{r: r, says: map[string]string{}, sets: map[string][]*plan.Tree{}, has: map[string]bool{}}
	for _, name := range r.cfg.Reads {
		s.says[r.absolute(name)] = unknownSum
	}
	for name, f := range r.cfg.Files {
		s.says[r.absolute(name)] = hexSum(f.Bytes)
	}
	for _, t := range r.plan.Targets {
		if b, err := r.planning.lowerer.Brief(t.Name); err == nil {
			for _, read := range b.Reads {
				s.says[read.Path] = read.Sum
			}
		}
		for i := range t.Trees {
			key := strings.Join(append(append([]string{t.Trees[i].Set.Dir}, t.Trees[i].Set.Include...), t.Trees[i].Set.Exclude...), "\x00")
			s.sets[key] = append(s.sets[key], &t.Trees[i])
			s.note(ctx, &t.Trees[i])
		}
	}
	return s
}

// note notes the directories of the files in a tree.
func (s *sight) note(ctx context.Context, t *plan.Tree) {
	list, err := s.r.planning.files.List(ctx, t.Set)
	if err != nil {
		return // it is gone by now, of which its directory tells
	}
	for _, f := range list {
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			full := filepath.Join(t.Set.Dir, filepath.FromSlash(dir))
			if s.has[full] {
				break
			}
			s.has[full] = true
		}
	}
}

// unknownSum stands for the content of a file of which only the name is known.
const unknownSum = "?"

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// stale reports whether something is no longer as the plan found it.
func (s *sight) stale(ctx context.Context) bool {
	for name, sum := range s.says {
		if sum == unknownSum {
			continue
		}
		data, err := os.ReadFile(name)
		if now := hexSum(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))); err != nil && sum != "" || err == nil && now != sum && hexSum(data) != sum {
			return true
		}
	}
	for _, trees := range s.sets {
		for _, t := range trees {
			changed, err := s.r.planning.files.Changed(ctx, t.Set, t.Tree)
			if err != nil || slices.ContainsFunc(changed, t.Counts) {
				return true
			}
		}
	}
	return false
}

// affects reports whether a saved path may change what a target is made of.
func (s *sight) affects(name string) bool {
	if _, says := s.says[name]; says {
		return true
	}
	if passing(filepath.Base(name)) || s.r.planning.places.Writes(s.r.sel.Targets, name) {
		return false
	}
	st, err := os.Lstat(name)
	isDir := err == nil && st.IsDir()
	for _, trees := range s.sets {
		rel, below := within(trees[0].Set.Dir, name)
		if !below {
			continue
		}
		if rel == "." {
			return true
		}
		for _, t := range trees {
			if s.reads(t, rel) || isDir && t.Counts(rel) {
				return true
			}
		}
	}
	return false
}

// passing reports whether an editor makes files of this name for itself while it
// works or saves. They are no reason to build.
func passing(base string) bool {
	if base == "4913" || strings.HasSuffix(base, "~") || strings.HasPrefix(base, ".#") {
		return true
	}
	swap, err := path.Match(".*.sw?", base)
	return swap && err == nil
}

// reads reports whether a set reads a file. What it follows is known as it was
// when the plan was made; a file that is new or gone is found by what takes it.
func (s *sight) reads(t *plan.Tree, rel string) bool {
	if yes, err := s.r.planning.files.Match(t.Set, rel); yes || err != nil {
		return true
	}
	set := t.Set
	set.Follow = nil
	yes, err := s.r.planning.files.Match(set, rel)
	return err != nil || yes && t.Counts(rel)
}

// within is the path of name from dir, with slashes.
func within(dir, name string) (string, bool) {
	rel, err := filepath.Rel(dir, name)
	if err != nil || !filepath.IsLocal(rel) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

// dirs are the directories to watch, sorted.
func (s *sight) dirs() []string {
	all := map[string]bool{}
	for name := range s.says {
		all[filepath.Dir(name)] = true
	}
	for _, trees := range s.sets {
		top := trees[0].Set.Dir
		all[filepath.Dir(top)] = true // it may be removed and made again
		all[top] = true
		s.below(top, ".", trees, all)
	}
	return slices.Sorted(maps.Keys(all))
}

// below adds the directories below rel that hold, or may come to hold, files
// that one of the trees reads. They differ in what they take only.
func (s *sight) below(top, rel string, trees []*plan.Tree, all map[string]bool) {
	entries, err := os.ReadDir(filepath.Join(top, filepath.FromSlash(rel)))
	if err != nil {
		return // the plan has told what can not be read and has to be
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		sub := path.Join(rel, e.Name())
		full := filepath.Join(top, filepath.FromSlash(sub))
		taken := slices.ContainsFunc(trees, func(t *plan.Tree) bool { return t.Counts(sub) })
		if !s.has[full] && (!taken || s.ignored(trees[0].Set, sub)) {
			continue
		}
		all[full] = true
		s.below(top, sub, trees, all)
	}
}

// ignored reports whether nothing below a directory can be read, whatever it is
// called.
func (s *sight) ignored(set files.Set, dir string) bool {
	set.Include, set.Follow = nil, nil
	yes, err := s.r.planning.files.Match(set, dir+"/"+"\x01") // a name that no pattern means
	if err != nil || yes {
		return false
	}
	for _, pattern := range set.Exclude {
		wanted, negated := strings.CutPrefix(pattern, "!")
		if !negated {
			continue
		}
		wanted = strings.TrimPrefix(wanted, "/")
		if i := strings.IndexAny(wanted, `*?[\`); i >= 0 {
			wanted = wanted[:i]
		}
		if strings.HasPrefix(wanted, dir+"/") || strings.HasPrefix(dir+"/", wanted) {
			return false
		}
	}
	return true
}
