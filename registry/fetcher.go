package registry

import (
	"context"
	"io"

	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A boundedFetcher asks its owner before it reads.
type boundedFetcher struct {
	remotes.Fetcher
	owner *boundedResolver
}

// Fetch implements remotes.Fetcher.
func (f *boundedFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	if err := f.owner.allow(desc); err != nil {
		return nil, err
	}
	return f.Fetcher.Fetch(ctx, desc)
}
