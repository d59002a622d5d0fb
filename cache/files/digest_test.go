package files

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shop is a build context as people have it.
func shop(t testing.TB) *tree {
	tr := newTestTree(t, "Dockerfile", "app/main.go", "app/util.go", "assets/logo.svg", "assets/real/data", "lib/lib.go", "secret.pem", "README.md")
	tr.must(os.Symlink("real/data", tr.path("assets/link")))
	tr.must(os.Chmod(tr.path("app/util.go"), 0o644))
	return tr
}

// What changes a digest, and what does not.
func TestWhatCounts(t *testing.T) {
	copied := func(tr *tree) Set {
		return Set{Dir: tr.dir, Follow: []string{"app", "assets/link", "lib/*.go"}, Exclude: []string{"*.pem", "app/ignored"}}
	}
	for _, tc := range []struct {
		name string
		do   func(*tree) error
		want bool // another digest
	}{
		{"touch", func(tr *tree) error { return os.Chtimes(tr.path("app/main.go"), epoch, epoch.Add(-time.Hour)) }, false},
		{"touch of a directory", func(tr *tree) error { return os.Chtimes(tr.path("app"), epoch, epoch.Add(-time.Hour)) }, false},
		{"a file that is not read", func(tr *tree) error { return os.WriteFile(tr.path("README.md"), []byte("new"), 0o644) }, false},
		{"a file beside a glob", func(tr *tree) error { return os.WriteFile(tr.path("lib/notes.txt"), []byte("new"), 0o644) }, false},
		{"a new file in a glob", func(tr *tree) error { return os.WriteFile(tr.path("lib/new.go"), nil, 0o644) }, true},
		{"content", func(tr *tree) error { return os.WriteFile(tr.path("app/main.go"), []byte("app/MAIN.go"), 0o644) }, true},
		{"an added file", func(tr *tree) error { return os.WriteFile(tr.path("app/new.go"), nil, 0o644) }, true},
		{"an added empty directory", func(tr *tree) error { return os.Mkdir(tr.path("app/empty"), 0o755) }, true},
		{"a removed file", func(tr *tree) error { return os.Remove(tr.path("app/util.go")) }, true},
		{"a renamed file", func(tr *tree) error { return os.Rename(tr.path("app/util.go"), tr.path("app/u.go")) }, true},
		{"an ignored file", func(tr *tree) error { return os.WriteFile(tr.path("secret.pem"), []byte("new"), 0o644) }, false},
		{"a new ignored file", func(tr *tree) error { return os.WriteFile(tr.path("app/ignored"), nil, 0o644) }, false},
		{"where a followed link leads", func(tr *tree) error {
			_ = os.Remove(tr.path("assets/link"))
			return os.Symlink("logo.svg", tr.path("assets/link"))
		}, true},
		{"what is behind a followed link", func(tr *tree) error { return os.WriteFile(tr.path("assets/real/data"), []byte("new"), 0o644) }, true},
		{"a mode", func(tr *tree) error { return os.Chmod(tr.path("app/util.go"), 0o755) }, true},
		{"a directory's mode", func(tr *tree) error { return os.Chmod(tr.path("app"), 0o700) }, true},
		{"the mode of a file that is not read", func(tr *tree) error { return os.Chmod(tr.path("README.md"), 0o600) }, false},
		{"an owner", func(tr *tree) error { return os.Chown(tr.path("app/util.go"), 12, 34) }, false},
		{"an extended attribute", func(tr *tree) error {
			return unix.Lsetxattr(tr.path("app/util.go"), "user.strata", []byte("x"), 0)
		}, true},
		{"a file that is now a link to the same content", func(tr *tree) error {
			_ = os.Rename(tr.path("app/util.go"), tr.path("app/main.go"))
			return os.Symlink("main.go", tr.path("app/util.go"))
		}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr, home := shop(t), t.TempDir()
			c := Open(home, Options{})
			before := digestOf(t, c, copied(tr))
			tr.must(c.Save())
			tr.must(tc.do(tr))
			after := digestOf(t, Open(home, Options{}), copied(tr))
			if (after != before) != tc.want {
				t.Errorf("another digest: %v, want %v", after != before, tc.want)
			}
			if after != fresh(t, copied(tr)) {
				t.Error("the digest depends on what the stat cache held")
			}
		})
	}
}

// BuildKit's content hash takes a hard link for a copy.
func TestHardLinkIsACopy(t *testing.T) {
	tr := newTestTree(t)
	tr.write("a", "same")
	tr.write("b", "same")
	copies := fresh(t, tr.set())
	tr.must(os.Remove(tr.path("b")))
	tr.must(os.Link(tr.path("a"), tr.path("b")))
	if fresh(t, tr.set()) != copies {
		t.Error("a hard link differs from a copy")
	}
}

// When nothing changed nothing is read, and the records are not even decoded.
func TestNothingIsReadAgain(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	first := Open(home, Options{Now: later})
	want, err := first.Digest(t.Context(), tr.set())
	tr.must(err)
	if want.Files != 9 || want.Bytes == 0 {
		t.Errorf("%d files of %d bytes", want.Files, want.Bytes)
	}
	if n := first.counts.reads.Load(); n != 8 {
		t.Errorf("%d files read at first, want 8", n)
	}
	tr.must(first.Save())

	c := Open(home, Options{Now: later})
	got, err := c.Digest(t.Context(), tr.set())
	tr.must(err)
	if got.Digest != want.Digest || got.Files != want.Files || got.Bytes != want.Bytes {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if n := c.counts.reads.Load(); n != 0 {
		t.Errorf("%d files read again", n)
	}
	if c.store.section(tr.dir).entries != nil {
		t.Error("the records were decoded")
	}
	if changed, err := c.Changed(t.Context(), tr.set(), got); err != nil || len(changed) > 0 {
		t.Errorf("changed %q, %v", changed, err)
	}
	list, err := c.List(t.Context(), tr.set())
	tr.must(err)
	if n := c.counts.reads.Load(); n != 0 || len(list) != 13 {
		t.Errorf("%d files read for a list of %d", n, len(list))
	}
	// Another Set of the same files needs no reading either.
	digestOf(t, c, tr.set("app"))
	if n := c.counts.reads.Load(); n != 0 {
		t.Errorf("%d files read for a part", n)
	}
	tr.write("app/main.go", "changed")
	c = Open(home, Options{Now: later})
	digestOf(t, c, tr.set())
	if n := c.counts.reads.Load(); n != 1 {
		t.Errorf("%d files read after one changed", n)
	}
}

// A clean Cache writes nothing.
func TestSaveWritesOnlyWhatChanged(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	for range 2 {
		c := Open(home, Options{Now: later})
		digestOf(t, c, tr.set())
		tr.must(c.Save())
	}
	before, err := os.Stat(home + "/" + fileName)
	tr.must(err)
	c := Open(home, Options{Now: later})
	digestOf(t, c, tr.set())
	tr.must(c.Save())
	after, err := os.Stat(home + "/" + fileName)
	tr.must(err)
	if !os.SameFile(before, after) {
		t.Error("written again")
	}
	if before.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", before.Mode())
	}
}
