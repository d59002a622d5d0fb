package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// A Client reads and writes images in registries as the user's settings say.
// It may be used by many goroutines. Close it after use.
type Client struct {
	settings   Settings
	keys       *Keychain
	base       *transport
	guard      *guard
	retry      *retry
	http       *http.Client
	authorizer docker.Authorizer
	puller     func() (*remote.Puller, error) // logs in once a repository
}

// A ClientOption changes how a client is made.
type ClientOption func(*Client)

// WithNotify has notify told of each wait before a request is repeated.
func WithNotify(notify func(msg string)) ClientOption {
	return func(c *Client) { c.retry.notify = notify }
}

// NewClient returns a client of s and keys. It connects to nothing yet.
func NewClient(s Settings, keys *Keychain, opts ...ClientOption) *Client {
	base := &transport{settings: s, stall: stallTimeout, hosts: map[string]*http.Transport{}}
	g := newGuard(s, keys, base)
	c := &Client{
		settings: s,
		keys:     keys,
		base:     base,
		guard:    g,
		retry: &retry{
			next:   g,
			first:  firstWait,
			notify: func(string) {},
			until:  map[string]time.Time{},
		},
	}
	for _, opt := range opts {
		opt(c)
	}
	c.http = &http.Client{Transport: c.retry}
	c.authorizer = docker.NewDockerAuthorizer(docker.WithAuthClient(c.http), docker.WithAuthCreds(keys.secret))
	c.puller = sync.OnceValues(func() (*remote.Puller, error) {
		return remote.NewPuller(c.Options(context.Background())...)
	})
	return c
}

// Close lets go of idle connections.
func (c *Client) Close() { c.base.CloseIdleConnections() }

// A ReferenceError is a mistake in an image reference.
type ReferenceError struct {
	Ref string
	Err error
}

// Error quotes the reference and says what is wrong with it.
func (e *ReferenceError) Error() string {
	return fmt.Sprintf("image reference %q: %v", e.Ref, e.Err)
}

// Unwrap returns what is wrong.
func (e *ReferenceError) Unwrap() error { return e.Err }

// Parse parses an image reference as Docker does: "python:3.8" is in
// docker.io/library. Its error is a *ReferenceError.
func (c *Client) Parse(ref string) (name.Reference, error) {
	n, err := name.ParseReference(ref)
	if err != nil {
		return nil, &ReferenceError{Ref: ref, Err: err}
	}
	if !c.settings.plain(n.Context().RegistryStr()) {
		return n, nil
	}
	return name.ParseReference(ref, name.Insecure)
}

// Options are the options of every go-containerregistry call: credentials,
// certificates, retries and the guard. ctx holds for all that the call returns.
func (c *Client) Options(ctx context.Context) []remote.Option {
	return []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(c.keys),
		remote.WithTransport(c.retry),
		remote.WithRetryStatusCodes(),      // done by the transport
		remote.WithRetryPredicate(mayPass), // uploads are streams: begun again from the start
		remote.WithUserAgent("strata"),
	}
}

// Get reads the manifest or index of ref, from the mirrors of its registry
// first. Its error is an *Error or a *ReferenceError.
func (c *Client) Get(ctx context.Context, ref string) (*remote.Descriptor, error) {
	return fromAnywhere(ctx, c, ref, func(p *remote.Puller, n name.Reference) (*remote.Descriptor, error) {
		return p.Get(ctx, n)
	})
}

// Blob reads a manifest, an index or a config that the image ref consists of.
func (c *Client) Blob(ctx context.Context, ref string, desc v1.Descriptor) ([]byte, error) {
	if desc.Size > maxManifest {
		return nil, fmt.Errorf("blob %s of %d bytes %w", desc.Digest, desc.Size, errTooLarge)
	}
	return fromAnywhere(ctx, c, ref, func(p *remote.Puller, n name.Reference) ([]byte, error) {
		blob := n.Context().Digest(desc.Digest.String())
		if desc.MediaType.IsImage() || desc.MediaType.IsIndex() {
			d, err := p.Get(ctx, blob)
			if err != nil {
				return nil, err
			}
			return d.Manifest, nil
		}
		l, err := p.Layer(ctx, blob)
		if err != nil {
			return nil, err
		}
		r, err := l.Compressed()
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(io.LimitReader(r, maxManifest))
	})
}

// fromAnywhere asks the mirrors of ref's registry and then the registry itself.
func fromAnywhere[T any](ctx context.Context, c *Client, ref string, ask func(*remote.Puller, name.Reference) (T, error)) (T, error) {
	var none T
	n, err := c.Parse(ref)
	if err != nil {
		return none, err
	}
	p, err := c.puller()
	if err != nil {
		return none, err
	}
	var failed string
	for _, m := range c.mirrors(n) {
		got, err := ask(p, m)
		if err == nil {
			return got, nil
		}
		failed += fmt.Sprintf("; mirror %s: %v", m.Context().RegistryStr(), err)
	}
	got, err := ask(p, n)
	if err == nil {
		return got, nil
	}
	err = c.Explain(ctx, "reading", ref, err)
	if e, ok := errors.AsType[*Error](err); ok && failed != "" {
		e.Err = fmt.Errorf("%w%s", e.Err, failed)
	}
	return none, err
}

// mirrors names n in each mirror of its registry.
func (c *Client) mirrors(n name.Reference) []name.Reference {
	var refs []name.Reference
	repo := n.Context()
	for _, m := range c.settings.host(repo.RegistryStr()).Mirrors {
		ref, err := c.Parse(m + "/" + repo.RepositoryStr() + separator(n) + n.Identifier())
		if err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}

func separator(n name.Reference) string {
	if _, ok := n.(name.Digest); ok {
		return "@"
	}
	return ":"
}

// host is the registry of ref, "" if ref is none.
func host(ref string) string {
	n, err := name.ParseReference(ref)
	if err != nil {
		return ""
	}
	if h := n.Context().RegistryStr(); h != name.DefaultRegistry {
		return h
	}
	return "docker.io"
}

// isReferenceError reports whether err blames the reference, not the registry.
func isReferenceError(err error) bool {
	if _, ok := errors.AsType[*ReferenceError](err); ok {
		return true
	}
	_, ok := errors.AsType[*name.ErrBadName](err)
	return ok || strings.Contains(err.Error(), "invalid reference format")
}
