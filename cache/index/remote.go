package index

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/registry"
)

// A Scope is a repository that holds an index. Scopes are separate
// repositories so that the registry's rights keep them apart: a pull request
// reads what main has written, and cannot write there.
type Scope struct {
	// Name is what the scope is called: a branch, "main". It is part of the
	// tag of the snapshot, and of what is signed.
	Name string
	// Repository is "host/repo".
	Repository string
	// Keys, if there are any, are those of which one must have signed an entry.
	Keys []ed25519.PublicKey
}

// RemoteOptions say how a Remote works.
type RemoteOptions struct {
	// Scopes are read in this order; the first is the one that is written.
	Scopes []Scope
	// Project names whose entries a snapshot holds, if several projects share
	// a repository. It must be the same on all machines.
	Project string
	// Write lets Put and Flush write. Without it they do nothing.
	Write bool
	// Sign, if set, signs what is written.
	Sign ed25519.PrivateKey
	// Warn is told of faults: once for each kind and scope.
	Warn func(error)
	// Patience is how long the beginning of an answer is waited for, tries
	// included, before the registry counts as down; 3 seconds if zero. A small
	// answer may take five times as long in all, a large one, and writing, twenty
	// times.
	Patience time.Duration
	// Parallel is the most requests at once; 8 if zero.
	Parallel int
}

// A Remote is an index in repositories of registries. No fault of a registry is
// an error: what cannot be read is a miss, and Warn is told. A registry that is
// down is not asked again. It may be used by many goroutines.
type Remote struct {
	opts   RemoteOptions
	scopes []*scope
	slots  chan struct{} // one for each request in flight
	haste  *registry.Patience
	codec  codec

	mu      sync.Mutex
	told    map[string]bool
	down    map[string]bool // by host
	pending []snapshotItem  // what Flush adds to the snapshot
	own     map[Fingerprint]located
	sent    map[string]bool // blobs that are known to be in the first scope
}

// A scope is a Scope with what is known of it.
type scope struct {
	Scope
	repo *registry.Repository
	host string

	mu       sync.Mutex
	closed   bool                          // not to be asked again
	readOnly bool                          // not to be written again
	items    map[Fingerprint]*snapshotItem // of its snapshot
	latest   map[string]*snapshotItem      // by target
	digest   string                        // of the snapshot's manifest; "" if there is none
}

// located is an entry and where it was found.
type located struct {
	entry Entry
	scope *scope
}

// NewRemote returns the index in the scopes of opts. Nothing is asked yet. A
// client that is to be quiet about a registry that is down has no notify of its
// own. The error is a *registry.ReferenceError, or says that there is no scope.
func NewRemote(client *registry.Client, opts RemoteOptions) (*Remote, error) {
	if len(opts.Scopes) == 0 {
		return nil, errors.New("a remote index without a scope")
	}
	if opts.Warn == nil {
		opts.Warn = func(error) {}
	}
	if opts.Patience == 0 {
		opts.Patience = 3 * time.Second
	}
	if opts.Parallel <= 0 {
		opts.Parallel = 8
	}
	r := &Remote{
		opts: opts, slots: make(chan struct{}, opts.Parallel), haste: &registry.Patience{Answer: opts.Patience},
		told: map[string]bool{}, down: map[string]bool{}, own: map[Fingerprint]located{}, sent: map[string]bool{},
	}
	for _, s := range opts.Scopes {
		repo, err := client.Repository(s.Repository)
		if err != nil {
			return nil, err
		}
		s.Repository = repo.Name()
		r.scopes = append(r.scopes, &scope{Scope: s, repo: repo, host: repo.Host()})
	}
	return r, nil
}

// Load reads the snapshots of all scopes: two requests for each that has one.
// Without it Get asks for each entry.
func (r *Remote) Load(ctx context.Context) {
	var g errgroup.Group
	for _, s := range r.scopes {
		g.Go(func() error {
			r.loadScope(ctx, s)
			return nil
		})
	}
	_ = g.Wait()
}

