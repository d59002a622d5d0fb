package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
)

// newWatcher watches dirs.
func newWatcher(t *testing.T, dirs ...string) *Watcher {
	t.Helper()
	w, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	if added, err := w.Watch(dirs); err != nil || !added {
		t.Fatalf("added is %v, error %v", added, err)
	}
	return w
}

// next is the next batch; a test that waits for one that does not come fails.
func next(t *testing.T, w *Watcher) Batch {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b, err := w.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// until gathers the paths of batches until want is among them.
func until(t *testing.T, w *Watcher, want string) {
	t.Helper()
	for {
		if b := next(t, w); slices.Contains(b.Paths, want) {
			return
		}
	}
}

func write(t *testing.T, name string) {
	t.Helper()
	if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestNext(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	w := newWatcher(t, dir)
	write(t, file)
	until(t, w, file)

	write(t, file)
	until(t, w, file)

	write(t, filepath.Join(dir, ".file.new")) // as editors save
	must(t, os.Rename(filepath.Join(dir, ".file.new"), file))
	until(t, w, file)

	must(t, os.Chmod(file, 0o700)) //nolint:gosec // its mode is the test
	until(t, w, file)

	must(t, os.Remove(file))
	until(t, w, file)
}

func TestNothingIsLostBetweenCalls(t *testing.T) {
	dir := t.TempDir()
	w := newWatcher(t, dir)
	var want []string
	for _, name := range []string{"c", "a", "b"} {
		write(t, filepath.Join(dir, name))
		want = append(want, filepath.Join(dir, name))
	}
	slices.Sort(want)
	var got []string
	for len(got) < len(want) {
		got = append(got, next(t, w).Paths...)
		slices.Sort(got)
		got = slices.Compact(got)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDirectories(t *testing.T) {
	top := t.TempDir()
	sub := filepath.Join(top, "sub")
	w := newWatcher(t, top)
	must(t, os.Mkdir(sub, 0o700))
	until(t, w, sub)
	if added, err := w.Watch([]string{top, sub}); err != nil || !added {
		t.Fatalf("a new directory: added is %v, error %v", added, err)
	}
	if added, err := w.Watch([]string{top, sub}); err != nil || added {
		t.Fatalf("the same again: added is %v, error %v", added, err)
	}
	write(t, filepath.Join(sub, "file"))
	until(t, w, filepath.Join(sub, "file"))

	must(t, os.RemoveAll(sub))
	until(t, w, sub)
	if added, err := w.Watch([]string{top, sub}); err != nil || added {
		t.Fatalf("a directory that is gone: added is %v, error %v", added, err)
	}
	must(t, os.Mkdir(sub, 0o700))
	until(t, w, sub)
	if added, err := w.Watch([]string{top, sub}); err != nil || !added {
		t.Fatalf("a directory that is back: added is %v, error %v", added, err)
	}
	write(t, filepath.Join(sub, "file"))
	until(t, w, filepath.Join(sub, "file"))

	if _, err := w.Watch([]string{top}); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(sub, "unseen"))
	write(t, filepath.Join(top, "seen"))
	for {
		b := next(t, w)
		if slices.Contains(b.Paths, filepath.Join(sub, "unseen")) {
			t.Error("a directory that is not watched was")
		}
		if slices.Contains(b.Paths, filepath.Join(top, "seen")) {
			return
		}
	}
}

// When the kernel had more events than it keeps, anything may have changed.
func TestOverflow(t *testing.T) {
	w := newWatcher(t, t.TempDir())
	w.events.Errors <- fsnotify.ErrEventOverflow
	if b := next(t, w); !b.Lost {
		t.Errorf("got %+v", b)
	}
	w.Poke()
	if b := next(t, w); !b.Lost {
		t.Errorf("got %+v", b)
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	w := newWatcher(t, t.TempDir())
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err := w.Next(ctx); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestLimit(t *testing.T) {
	err := limit(syscall.ENOSPC, 12)
	if e, ok := errors.AsType[*LimitError](err); !ok || e.Dirs != 12 || !strings.Contains(err.Error(), "fs.inotify.max_user_watches") {
		t.Errorf("got %v", err)
	}
	if err := limit(syscall.EACCES, 12); err != syscall.EACCES {
		t.Errorf("got %v", err)
	}
}
