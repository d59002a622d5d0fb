package store

import (
	"context"

	"github.com/containerd/containerd/v2/core/content"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Presence tells what the store had when it was made, without reading its
// index again for every question. It may be used by many goroutines.
type Presence struct {
	store   *Store
	blobs   content.Store
	tags    map[string]digest.Digest
	digests map[digest.Digest]ocispec.Descriptor
}

// Presence looks at the store.
func (s *Store) Presence(ctx context.Context) (*Presence, error) {
	idx, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	p := &Presence{store: s, tags: map[string]digest.Digest{}, digests: map[digest.Digest]ocispec.Descriptor{}}
	if len(idx.entries) == 0 {
		return p, nil
	}
	if p.blobs, err = s.local(); err != nil {
		return nil, err
	}
	for _, e := range idx.entries {
		if tag := tagOf(e); tag != "" {
			p.tags[tag] = e.Digest
		}
		p.digests[e.Digest] = ocispec.Descriptor{MediaType: e.MediaType, Digest: e.Digest, Size: e.Size, Platform: e.Platform}
	}
	return p, nil
}

// Tagged returns the digest of the image that bears tag, completed as Docker
// does, "" if none does.
func (p *Presence) Tagged(tag string) digest.Digest {
	name, err := Normalize(tag)
	if err != nil {
		return ""
	}
	return p.tags[name]
}

// Whole returns the image d if the store has it with all its blobs. Their
// contents are not read.
func (p *Presence) Whole(ctx context.Context, d digest.Digest) (ocispec.Descriptor, bool) {
	desc, ok := p.digests[d]
	if !ok || p.store.whole(ctx, p.blobs, desc) != nil {
		return ocispec.Descriptor{}, false
	}
	return desc, true
}
