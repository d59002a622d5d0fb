package main

import (
	"context"
	"sync"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/registry"
)

// A callEngine answers what questions about Dockerfiles need to know, with an
// engine only where nothing else will do: for images that this process does not
// find, which may be a Docker Engine's own or in a registry that only the engine
// knows, and for Dockerfiles that only the engine can read.
type callEngine struct {
	app  *app
	dir  string
	here *registry.Resolver
	auth *registry.Client
	open func(context.Context) (*engine.Engine, error) // once
	mu   sync.Mutex
	ask  *buildkit.Resolver // through the engine, nil until it is needed
}

var _ sourceresolver.ImageMetaResolver = (*callEngine)(nil)

func (a *app) newCallEngine(dir string) (*callEngine, error) {
	settings, err := a.registries()
	if err != nil {
		return nil, err
	}
	keys := registry.NewKeychain(a.lookupEnv)
	c := &callEngine{app: a, dir: dir, here: registry.NewResolver(settings, keys), auth: registry.NewClient(settings, keys)}
	a.onClose(func() error { c.here.Close(); c.auth.Close(); return nil })
	var once sync.Once
	var opened *engine.Engine
	c.open = func(ctx context.Context) (*engine.Engine, error) {
		once.Do(func() { opened, err = a.openEngine(ctx, nil) })
		return opened, err
	}
	return c, nil
}

// ResolveImageConfig implements sourceresolver.ImageMetaResolver.
func (c *callEngine) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	name, d, config, err := c.here.ResolveImageConfig(ctx, ref, opt)
	if err == nil || ctx.Err() != nil || !c.knowsMore() {
		return name, d, config, err
	}
	e, openErr := c.open(ctx)
	if openErr != nil || e.Kind() == engine.KindEmbedded {
		return name, d, config, err
	}
	c.mu.Lock()
	if c.ask == nil {
		c.ask = &buildkit.Resolver{Client: e.Client(), Auth: c.auth.SessionAuth}
	}
	c.mu.Unlock()
	return c.ask.ResolveImageConfig(ctx, ref, opt)
}

// knowsMore reports whether the engine may see images that this process does not.
func (c *callEngine) knowsMore() bool {
	opts, err := c.app.engineOptions()
	if err != nil {
		return false
	}
	kind, _, sure := engine.Expected(opts)
	return !sure || kind != engine.KindEmbedded
}

// answer puts a question to the engine that only it can answer.
func (c *callEngine) answer(ctx context.Context, t *config.Target, open *lower.CallResult) error {
	e, err := c.open(ctx)
	if err != nil {
		return err
	}
	b := &buildkit.Builder{
		Client: e.Client(), Auth: c.auth.SessionAuth, LookupEnv: c.app.lookupEnv, Lower: lower.Options{Dir: c.dir},
	}
	metadata, err := b.Ask(ctx, t, open.Request)
	if err != nil {
		return err
	}
	return open.Adopt(metadata)
}
