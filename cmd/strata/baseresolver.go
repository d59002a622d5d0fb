package main

import (
	"context"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
)

// A baseResolver resolves base images in this process if it sees the registries
// that the engine does, else through the engine: a Docker Engine knows images
// that are in no registry, and a remote one may have registries of its own.
type baseResolver struct{ p *planning }

var _ sourceresolver.ImageMetaResolver = (*baseResolver)(nil)

// ResolveImageConfig implements sourceresolver.ImageMetaResolver.
func (r *baseResolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	p := r.p
	if p.fromHere {
		name, d, config, err := p.bases.ResolveImageConfig(ctx, ref, opt)
		if err == nil || p.kind == engine.KindEmbedded || ctx.Err() != nil {
			return name, d, config, err
		}
	}
	through, err := p.throughEngine(ctx)
	if err != nil {
		return "", "", nil, err
	}
	return through.ResolveImageConfig(ctx, ref, opt)
}

// throughEngine is the resolver that asks the engine, opened once.
func (p *planning) throughEngine(ctx context.Context) (*buildkit.Resolver, error) {
	p.askMu.Lock()
	defer p.askMu.Unlock()
	if p.ask == nil {
		if err := p.openEngine(ctx); err != nil {
			return nil, err
		}
		p.ask = &buildkit.Resolver{Client: p.engine.Client(), Auth: p.client.SessionAuth}
	}
	return p.ask, nil
}

func resolveOpt(platform *ocispec.Platform) sourceresolver.Opt {
	return sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{Platform: platform}}
}
