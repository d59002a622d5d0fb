package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/registry"
)

// sharedOptions are the flags that overrule the cache block of a build file.
type sharedOptions struct {
	repository string
	scopes     []string
	write      bool
	off        bool
	flagSet    *pflag.FlagSet
}

func (o *sharedOptions) flags(f *pflag.FlagSet) {
	o.readFlags(f)
	f.BoolVar(&o.write, "cache-write", false, "write what was built to the shared cache")
	f.Lookup("no-remote-cache").Usage = "neither read nor write the shared cache"
	o.flagSet = f
}

// readFlags are those of commands that write nothing.
func (o *sharedOptions) readFlags(f *pflag.FlagSet) {
	f.StringVar(&o.repository, "cache-repository", "", "share what was built, and its layers, below this `repository`; wins over the cache block")
	f.StringArrayVar(&o.scopes, "cache-scope", nil, "read this scope of the shared cache, such as a branch; the first one is written; repeatable `name`")
	f.BoolVar(&o.off, "no-remote-cache", false, "do not read the shared cache")
}

// block is the shared cache that counts, nil if there is none.
func (o *sharedOptions) block(cfg *config.Config) (*config.CacheBlock, error) {
	if o.off {
		return nil, nil
	}
	var write *bool
	if o.flagSet != nil && o.flagSet.Changed("cache-write") {
		write = &o.write
	}
	block, err := config.ParseCacheBlock(cfg.Cache, o.repository, o.scopes, write)
	if err != nil {
		return nil, usageError("--cache-repository, --cache-scope, --cache-write: %w", err)
	}
	return block, nil
}

// openShared opens the shared cache of the run, if it has one.
func (p *planning) openShared(opts *sharedOptions) error {
	block, err := opts.block(p.cfg)
	if err != nil || block == nil {
		return err
	}
	remote := index.RemoteOptions{Write: block.Write, Warn: p.warn}
	verify, err := p.publicKeys(block)
	if err != nil {
		return err
	}
	for i, s := range block.Scopes {
		scope := index.Scope{Name: s.Name, Repository: cache.Repository(block, s)}
		if verified(block, i) {
			scope.Keys = verify
		}
		remote.Scopes = append(remote.Scopes, scope)
	}
	if block.Sign != "" && block.Write {
		if remote.Sign, err = p.privateKey(block.Sign); err != nil {
			return err
		}
	}
	r, err := index.NewRemote(p.client, remote)
	if err != nil {
		return usageError("the shared cache: %w", err)
	}
	p.index.remote, p.index.write = r, block.Write
	for _, s := range block.Scopes {
		p.index.scopes = append(p.index.scopes, s.Name)
		p.index.repos = append(p.index.repos, cache.Repository(block, s))
	}
	p.shared = cache.NewShared(block, cache.SharedOptions{Open: p.layerStore, Warn: func(text string) { p.warn(errors.New(text)) }})
	return nil
}

// verified reports whether what scope i holds counts only with a signature. All
// do but one: a scope of its own that a run without a key writes, such as that of
// a pull request, before others that it only reads.
func verified(block *config.CacheBlock, i int) bool {
	own := i == 0 && len(block.Scopes) > 1 && block.Write && block.Sign == ""
	return !own
}

// layerStore opens a repository of the layer cache.
func (p *planning) layerStore(repository string) (cache.Store, error) {
	repo, err := p.client.Repository(repository)
	return &layerStore{repo, &p.probing}, err
}

// A layerStore is a repository of the layer cache. A build can do without one
// that does not answer.
type layerStore struct {
	*registry.Repository
	probing *registry.Patience
}

// Head implements [cache.Store].
func (s *layerStore) Head(ctx context.Context, identifier string) (registry.Manifest, bool, error) {
	return s.Repository.Head(s.probing.Context(ctx), identifier)
}

// keyFile is where a key of the build file is: in a file, or in a variable of
// the environment, env://NAME.
func (p *planning) keyFile(source string) string {
	if filepath.IsAbs(source) || strings.HasPrefix(source, "env://") {
		return source
	}
	return filepath.Join(p.cfg.Dir, source)
}

func (p *planning) publicKeys(block *config.CacheBlock) ([]ed25519.PublicKey, error) {
	var keys []ed25519.PublicKey
	for _, source := range block.Verify {
		list, err := index.ReadPublicKeys(p.keyFile(source), p.app.lookupEnv)
		if err != nil {
			return nil, usageError("the key that verifies the shared cache: %w", err)
		}
		keys = append(keys, list...)
	}
	return keys, nil
}

func (p *planning) privateKey(source string) (ed25519.PrivateKey, error) {
	key, err := index.ReadSigningKey(p.keyFile(source), p.app.lookupEnv)
	if err != nil {
		return nil, usageError("the key that signs the shared cache: %w", err)
	}
	return key, nil
}
