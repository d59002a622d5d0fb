package files

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestGeneration(t *testing.T) {
	old := epoch.Add(-time.Hour)
	for _, tc := range []struct {
		name string
		do   func(*tree)
		want bool // another generation
	}{
		{"nothing", func(*tree) {}, false},
		{"an edit", func(tr *tree) { tr.write("app/main.go", "app/MAIN.go") }, false},
		{"another size", func(tr *tree) { tr.write("app/main.go", "longer than it was before") }, false},
		{"touch to an older time", func(tr *tree) { tr.must(os.Chtimes(tr.path("app/main.go"), old, old)) }, false},
		{"same size and mtime", func(tr *tree) { tr.rewrite("app/main.go", "app/MAIN.go") }, true},
		{"same size and mtime by rename", func(tr *tree) {
			fi, err := os.Stat(tr.path("app/main.go"))
			tr.must(err)
			tr.write("new", "app/MAIN.go")
			tr.must(os.Chtimes(tr.path("new"), fi.ModTime(), fi.ModTime()))
			tr.must(os.Rename(tr.path("new"), tr.path("app/main.go")))
		}, true},
		{"an older file", func(tr *tree) {
			tr.write("app/main.go", "app/MAIN.go")
			tr.must(os.Chtimes(tr.path("app/main.go"), old, old))
		}, true},
		{"an attribute", func(tr *tree) {
			tr.must(unix.Lsetxattr(tr.path("app/main.go"), "user.strata", []byte("x"), 0))
		}, true},
		{"a mode", func(tr *tree) { tr.must(os.Chmod(tr.path("app/main.go"), 0o600)) }, false},
		{"a mode of a directory", func(tr *tree) { tr.must(os.Chmod(tr.path("app"), 0o700)) }, true},
		{"a directory in its place", func(tr *tree) {
			tr.must(os.Remove(tr.path("app/main.go")))
			tr.must(os.Mkdir(tr.path("app/main.go"), 0o755))
		}, false},
		{"a file that is not read", func(tr *tree) { tr.rewrite("README.md", "readme.md") }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, home := shop(t), t.TempDir()
			other := shop(t)
			look := func() (string, string) {
				c := Open(home, Options{Now: later})
				digestOf(t, c, tr.set("app"))
				digestOf(t, c, other.set())
				tr.must(c.Save())
				return c.Generation(tr.dir), c.Generation(other.dir)
			}
			before, beside := look()
			tc.do(tr)
			after, beside2 := look()
			if (after != before) != tc.want {
				t.Errorf("another generation: %v, want %v", after != before, tc.want)
			}
			if beside2 != beside {
				t.Error("another directory has a new generation")
			}
			if again, _ := look(); again != after {
				t.Error("the generation does not last")
			}
		})
	}
}

// What a later command cannot know makes a generation of its own.
func TestGenerationOfAnotherCache(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	seen := map[string]string{}
	note := func(what string, c *Cache) {
		t.Helper()
		digestOf(t, c, tr.set())
		if err := c.Save(); (err != nil) != (what == "one that cannot write") {
			t.Fatalf("%s: %v", what, err)
		}
		g := c.Generation(tr.dir)
		if old, ok := seen[g]; ok {
			t.Errorf("%s has the generation of %s", what, old)
		}
		seen[g] = what
	}
	note("the first", Open(home, Options{Now: later}))
	note("none", Open("", Options{}))
	note("none again", Open("", Options{}))
	tr.must(os.RemoveAll(home))
	note("a new one", Open(home, Options{Now: later}))
	note("one that cannot write", Open(filepath.Join(tr.path("README.md"), "x"), Options{}))

	c := Open(home, Options{Now: later})
	b, err := os.ReadFile(filepath.Join(home, fileName))
	tr.must(err)
	b[len(b)-1]++
	tr.must(os.WriteFile(filepath.Join(home, fileName), b, 0o600))
	c = Open(home, Options{Now: later})
	tr.write("app/main.go", "new") // so that records are needed
	note("one with damaged records", c)
}
