package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"
)

// A node is an entry that a Set reads: its path below the Set's directory, with
// slashes, and its stamp.
type node struct {
	path  string
	stamp *stamp
	entry *entry
}

// walk lists what s reads below root, in the order of fsutil, with stamps.
func walk(ctx context.Context, l *lister, root string, s Set) ([]node, error) {
	v := &view{root: root, l: l, links: true}
	filter, err := fsutil.NewFilterFS(v, s.filter())
	if err != nil {
		return nil, v.explain(err)
	}
	if v.fence, err = newFence(v, s); err != nil {
		return nil, v.explain(err)
	}
	v.links = false // only FollowPaths asks where a link leads
	var nodes []node
	err = filter.Walk(ctx, "/", func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		nodes = append(nodes, node{path: p, entry: v.current(p)})
		return nil
	})
	if err != nil {
		return nil, v.explain(err)
	}
	if v.rootErr != nil {
		return nil, v.explain(v.rootErr)
	}
	return stat(ctx, l, root, nodes)
}

// stat fills in the stamps. An entry that is gone by now is left out, as fsutil
// leaves it out.
func stat(ctx context.Context, l *lister, root string, nodes []node) ([]node, error) {
	const few = 512 // below that, goroutines cost more than they bring
	each := max(few, (len(nodes)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	var g errgroup.Group
	for part := range slices.Chunk(nodes, each) {
		work := func() error {
			for i := range part {
				n := &part[i]
				st, err := l.lstat(n.entry, root+"/"+n.path)
				if err != nil && !gone(err) {
					return explain(root+"/"+n.path, err)
				}
				n.stamp = st
			}
			return ctx.Err()
		}
		if len(part) == len(nodes) {
			if err := work(); err != nil {
				return nil, err
			}
			break
		}
		g.Go(work)
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(nodes, func(n node) bool { return n.stamp == nil }), nil
}

func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// A view shows the listings below root as a file system of fsutil, with the
// behaviour of fsutil.NewFS. It serves one goroutine.
type view struct {
	root    string
	l       *lister
	links   bool // read the targets of links
	fence   fence
	chain   []item
	rootErr error
}

// Open is never called: fsutil's filter opens nothing while it walks.
func (v *view) Open(p string) (io.ReadCloser, error) {
	return os.Open(path.Join(v.root, p))
}

// Walk calls fn for what is at target and below.
func (v *view) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	rel := strings.TrimPrefix(path.Join("/", target), "/")
	call := func(p string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err = fn(p, d, err); err != nil && gone(err) {
			return fs.SkipDir
		}
		return err
	}
	var err error
	if rel == "" {
		err = v.below(v.root, "", nil, call)
	} else if e, ferr := v.l.find(v.root, rel); ferr != nil {
		err = call(rel, nil, ferr)
	} else {
		err = v.walk(rel, e, call)
	}
	if err == fs.SkipDir || err == fs.SkipAll {
		return nil
	}
	return err
}

func (v *view) walk(rel string, e *entry, fn fs.WalkDirFunc) error {
	d := item{v, rel, e}
	v.chain = append(v.chain, d)
	defer func() { v.chain = v.chain[:len(v.chain)-1] }()
	err := fn(rel, d, nil)
	if err == nil && e.typ.IsDir() {
		err = v.below(v.root+"/"+rel, rel, d, fn)
	}
	if err == fs.SkipDir && e.typ.IsDir() {
		return nil
	}
	return err
}

// below walks the entries of the directory dir, which is at rel and is d.
func (v *view) below(dir, rel string, d fs.DirEntry, fn fs.WalkDirFunc) error {
	entries, err := v.l.read(dir)
	switch {
	case err != nil && rel == "":
		v.rootErr = err // fsutil says nothing and sends nothing; that is no build
		return nil
	case err != nil:
		if err := fn(rel, d, err); err != nil {
			return err
		}
	}
	for _, e := range v.fence.inside(rel, entries) {
		p := e.name
		if rel != "" {
			p = rel + "/" + e.name
		}
		if err := v.walk(p, e, fn); err == fs.SkipDir {
			break
		} else if err != nil {
			return err
		}
	}
	return nil
}

// current is the entry at p, which is being walked or a parent of what is.
func (v *view) current(p string) *entry {
	for i := len(v.chain) - 1; i >= 0; i-- {
		if v.chain[i].path == p {
			return v.chain[i].entry
		}
	}
	return nil
}

// explain makes an Error of what a walk returned.
func (v *view) explain(err error) error {
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		return explain(perr.Path, perr.Err)
	}
	return err
}

// An item is an entry at its place. It is its own FileInfo: the filter asks for
// nothing but the path, so lstat can wait until all entries are known.
type item struct {
	v     *view
	path  string
	entry *entry
}

func (i item) Name() string      { return i.entry.name }
func (i item) IsDir() bool       { return i.entry.typ.IsDir() }
func (i item) Type() fs.FileMode { return i.entry.typ }

func (i item) Info() (fs.FileInfo, error) {
	st := &types.Stat{Path: i.path, Mode: uint32(i.entry.typ)}
	if i.v.links && i.entry.typ&fs.ModeSymlink != 0 {
		link, err := os.Readlink(i.v.root + "/" + i.path)
		if err != nil {
			return nil, err
		}
		st.Linkname = link
	}
	return &fsutil.StatInfo{Stat: st}, nil
}
