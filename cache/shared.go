package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/registry"
)

// MaxManifest is how large a manifest or config of a layer cache may be for
// BuildKit to read it: readBlob in cache/remotecache/import.go of 0.34
// (moby/buildkit#3719).
const MaxManifest = 1 << 20

const (
	// probes are how many references are looked for at once.
	probes = 8
	// patience is how long a registry may take to say whether it has one.
	patience = 5 * time.Second
	// maxImports bounds how many caches one solve reads, and maxRead of how many
	// parts they are: BuildKit asks each of them for each step.
	maxImports = 6
	maxRead    = 24
)

// A Store is a repository of a registry. That something is not there is no
// error. *registry.Repository is one, and says more of each.
type Store interface {
	Head(ctx context.Context, identifier string) (m registry.Manifest, found bool, err error)
	Manifest(ctx context.Context, identifier string) (m registry.Manifest, found bool, err error)
	ReadBlob(ctx context.Context, dgst string, limit int64) (data []byte, found bool, err error)
	WriteBlob(ctx context.Context, data []byte) (dgst string, err error)
	PutManifest(ctx context.Context, identifier, mediaType string, raw []byte) (dgst string, err error)
}

// SharedOptions are what a Shared works with.
type SharedOptions struct {
	// Open returns the repository "host/name". Nothing is asked yet.
	Open func(repository string) (Store, error)
	// Warn is told, from any goroutine, what a person should know.
	Warn func(text string)
	// Limit is how large a manifest or config may be; 0 is MaxManifest. Tests
	// set it lower.
	Limit int64
}

// A Shared is the layer cache of a run that a cache block stands for. It looks
// for each reference once, and pins it to the digest found, so that all targets
// of a run read the same. What goes wrong is told and never returned: a cache
// that is not there is no reason to fail. It may be used by many goroutines.
type Shared struct {
	SharedOptions
	block *config.CacheBlock
	turns chan struct{} // one for each probe under way

	mu     sync.Mutex
	stores map[string]Store
	known  map[string]*lookup
	down   map[string]bool // repositories that are asked no more
	fails  int             // writes that failed in a row
}

// A lookup is what is known of a reference; done is closed when it is.
type lookup struct {
	done  chan struct{}
	parts []digest.Digest // the manifests to read, none if there is nothing
}

// NewShared returns the cache of block, which is not nil.
func NewShared(block *config.CacheBlock, opts SharedOptions) *Shared {
	if opts.Limit == 0 {
		opts.Limit = MaxManifest
	}
	return &Shared{
		SharedOptions: opts, block: block, turns: make(chan struct{}, probes),
		stores: map[string]Store{}, known: map[string]*lookup{}, down: map[string]bool{},
	}
}

// Ref is the reference of layers in a scope.
func (s *Shared) Ref(scope config.CacheScope, l Layers) string {
	return Repository(s.block, scope) + ":" + l.tag()
}

// Imports are the caches to read for layers, given in order of use: first the
// target's own, then those of the targets it needs. For each, the scopes are
// read in their order. Only what exists is listed, and not more than BuildKit can
// make good use of. A cache in parts is listed as all of them.
func (s *Shared) Imports(ctx context.Context, layers []Layers) []client.CacheOptionsEntry {
	refs, found := s.lookups(ctx, layers)
	var out []client.CacheOptionsEntry
	seen, caches := map[digest.Digest]bool{}, 0
	for i, f := range found {
		if f == nil || caches == maxImports {
			continue
		}
		before := len(out)
		for _, d := range f.parts {
			if seen[d] || len(out) == maxRead {
				continue
			}
			seen[d] = true
			out = append(out, client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": refs[i] + "@" + d.String()}})
		}
		if len(out) > before {
			caches++
		}
	}
	return out
}

// Has reports whether there is a cache of any of layers.
func (s *Shared) Has(ctx context.Context, layers []Layers) bool {
	_, found := s.lookups(ctx, layers)
	return slices.ContainsFunc(found, func(l *lookup) bool { return l != nil && len(l.parts) > 0 })
}

// lookups looks for the references of layers in all scopes.
func (s *Shared) lookups(ctx context.Context, layers []Layers) (refs []string, found []*lookup) {
	for _, l := range layers {
		for _, scope := range s.block.Scopes {
			refs = append(refs, s.Ref(scope, l))
		}
	}
	found = make([]*lookup, len(refs))
	var g errgroup.Group
	for i := range refs {
		g.Go(func() error {
			found[i] = s.lookup(ctx, refs[i])
			return nil
		})
	}
	_ = g.Wait() // it has no errors
	return refs, found
}

// lookup looks for ref once; nil if the run was stopped.
func (s *Shared) lookup(ctx context.Context, ref string) *lookup {
	s.mu.Lock()
	l, known := s.known[ref]
	if !known {
		l = &lookup{done: make(chan struct{})}
		s.known[ref] = l
	}
	s.mu.Unlock()
	if !known {
		s.look(ctx, l, ref)
		close(l.done)
	}
	select {
	case <-l.done:
		return l
	case <-ctx.Done():
		return nil
	}
}

func (s *Shared) look(ctx context.Context, l *lookup, ref string) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return
	}
	repo, _ := cutRef(ref)
	if s.isDown(repo) {
		return
	}
	probeCtx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not answer within %v", patience))
	defer cancel()
	parts, err := s.find(probeCtx, ref)
	unfit, damaged := errors.AsType[*unfitError](err)
	switch {
	case ctx.Err() != nil:
	case damaged:
		s.Warn(fmt.Sprintf("the layer cache %s is not read: %v", ref, unfit))
	case err != nil:
		if probeCtx.Err() != nil {
			err = context.Cause(probeCtx)
		}
		s.giveUp(repo, err)
	default:
		l.parts = parts
	}
}

