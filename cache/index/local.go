package index

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// The files of a Local beside its journal.
const (
	lockFile  = "lock"   // held while the journal is changed
	leaseFile = "lease"  // held, shared, while blobs are written that no entry names yet
	blobDir   = "blobs"  // details and listings, packed, under their digests
	trimFile  = "pruned" // its time is that of the last trim
)

const (
	maxJournal = 1 << 30
	lockPoll   = time.Millisecond
	lockWait   = 10 * time.Second // nobody holds the lock for long, unless it is stopped
)

// A Local is an index in a directory of the user's. Many goroutines and many
// commands may use one directory at once. Nothing is read before it is needed.
type Local struct {
	dir    string
	warn   func(error)
	limits Policy
	now    func() time.Time
	codec  codec

	mu     sync.Mutex
	loaded bool
	table  *table
	file   os.FileInfo  // the journal that table was read from; nil if there was none
	hits   map[key]bool // found by Get, for the marks of use
	told   map[string]bool
}

// LocalOptions change how a Local works. The zero value is good.
type LocalOptions struct {
	// Warn is told, once for each kind, of faults that the index works around.
	Warn func(error)
	// Limits are what Close trims the index to; nil means DefaultLimits().
	Limits *Policy
}

// DefaultLimits are what an index is trimmed to if nothing else is said: 90
// days, 512 MiB, 20,000 entries.
func DefaultLimits() Policy {
	return Policy{MaxAge: 90 * 24 * time.Hour, MaxBytes: 512 << 20, MaxEntries: 20_000}
}

// DefaultDir returns the directory of the user's index: strata/index in the
// user's cache directory, "" if there is none.
func DefaultDir(lookupEnv func(string) (string, bool)) string {
	if dir, ok := lookupEnv("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "strata", "index")
	}
	if home, ok := lookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".cache", "strata", "index")
	}
	return ""
}

// OpenLocal returns the index in dir, which need not exist; with "" it is empty
// and keeps nothing. Opening reads nothing. Close it after use.
func OpenLocal(dir string, opts LocalOptions) *Local {
	l := &Local{
		dir: dir, warn: opts.Warn, limits: DefaultLimits(), now: time.Now,
		hits: map[key]bool{}, told: map[string]bool{}, table: newTable(0),
	}
	if l.warn == nil {
		l.warn = func(error) {}
	}
	if opts.Limits != nil {
		l.limits = *opts.Limits
	}
	return l
}

// Dir is the directory of the index.
func (l *Local) Dir() string { return l.dir }

// Get returns the entry of fp that was put last, if there is one. Targets with
// equal inputs share a fingerprint: the entry may be that of another.
func (l *Local) Get(fp Fingerprint) (Entry, bool) {
	return l.get(fp, func(k key) *slot { return l.table.slots[k] })
}

// Find is Get, but for the entry of this very target if it has one.
func (l *Local) Find(fp Fingerprint, project, target string) (Entry, bool) {
	n := nameOf(project, target)
	return l.get(fp, func(k key) *slot { return l.table.find(k, n) })
}

func (l *Local) get(fp Fingerprint, pick func(key) *slot) (Entry, bool) {
	k, ok := fp.raw()
	if !ok {
		return Entry{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load()
	s := pick(k)
	if s == nil {
		return Entry{}, false
	}
	e, ok := l.parse(s)
	if ok {
		l.hits[k] = true
	}
	return e, ok
}

// Latest returns the entry that was put last for a target of a project.
func (l *Local) Latest(project, target string) (Entry, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load()
	s := l.table.latest[nameOf(project, target)]
	if s == nil {
		return Entry{}, false
	}
	e, ok := l.parse(s)
	return e, ok && e.Project == project && e.Target == target
}

// Builds returns all entries of a target of a project, those put last first:
// what it was at other times, on other branches.
func (l *Local) Builds(project, target string) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load()
	var list []Entry
	for _, s := range l.table.of(nameOf(project, target)) {
		if e, ok := l.parse(s); ok {
			list = append(list, e)
		}
	}
	return list
}

// List returns all entries, those put last first.
func (l *Local) List() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.load()
	var list []Entry
	for _, s := range slices.Backward(l.table.live()) {
		if e, ok := l.parse(s); ok {
			list = append(list, e)
		}
	}
	return list
}

