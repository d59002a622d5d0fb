package files

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"testing"
)

// A file is matched exactly if it would be sent, whether or not it exists.
func TestMatchIsWhatIsSent(t *testing.T) {
	for seed := range int64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newGrower(t, 1000+seed)
			for range 60 {
				g.step()
			}
			for range 6 {
				s := g.anySet()
				read := map[string]bool{}
				for _, f := range sent(t, s) {
					read[f.Path] = true
				}
				c := Open("", Options{})
				gone, empty := Open("", Options{}), s
				empty.Dir = t.TempDir()
				err := filepath.WalkDir(g.dir, func(p string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() {
						return err
					}
					rel, _ := filepath.Rel(g.dir, p)
					if got, err := c.Match(s, rel); err != nil || got != read[rel] {
						t.Errorf("%+v %q: %v, %v; want %v", s, rel, got, err, read[rel])
					}
					if s.Follow == nil { // without links, what is on disk does not matter
						if got, err := gone.Match(empty, rel); err != nil || got != read[rel] {
							t.Errorf("%+v %q, removed: %v, %v; want %v", s, rel, got, err, read[rel])
						}
					}
					return nil
				})
				g.must(err)
			}
		})
	}
}

func TestMatch(t *testing.T) {
	tr := newTestTree(t, "app/main.go")
	s := Set{Dir: tr.dir, Follow: []string{"app", "*.txt"}, Exclude: []string{"**/*.tmp", "!app/keep.tmp"}}
	c := Open("", Options{})
	for file, want := range map[string]bool{
		"app/main.go": true, "app/gone.go": true, "app/new/deep.go": true, "app/x.tmp": false, "app/keep.tmp": true,
		"gone.txt": true, "gone.md": false, "../app/main.go": false, "/app/main.go": false, ".": false, "app/../gone.md": false,
	} {
		if got, err := c.Match(s, file); err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", file, got, err, want)
		}
	}
}
