package files

import (
	"os"
	"testing"
	"time"
)

// rewrite gives a file other content of the same size, and its old mtime.
func (tr *tree) rewrite(name, text string) {
	tr.t.Helper()
	fi, err := os.Stat(tr.path(name))
	tr.must(err)
	f, err := os.OpenFile(tr.path(name), os.O_WRONLY, 0)
	tr.must(err)
	defer f.Close()
	_, err = f.WriteString(text)
	tr.must(err)
	tr.must(os.Chtimes(tr.path(name), fi.ModTime(), fi.ModTime()))
}

// forge makes the stat cache believe that what is on disk now has the stamps of
// what it read before: a change that lstat does not show, as one within a step
// of the file system's clock.
func forge(t *testing.T, c *Cache, s Set) {
	t.Helper()
	d := c.store.section(s.Dir)
	for path, r := range d.entries {
		st, err := lstat(s.Dir + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		same := *r
		same.stamp = st
		d.entries[path] = &same
	}
	nodes, err := walk(t.Context(), newLister(&c.counts), s.Dir, s)
	if err != nil {
		t.Fatal(err)
	}
	c.store.sets[s.key()].sign = sign(nodes)
}

func TestClocks(t *testing.T) {
	for _, tc := range []struct {
		name          string
		first, second time.Time // when two commands look
		verify        bool
		notice        bool
	}{
		{"long after", later(), later().Add(time.Hour), false, false},
		{"long after, verified", later(), later().Add(time.Hour), true, true},
		{"within the window", epoch.Add(time.Second), later(), false, true},
		{"before the file: its mtime is in the future", epoch.Add(-time.Hour), later(), false, true},
		{"the clock was set back", later(), epoch.Add(-time.Hour), false, true},
		{"the year 2099, then now", time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC), later(), false, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, home := newTestTree(t, "dir/file"), t.TempDir()
			tr.must(os.Chtimes(tr.path("dir/file"), epoch, epoch))
			c := Open(home, Options{Now: func() time.Time { return tc.first }})
			before := digestOf(t, c, tr.set())
			tr.rewrite("dir/file", "other!!!")
			forge(t, c, tr.set())
			tr.must(c.Save())
			c = Open(home, Options{Now: func() time.Time { return tc.second }, Verify: tc.verify})
			after := digestOf(t, c, tr.set())
			if noticed := after != before; noticed != tc.notice {
				t.Errorf("noticed: %v, want %v", noticed, tc.notice)
			}
		})
	}
}

// With the same size and mtime, what changed is seen by ctime, or by inode.
func TestTouchReference(t *testing.T) {
	tr, home := newTestTree(t, "dir/file", "dir/other"), t.TempDir()
	c := Open(home, Options{Now: later})
	before := digestOf(t, c, tr.set())
	tr.must(c.Save())
	tr.rewrite("dir/file", "other!!!")
	c = Open(home, Options{Now: later})
	if digestOf(t, c, tr.set()) == before {
		t.Error("not noticed")
	}
	if n := c.counts.reads.Load(); n != 1 {
		t.Errorf("%d files read, want the one", n)
	}
}

// A racy entry is read again once, and then no more.
func TestRacyIsReadOnce(t *testing.T) {
	tr, home := newTestTree(t, "a", "b", "c"), t.TempDir()
	for i, want := range []int64{3, 3, 0} {
		now := later()
		if i == 0 {
			now = epoch
		}
		c := Open(home, Options{Now: func() time.Time { return now }})
		digestOf(t, c, tr.set())
		digestOf(t, c, tr.set("a")) // in one command nothing is read twice
		if n := c.counts.reads.Load(); n != want {
			t.Errorf("command %d read %d files, want %d", i, n, want)
		}
		tr.must(c.Save())
	}
}

func TestVerifyReadsEachFileOnce(t *testing.T) {
	tr, home := newTestTree(t, "a", "b", "c"), t.TempDir()
	for range 2 {
		c := Open(home, Options{Now: later, Verify: true})
		digestOf(t, c, tr.set())
		digestOf(t, c, tr.set("a"))
		if n := c.counts.reads.Load(); n != 3 {
			t.Errorf("%d files read, want 3", n)
		}
		tr.must(c.Save())
	}
}
