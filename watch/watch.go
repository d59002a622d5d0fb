// Package watch notices that files were saved.
//
// It knows directories, and tells which paths in them were written, made,
// renamed or removed, in batches: what an editor or a version control system
// does at once comes at once. It does not know who reads the files, and reads
// none itself.
package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// The times that make events a batch.
const (
	Quiet = 100 * time.Millisecond // how long nothing must have happened
	Most  = 2 * time.Second        // after which a batch ends even if it goes on
)

// A Batch is what happened at once.
type Batch struct {
	Paths []string // sorted, each once
	Lost  bool     // there was more than could be told: anything may have changed
}

// A Watcher notices changes in directories, not in those below them. Nothing
// that happens between two calls of Next is lost.
type Watcher struct {
	events *fsnotify.Watcher
	done   chan struct{} // closed when collect has ended
	wake   chan struct{} // something is pending

	mu      sync.Mutex
	pending map[string]bool
	lost    bool
	dirs    map[string]bool
}

// New returns a Watcher of no directory. Close it after use.
func New() (*Watcher, error) {
	events, err := fsnotify.NewBufferedWatcher(buffer)
	if err != nil {
		return nil, limit(err, 0)
	}
	w := &Watcher{
		events: events, done: make(chan struct{}), wake: make(chan struct{}, 1),
		pending: map[string]bool{}, dirs: map[string]bool{},
	}
	go w.collect()
	return w, nil
}

// buffer is how many events may wait for collect, beside those in the kernel.
const buffer = 1024

// A LimitError says that the system lets no more directories be watched.
type LimitError struct {
	Dirs int // that were to be watched
	Err  error
}

// Error says what can be done.
func (e *LimitError) Error() string {
	return fmt.Sprintf("watching %d directories: the system allows no more (%v): raise its limit with sysctl fs.inotify.max_user_watches=524288 fs.inotify.max_user_instances=512, or let .dockerignore leave out what no image needs", e.Dirs, e.Err)
}

// Unwrap returns the cause.
func (e *LimitError) Unwrap() error { return e.Err }

func limit(err error, dirs int) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EMFILE) {
		return &LimitError{dirs, err}
	}
	return err
}

// Watch makes dirs the directories that are watched, and tells whether one of
// them was not before: what happened in it till now is not known. A directory
// that is gone is left out; one that was removed and made again is watched anew.
func (w *Watcher) Watch(dirs []string) (added bool, err error) {
	w.mu.Lock()
	was := maps.Clone(w.dirs)
	w.mu.Unlock()
	now := map[string]bool{}
	for _, dir := range dirs {
		switch err := w.events.Add(dir); { // again and again: a path may name another directory than it did
		case err == nil:
			now[dir] = true
			added = added || !was[dir]
		case errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR):
		default:
			return added, fmt.Errorf("watching %s: %w", dir, limit(err, len(dirs)))
		}
	}
	for dir := range was {
		if !now[dir] {
			_ = w.events.Remove(dir) // it may be gone with its directory
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dirs = now
	return added, nil
}

// Poke makes the next batch one in which anything may have changed.
func (w *Watcher) Poke() { w.note("", true) }

func (w *Watcher) note(path string, lost bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if lost {
		w.lost = true
	} else {
		w.pending[path] = true
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// collect takes events as they come, so that none waits while a batch is worked
// on. It ends when the watcher is closed.
func (w *Watcher) collect() {
	defer close(w.done)
	for {
		select {
		case e, ok := <-w.events.Events:
			if !ok {
				return
			}
			w.note(e.Name, false)
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.forget(e.Name)
			}
		case _, ok := <-w.events.Errors:
			if !ok {
				return
			}
			w.note("", true) // most of all fsnotify.ErrEventOverflow
		}
	}
}

// forget drops a directory that is gone, so that it is new if it comes back.
func (w *Watcher) forget(dir string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.dirs, dir)
}

// Next waits until something has happened and then nothing for the time Quiet,
// and tells what. Its error is the cause for which ctx is done.
func (w *Watcher) Next(ctx context.Context) (Batch, error) {
	select {
	case <-w.wake:
	case <-ctx.Done():
		return Batch{}, context.Cause(ctx)
	}
	quiet, most := time.NewTimer(Quiet), time.NewTimer(Most)
	defer quiet.Stop()
	defer most.Stop()
	for {
		select {
		case <-w.wake:
			quiet.Reset(Quiet)
			continue
		case <-ctx.Done():
			return Batch{}, context.Cause(ctx)
		case <-quiet.C:
		case <-most.C:
		}
		return w.take(), nil
	}
}

func (w *Watcher) take() Batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := Batch{Lost: w.lost}
	for path := range w.pending {
		b.Paths = append(b.Paths, path)
	}
	slices.Sort(b.Paths)
	w.pending, w.lost = map[string]bool{}, false
	select {
	case <-w.wake: // for what is in this batch
	default:
	}
	return b
}

// Close ends the watching and waits until it has ended.
func (w *Watcher) Close() error {
	err := w.events.Close()
	<-w.done
	return err
}
