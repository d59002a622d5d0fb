// Package registry holds what the user says about registries - mirrors,
// transport security, credentials - and resolves base images through it.
//
// It knows hosts and references and nothing of targets. Settings come from a
// file of the user's and from flags, never from a checkout.
package registry

import (
	"context"
	"errors"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	digest "github.com/opencontainers/go-digest"
)

var errSoon = errors.New("not there yet")

// Settings are the registry settings of a user. The zero value has none.
type Settings struct{}

// DefaultPath returns the file that settings are read from.
func DefaultPath(lookupEnv func(string) (string, bool)) string { return "" }

// LoadSettings reads settings from path. A missing file has no settings.
func LoadSettings(path string) (Settings, error) { return Settings{}, nil }

// WithFlags returns s with mirrors ("docker.io=http://localhost:5000") and
// hosts that are spoken to by plain http.
func (s Settings) WithFlags(mirrors, plainHTTP []string) (Settings, error) { return s, nil }

// Configs returns s in the form that a BuildKit worker takes.
func (s Settings) Configs() map[string]resolverconfig.RegistryConfig { return nil }

// Hosts returns s in the form that a containerd resolver takes.
func (s Settings) Hosts(keys *Keychain) docker.RegistryHosts { return nil }

// A Keychain finds credentials in the user's Docker configuration.
type Keychain struct{}

// NewKeychain returns the keychain of $DOCKER_CONFIG or ~/.docker.
func NewKeychain(lookupEnv func(string) (string, bool)) *Keychain { return &Keychain{} }

// SessionAuth returns the session attachable that gives an engine credentials.
func SessionAuth(s Settings, keys *Keychain) session.Attachable { return nil }

// A Client reads and writes images in registries.
type Client struct{}

// NewClient returns a client of s and keys.
func NewClient(s Settings, keys *Keychain) *Client { return &Client{} }

// Close lets go of idle connections.
func (c *Client) Close() {}

// Parse parses an image reference as Docker does.
func (c *Client) Parse(ref string) (name.Reference, error) { return nil, errSoon }

// Options are the options of every go-containerregistry call.
func (c *Client) Options(ctx context.Context) []remote.Option { return nil }

// Get reads the manifest or index of ref, from its mirrors first.
func (c *Client) Get(ctx context.Context, ref string) (*remote.Descriptor, error) {
	return nil, errSoon
}

// A Resolver resolves base images, each (reference, platform) once.
type Resolver struct{}

var _ sourceresolver.ImageMetaResolver = (*Resolver)(nil)

// NewResolver returns a resolver that has resolved nothing yet.
func NewResolver(s Settings, keys *Keychain) *Resolver { return &Resolver{} }

// ResolveImageConfig returns the digest and the image config of ref.
func (r *Resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return "", "", nil, errSoon
}

// Resolved lists the references resolved so far.
func (r *Resolver) Resolved() map[string]digest.Digest { return nil }

// Close lets go of idle connections.
func (r *Resolver) Close() {}

// An Error is a failure of a registry, the network or a login. Hint says what
// to change.
type Error struct {
	Host, Ref, Op string
	Err           error
	Hint          string
}

// Error says what failed and why.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
