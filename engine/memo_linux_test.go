package engine

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/worker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A countingImporter counts how often a cache is imported.
type countingImporter struct {
	resolved, imported atomic.Int32
	err                error
}

func (c *countingImporter) resolve(context.Context, session.Group, map[string]string) (remotecache.Importer, ocispec.Descriptor, error) {
	c.resolved.Add(1)
	return c, ocispec.Descriptor{}, c.err
}

func (c *countingImporter) Resolve(context.Context, ocispec.Descriptor, string, worker.Worker) (solver.CacheManager, error) {
	c.imported.Add(1)
	return solver.NewInMemoryCacheManager(), nil
}

// importAll imports ref by many solves at once.
func importAll(t *testing.T, f remotecache.ResolveCacheImporterFunc, ref string) (failed int) {
	t.Helper()
	var wg sync.WaitGroup
	var bad atomic.Int32
	for range 20 {
		wg.Go(func() {
			importer, desc, err := f(t.Context(), nil, map[string]string{"ref": ref})
			if err == nil {
				_, err = importer.Resolve(t.Context(), desc, ref, nil)
			}
			if err != nil {
				bad.Add(1)
			}
		})
	}
	wg.Wait()
	return int(bad.Load())
}

func TestPinnedCachesAreImportedOnce(t *testing.T) {
	const pinned = "r/c:app@sha256:0123456789012345678901234567890123456789012345678901234567890123"
	c := &countingImporter{}
	f := memoised(c.resolve)
	for range 3 {
		if bad := importAll(t, f, pinned); bad > 0 {
			t.Errorf("%d failed", bad)
		}
	}
	if r, i := c.resolved.Load(), c.imported.Load(); r != 1 || i != 1 {
		t.Errorf("resolved %d times and imported %d times, want once", r, i)
	}
	importAll(t, f, "r/c:app")
	if r := c.resolved.Load(); r != 21 {
		t.Errorf("what is not pinned was resolved %d times, want each time", r-1)
	}
}

func TestAFailureIsNotRemembered(t *testing.T) {
	c := &countingImporter{err: errors.New("down")}
	f := memoised(c.resolve)
	if bad := importAll(t, f, "r/c@sha256:1"); bad != 20 {
		t.Errorf("%d failed, want all", bad)
	}
	c.err = nil
	if bad := importAll(t, f, "r/c@sha256:1"); bad != 0 {
		t.Errorf("%d failed after the registry was up again", bad)
	}
}
