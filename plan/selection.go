package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/lower"
)

// A Memo keeps digests from one run to the next; it may forget.
type Memo interface {
	Load(key string) ([]byte, bool)
	Store(key string, value []byte)
}

// selected is the digest of what u takes of a set of files, and the selections
// of the set that this is, see [expand]; "" if it is all. It is found anew only
// when the set has changed.
func (p *Planner) selected(ctx context.Context, t *Tree, u lower.Use) (string, []string, error) {
	whole := t.Tree.Digest.String()
	if u.Src == "" {
		return whole, []string{""}, nil
	}
	key := fmt.Sprintf("selection 3 %s\x00%s\x00%s\x00%t", t.Set.Dir, t.Name, u.Src, u.Contents)
	if p.Memo != nil {
		if v, ok := p.Memo.Load(key); ok {
			if kept := strings.Split(string(v), "\x00"); len(kept) > 2 && kept[0] == whole {
				return kept[1], kept[2:], nil
			}
		}
	}
	list, err := p.Files.List(ctx, t.Set)
	if err != nil {
		return "", nil, err
	}
	d, selections := whole, []string{""}
	if all := expand(list, u); all != nil {
		d, selections = digestOf(matching(list, all)), all
	}
	if p.Memo != nil {
		p.Memo.Store(key, []byte(strings.Join(append([]string{whole, d}, selections...), "\x00")))
	}
	return d, selections, nil
}

func digestOf(list []files.File) string {
	h := sha256.New()
	for _, f := range list {
		fmt.Fprintf(h, "%q %s\n", f.Path, f.Digest)
	}
	return "part:" + hex.EncodeToString(h.Sum(nil))
}

// maxLinks is how many links are followed, as in Linux (path_resolution(7)).
const maxLinks = 40

// expand lists the selections that u is when links are followed as the engine
// follows them: those on the way, and where the last one leads. A directory of
// which only the contents are taken has a slash at its end. It is nil if that can
// not be told, or nothing is there: then the whole set has to count.
func expand(list []files.File, u lower.Use) []string {
	parts := strings.Split(u.Src, "/")
	wild := slices.IndexFunc(parts, func(s string) bool { return strings.ContainsAny(s, `*?[\`) })
	if wild < 0 {
		wild = len(parts)
	}
	at, out := "", []string(nil)
	for rest, links := parts[:wild], 0; len(rest) > 0; {
		if rest[0] == "" || rest[0] == "." || rest[0] == ".." {
			if rest[0] == ".." {
				at = strings.TrimPrefix(path.Dir("/"+at), "/")
			}
			rest = rest[1:]
			continue
		}
		next := path.Join(at, rest[0])
		f, found := entry(list, next)
		if !found {
			return nil
		}
		if !isLink(f) {
			at, rest = next, rest[1:]
			continue
		}
		if links++; links > maxLinks {
			return nil
		}
		out = append(out, next)
		if path.IsAbs(f.Link) {
			at = ""
		}
		rest = append(strings.Split(f.Link, "/"), rest[1:]...)
	}
	if wild == len(parts) {
		if at == "" {
			return nil
		}
		if f, _ := entry(list, at); u.Contents && fs.FileMode(f.Mode).IsDir() {
			at += "/"
		}
		return append(out, at)
	}
	pattern := path.Join(append([]string{at}, parts[wild:]...)...)
	if !straight(list, pattern) {
		return nil
	}
	return append(out, pattern)
}

// entry finds a path in a sorted list.
func entry(list []files.File, name string) (files.File, bool) {
	i, found := slices.BinarySearchFunc(list, name, func(f files.File, p string) int { return strings.Compare(f.Path, p) })
	if !found {
		return files.File{}, false
	}
	return list[i], true
}

// straight reports whether a pattern matches something, and nothing by a link.
func straight(list []files.File, pattern string) bool {
	found := false
	depth := strings.Count(pattern, "/") + 1
	for _, f := range list {
		if isLink(f) && strings.Count(f.Path, "/") < depth && onTheWay(f.Path, pattern) {
			return false
		}
		found = found || lower.Selection{Src: pattern}.Matches(f.Path)
	}
	return found
}

// matching are the files that any of the selections takes.
func matching(list []files.File, selections []string) []files.File {
	return slices.DeleteFunc(slices.Clone(list), func(f files.File) bool {
		return !slices.ContainsFunc(selections, func(src string) bool { return lower.Selection{Src: src}.Matches(f.Path) })
	})
}

// withDirs are selections with the directories themselves of which only the contents
// are taken: BuildKit's cache looks at these too.
func withDirs(selections []string) []string {
	out := slices.Clone(selections)
	for i, src := range out {
		out[i] = strings.TrimSuffix(src, "/")
	}
	return out
}

func isLink(f files.File) bool { return fs.FileMode(f.Mode)&fs.ModeSymlink != 0 || f.Link != "" }

// onTheWay reports whether file is a beginning of what src may name.
func onTheWay(file, src string) bool {
	n := strings.Count(file, "/") + 1
	start := strings.Join(strings.Split(src, "/")[:n], "/")
	if file == start {
		return true
	}
	ok, err := path.Match(start, file)
	return ok || err != nil
}

// Counts reports whether a change of a path of the set counts for the target.
func (t *Tree) Counts(file string) bool {
	for _, src := range t.Uses {
		if src == "" || (lower.Selection{Src: src}).Matches(file) || mayLead(file, src) {
			return true
		}
	}
	return false
}

// mayLead reports whether file, if it is or becomes a link, may lead src elsewhere.
func mayLead(file, src string) bool {
	return strings.Count(file, "/") <= strings.Count(src, "/") && onTheWay(file, src)
}
