package plan

import (
	"context"
	"io/fs"
	"slices"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/lower"
)

// A Difference compares what a target is made of with what it was made of.
type Difference struct {
	Reasons []Reason // what differs, causes first; empty if nothing does
	Total   int      // inputs there are, each file counted
	Changed int      // of these, and of those there were, how many differ

	// Same names the inputs that are as they were, by kind: KindBase, KindArg,
	// KindStep, KindConfig, KindParent, KindPlatform and KindFrontend.
	Same map[string][]string
	// SameFiles is the number of files that are as they were.
	SameFiles int
}

// Since compares t, a target of a plan that p made, with what the success e was
// made of. It is not ok if the details of e are gone.
func (p *Planner) Since(ctx context.Context, t *Target, e index.Entry) (d *Difference, ok bool, err error) {
	old, ok := p.Index.Detail(ctx, e)
	if !ok {
		return nil, false, nil
	}
	if err := p.list(ctx, t); err != nil {
		return nil, false, p.fileError(p.Lowerer.Target(t.Name), lower.Local{}, err)
	}
	c := comparison{
		tree:     func(digest string) ([]files.File, bool) { return oldTree(ctx, p.Index, e, digest) },
		now:      t,
		readings: p.readings(ctx, t.Name),
	}
	return c.difference(old.Inputs, t.Inputs), true, nil
}

// Between compares what two successes were made of. It is not ok if the details
// of one of them are gone. No files and no Dockerfiles are read, so that the
// reasons do not say which line reads a file.
func Between(ctx context.Context, ix Index, from, to index.Entry) (d *Difference, ok bool) {
	old, ok := ix.Detail(ctx, from)
	if !ok {
		return nil, false
	}
	new, ok := ix.Detail(ctx, to)
	if !ok {
		return nil, false
	}
	now := &Target{Name: to.Target}
	for _, in := range pick(new.Inputs, kindFiles) {
		list, ok := oldTree(ctx, ix, to, in.Value)
		if !ok {
			continue // then the set is compared as a whole
		}
		now.Trees = append(now.Trees, Tree{Name: in.Name, own: list})
	}
	c := comparison{tree: func(digest string) ([]files.File, bool) { return oldTree(ctx, ix, from, digest) }, now: now}
	return c.difference(old.Inputs, new.Inputs), true
}

// oldTree is a listing of files as the index keeps it.
func oldTree(ctx context.Context, ix Index, e index.Entry, digest string) ([]files.File, bool) {
	data, ok := ix.Tree(ctx, e, digest)
	if !ok {
		return nil, false
	}
	list, err := files.Decode(data)
	return list, err == nil
}

// sameKinds are the kinds that Difference.Same tells of.
var sameKinds = []string{KindBase, KindArg, KindStep, KindConfig, KindParent, KindPlatform, KindFrontend}

func (c *comparison) difference(was, is []index.Input) *Difference {
	d := &Difference{Reasons: c.compare(was, is), Same: map[string][]string{}}
	d.Changed = len(d.Reasons)
	for _, kind := range sameKinds {
		now := pick(is, kind)
		d.Total += len(now)
		for _, in := range now {
			if slices.ContainsFunc(was, func(o index.Input) bool { return sameInput(o, in) }) {
				d.Same[kind] = append(d.Same[kind], in.Name)
			}
		}
	}
	total := 0
	for _, t := range c.now.Trees {
		total += fileCount(t.own)
	}
	changed := 0
	for _, r := range d.Reasons {
		if r.Kind == KindFile && r.To != "" {
			changed++
		}
	}
	d.Total += total
	d.SameFiles = max(0, total-changed)
	return d
}

// sameInput reports whether a is b. Steps are compared by what they do, since
// their numbers change with those before them.
func sameInput(a, b index.Input) bool {
	if a.Kind == KindBase && b.Kind == KindBase {
		return a.Name == b.Name && sameBase(a.Value, b.Value)
	}
	return a.Kind == b.Kind && a.Value == b.Value && (a.Name == b.Name || a.Kind == KindStep)
}

func fileCount(list []files.File) int {
	n := 0
	for _, f := range list {
		if !fs.FileMode(f.Mode).IsDir() {
			n++
		}
	}
	return n
}
