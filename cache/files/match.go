package files

import (
	"context"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

// Match says whether s would read a file at name, a path below s.Dir with
// slashes. The file need not exist. Links that s follows are followed as they
// are on disk.
func (c *Cache) Match(s Set, name string) (bool, error) {
	s.Dir = filepath.Clean(s.Dir)
	name = path.Clean(name)
	if name == "." || name == ".." || strings.HasPrefix(name, "../") || path.IsAbs(name) {
		return false, nil
	}
	c.mu.Lock()
	m := c.filters[s.key()]
	if m == nil {
		m = &matcher{}
		c.filters[s.key()] = m
	}
	c.mu.Unlock()
	return m.match(c.list, s, name)
}

// A matcher asks the filter of a Set about single paths.
type matcher struct {
	mu     sync.Mutex // the patterns of a filter are compiled as they are used
	base   *switchFS
	filter fsutil.FS
}

func (m *matcher) match(l *lister, s Set, file string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.filter == nil {
		root, err := l.root(s.Dir)
		if err != nil {
			return false, err
		}
		v := &view{root: root, l: l, links: true}
		base := &switchFS{FS: v}
		filter, err := fsutil.NewFilterFS(base, s.filter())
		if err != nil {
			return false, v.explain(err)
		}
		m.base, m.filter = base, filter
	}
	m.base.FS = oneFile(file)
	found := false
	err := m.filter.Walk(context.Background(), "/", func(p string, _ fs.DirEntry, err error) error {
		found = found || p == file
		return err
	})
	return found, err
}

// A switchFS is the disk while a filter is made, which follows links, and then
// one file after another.
type switchFS struct{ fsutil.FS }

// oneFile is a file system with one file, at this path, and its parents.
type oneFile string

func (f oneFile) Walk(_ context.Context, _ string, fn fs.WalkDirFunc) error {
	for i, r := range f {
		if r != '/' {
			continue
		}
		if err := fn(string(f[:i]), name{string(f[:i]), fs.ModeDir}, nil); err == fs.SkipDir {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := fn(string(f), name{string(f), 0}, nil); err != fs.SkipDir {
		return err
	}
	return nil
}

// Open is never called.
func (f oneFile) Open(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }

// A name is a path that may have nothing at it.
type name struct {
	path string
	typ  fs.FileMode
}

func (n name) Name() string      { return path.Base(n.path) }
func (n name) IsDir() bool       { return n.typ.IsDir() }
func (n name) Type() fs.FileMode { return n.typ }

func (n name) Info() (fs.FileInfo, error) {
	return &fsutil.StatInfo{Stat: &types.Stat{Path: n.path, Mode: uint32(n.typ)}}, nil
}
