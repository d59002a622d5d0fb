package registry

import (
	"context"

	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
)

// Digest returns the digest that ref has now, by one request, once in the life
// of r. Its error is an *Error or a *ReferenceError.
func (r *Resolver) Digest(ctx context.Context, ref string) (digest.Digest, error) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", &ReferenceError{Ref: ref, Err: err}
	}
	_, desc, err := r.tags.Resolve(ctx, reference.TagNameOnly(named).String())
	if err != nil {
		return "", r.client.Explain(ctx, "resolving", ref, err)
	}
	return desc.Digest, nil
}
