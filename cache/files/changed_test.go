package files

import (
	"os"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestChanged(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*tree)
		want []string
	}{
		{"nothing", func(*tree) {}, nil},
		{"content", func(tr *tree) { tr.write("app/main.go", "new") }, []string{"app/main.go"}},
		{"same size and mtime", func(tr *tree) { tr.rewrite("app/main.go", "app/MAIN.go") }, []string{"app/main.go"}},
		{"touch", func(tr *tree) { tr.must(os.Chtimes(tr.path("app/main.go"), epoch, epoch.Add(-time.Hour))) }, nil},
		{"mode", func(tr *tree) { tr.must(os.Chmod(tr.path("app/main.go"), 0o600)) }, []string{"app/main.go"}},
		{"attribute", func(tr *tree) {
			tr.must(unix.Lsetxattr(tr.path("app"), "user.strata", []byte("x"), 0))
		}, []string{"app"}},
		{"added and removed", func(tr *tree) { tr.must(os.Rename(tr.path("app/main.go"), tr.path("app/a.go"))) }, []string{"app/a.go", "app/main.go"}},
		{"not read", func(tr *tree) { tr.write("README.md", "new") }, nil},
		{"all", func(tr *tree) { tr.must(os.RemoveAll(tr.path("app"))) }, []string{"app", "app/main.go", "app/util.go"}},
	} {
		for _, memory := range []string{"read now", "remembered", "racy"} {
			t.Run(tc.name+", "+memory, func(t *testing.T) {
				tr, home := shop(t), t.TempDir()
				opts := Options{Now: later}
				if memory == "racy" {
					opts.Now = nil
				}
				s := tr.set("app")
				c := Open(home, opts)
				if memory == "remembered" {
					digestOf(t, c, s)
					tr.must(c.Save())
					c = Open(home, opts)
				}
				was, err := c.Digest(t.Context(), s)
				tr.must(err)
				tc.do(tr)
				got, err := c.Changed(t.Context(), s, was)
				tr.must(err)
				if !reflect.DeepEqual(got, tc.want) {
					t.Errorf("got %q, want %q", got, tc.want)
				}
			})
		}
	}
}

// Files so new that a stamp proves nothing are read again, and only then is a
// change found that no stamp shows.
func TestChangedReadsWhatIsRacy(t *testing.T) {
	tr := newTestTree(t, "dir/file")
	now := epoch
	c := Open("", Options{Now: func() time.Time { return now }})
	was, err := c.Digest(t.Context(), tr.set())
	tr.must(err)
	tr.rewrite("dir/file", "other!!!")
	for i, n := range was.nodes { // as if all within one step of the clock
		st, err := lstat(tr.path(n.path))
		tr.must(err)
		was.nodes[i].stamp = &st
	}
	was.sign = sign(was.nodes)
	now = later()
	got, err := c.Changed(t.Context(), tr.set(), was)
	tr.must(err)
	if !reflect.DeepEqual(got, []string{"dir/file"}) {
		t.Errorf("got %q", got)
	}
}

// After many targets have been built, each of them asks; what they share is read
// for the first.
func TestChangedSharesReading(t *testing.T) {
	tr := newTestTree(t, "a", "b")
	now := epoch
	c := Open("", Options{Now: func() time.Time { return now }})
	sets := []Set{tr.set(), tr.set("a"), tr.set("a", "b")}
	var was []*Tree
	for _, s := range sets {
		w, err := c.Digest(t.Context(), s)
		tr.must(err)
		was = append(was, w)
	}
	now = later()
	c.counts.reads.Store(0)
	for i, s := range sets {
		if got, err := c.Changed(t.Context(), s, was[i]); err != nil || len(got) > 0 {
			t.Errorf("got %q, %v", got, err)
		}
	}
	if n := c.counts.reads.Load(); n != 2 {
		t.Errorf("%d files read, want 2", n)
	}
}
