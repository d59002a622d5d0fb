package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	cacheimporttypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

const (
	// maxConfig bounds what is split. The records of 100,000 steps take less.
	maxConfig = 64 << 20
	// fitPatience is how long writing the parts of a cache may take.
	fitPatience = 2 * time.Minute
	// writers is how many parts are written at once.
	writers = 4
)

// fit sees to it that the cache which was just written can be read. A config may
// be of any size however small the manifest is, as records need no layers, and
// BuildKit tells only the size of the manifest. So the manifest is read, with one
// request for each cache that is written; it says how large the config is.
func (s *Shared) fit(ctx context.Context, ref string, written ocispec.Descriptor) {
	patient, cancel := context.WithTimeoutCause(ctx, fitPatience, fmt.Errorf("it took longer than %v", fitPatience))
	defer cancel()
	left, err := s.toParts(patient, ref, written)
	if err != nil && patient.Err() != nil {
		err = context.Cause(patient)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.Warn(fmt.Sprintf("the layer cache %s was written and may be too large to be read: %v", ref, err))
	case left > 0:
		s.Warn(fmt.Sprintf("the layer cache %s is too large to be kept whole: the results of %d steps are not in it; split the target in two, or set mode = \"min\" in the cache block", ref, left))
	}
}

// toParts replaces a cache by its parts if it is too large. It returns how many
// steps have results that are in none.
//
// Parts are written before the tag is moved to their index, so what the tag
// names is always whole. Of two runs that write at the same time the last wins.
func (s *Shared) toParts(ctx context.Context, ref string, written ocispec.Descriptor) (left int, err error) {
	repo, tag := cutRef(ref)
	store, err := s.store(repo)
	if err != nil {
		return 0, err
	}
	c, small, err := s.read(ctx, store, written)
	if err != nil || small {
		return 0, err
	}
	parts, left, err := splitting{int(s.Limit), maxParts, ref}.split(c)
	if err != nil {
		return 0, fmt.Errorf("splitting it: %w", err)
	}
	if len(parts) == 0 {
		return left, nil
	}
	descs := make([]ocispec.Descriptor, len(parts))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writers)
	for i, p := range parts {
		g.Go(func() (err error) {
			descs[i], err = writePart(gctx, store, p)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	index, err := partsIndex(descs)
	if err != nil {
		return 0, err
	}
	_, err = store.PutManifest(ctx, tag, ocispec.MediaTypeImageIndex, index)
	return left, err
}

// read reads a cache, unless it is small enough for BuildKit.
func (s *Shared) read(ctx context.Context, store Store, written ocispec.Descriptor) (c layerCache, small bool, err error) {
	m, found, err := store.Manifest(ctx, written.Digest.String())
	if err != nil {
		return c, false, err
	}
	if !found {
		return c, false, errors.New("its manifest is gone")
	}
	if err := json.Unmarshal(m.Raw, &c.manifest); err != nil {
		return c, false, fmt.Errorf("reading its manifest: %w", err)
	}
	if m.Size <= s.Limit && c.manifest.Config.Size <= s.Limit {
		return c, true, nil
	}
	if t := c.manifest.Config.MediaType; t != cacheimporttypes.CacheConfigMediaTypeV0 {
		return c, false, fmt.Errorf("its config is of the type %q", t)
	}
	config, found, err := store.ReadBlob(ctx, c.manifest.Config.Digest.String(), maxConfig)
	if err != nil {
		return c, false, err
	}
	if !found {
		return c, false, errors.New("its config is gone")
	}
	if err := json.Unmarshal(config, &c.config); err != nil {
		return c, false, fmt.Errorf("reading its config: %w", err)
	}
	return c, false, nil
}

// writePart stores a part and returns what an index says of it.
func writePart(ctx context.Context, store Store, p layerCache) (ocispec.Descriptor, error) {
	manifest, config, err := p.encode()
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if _, err := store.WriteBlob(ctx, config); err != nil {
		return ocispec.Descriptor{}, err
	}
	d := digest.FromBytes(manifest)
	_, err = store.PutManifest(ctx, d.String(), ocispec.MediaTypeImageManifest, manifest)
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: d, Size: int64(len(manifest))}, err
}