// parse reads the entry in s. The caller holds mu.
func (l *Local) parse(s *slot) (Entry, bool) {
	e, err := parseEntry(s.json, fingerprint(s.key))
	if err != nil {
		l.tell("entry", fmt.Errorf("index: entry %s is passed over: %w", fingerprint(s.key), err))
	}
	return e, err == nil
}

func fingerprint(k key) Fingerprint { return Fingerprint(hex.EncodeToString(k[:])) }

// Put records a success. The schema and the digests of detail and trees are
// set in the entry that is kept; detail may be nil. When Put returns nil the
// entry survives a crash. An error is nothing to fail for: the next run builds
// again.
func (l *Local) Put(ctx context.Context, e Entry, detail *Detail, trees ...[]byte) error {
	if l.dir == "" {
		return nil
	}
	wrap := func(err error) error { return fmt.Errorf("index: keeping the entry of %q: %w", e.Target, err) }
	blobs, err := e.seal(detail, trees)
	if err != nil {
		return wrap(err)
	}
	data, err := e.marshal()
	if err != nil {
		return wrap(err)
	}
	if err := l.create(); err != nil {
		return wrap(err)
	}
	release, err := l.lock(ctx, leaseFile, false)
	if err != nil {
		return wrap(err)
	}
	defer release()
	if err := l.writeBlobs(blobs); err != nil {
		return wrap(err)
	}
	k, _ := e.Fingerprint.raw()
	s := &slot{key: k, name: nameOf(e.Project, e.Target), used: l.now().Unix(), json: data}
	if err := l.append(ctx, s.appendTo(nil)); err != nil {
		return wrap(err)
	}
	return nil
}

// Detail returns the detail of an entry that this index returned, if it is
// still there.
func (l *Local) Detail(e Entry) (Detail, bool) {
	data, ok := l.Tree(e.Detail)
	if !ok {
		return Detail{}, false
	}
	d, err := parseDetail(data)
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tell("detail", fmt.Errorf("index: the detail of %q is passed over: %w", e.Target, err))
		return Detail{}, false
	}
	return d, true
}

// Tree returns the listing with a digest, if it is still there.
func (l *Local) Tree(digest string) ([]byte, bool) {
	if l.dir == "" || digest == "" {
		return nil, false
	}
	data, err := l.readBlob(digest)
	if err == nil {
		return data, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.tell("blob", fmt.Errorf("index: blob %s is passed over: %w", digest, err))
	}
	return nil, false
}

// Close notes which entries were used, trims the index if it has grown or a
// day has passed, and lets go of what was read. The index can be used again.
func (l *Local) Close() error {
	if l.dir == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	err := l.mark(ctx)
	if l.due() {
		_, pruneErr := l.Prune(ctx, l.limits)
		err = errors.Join(err, pruneErr)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loaded, l.table, l.file = false, newTable(0), nil
	return err
}

// create makes the directory of the index.
func (l *Local) create() error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	return checkDir(l.dir)
}

// lock takes a lock file. The caller calls release.
func (l *Local) lock(ctx context.Context, name string, exclusive bool) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	f := flock.New(l.path(name), flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW), flock.SetPermissions(0o600))
	take := f.TryRLockContext
	if exclusive {
		take = f.TryLockContext
	}
	if _, err := take(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("locking %s: %w", f.Path(), err)
	}
	return func() { _ = f.Close() }, nil
}

func (l *Local) path(name string) string { return filepath.Join(l.dir, name) }

// tell warns, once for each kind of fault. The caller holds mu.
func (l *Local) tell(kind string, err error) {
	if !l.told[kind] {
		l.told[kind] = true
		l.warn(err)
	}
}
