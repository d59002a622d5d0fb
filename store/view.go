package store

import (
	"context"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Index returns the image ref, which must be an index: one of several
// platforms, or with attestations. It reads blobs when asked for them.
func (s *Store) Index(ctx context.Context, ref string) (v1.ImageIndex, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !isIndex(img.MediaType) {
		return nil, fmt.Errorf("%s is a single image, not an index", img.Name())
	}
	all, err := s.layout(ctx)
	if err != nil {
		return nil, err
	}
	return all.ImageIndex(hashOf(img.Desc))
}

// Image returns the image ref, which must not be an index.
func (s *Store) Image(ctx context.Context, ref string) (v1.Image, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if isIndex(img.MediaType) {
		return nil, fmt.Errorf("%s is an index, not a single image", img.Name())
	}
	all, err := s.layout(ctx)
	if err != nil {
		return nil, err
	}
	return all.Image(hashOf(img.Desc))
}

// layout is the whole store as an index. A damaged index.json is mended first.
func (s *Store) layout(ctx context.Context) (v1.ImageIndex, error) {
	idx, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if idx.damaged != nil {
		if err := s.update(ctx, func(*index) error { return nil }); err != nil {
			return nil, err
		}
	}
	all, err := layout.ImageIndexFromPath(s.dir)
	if err != nil {
		return nil, fmt.Errorf("reading the image store: %w", err)
	}
	return all, nil
}
