package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/lower"
)

// This file is the shared layer cache around a solve: what it reads, what
// happens when that breaks it, and writing the cache when a step ran.

// exportPatience is how long one layer cache may take to be written.
const exportPatience = 15 * time.Minute

// errChanged says that a solve whose steps have all run would run one again.
var errChanged = errors.New("a file that it reads has changed since it was built")

// layersOf lists whose layers can be of use to t, in the order in which they are
// read: its own, those of the targets it needs, nearest first, and those of
// targets that have a step in common with it. BuildKit looks a step up in the
// caches of the solve that came first, so all that have it read the same.
func (b *Builder) layersOf(t *config.Target, r *lower.Result) []cache.Layers {
	own := b.platformsOf(t, r)
	var out []cache.Layers
	seen := map[string]bool{}
	add := func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		ids := own
		if other := b.Lowered(name); other != nil && len(other.Platforms) > 0 {
			ids = b.platformsOf(b.Lowerer.Target(name), other)
		}
		for _, id := range ids {
			out = append(out, cache.Layers{Target: name, Platform: id, OnImages: b.standsOnImage(name)})
		}
	}
	add(t.Name)
	queue := []*config.Target{t}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, need := range at.Needs {
			if next := b.Lowerer.Target(string(need)); next != nil && !seen[next.Name] {
				add(next.Name)
				queue = append(queue, next)
			}
		}
	}
	for _, name := range b.tracker.mates(t.Name) {
		add(name)
	}
	return out
}

// platformsOf are the platforms of t as they are written, also if only the
// engine can tell what they consist of.
func (b *Builder) platformsOf(t *config.Target, r *lower.Result) []string {
	var out []string
	for _, p := range r.Platforms {
		out = append(out, p.ID)
	}
	if len(out) > 0 {
		return out
	}
	for _, list := range t.Platforms {
		for p := range strings.SplitSeq(list, ",") {
			if spec, err := platforms.Parse(p); err == nil {
				out = append(out, platforms.FormatAll(platforms.Normalize(spec)))
			}
		}
	}
	if len(out) == 0 && len(b.Lower.Workers) > 0 && len(b.Lower.Workers[0].Platforms) > 0 {
		out = append(out, platforms.FormatAll(platforms.Normalize(b.Lower.Workers[0].Platforms[0])))
	}
	return out
}

// findCaches decides which layer caches the solve reads.
func (s *solve) findCaches(ctx context.Context) {
	s.imports = s.plan.imports
	if s.b.Cache == nil || s.t.NoCache {
		return
	}
	s.shared = s.b.Cache.Imports(ctx, s.b.layersOf(s.t, s.r))
	s.imports = append(s.imports[:len(s.imports):len(s.imports)], s.shared...)
}

// retry solves again without any cache from elsewhere if one may be why the
// solve failed: a layer that is gone or damaged is found out only when it is
// needed. Targets that this one needs may hold such a layer still, so if that
// fails too, no step is taken from any cache.
func (s *solve) retry(ctx context.Context, err error) (*client.SolveResponse, error) {
	if len(s.imports) == 0 || !s.cacheMayBeWhy(ctx, err) {
		return nil, err
	}
	s.warn("it failed with layers of a cache and is built without them: %s", plainly(err.Error()))
	if s.b.Cache != nil {
		s.b.Cache.Broken(s.shared)
	}
	s.imports, s.shared = nil, nil
	resp, err := s.again(ctx)
	if err == nil || !s.cacheMayBeWhy(ctx, err) {
		return resp, err
	}
	s.anew = true
	return s.again(ctx)
}

// cacheMayBeWhy reports whether err may come of a cache. The failure of a
// program in a step never does.
func (s *solve) cacheMayBeWhy(ctx context.Context, err error) bool {
	_, exit := errors.AsType[*gatewaypb.ExitError](err)
	return !exit && ctx.Err() == nil && s.held == nil && !lost(err)
}

func (s *solve) again(ctx context.Context) (*client.SolveResponse, error) {
	for _, abort := range s.plan.exports.abort {
		abort()
	}
	s.b.tracker.again(s.t.Name)
	return s.run(ctx)
}

func (s *solve) warn(format string, args ...any) {
	s.b.Emit(executor.Warning{Time: time.Now(), Target: s.t.Name, Text: fmt.Sprintf(format, args...)})
}

// exportCache writes the layers of all platforms to the shared cache, if one of
// their steps ran. BuildKit writes a cache at the end of a solve that had to ask
// for it beforehand, when nobody knew yet whether a step would run; so it is
// asked again for what it has just solved.
func (s *solve) exportCache(ctx context.Context) {
	if s.b.Cache == nil || !s.b.tracker.built(s.t.Name) {
		return
	}
	var g errgroup.Group
	for _, p := range s.sent.Platforms {
		to, ok := s.b.Cache.Export(cache.Layers{Target: s.t.Name, Platform: p.ID, OnImages: len(s.images) > 0})
		if !ok || p.Def == nil || len(p.Def.Def) == 0 {
			continue
		}
		g.Go(func() error {
			written, err := s.exportLayers(ctx, p.Def, to)
			if ctx.Err() == nil {
				s.b.Cache.Exported(ctx, to.Attrs["ref"], written, err)
			}
			return nil
		})
	}
	_ = g.Wait() // it has no errors
}

// exportLayers solves def once more and writes its layers. It stops when a step
// would run: then the files are no longer those that were built. written is the
// manifest, empty if there was nothing to write.
func (s *solve) exportLayers(ctx context.Context, def *llb.Definition, to client.CacheOptionsEntry) (written ocispec.Descriptor, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, exportPatience, fmt.Errorf("it took longer than %v", exportPatience))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	mounts, err := s.mounts()
	if err != nil {
		return written, err
	}
	status := make(chan *client.SolveStatus, 16)
	var g errgroup.Group
	g.Go(func() error {
		for st := range status {
			if s.b.tracker.updateExport(s.t.Name, st) {
				stop(errChanged)
			}
		}
		return nil
	})
	resp, err := s.b.Client.Solve(ctx, marked(def, false), client.SolveOpt{
		LocalMounts:         mounts,
		OCIStores:           maps.Clone(s.r.Stores),
		SharedKey:           sharedKey,
		CacheImports:        s.imports,
		CacheExports:        []client.CacheOptionsEntry{to},
		Session:             append([]session.Attachable(nil), s.plan.session...),
		AllowedEntitlements: s.b.Entitlements,
		Internal:            true,
	}, status)
	_ = g.Wait() // it has no errors
	if err != nil && ctx.Err() != nil {
		return written, context.Cause(ctx)
	}
	if err != nil {
		return written, errors.New(plainly(err.Error()))
	}
	text, ok := resp.ExporterResponse[remotecache.ExporterResponseManifestDesc]
	if !ok {
		return written, nil
	}
	if err := json.Unmarshal([]byte(text), &written); err != nil {
		return written, fmt.Errorf("the engine does not say what it wrote: %w", err)
	}
	return written, nil
}

// marked is def with all its steps marked to run whatever is in the cache, or
// with none.
func marked(def *llb.Definition, ignoreCache bool) *llb.Definition {
	out := *def
	out.Metadata = maps.Clone(def.Metadata)
	for d, md := range out.Metadata {
		md.IgnoreCache = ignoreCache
		out.Metadata[d] = md
	}
	return &out
}
