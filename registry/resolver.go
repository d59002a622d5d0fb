package registry

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/util/contentutil"
	"github.com/moby/buildkit/util/imageutil"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxDepth is how deep indexes may be nested.
const maxDepth = 4

// A Resolver resolves base images. A reference is resolved once in the life of
// a Resolver, so that all targets of a run see one and the same image; its
// config is read once a platform. Failures are remembered too, but for those of a
// [Patience]: who has more of it asks again. It may be used by many goroutines.
// Close it after use.
type Resolver struct {
	client  *Client
	tags    *tagResolver
	blobs   memo[[]byte] // manifests and configs, by reference and digest
	configs memo[imageConfig]
}

// An imageConfig is the image config of one platform, and the digest of the whole.
type imageConfig struct {
	digest digest.Digest
	json   []byte
}

var _ sourceresolver.ImageMetaResolver = (*Resolver)(nil)

// NewResolver returns a resolver that has resolved nothing yet.
func NewResolver(s Settings, keys *Keychain, opts ...ClientOption) *Resolver {
	c := NewClient(s, keys, opts...)
	return &Resolver{
		client: c,
		tags:   &tagResolver{Resolver: docker.NewResolver(docker.ResolverOptions{Hosts: c.hosts})},
	}
}

// Close lets go of idle connections.
func (r *Resolver) Close() { r.client.Close() }

// ResolveImageConfig returns the normalised reference, the digest that its tag
// has now, and the image config for the platform that opt asks for, this
// machine's if it asks for none. Its error is an *Error or a *ReferenceError.
func (r *Resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.OCILayoutOpt != nil {
		return "", "", nil, fmt.Errorf("image %q is in an OCI layout, not in a registry", ref)
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "", "", nil, &ReferenceError{Ref: ref, Err: err}
	}
	full := reference.TagNameOnly(named).String()
	platform := platforms.DefaultSpec()
	if opt.ImageOpt != nil && opt.ImageOpt.Platform != nil {
		platform = platforms.Normalize(*opt.ImageOpt.Platform)
	}
	c, err := r.configs.do(ctx, full+" "+platforms.FormatAll(platform), func() (imageConfig, error) {
		return r.resolve(ctx, full, platform)
	})
	if err != nil {
		return "", "", nil, r.client.Explain(ctx, "resolving", ref, err)
	}
	return full, c.digest, c.json, nil
}

func (r *Resolver) resolve(ctx context.Context, ref string, platform ocispec.Platform) (imageConfig, error) {
	bounded := &boundedResolver{Resolver: r.tags, blobs: &r.blobs, seen: map[digest.Digest]bool{}}
	dgst, json, err := imageutil.Config(ctx, ref, bounded, contentutil.NewBuffer(), nil, &platform)
	if err != nil {
		if missing := r.missingPlatform(ref, platform, err); missing != nil {
			return imageConfig{}, missing
		}
		return imageConfig{}, err
	}
	return imageConfig{digest: dgst, json: json}, nil
}

// missingPlatform returns a better error than err if ref is there and only
// lacks the platform.
func (r *Resolver) missingPlatform(ref string, platform ocispec.Platform, err error) error {
	_, resolved := r.Resolved()[ref]
	if !resolved || statusOf(err) != http.StatusNotFound {
		return nil
	}
	return &PlatformError{Ref: ref, Platform: platforms.FormatAll(platform)}
}

// A PlatformError says that an image exists, but not for a platform.
type PlatformError struct{ Ref, Platform string }

// Error names image and platform.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("%s has no image for %s", e.Ref, e.Platform)
}

// Resolved lists the references resolved so far, normalised, with the digests
// their tags had.
func (r *Resolver) Resolved() map[string]digest.Digest {
	r.tags.mu.Lock()
	defer r.tags.mu.Unlock()
	return maps.Clone(r.tags.resolved)
}

// A tagResolver asks for the digest of each tag once.
type tagResolver struct {
	remotes.Resolver
	memo  memo[ocispec.Descriptor]
	hasty memo[ocispec.Descriptor] // of those with a Patience

	mu       sync.Mutex
	resolved map[string]digest.Digest
}

// Resolve implements remotes.Resolver.
func (t *tagResolver) Resolve(ctx context.Context, ref string) (string, ocispec.Descriptor, error) {
	answers := &t.memo
	if patienceOf(ctx) != nil {
		if o, ok := t.memo.peek(ref); ok {
			return ref, o.value, o.err
		}
		answers = &t.hasty
	}
	desc, err := answers.do(ctx, ref, func() (ocispec.Descriptor, error) {
		_, desc, err := t.Resolver.Resolve(ctx, ref)
		if err != nil {
			return desc, err
		}
		desc = t.memo.keep(ref, outcome[ocispec.Descriptor]{value: desc}).value
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.resolved == nil {
			t.resolved = map[string]digest.Digest{}
		}
		t.resolved[ref] = desc.Digest
		return desc, nil
	})
	return ref, desc, err
}
