package main

import (
	"context"

	"github.com/strata-build/strata/cache/index"
)

// A planIndex is the index of results as a plan sees it: first what this machine
// knows, then what the shared repository does.
type planIndex struct {
	local   *index.Local
	project string
}

func newPlanIndex(a *app, project string) *planIndex {
	local := index.OpenLocal(index.DefaultDir(a.lookupEnv), index.WithWarn(a.warn))
	a.onClose(local.Close)
	return &planIndex{local: local, project: project}
}

// Get implements plan.Index.
func (x *planIndex) Get(_ context.Context, fp index.Fingerprint) (index.Entry, bool) {
	return x.local.Get(fp)
}

// Last implements plan.Index.
func (x *planIndex) Last(target string) (index.Entry, bool) { return x.local.Latest(x.project, target) }

// Detail implements plan.Index.
func (x *planIndex) Detail(_ context.Context, e index.Entry) (index.Detail, bool) {
	return x.local.Detail(e)
}

// Tree implements plan.Index.
func (x *planIndex) Tree(_ context.Context, _ index.Entry, digest string) ([]byte, bool) {
	return x.local.Tree(digest)
}

// put keeps a success, here and where it is shared.
func (x *planIndex) put(ctx context.Context, e index.Entry, d *index.Detail, trees [][]byte) error {
	return x.local.Put(ctx, e, d, trees...)
}
