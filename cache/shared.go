package cache

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/config"
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
	// maxImports bounds how many caches one solve reads: BuildKit asks each of
	// them for each step.
	maxImports = 6
)

// A Found is a reference that is there.
type Found struct {
	Digest digest.Digest
	Size   int64 // bytes of the manifest
}

// A Probe looks for a reference in its registry. ok is false if there is none;
// err is for what kept it from finding out.
type Probe func(ctx context.Context, ref string) (found Found, ok bool, err error)

// A Shared is the layer cache of a run that a cache block stands for. It looks
// for each reference once, and pins it to the digest found, so that all targets
// of a run read the same. What goes wrong is told and never returned: a cache
// that is not there is no reason to fail. It may be used by many goroutines.
type Shared struct {
	block *config.CacheBlock
	probe Probe
	warn  func(text string)
	turns chan struct{} // one for each probe under way

	mu    sync.Mutex
	known map[string]*lookup
	down  map[string]bool // repositories that are asked no more
	fails int             // writes that failed in a row
}

// A lookup is what is known of a reference; done is closed when it is.
type lookup struct {
	done  chan struct{}
	found Found
	ok    bool
}

// NewShared returns the cache of block, which is not nil. warn is told, from any
// goroutine, what a person should know.
func NewShared(block *config.CacheBlock, probe Probe, warn func(text string)) *Shared {
	return &Shared{
		block: block, probe: probe, warn: warn, turns: make(chan struct{}, probes),
		known: map[string]*lookup{}, down: map[string]bool{},
	}
}

// Ref is the reference of layers in a scope.
func (s *Shared) Ref(scope config.CacheScope, l Layers) string {
	return Repository(s.block, scope) + ":" + l.tag()
}

// Imports are the caches to read for layers, given in order of use: first the
// target's own, then those of the targets it needs. For each, the scopes are
// read in their order. Only what exists is listed, and not more than BuildKit can
// make good use of.
func (s *Shared) Imports(ctx context.Context, layers []Layers) []client.CacheOptionsEntry {
	var refs, repos []string
	for _, l := range layers {
		for _, scope := range s.block.Scopes {
			refs = append(refs, s.Ref(scope, l))
			repos = append(repos, Repository(s.block, scope))
		}
	}
	found := make([]*lookup, len(refs))
	var g errgroup.Group
	for i := range refs {
		g.Go(func() error {
			found[i] = s.lookup(ctx, repos[i], refs[i])
			return nil
		})
	}
	_ = g.Wait() // it has no errors
	var out []client.CacheOptionsEntry
	seen := map[digest.Digest]bool{}
	for i, f := range found {
		if f == nil || !f.ok || seen[f.found.Digest] || len(out) == maxImports {
			continue
		}
		seen[f.found.Digest] = true
		out = append(out, client.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": refs[i] + "@" + f.found.Digest.String()}})
	}
	return out
}

// lookup looks for ref once; nil if the run was stopped.
func (s *Shared) lookup(ctx context.Context, repo, ref string) *lookup {
	s.mu.Lock()
	l, known := s.known[ref]
	if !known {
		l = &lookup{done: make(chan struct{})}
		s.known[ref] = l
	}
	s.mu.Unlock()
	if !known {
		s.look(ctx, l, repo, ref)
		close(l.done)
	}
	select {
	case <-l.done:
		return l
	case <-ctx.Done():
		return nil
	}
}

func (s *Shared) look(ctx context.Context, l *lookup, repo, ref string) {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
	case <-ctx.Done():
		return
	}
	if s.isDown(repo) {
		return
	}
	probeCtx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not answer within %v", patience))
	defer cancel()
	found, ok, err := s.probe(probeCtx, ref)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if probeCtx.Err() != nil {
			err = context.Cause(probeCtx)
		}
		s.giveUp(repo, err)
	case ok && found.Size > MaxManifest:
		s.warn(tooLarge(ref, found.Size))
	default:
		l.found, l.ok = found, ok
	}
}

func tooLarge(ref string, size int64) string {
	return fmt.Sprintf("the layer cache %s is not used: its manifest has %d bytes and BuildKit reads at most %d; split the target in two, or set mode = \"min\" in the cache block", ref, size, MaxManifest)
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
		s.warn(fmt.Sprintf("the layer cache %s is not read: %v", repo, err))
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
			if l.ok && ref+"@"+l.found.Digest.String() == im.Attrs["ref"] {
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

// Exported notes how writing to ref went: the size of the manifest, or what went
// wrong.
func (s *Shared) Exported(ref string, size int64, err error) {
	s.mu.Lock()
	if err == nil {
		s.fails = 0
	} else {
		s.fails++
	}
	last := s.fails == maxFails
	s.mu.Unlock()
	switch {
	case err == nil && size > MaxManifest:
		s.warn(tooLarge(ref, size))
	case last:
		s.warn(fmt.Sprintf("the layer cache %s was not written: %v; after %d failures no more are written in this run", ref, err, maxFails))
	case err != nil:
		s.warn(fmt.Sprintf("the layer cache %s was not written: %v", ref, err))
	}
}
