package files

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// look looks at s: at the stamps, and at files only if those tell nothing.
func (c *Cache) look(ctx context.Context, k key, s Set) (*Tree, error) {
	root, err := c.list.root(s.Dir)
	if err != nil {
		return nil, err
	}
	nodes, err := walk(ctx, c.list, root, s)
	if err != nil {
		return nil, err
	}
	now := c.opts.Now()
	dir := c.store.section(s.Dir)
	sum := sign(nodes)
	if kept, ok := c.store.set(k, sum, now); ok && !c.opts.Verify {
		return &Tree{Digest: digest.NewDigestFromBytes(digest.SHA256, kept.digest[:]), Files: kept.files, Bytes: kept.bytes, nodes: nodes, sign: sum, at: kept.at}, nil
	}
	nodes, records, err := c.read(ctx, dir, root, nodes)
	if err != nil {
		return nil, err
	}
	now = c.opts.Now() // not before the latest reading
	t := newTree(nodes, records, now)
	c.store.keep(k, s.Dir, t, now)
	return t, nil
}

// read returns the record of each node: the kept one if it can be trusted, else
// a new one. Nodes get the stamps of their records; those gone by now are left
// out. All entries that cannot be read are told.
func (c *Cache) read(ctx context.Context, dir *section, root string, nodes []node) ([]node, []*record, error) {
	now := c.opts.Now()
	records := dir.records(nodes, now)
	errs := make([]error, len(nodes))
	var g errgroup.Group
	g.SetLimit(cap(c.slots))
	for i, n := range nodes {
		if r := records[i]; r != nil && c.trusts(r, n, now) {
			continue
		}
		g.Go(func() error {
			records[i], errs[i] = c.share(ctx, dir, root, n)
			return nil
		})
	}
	_ = g.Wait()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	if err := first(errs); err != nil {
		return nil, nil, err
	}
	live := 0
	for i, r := range records {
		if r != nil {
			nodes[live], records[live] = node{path: nodes[i].path, stamp: &r.stamp, entry: nodes[i].entry}, r
			live++
		}
	}
	return nodes[:live], records[:live], nil
}

// first joins the first few of errs that are not nil.
func first(errs []error) error {
	const few = 10
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch {
	case len(errs) == 1:
		return errs[0]
	case len(errs) > few:
		errs = append(errs[:few:few], fmt.Errorf("and %d more", len(errs)-few))
	}
	return errors.Join(errs...)
}

// trusts says whether r is still what is in n.
func (c *Cache) trusts(r *record, n node, now time.Time) bool {
	if r.stamp != *n.stamp {
		return false
	}
	return r.own || !c.opts.Verify && r.stamp.settled(r.at, now)
}

// share is hash for what looks at each entry once: what was read in this
// command is not read again, and several that ask at once get one reading.
func (c *Cache) share(ctx context.Context, dir *section, root string, n node) (*record, error) {
	for {
		v, err, _ := dir.flight.Do(n.path, func() (any, error) {
			if r := dir.record(n.path); r != nil && r.own && r.stamp == *n.stamp {
				return r, nil
			}
			return c.hash(ctx, dir, root, n)
		})
		if cancelled(err) && ctx.Err() == nil {
			continue // another's ctx
		}
		r, _ := v.(*record)
		return r, err
	}
}

// hash reads the entry n and keeps what it read. An entry that is gone has no
// record.
func (c *Cache) hash(ctx context.Context, dir *section, root string, n node) (*record, error) {
	if !utf8.ValidString(n.path) {
		return nil, &Error{Path: root + "/" + n.path, Err: errNotUTF8}
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	r, err := hashEntry(ctx, root+"/"+n.path, c.opts.Now, &c.counts)
	if gone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dir.put(n.path, r)
	return r, nil
}

// version is hashed into every tree's digest; it changes with what is hashed.
const version = "strata files 1\n"

// newTree makes the Tree of nodes and their records.
func newTree(nodes []node, records []*record, now time.Time) *Tree {
	t := &Tree{nodes: nodes, records: records, sign: sign(nodes)}
	order := make([]int, len(nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(nodes[a].path, nodes[b].path) })
	h := sha256.New()
	h.Write([]byte(version))
	var buf []byte
	for _, i := range order {
		r := records[i]
		buf = binary.AppendUvarint(buf[:0], uint64(len(nodes[i].path)))
		buf = append(buf, nodes[i].path...)
		buf = append(buf, r.sum[:]...)
		h.Write(buf)
		t.at = max(t.at, r.at)
		t.racy = t.racy || !r.stamp.settled(r.at, now)
		if !r.stamp.isDir() {
			t.Files++
		}
		if r.stamp.isRegular() {
			t.Bytes += r.stamp.size
		}
	}
	t.Digest = digest.NewDigest(digest.SHA256, h)
	return t
}
