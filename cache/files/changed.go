package files

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
)

// Changed looks at s anew and returns the paths that are no longer as t has
// them, sorted; none if the content is the same. t is what Digest returned for
// s. Files are read only if their stamps differ, or are so new that they prove
// nothing.
func (c *Cache) Changed(ctx context.Context, s Set, t *Tree) ([]string, error) {
	changed, _, err := c.Again(ctx, s, t)
	return changed, err
}

// Again is Changed, and tells too what has the same content and was written all
// the same, or may have been: its stamp is another one. In between it may have
// been anything. A directory is written when an entry comes or goes.
func (c *Cache) Again(ctx context.Context, s Set, t *Tree) (changed, written []string, err error) {
	s.Dir = filepath.Clean(s.Dir)
	l := newLister(&c.counts)
	root, err := l.root(s.Dir)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := walk(ctx, l, root, s)
	if err != nil {
		return nil, nil, err
	}
	if sign(nodes) == t.sign && !t.racy && t.at <= c.opts.Now().UnixNano() {
		return nil, nil, nil
	}
	r := recheck{c: c, dir: c.store.section(s.Dir), root: root}
	was := map[string]int{}
	for i, n := range t.nodes {
		was[n.path] = i
	}
	for _, n := range nodes {
		i, ok := was[n.path]
		delete(was, n.path)
		same := false
		if ok {
			if same, err = r.same(ctx, t, i, n); err != nil {
				return nil, nil, err
			}
		}
		switch {
		case !same:
			changed = append(changed, n.path)
		case *t.nodes[i].stamp != *n.stamp:
			written = append(written, n.path)
		}
	}
	for path := range was {
		changed = append(changed, path)
	}
	slices.SortFunc(changed, strings.Compare)
	slices.SortFunc(written, strings.Compare)
	return changed, written, nil
}

// A recheck compares entries of a directory with what they were.
type recheck struct {
	c    *Cache
	dir  *section
	root string
}

// same says whether n has the content of t's entry i.
func (r recheck) same(ctx context.Context, t *Tree, i int, n node) (bool, error) {
	now := r.c.opts.Now()
	old, at := t.record(i), t.at
	if old != nil {
		at = old.at
	}
	if *t.nodes[i].stamp == *n.stamp && n.stamp.settled(at, now) {
		return true, nil
	}
	kept := r.dir.record(n.path)
	if old == nil && kept != nil && kept.stamp == *t.nodes[i].stamp {
		old = kept // t had nothing but settled stamps, so this is their content
	}
	if old == nil {
		return false, nil
	}
	if kept == nil || kept.stamp != *n.stamp || !n.stamp.settled(kept.at, now) {
		var err error
		if kept, err = r.c.hash(ctx, r.dir, r.root, n); err != nil {
			if errors.Is(err, errChanging) {
				return false, nil
			}
			return false, err
		}
	}
	return kept != nil && kept.sum == old.sum, nil
}

// record is what entry i had in it, nil if only its stamp was looked at.
func (t *Tree) record(i int) *record {
	if t.records == nil {
		return nil
	}
	return t.records[i]
}
