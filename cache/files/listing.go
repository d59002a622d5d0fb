package files

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/strata-build/strata/internal/realpath"
)

// A lister reads each directory and looks at each entry at most once, for all
// Sets that are below one another or beside one another.
type lister struct {
	counts  *counts
	mu      sync.Mutex
	folders map[string]*folder // by absolute path
	roots   map[string]string  // by Set.Dir, what it is without links
	real    realpath.Resolver
}

// counts are what was asked of the disk, for tests.
type counts struct {
	dirs, stats, reads atomic.Int64
	reading            func(path string) // called while a file is open, if not nil
}

func (c *counts) read(path string) {
	c.reads.Add(1)
	if c.reading != nil {
		c.reading(path)
	}
}

type folder struct {
	once    sync.Once
	entries []*entry // sorted by name
	err     error
}

// An entry is a name in a directory. What lstat says of it is asked when a
// filter let it pass, not before.
type entry struct {
	name  string
	typ   fs.FileMode
	stamp atomic.Pointer[stamp]
}

func newLister(c *counts) *lister {
	return &lister{counts: c, folders: map[string]*folder{}, roots: map[string]string{}}
}

// root follows the links to dir, as fsutil.NewFS does. "/" is "".
func (l *lister) root(dir string) (string, error) {
	l.mu.Lock()
	root, ok := l.roots[dir]
	l.mu.Unlock()
	if ok {
		return root, nil
	}
	root, err := l.real.Resolve(dir)
	if err != nil {
		return "", explain(dir, err)
	}
	st, err := lstat(root)
	if err != nil {
		return "", explain(dir, err)
	}
	if !st.isDir() {
		return "", &Error{Path: dir, Err: unix.ENOTDIR}
	}
	root = strings.TrimSuffix(root, "/")
	l.mu.Lock()
	l.roots[dir] = root
	l.mu.Unlock()
	return root, nil
}

// read returns the entries of the directory dir. With an error the entries read
// until then are returned too, as os.ReadDir does.
func (l *lister) read(dir string) ([]*entry, error) {
	l.mu.Lock()
	f := l.folders[dir]
	if f == nil {
		f = &folder{}
		l.folders[dir] = f
	}
	l.mu.Unlock()
	f.once.Do(func() {
		l.counts.dirs.Add(1)
		var list []os.DirEntry
		list, f.err = os.ReadDir(cmp.Or(dir, "/"))
		all := make([]entry, len(list))
		f.entries = make([]*entry, len(list))
		for i, d := range list {
			all[i].name, all[i].typ = d.Name(), d.Type()
			f.entries[i] = &all[i]
		}
	})
	return f.entries, f.err
}

// find returns the entry at the relative path rel below root. No symbolic link
// is followed: what is behind one is not there.
func (l *lister) find(root, rel string) (*entry, error) {
	dir, name := root, rel
	for {
		first, rest, more := strings.Cut(name, "/")
		entries, err := l.read(dir)
		i, ok := slices.BinarySearchFunc(entries, first, byName)
		if !ok {
			if err == nil {
				err = fs.ErrNotExist
			}
			return nil, &fs.PathError{Op: "lstat", Path: root + "/" + rel, Err: err}
		}
		if !more {
			return entries[i], nil
		}
		if !entries[i].typ.IsDir() {
			return nil, &fs.PathError{Op: "lstat", Path: root + "/" + rel, Err: unix.ENOTDIR}
		}
		dir, name = dir+"/"+first, rest
	}
}

// lstat returns the stamp of e, which is at path.
func (l *lister) lstat(e *entry, path string) (*stamp, error) {
	if s := e.stamp.Load(); s != nil {
		return s, nil
	}
	l.counts.stats.Add(1)
	s, err := lstat(path)
	if err != nil {
		return nil, err
	}
	e.stamp.CompareAndSwap(nil, &s)
	return e.stamp.Load(), nil
}

func lstat(path string) (stamp, error) {
	var st unix.Stat_t
	for {
		err := unix.Lstat(path, &st)
		if err == nil {
			return newStamp(&st), nil
		}
		if err != unix.EINTR {
			return stamp{}, &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
	}
}
