package buildkit

import (
	"context"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	digest "github.com/opencontainers/go-digest"
)

// A Resolver resolves base images through the engine, for engines that see
// other registries than this machine does, or images that are in no registry,
// as Docker's own are. Each reference and platform is asked for once.
type Resolver struct {
	Client *client.Client
	Auth   func() session.Attachable

	mu    sync.Mutex
	known map[string]*resolved
}

// A resolved is one answer; it is there when done is closed.
type resolved struct {
	done   chan struct{}
	ref    string
	digest digest.Digest
	config []byte
	err    error
}

var _ sourceresolver.ImageMetaResolver = (*Resolver)(nil)

// ResolveImageConfig implements BuildKit's ImageMetaResolver.
func (r *Resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	key := ref
	if opt.ImageOpt != nil {
		key += " " + opt.ImageOpt.ResolveMode
		if opt.ImageOpt.Platform != nil {
			key += " " + platforms.FormatAll(*opt.ImageOpt.Platform)
		}
	}
	r.mu.Lock()
	if r.known == nil {
		r.known = map[string]*resolved{}
	}
	k, ok := r.known[key]
	if !ok {
		k = &resolved{done: make(chan struct{})}
		r.known[key] = k
	}
	r.mu.Unlock()
	if !ok {
		k.ref, k.digest, k.config, k.err = r.ask(ctx, ref, opt)
		close(k.done)
	}
	select {
	case <-k.done:
		return k.ref, k.digest, k.config, k.err
	case <-ctx.Done():
		return "", "", nil, context.Cause(ctx)
	}
}

func (r *Resolver) ask(ctx context.Context, ref string, opt sourceresolver.Opt) (name string, d digest.Digest, config []byte, err error) {
	so := client.SolveOpt{Internal: true}
	if r.Auth != nil {
		so.Session = []session.Attachable{r.Auth()}
	}
	_, err = r.Client.Build(ctx, so, "strata", func(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
		var err error
		name, d, config, err = gw.ResolveImageConfig(ctx, ref, opt)
		return gwclient.NewResult(), err
	}, nil)
	return name, d, config, err
}