// An unfitError is a cache that is there and of no use.
type unfitError struct{ error }

// find returns the manifests that ref consists of, none if it is not there.
func (s *Shared) find(ctx context.Context, ref string) ([]digest.Digest, error) {
	repo, tag := cutRef(ref)
	store, err := s.store(repo)
	if err != nil {
		return nil, err
	}
	m, found, err := store.Head(ctx, tag)
	if err != nil || !found {
		return nil, err
	}
	if m.Size > s.Limit {
		return nil, &unfitError{fmt.Errorf("its manifest has %d bytes and BuildKit reads at most %d; it is written in parts when a step is built again", m.Size, s.Limit)}
	}
	if m.MediaType != ocispec.MediaTypeImageIndex {
		return []digest.Digest{digest.Digest(m.Digest)}, nil
	}
	return s.findParts(ctx, store, m)
}

// findParts returns the parts that the index m names, or m if it is one of
// something else.
func (s *Shared) findParts(ctx context.Context, store Store, m registry.Manifest) ([]digest.Digest, error) {
	if m.Raw == nil { // a registry that does not know HEAD has sent it
		read, found, err := store.Manifest(ctx, m.Digest)
		if registry.IsDamaged(err) {
			return nil, &unfitError{err}
		}
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, &unfitError{errors.New("its index is gone")}
		}
		m.Raw = read.Raw
	}
	parts, ok, err := readParts(m.Raw)
	if err != nil {
		return nil, &unfitError{err}
	}
	if !ok {
		return []digest.Digest{digest.Digest(m.Digest)}, nil
	}
	var out []digest.Digest
	for _, p := range parts {
		out = append(out, p.Digest)
	}
	return out, nil
}

// store returns a repository, opened once.
func (s *Shared) store(repo string) (Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if had, ok := s.stores[repo]; ok {
		return had, nil
	}
	opened, err := s.Open(repo)
	if err == nil {
		s.stores[repo] = opened
	}
	return opened, err
}

// cutRef is the repository and the tag of a reference that Ref has made.
func cutRef(ref string) (repo, tag string) {
	at := strings.LastIndexByte(ref, ':')
	return ref[:at], ref[at+1:]
}

func (s *Shared) isDown(repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down[repo]
}

// giveUp asks repo no more. It is told once.
func (s *Shared) giveUp(repo string, err error) {
	s.mu.Lock()
	told := s.down[repo]
	s.down[repo] = true
	s.mu.Unlock()
	if !told {
		s.Warn(fmt.Sprintf("the layer cache %s is not read: %v", repo, err))
	}
}

// Broken forgets caches that broke a solve, so that no other target reads them.
func (s *Shared) Broken(imports []client.CacheOptionsEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, im := range imports {
		for ref, l := range s.known {
			select {
			case <-l.done:
			default:
				continue
			}
			if name, d, _ := strings.Cut(im.Attrs["ref"], "@"); name == ref && slices.Contains(l.parts, digest.Digest(d)) {
				s.known[ref] = &lookup{done: l.done}
			}
		}
	}
}

// Export is where layers are written to, if they are.
func (s *Shared) Export(l Layers) (client.CacheOptionsEntry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.block.Write || s.fails >= maxFails {
		return client.CacheOptionsEntry{}, false
	}
	attrs := map[string]string{
		"ref": s.Ref(s.block.Scopes[0], l), "mode": s.block.Mode,
		"oci-mediatypes": "true", "image-manifest": "true",
	}
	if s.block.Compression != "" {
		attrs["compression"] = s.block.Compression
	}
	return client.CacheOptionsEntry{Type: "registry", Attrs: attrs}, true
}

// maxFails is how many writes may fail in a row before none is tried any more.
const maxFails = 3

// Exported notes how writing to ref went: which manifest was written, or what
// went wrong. What is too large to be read is replaced by parts.
func (s *Shared) Exported(ctx context.Context, ref string, written ocispec.Descriptor, err error) {
	s.mu.Lock()
	if err == nil {
		s.fails = 0
	} else {
		s.fails++
	}
	last := s.fails == maxFails
	s.mu.Unlock()
	switch {
	case last:
		s.Warn(fmt.Sprintf("the layer cache %s was not written: %v; after %d failures no more are written in this run", ref, err, maxFails))
	case err != nil:
		s.Warn(fmt.Sprintf("the layer cache %s was not written: %v", ref, err))
	case written.Digest != "": // BuildKit writes nothing where there are no layers
		s.fit(ctx, ref, written)
	}
}
