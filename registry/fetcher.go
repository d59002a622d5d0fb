package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A boundedResolver refuses to read more than an image can need: manifests of
// bounded size, in indexes of bounded depth. What one has read the others of a
// run do not read again. One serves one call.
type boundedResolver struct {
	remotes.Resolver
	blobs *memo[[]byte]

	mu   sync.Mutex
	seen map[digest.Digest]bool // manifests and indexes read
}

// Fetcher implements remotes.Resolver.
func (b *boundedResolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	f, err := b.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return &boundedFetcher{Fetcher: f, ref: ref, owner: b}, nil
}

func (b *boundedResolver) allow(desc ocispec.Descriptor) error {
	if desc.Size > maxManifest {
		return fmt.Errorf("blob %s of %d bytes %w", desc.Digest, desc.Size, errTooLarge)
	}
	if !images.IsIndexType(desc.MediaType) && !images.IsManifestType(desc.MediaType) {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[desc.Digest] = true
	if len(b.seen) > maxDepth+1 {
		return fmt.Errorf("indexes are nested deeper than %d", maxDepth)
	}
	return nil
}

// A boundedFetcher asks its owner before it reads.
type boundedFetcher struct {
	remotes.Fetcher
	ref   string
	owner *boundedResolver
}

// Fetch implements remotes.Fetcher.
func (f *boundedFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if err := f.owner.allow(desc); err != nil {
		return nil, err
	}
	data, err := f.owner.blobs.do(ctx, f.ref+" "+desc.Digest.String(), func() ([]byte, error) {
		r, err := f.Fetcher.Fetch(ctx, desc)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, desc.Size+1)) // the reader's owner compares sizes and digests
	})
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}
