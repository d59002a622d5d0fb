package files

import (
	"path"
	"slices"
	"strings"

	"github.com/tonistiigi/fsutil"
)

// A fence is the paths outside of which no pattern can match. The filter asks
// its patterns about every name in a directory that it enters; in a directory
// with a thousand parts, of which each of a thousand targets reads one, that
// costs more than all else. A fence only spares questions whose answer is no.
type fence struct {
	paths []string // sorted; nil is no fence
}

// newFence returns the fence of what s includes.
func newFence(v *view, s Set) (fence, error) {
	patterns := s.Include
	if s.Follow != nil {
		targets, err := fsutil.FollowLinks(v, s.Follow)
		if err != nil {
			return fence{}, err
		}
		patterns = slices.Concat(patterns, targets)
	}
	var paths []string
	for _, p := range patterns {
		p = strings.TrimSpace(p)
		if p == "" || p[0] == '!' {
			continue
		}
		p = fixed(path.Clean(p))
		if p == "" {
			return fence{}, nil
		}
		paths = append(paths, p)
	}
	slices.Sort(paths)
	return fence{slices.Compact(paths)}, nil
}

// fixed is the part of pattern before its first name that is not only itself,
// "" if there is none, or the pattern has a form that needs the filter to tell.
func fixed(pattern string) string {
	if pattern == "." || pattern[0] == '/' || strings.HasPrefix(pattern, "..") {
		return ""
	}
	if i := strings.IndexAny(pattern, `*[]?^\`); i >= 0 {
		pattern = pattern[:strings.LastIndex(pattern[:i], "/")+1]
	}
	return strings.TrimSuffix(pattern, "/")
}

// names returns the names in the directory rel that are inside the fence, and
// whether that is not all of them.
func (f fence) names(rel string) ([]string, bool) {
	if f.paths == nil {
		return nil, false
	}
	prefix := ""
	if rel != "" {
		prefix = rel + "/"
		for p := rel; p != "."; p = path.Dir(p) {
			if _, ok := slices.BinarySearch(f.paths, p); ok {
				return nil, false
			}
		}
	}
	var names []string
	i, _ := slices.BinarySearch(f.paths, prefix)
	for _, p := range f.paths[i:] {
		rest, ok := strings.CutPrefix(p, prefix)
		if !ok {
			break
		}
		name, _, _ := strings.Cut(rest, "/")
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), true
}

// inside returns those of entries, which are in the directory rel, that are
// inside the fence.
func (f fence) inside(rel string, entries []*entry) []*entry {
	names, some := f.names(rel)
	if !some {
		return entries
	}
	list := make([]*entry, 0, len(names))
	for _, name := range names {
		if i, ok := slices.BinarySearchFunc(entries, name, byName); ok {
			list = append(list, entries[i])
		}
	}
	return list
}

func byName(e *entry, name string) int { return strings.Compare(e.name, name) }
