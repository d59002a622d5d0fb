package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestErrors(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(*tree) Set
		want string // in the message, after the directory
	}{
		{"no directory", func(tr *tree) Set { return Set{Dir: tr.path("gone")} }, "/gone: no such file or directory"},
		{"a file", func(tr *tree) Set { return Set{Dir: tr.path("a")} }, "/a: not a directory"},
		{"a name that is not UTF-8", func(tr *tree) Set {
			tr.write("app/b\xffd", "x")
			return tr.set()
		}, `/app/b\xffd": BuildKit takes only names that are UTF-8`},
		{"a link to one", func(tr *tree) Set {
			tr.must(os.Symlink("b\xffd", tr.path("link")))
			return tr.set()
		}, "/link: a symbolic link to a name that is not UTF-8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tr := newTestTree(t, "a")
			_, err := Open("", Options{}).Digest(t.Context(), tc.do(tr))
			e, ok := errors.AsType[*Error](err)
			if !ok || !strings.HasPrefix(strings.TrimPrefix(e.Error(), `"`), tr.dir+tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A name that is left out may be anything.
func TestErrorsOfWhatIsNotRead(t *testing.T) {
	tr := newTestTree(t, "a", "b\xffd")
	s := Set{Dir: tr.dir, Exclude: []string{"b*"}}
	if list, err := Open("", Options{}).List(t.Context(), s); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// Root may read everything, so that this runs as somebody else.
func TestUnreadable(t *testing.T) {
	if dir := os.Getenv("STRATA_TEST_UNREADABLE"); dir != "" {
		unreadable(t, dir)
		return
	}
	tr := newTestTree(t, "open", "file", "dir/inner", "root/file")
	tr.must(os.Chmod(tr.path("file"), 0o200))
	tr.must(os.Chmod(tr.path("dir"), 0o311))
	tr.must(os.Chmod(tr.path("root"), 0o300))
	for p := tr.dir; p != "/tmp" && p != "/"; p = p[:strings.LastIndex(p, "/")] {
		tr.must(os.Chmod(p, 0o755))
	}
	self, err := os.ReadFile(os.Args[0])
	tr.must(err)
	tr.must(os.WriteFile(tr.path("test"), self, 0o755))
	cmd := exec.Command(tr.path("test"), "-test.run=^TestUnreadable$", "-test.v")
	cmd.Dir = tr.dir
	cmd.Env = append(os.Environ(), "STRATA_TEST_UNREADABLE="+tr.dir, "TMPDIR=/tmp")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "looked as another user") {
		t.Errorf("%v\n%s", err, out)
	}
}

func unreadable(t *testing.T, dir string) {
	t.Log("looked as another user")
	c := Open("", Options{})
	for _, tc := range []struct{ include, path, mode string }{
		{"file", "/file", "(mode --w-------)"},
		{"dir", "/dir", "(mode d-wx--x--x)"},
	} {
		_, err := c.Digest(t.Context(), Set{Dir: dir, Include: []string{tc.include}})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Path != dir+tc.path || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), tc.mode) {
			t.Errorf("%s: %v", tc.include, err)
		}
	}
	if _, err := c.Digest(t.Context(), Set{Dir: dir + "/root"}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("root: %v", err)
	}
	list, err := c.List(t.Context(), Set{Dir: dir, Exclude: []string{"file", "dir", "root", "test"}})
	if err != nil || len(list) != 1 {
		t.Errorf("what is left out: %v, %v", list, err)
	}
}

// A file that never holds still is an error; one that changes once is read again.
func TestChangesWhileBeingRead(t *testing.T) {
	for _, tc := range []struct {
		changes int
		ok      bool
	}{{1, true}, {tries - 1, true}, {tries, false}} {
		tr := newTestTree(t, "file")
		c := Open("", Options{})
		c.counts.reading = func(path string) {
			if n := int(c.counts.reads.Load()); n <= tc.changes {
				tr.write("file", strings.Repeat("x", n))
			}
		}
		_, err := c.Digest(t.Context(), tr.set())
		e, ok := errors.AsType[*Error](err)
		if (err == nil) != tc.ok || (ok && e.Path != tr.path("file")) {
			t.Errorf("%d changes: %v", tc.changes, err)
		}
		if !tc.ok && !strings.Contains(err.Error(), "changes while being read") {
			t.Errorf("%d changes: %v", tc.changes, err)
		}
		if c.counts.reading = nil; tc.ok && digestOf(t, c, tr.set()) != fresh(t, tr.set()) {
			t.Errorf("%d changes: a wrong digest", tc.changes)
		}
	}
}

// A file that goes away while it is looked at is not there.
func TestVanishes(t *testing.T) {
	tr := newTestTree(t, "a", "b", "c")
	c := Open("", Options{})
	c.slots = make(chan struct{}, 1)
	c.counts.reading = func(path string) {
		if path == tr.path("a") {
			tr.must(os.Remove(tr.path("a"))) // its ctime changes with that
		}
	}
	list, err := c.List(t.Context(), tr.set())
	if err != nil || len(list) != 2 {
		t.Errorf("%v, %v", list, err)
	}
	if digestOf(t, c, tr.set()) != fresh(t, tr.set()) {
		t.Error("a wrong digest")
	}
}

// One who gives up does not take others with him.
func TestCancel(t *testing.T) {
	tr := shop(t)
	c := Open("", Options{})
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Digest(cancelled, tr.set()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	want := fresh(t, tr.set())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				go cancel()
			}
			got, err := c.Digest(ctx, tr.set())
			switch {
			case err != nil && (i%2 == 1 || !errors.Is(err, context.Canceled)):
				t.Error(err)
			case err == nil && got.Digest.String() != want:
				t.Error("a wrong digest")
			}
		})
	}
	wg.Wait()
}