// Get returns the entry of fp from the first scope that has it. What the
// snapshots hold takes no request, anything else one for each scope. Targets
// with equal inputs share a fingerprint: the entry may be that of another.
func (r *Remote) Get(ctx context.Context, fp Fingerprint) (Entry, bool) {
	if _, ok := fp.raw(); !ok {
		return Entry{}, false
	}
	r.mu.Lock()
	known, ok := r.own[fp]
	r.mu.Unlock()
	if ok {
		return known.entry, true
	}
	for _, s := range r.scopes {
		if e, ok := r.fromSnapshot(s, s.item(fp)); ok {
			r.remember(e, s)
			return e, true
		}
	}
	for _, s := range r.scopes {
		a, ok := r.readArtifact(ctx, s, fp)
		if !ok {
			continue
		}
		if e, err := s.open(a.entry, a.signature, fp); err != nil {
			r.reject(s, fp, err)
		} else {
			r.remember(e, s)
			return e, true
		}
	}
	return Entry{}, false
}

// GetAll is Get for many, asked side by side. Misses are left out.
func (r *Remote) GetAll(ctx context.Context, fps []Fingerprint) map[Fingerprint]Entry {
	found := make([]Entry, len(fps))
	var g errgroup.Group
	g.SetLimit(r.opts.Parallel)
	for i, fp := range fps {
		g.Go(func() error {
			found[i], _ = r.Get(ctx, fp)
			return nil
		})
	}
	_ = g.Wait()
	all := make(map[Fingerprint]Entry, len(fps))
	for _, e := range found {
		if e.Fingerprint != "" {
			all[e.Fingerprint] = e
		}
	}
	return all
}

// Latest returns the entry of target that was built last, as the snapshot of
// the named scope has it; "" is the first scope with a snapshot that has one.
// Load comes before.
func (r *Remote) Latest(scope, target string) (Entry, bool) {
	for _, s := range r.scopes {
		if scope != "" && s.Name != scope {
			continue
		}
		s.mu.Lock()
		item := s.latest[target]
		s.mu.Unlock()
		if e, ok := r.fromSnapshot(s, item); ok && e.Target == target {
			r.remember(e, s)
			return e, true
		}
	}
	return Entry{}, false
}

// FoundIn is the scope that an entry of this index was found in; not ok if it is
// none of it.
func (r *Remote) FoundIn(fp Fingerprint) (s Scope, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.own[fp]
	if !ok {
		return Scope{}, false
	}
	return at.scope.Scope, true
}

// Detail returns the detail of an entry that this index returned, if it is
// still there. It takes two requests.
func (r *Remote) Detail(ctx context.Context, e Entry) (Detail, bool) {
	data, ok := r.Tree(ctx, e, e.Detail)
	if !ok {
		return Detail{}, false
	}
	d, err := parseDetail(data)
	if err != nil {
		r.tell("detail", fmt.Errorf("cache: the detail of %q is passed over: %w", e.Target, err))
		return Detail{}, false
	}
	return d, true
}

// Tree returns a listing that belongs to an entry of this index, if it is still
// there. It takes two requests.
func (r *Remote) Tree(ctx context.Context, e Entry, digest string) ([]byte, bool) {
	r.mu.Lock()
	at, ok := r.own[e.Fingerprint]
	r.mu.Unlock()
	if !ok || digest == "" {
		return nil, false
	}
	a, ok := r.readArtifact(ctx, at.scope, e.Fingerprint)
	if !ok {
		return nil, false
	}
	for _, l := range a.layers {
		if l.Annotations[annContent] == digest {
			return r.readBlob(ctx, at.scope, l.Digest.String(), digest)
		}
	}
	return nil, false
}

func (r *Remote) remember(e Entry, s *scope) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own[e.Fingerprint] = located{e, s}
}

// fromSnapshot is the entry of an item of the snapshot of s; nil is none.
func (r *Remote) fromSnapshot(s *scope, item *snapshotItem) (Entry, bool) {
	if item == nil {
		return Entry{}, false
	}
	e, err := s.open(item.Entry, item.Signature, item.Fingerprint)
	if err != nil {
		r.reject(s, item.Fingerprint, err)
	}
	return e, err == nil
}

// open checks and reads an entry of s.
func (s *scope) open(entry []byte, signature string, fp Fingerprint) (Entry, error) {
	if err := s.verify(entry, signature); err != nil {
		return Entry{}, err
	}
	return parseEntry(entry, fp)
}

func (s *scope) item(fp Fingerprint) *snapshotItem {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[fp]
}
