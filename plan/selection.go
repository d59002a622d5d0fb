package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/lower"
)

// A Memo keeps digests from one run to the next; it may forget.
type Memo interface {
	Load(key string) ([]byte, bool)
	Store(key string, value []byte)
}

// selected is the digest of what src takes of a set of files. It is found anew
// only when the set has changed.
func (p *Planner) selected(ctx context.Context, t *Tree, src string) (string, error) {
	whole := t.Tree.Digest.String()
	if src == "" {
		return whole, nil
	}
	key := "selection " + t.Set.Dir + "\x00" + t.Name + "\x00" + src
	if p.Memo != nil {
		if v, ok := p.Memo.Load(key); ok {
			if of, d, ok := strings.Cut(string(v), " "); ok && of == whole {
				return d, nil
			}
		}
	}
	list, err := p.Files.List(ctx, t.Set)
	if err != nil {
		return "", err
	}
	d := whole
	if taken, ok := take(list, src); ok {
		d = digestOf(taken)
	}
	if p.Memo != nil {
		p.Memo.Store(key, []byte(whole+" "+d))
	}
	return d, nil
}

func digestOf(list []files.File) string {
	h := sha256.New()
	for _, f := range list {
		fmt.Fprintf(h, "%q %s\n", f.Path, f.Digest)
	}
	return "part:" + hex.EncodeToString(h.Sum(nil))
}

// take picks the files that src takes. It is not ok if a link on the way may
// lead elsewhere, or if nothing is there: then the whole set has to count.
func take(list []files.File, src string) ([]files.File, bool) {
	sel := lower.Selection{Src: src}
	depth := strings.Count(src, "/") + 1
	var out []files.File
	for _, f := range list {
		if isLink(f) && strings.Count(f.Path, "/") < depth && onTheWay(f.Path, src) {
			return nil, false
		}
		if sel.Matches(f.Path) {
			out = append(out, f)
		}
	}
	return out, len(out) > 0
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

// relevant are the files of a set that uses take.
func relevant(list []files.File, uses []string) []files.File {
	keep := make([]bool, len(list))
	for _, src := range uses {
		if src == "" {
			return list
		}
		if _, ok := take(list, src); !ok {
			return list
		}
		sel := lower.Selection{Src: src}
		for i, f := range list {
			keep[i] = keep[i] || sel.Matches(f.Path)
		}
	}
	var out []files.File
	for i, f := range list {
		if keep[i] {
			out = append(out, f)
		}
	}
	return out
}

// Counts reports whether a change of a path of the set counts for the target.
func (t *Tree) Counts(file string) bool {
	for _, src := range t.Uses {
		if src == "" || (lower.Selection{Src: src}).Matches(file) || onTheWay2(file, src) {
			return true
		}
	}
	return false
}

// onTheWay2 is onTheWay for a file that may be deeper than src.
func onTheWay2(file, src string) bool {
	return strings.Count(file, "/") <= strings.Count(src, "/") && onTheWay(file, src)
}
