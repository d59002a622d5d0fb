package main

import (
	"context"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/registry"
)

// cacheOptions are the flags about the shared cache. They win over the cache
// block of the build file.
type cacheOptions struct {
	repository string
	scopes     []string
	write      bool
	set        *pflag.FlagSet // to tell --cache-write=false from nothing
}

func (o *cacheOptions) flags(f *pflag.FlagSet) {
	o.set = f
	f.StringVar(&o.repository, "cache-repository", "", "share what was built, and its layers, below this `repository`")
	f.StringArrayVar(&o.scopes, "cache-scope", nil, "read this scope of the shared cache, such as a branch; the first one is written; repeatable `name`")
	f.BoolVar(&o.write, "cache-write", false, "write what was built to the shared cache")
}

// block is the shared cache of a build file with the flags applied, nil if there
// is none.
func (o *cacheOptions) block(cfg *config.Config) (*config.CacheBlock, error) {
	var write *bool
	if o.set != nil && o.set.Changed("cache-write") {
		write = &o.write
	}
	block, err := config.ParseCacheBlock(cfg.Cache, o.repository, o.scopes, write)
	if err != nil {
		return nil, usageError("--cache-repository, --cache-scope, --cache-write: %w", err)
	}
	return block, nil
}

// sharedLayers is the layer cache of block, nil if block is. What is wrong with
// it is a warning among the events.
func sharedLayers(block *config.CacheBlock, regs *registry.Client, emit func(executor.Event)) *cache.Shared {
	if block == nil {
		return nil
	}
	probe := func(ctx context.Context, ref string) (cache.Found, bool, error) {
		desc, ok, err := regs.Head(ctx, ref)
		return cache.Found{Digest: digest.Digest(desc.Digest.String()), Size: desc.Size}, ok, err
	}
	return cache.NewShared(block, probe, func(text string) {
		emit(executor.Warning{Time: time.Now(), Text: text})
	})
}
