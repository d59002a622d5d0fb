package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/containerd/containerd/v2/pkg/reference"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/moby/buildkit/util/progress"
	"github.com/moby/buildkit/util/progress/controller"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// BuildKit takes a step out of an imported cache together with all steps below
// it, and makes a record of each from its lowest layer up (LoadWithParents in
// cache/remotecache/v1, FromRemote in worker/base, both of 0.34). Every layer on
// the way is written to its database, also if nothing is new: for a step on n
// others some n*n/2 transactions, each flushed to disk, and again for each target
// of a chain. A chain of layers always means the same, so the engine remembers
// which record it is and goes on from the longest one it has.

const (
	// maxChains is how many chains of layers are remembered, at about 150 bytes.
	maxChains = 1 << 16
	// touchEvery is how often a record is noted to have been used. It counts
	// for what is pruned first, and costs a flush to disk.
	touchEvery = time.Minute
)

// What BuildKit's exporters and importers write at a layer.
const (
	annotationCreated     = "buildkit/createdat"
	annotationDescription = "buildkit/description"
	annotationSource      = "containerd.io/distribution.source.ref"
)

// chains makes records of layers that caches have, and remembers them.
type chains struct {
	records cache.Accessor
	now     func() time.Time
	known   *lru.Cache[digest.Digest, chainRecord] // by the layers up to one
}

// A chainRecord is the record of a chain of layers. It may have been pruned.
type chainRecord struct {
	id      string
	touched time.Time
}

func newChains(records cache.Accessor) (*chains, error) {
	known, err := lru.New[digest.Digest, chainRecord](maxChains)
	return &chains{records: records, now: time.Now, known: known}, err
}

// chainKeys are what the layers of descs up to each one are known under: their
// content, packed and unpacked, and the repository they come from, which is told
// to a registry that has them already. Which tag of it named them counts for
// nothing: each target has its own.
func chainKeys(descs []ocispec.Descriptor) []digest.Digest {
	var below digest.Digest
	out := make([]digest.Digest, len(descs))
	for i, d := range descs {
		below = digest.FromString(fmt.Sprintf("%s\n%s\n%s\n%s", below, d.Digest, d.Annotations[labels.LabelUncompressed], repositoryOf(d)))
		out[i] = below
	}
	return out
}

// repositoryOf is where a layer comes from, "" if that is not known.
func repositoryOf(d ocispec.Descriptor) string {
	source, err := reference.Parse(d.Annotations[annotationSource])
	if err != nil {
		return ""
	}
	return source.Locator
}

// unlazy is what a provider has whose layers are pulled at once: those of a
// directory, which may be gone later.
type unlazy interface {
	UnlazySession(ocispec.Descriptor) session.Group
}

// fit reports whether remote may be taken by chains.
func fit(remote *solver.Remote) bool {
	u, ok := remote.Provider.(unlazy)
	for _, d := range remote.Descriptors {
		if ok && u.UnlazySession(d) != nil {
			return false
		}
	}
	return len(remote.Descriptors) > 0
}

// load returns the record of remote, which fits, made if there is none. Whoever
// asks releases it. Its layers are pulled when somebody needs them, by the
// session of that solve.
func (c *chains) load(ctx context.Context, remote *solver.Remote) (cache.ImmutableRef, error) {
	keys := chainKeys(remote.Descriptors)
	handlers := handlersOf(ctx, remote)
	ref, n, err := c.longest(ctx, keys, handlers)
	if err != nil {
		return nil, err
	}
	for i := n; i < len(keys); i++ {
		next, err := c.add(ctx, remote, i, ref, handlers)
		if ref != nil {
			_ = ref.Release(context.WithoutCancel(ctx)) // held by next
		}
		if err != nil {
			return nil, err
		}
		ref = next
		c.known.Add(keys[i], chainRecord{ref.ID(), c.now()})
	}
	return ref, nil
}

// longest returns the record of the longest chain that is there, and its length.
func (c *chains) longest(ctx context.Context, keys []digest.Digest, handlers cache.DescHandlers) (cache.ImmutableRef, int, error) {
	for n := len(keys); n > 0; n-- {
		had, ok := c.known.Get(keys[n-1])
		if !ok {
			continue
		}
		opts := []cache.RefOption{handlers}
		if now := c.now(); now.Sub(had.touched) < touchEvery {
			opts = append(opts, cache.NoUpdateLastUsed)
		} else {
			c.known.Add(keys[n-1], chainRecord{had.id, now})
		}
		ref, err := c.records.Get(ctx, had.id, nil, opts...)
		if err == nil {
			return ref, n, nil
		}
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		c.known.Remove(keys[n-1]) // pruned
	}
	return nil, 0, nil
}

// add makes the record of layer i of remote on the record of those below it.
func (c *chains) add(ctx context.Context, remote *solver.Remote, i int, below cache.ImmutableRef, handlers cache.DescHandlers) (cache.ImmutableRef, error) {
	d := remote.Descriptors[i]
	if _, err := remote.Provider.Info(ctx, d.Digest); err != nil {
		return nil, err
	}
	created := c.now()
	if text, ok := d.Annotations[annotationCreated]; ok {
		if err := created.UnmarshalText([]byte(text)); err != nil {
			return nil, fmt.Errorf("reading when layer %s was made: %w", d.Digest, err)
		}
	}
	description := fmt.Sprintf("imported %s", d.Digest)
	if text, ok := d.Annotations[annotationDescription]; ok {
		description = text
	}
	opts := []cache.RefOption{cache.WithDescription(description), cache.WithCreationTime(created), handlers}
	if source, ok := d.Annotations[annotationSource]; ok {
		opts = append(opts, cache.WithImageRef(source))
	}
	return c.records.GetByBlob(ctx, d, below, opts...)
}

// handlersOf tell how the layers of remote are pulled.
func handlersOf(ctx context.Context, remote *solver.Remote) cache.DescHandlers {
	pg := solver.ProgressControllerFromContext(ctx)
	if pg == nil {
		pg = &controller.Controller{WriterFactory: progress.FromContext(ctx)}
	}
	provider := func(g session.Group) content.Provider {
		return contentutil.ProviderForSession(remote.Provider, g)
	}
	out := cache.DescHandlers{}
	for _, d := range remote.Descriptors {
		out[d.Digest] = &cache.DescHandler{Provider: provider, Progress: pg, Annotations: d.Annotations}
	}
	return out
}
