package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/moby/patternmatcher"
)

// This file looks for build files in a tree.

// Root is the directory that a command in dir starts from: dir itself, or if one
// of the targets starts with // the top of the checkout that dir is in. That is
// the nearest directory upwards with a .git, else the nearest with a build.hcl.
func Root(dir string, targets []string) string {
	if !slices.ContainsFunc(targets, fromTop) {
		return dir
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return dir
	}
	for _, name := range []string{".git", OwnFile} {
		for at := abs; ; at = filepath.Dir(at) {
			if _, err := os.Lstat(filepath.Join(at, name)); err == nil {
				return at
			}
			if at == filepath.Dir(at) {
				break
			}
		}
	}
	return dir
}

func fromTop(target string) bool { return strings.HasPrefix(target, "//") }

// addresses are the targets of the command line that name a path.
func (o LoadOptions) addresses() []address {
	var out []address
	for _, t := range o.Targets {
		if a, ok := parseAddress(t, ""); ok && o.Mode != ModeBake && !isRemote(t) {
			out = append(out, a)
		}
	}
	return out
}

// skipped are directories that are never looked into.
var skipped = map[string]bool{".git": true, "node_modules": true}

// ignoreFiles hold patterns of what is not looked into either.
var ignoreFiles = []string{".gitignore", ".strataignore"}

const maxWalked = 2_000_000

var errTooMany = errors.New("there are too many files to look through; name a directory further down")

// walk calls found for every file below dir that can be a build file, in order of
// their paths. It goes depth levels down, or all the way if that is negative.
func (l *includer) walk(dir string, depth int, found func(file string)) error {
	top := dir
	if top == "" {
		top = "."
	}
	if _, err := l.root.Stat(top); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if l.skip == nil {
		l.skip = &ignored{root: l.root, rules: map[string]*patternmatcher.PatternMatcher{}}
	}
	seen := 0
	return fs.WalkDir(l.root.FS(), top, func(name string, d fs.DirEntry, err error) error {
		if seen++; seen > maxWalked {
			return errTooMany
		}
		switch {
		case l.watch.stopped.Load():
			return errStopped
		case errors.Is(err, fs.ErrPermission):
			return fs.SkipDir // what can not be looked into has nothing to build
		case err != nil:
			return err
		case d.IsDir():
			if name != top && (skipped[d.Name()] || l.skip.has(name) || depth >= 0 && level(top, name) > depth) {
				return fs.SkipDir
			}
		case strings.HasSuffix(name, ".hcl") && !l.skip.has(name):
			if st, err := l.root.Stat(name); err == nil && st.Mode().IsRegular() {
				found(name)
			}
		}
		return nil
	})
}

// level is how many directories name is below top.
func level(top, name string) int {
	if top == "." {
		return strings.Count(name, "/") + 1
	}
	return strings.Count(strings.TrimPrefix(name, top), "/")
}

// glob lists the files that a pattern of an include block finds.
func (l *includer) glob(pattern string) ([]string, error) {
	if len(pattern) > maxPattern || !doublestar.ValidatePattern(pattern) {
		return nil, errors.New("it is not a pattern such as services/*/build.hcl")
	}
	base := staticDir(pattern)
	depth := -1
	if !strings.Contains(pattern, "**") {
		depth = strings.Count(strings.TrimPrefix(pattern, base+"/"), "/") + 1
	}
	var out []string
	err := l.walk(base, depth, func(file string) {
		if doublestar.MatchUnvalidated(pattern, file) || path.Base(file) == OwnFile && doublestar.MatchUnvalidated(pattern, path.Dir(file)) {
			out = append(out, file)
		}
	})
	return out, err
}

// staticDir is the part of a pattern before its first special character.
func staticDir(pattern string) string {
	if !isPattern(pattern) {
		return pattern
	}
	base, _ := doublestar.SplitPattern(pattern)
	if base == "." {
		return ""
	}
	return base
}

// ignored knows what the .gitignore and .strataignore files of a tree exclude.
type ignored struct {
	root  *os.Root
	rules map[string]*patternmatcher.PatternMatcher // by directory; nil if it has none
}

// has reports whether a file of the directories above excludes name.
func (g *ignored) has(name string) bool {
	for dir := path.Dir(name); ; dir = path.Dir(dir) {
		if rules := g.of(dir); rules != nil {
			rel := name
			if dir != "." {
				rel = strings.TrimPrefix(name, dir+"/")
			}
			if hit, err := rules.MatchesOrParentMatches(rel); err == nil && hit {
				return true
			}
		}
		if dir == "." {
			return false
		}
	}
}

// of reads the rules of one directory. A file that can not be read, or that is
// not understood, excludes nothing.
func (g *ignored) of(dir string) *patternmatcher.PatternMatcher {
	rules, there := g.rules[dir]
	if there {
		return rules
	}
	var patterns []string
	for _, name := range ignoreFiles {
		if data, err := readRegular(g.root, path.Join(dir, name), maxRead); err == nil {
			patterns = append(patterns, ignorePatterns(string(data))...)
		}
	}
	if len(patterns) > 0 {
		if m, err := patternmatcher.New(patterns); err == nil {
			rules = m
		}
	}
	g.rules[dir] = rules
	return rules
}

// ignorePatterns turns the lines of a .gitignore file into those of a
// .dockerignore file: https://git-scm.com/docs/gitignore#_pattern_format.
func ignorePatterns(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		line, not := strings.CutPrefix(line, "!")
		line = strings.TrimSuffix(line, "/")
		if !strings.Contains(line, "/") {
			line = "**/" + line
		}
		line = strings.TrimPrefix(line, "/")
		if line == "" {
			continue
		}
		if not {
			line = "!" + line
		}
		out = append(out, line)
	}
	return out
}
