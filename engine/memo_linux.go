package engine

import (
	"context"
	"fmt"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/worker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/singleflight"
)

// BuildKit imports a cache anew for each solve: three requests a reference, even
// if nothing has changed. A reference with a digest always means the same, so
// the engine imports it once and lets all solves share it. Credentials are not
// shared: a layer is pulled with those of the solve that wants it.

const (
	// memoSize is how many caches are held. One of 600 layers takes about a
	// megabyte. They go when the engine ends, which it does when idle.
	memoSize = 512
	// memoPatience is how long a registry may take to hand out a cache. The
	// steps of a solve wait for it.
	memoPatience = 30 * time.Second
)

// A memoImporter is a BuildKit cache importer with a memory.
type memoImporter struct {
	next   remotecache.ResolveCacheImporterFunc
	flight singleflight.Group
	known  *lru.Cache[string, imported] // by pinned reference
}

// imported is a cache that was imported.
type imported struct {
	desc ocispec.Descriptor
	cm   solver.CacheManager
}

// memoised lets all solves share what next imports by digest.
func memoised(next remotecache.ResolveCacheImporterFunc) remotecache.ResolveCacheImporterFunc {
	known, err := lru.New[string, imported](memoSize)
	if err != nil {
		return next // the size is wrong: there is no memory
	}
	m := &memoImporter{next: next, known: known}
	return m.resolve
}

func (m *memoImporter) resolve(ctx context.Context, g session.Group, attrs map[string]string) (remotecache.Importer, ocispec.Descriptor, error) {
	ref := attrs["ref"]
	if !strings.Contains(ref, "@") {
		return m.next(ctx, g, attrs)
	}
	if had, ok := m.known.Get(ref); ok {
		return &pinnedImporter{m: m, ref: ref}, had.desc, nil
	}
	return &pinnedImporter{m: m, ref: ref, group: g, attrs: attrs}, ocispec.Descriptor{}, nil
}

// A pinnedImporter imports one reference, unless it is known.
type pinnedImporter struct {
	m     *memoImporter
	ref   string
	group session.Group
	attrs map[string]string
}

// Resolve imports the cache. desc is not looked at: the reference has a digest.
func (i *pinnedImporter) Resolve(ctx context.Context, _ ocispec.Descriptor, id string, w worker.Worker) (solver.CacheManager, error) {
	if had, ok := i.m.known.Get(i.ref); ok {
		return had.cm, nil
	}
	ch := i.m.flight.DoChan(i.ref, func() (any, error) {
		// The solve that asked first may end before others that wait.
		ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), memoPatience,
			fmt.Errorf("the registry did not hand out the cache within %v", memoPatience))
		defer cancel()
		importer, desc, err := i.m.next(ctx, i.group, i.attrs)
		if err != nil {
			return nil, err
		}
		cm, err := importer.Resolve(ctx, desc, id, w)
		if err != nil {
			return nil, err
		}
		if cm, err = newTranslator(cm); err != nil {
			return nil, err
		}
		i.m.known.Add(i.ref, imported{desc, cm})
		return cm, nil
	})
	select {
	case r := <-ch:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(solver.CacheManager), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
