package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/history"
)

// A planIndex is the index of results as a plan sees it: first what this machine
// knows, then what the shared repository does.
type planIndex struct {
	local   *index.Local
	remote  *index.Remote // nil if nothing is shared
	write   bool          // the remote is written
	project string
	scopes  []string // of the remote, in the order they are read
	repos   []string // theirs
	loaded  atomic.Bool
	load    sync.Once // the remote's snapshots are read when first needed
}

func newPlanIndex(a *app, project string) *planIndex {
	local := index.OpenLocal(index.DefaultDir(a.lookupEnv), index.LocalOptions{Warn: a.warn})
	a.onClose(local.Close)
	return &planIndex{local: local, project: project}
}

// Get implements plan.Index.
func (x *planIndex) Get(ctx context.Context, fp index.Fingerprint, target string) (index.Entry, bool) {
	if e, ok := x.local.Find(fp, x.project, target); ok {
		return e, true
	}
	if x.remote == nil {
		return index.Entry{}, false
	}
	x.open(ctx)
	return x.remote.Get(ctx, fp)
}

// Last implements plan.Index.
func (x *planIndex) Last(target string) (index.Entry, bool) {
	if e, ok := x.local.Latest(x.project, target); ok || !x.loaded.Load() {
		return e, ok
	}
	for _, scope := range x.scopes {
		if e, ok := x.remote.Latest(scope, target); ok {
			return e, true
		}
	}
	return index.Entry{}, false
}

// Detail implements plan.Index.
func (x *planIndex) Detail(ctx context.Context, e index.Entry) (index.Detail, bool) {
	if d, ok := x.local.Detail(e); ok || x.remote == nil {
		return d, ok
	}
	return x.remote.Detail(ctx, e)
}

// Tree implements plan.Index.
func (x *planIndex) Tree(ctx context.Context, e index.Entry, digest string) ([]byte, bool) {
	if data, ok := x.local.Tree(digest); ok || x.remote == nil {
		return data, ok
	}
	return x.remote.Tree(ctx, e, digest)
}

// record is the layer history that is kept with a success, as that of target: its
// inputs may be those of another, which was built.
func (x *planIndex) record(ctx context.Context, e index.Entry, target string) (history.Record, bool) {
	d, ok := x.Detail(ctx, e)
	if !ok {
		return history.Record{}, false
	}
	rec, err := history.Parse(d.Record)
	if err != nil {
		return history.Record{}, false
	}
	if rec.Target != target {
		rec.Target, rec.Ref, rec.Tags = target, "", nil
	}
	return asCached(rec), true
}

// whence says in words where a success is kept.
func (x *planIndex) whence(e index.Entry) string {
	if x.remote != nil && e.Project == "" {
		if s, ok := x.remote.FoundIn(e.Fingerprint); ok {
			return fmt.Sprintf("the shared cache %s, scope %s", s.Repository, s.Name)
		}
	}
	return "the index of this machine"
}

// repositories names those of the remote.
func (x *planIndex) repositories() string { return strings.Join(x.repos, ", ") }

// put keeps a success, here and where it is shared. Here it is kept even if ctx has
// ended meanwhile: what was built was.
func (x *planIndex) put(ctx context.Context, e index.Entry, d *index.Detail, trees [][]byte) error {
	err := x.local.Put(context.WithoutCancel(ctx), e, d, trees...)
	if x.remote != nil {
		shared := e
		shared.Project = "" // a directory of this machine
		x.remote.Put(ctx, shared, d, trees...)
	}
	return err
}

// share writes a success that only this machine knows to where it is shared.
func (x *planIndex) share(ctx context.Context, e index.Entry) {
	if x.remote == nil || !x.write {
		return
	}
	x.open(ctx)
	if _, known := x.remote.Get(ctx, e.Fingerprint); known {
		return
	}
	d, ok := x.local.Detail(e)
	if !ok {
		return
	}
	var trees [][]byte
	for _, digest := range e.Trees {
		if data, ok := x.local.Tree(digest); ok {
			trees = append(trees, data)
		}
	}
	e.Project = ""
	x.remote.Put(ctx, e, &d, trees...)
}

// open reads the remote's snapshots, once.
func (x *planIndex) open(ctx context.Context) {
	x.load.Do(func() { x.remote.Load(ctx); x.loaded.Store(true) })
}

// flush completes what was shared.
func (x *planIndex) flush(ctx context.Context) {
	if x.remote != nil {
		x.remote.Flush(ctx)
	}
}
