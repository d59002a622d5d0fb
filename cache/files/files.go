// Package files says what is in the files that a target reads, and says it
// fast: a file is read again only if lstat tells that it may have changed.
//
// Which files are read is decided by BuildKit's own filter (tonistiigi/fsutil)
// and what counts of a file by its own content hash (cache/contenthash): path,
// type, mode, link, device, extended attributes and content; never time, owner
// or the directory's own path. What was read is remembered in a stat cache.
//
// The package knows directories and patterns. It does not know targets, LLB or
// engines, and it never writes to a directory that it reads.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
)

// A Set is a directory and what of it a target reads, in the terms of BuildKit's
// local source (local.includepattern, local.excludepatterns, local.followpaths).
type Set struct {
	Dir     string // absolute
	Include []string
	Exclude []string
	Follow  []string // read, and what they link to
}

func (s Set) filter() *fsutil.FilterOpt {
	return &fsutil.FilterOpt{IncludePatterns: s.Include, ExcludePatterns: s.Exclude, FollowPaths: s.Follow}
}

// key is equal for Sets that are equal.
func (s Set) key() key {
	b := binary.AppendUvarint(nil, uint64(len(s.Dir)))
	b = append(b, s.Dir...)
	for _, list := range [][]string{s.Include, s.Exclude, s.Follow} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, p := range list {
			b = binary.AppendUvarint(b, uint64(len(p)))
			b = append(b, p...)
		}
	}
	return sha256.Sum256(b)
}

type key [sha256.Size]byte

// A Tree is the content of a Set as it was looked at.
type Tree struct {
	Digest digest.Digest
	Files  int   // entries that are no directory
	Bytes  int64 // sizes of the regular files

	nodes   []node
	records []*record // one for each node, or nil when only stamps were looked at
	sign    [sha256.Size]byte
	at      int64 // latest reading of an entry
	racy    bool  // an entry may have changed after it was read, with the same stamp
}

// A File is one entry that a Set reads.
type File struct {
	Path   string // below the Set's directory, with slashes
	Mode   uint32 // of io/fs, type and permission
	Size   int64  // bytes; 0 for a directory
	Digest string // of header and content, as BuildKit's content hash has it
	Link   string // where a symbolic link leads
}

// Options change how a Cache looks.
type Options struct {
	Verify bool             // read every file again, whatever lstat says
	Warn   func(error)      // told about a stat cache that cannot be used; may be nil
	Now    func() time.Time // the clock; nil is time.Now
}

// A Cache looks at files once, for one command: what it has seen of the disk it
// does not look at again, except in Changed. It is safe for many goroutines.
type Cache struct {
	opts   Options
	counts counts
	list   *lister
	store  *store
	slots  chan struct{} // bounds the files read at once

	mu      sync.Mutex
	trees   map[key]*call
	filters map[key]*matcher
}

// A call is one computation of a Tree. tree and err are set before done is closed.
type call struct {
	done chan struct{}
	tree *Tree
	err  error
}

// Open returns a Cache whose stat cache is kept in the directory dir; "" keeps
// nothing. A stat cache that is missing or damaged is an empty one.
func Open(dir string, opts Options) *Cache {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Warn == nil {
		opts.Warn = func(error) {}
	}
	c := &Cache{
		opts:    opts,
		slots:   make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0))),
		trees:   map[key]*call{},
		filters: map[key]*matcher{},
		store:   openStore(dir, opts),
	}
	c.list = newLister(&c.counts)
	return c
}

// Digest returns the content of s. Equal Sets are looked at once. An entry that
// cannot be read or sent is an *Error.
func (c *Cache) Digest(ctx context.Context, s Set) (*Tree, error) {
	s.Dir = filepath.Clean(s.Dir)
	k := s.key()
	for {
		c.mu.Lock()
		w := c.trees[k]
		if w == nil {
			w = &call{done: make(chan struct{})}
			c.trees[k] = w
			c.mu.Unlock()
			w.tree, w.err = c.look(ctx, k, s)
			if w.err != nil {
				c.mu.Lock()
				delete(c.trees, k) // the next one may have more luck
				c.mu.Unlock()
			}
			close(w.done)
			return w.tree, w.err
		}
		c.mu.Unlock()
		select {
		case <-w.done:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if w.err == nil || !cancelled(w.err) {
			return w.tree, w.err
		}
	}
}

func cancelled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// List returns the entries of s, sorted by path.
func (c *Cache) List(ctx context.Context, s Set) ([]File, error) {
	s.Dir = filepath.Clean(s.Dir)
	t, err := c.Digest(ctx, s)
	if err != nil {
		return nil, err
	}
	nodes, records := t.nodes, t.records
	if records == nil {
		dir := c.store.section(s.Dir)
		root, err := c.list.root(s.Dir)
		if err != nil {
			return nil, err
		}
		if nodes, records, err = c.read(ctx, dir, root, slices.Clone(t.nodes)); err != nil {
			return nil, err
		}
	}
	list := make([]File, len(nodes))
	for i, n := range nodes {
		r := records[i]
		list[i] = File{Path: n.path, Mode: r.stamp.mode, Size: r.stamp.size, Digest: "sha256:" + hex.EncodeToString(r.sum[:]), Link: r.link}
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}
