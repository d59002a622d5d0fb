package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxManifest = 4 << 20 // bytes of a manifest, an index or a config
	maxDepth    = 4       // of indexes in indexes
	maxChildren = 10000   // blobs of one image
)

// A node is a blob of an image and its place in it.
type node struct {
	ocispec.Descriptor
	parent *document // manifest or index that names it; nil for the image itself
}

// walk calls visit for each blob of an image, parents first. It does not follow
// more than a real image has. An error of visit ends it.
func (s *Store) walk(ctx context.Context, blobs content.Store, desc ocispec.Descriptor, visit func(node) error) error {
	left := maxChildren
	return walkNode(ctx, blobs, node{Descriptor: desc}, 0, &left, visit)
}

func walkNode(ctx context.Context, blobs content.Store, n node, depth int, left *int, visit func(node) error) error {
	if *left--; *left < 0 {
		return fmt.Errorf("more than %d blobs in one image", maxChildren)
	}
	if depth > maxDepth+2 {
		return fmt.Errorf("indexes are nested deeper than %d", maxDepth)
	}
	if err := visit(n); err != nil {
		return err
	}
	if !images.IsManifestType(n.MediaType) && !images.IsIndexType(n.MediaType) {
		return nil
	}
	doc, err := readDocument(ctx, blobs, n.Descriptor)
	if err != nil {
		return err
	}
	for _, child := range doc.children() {
		if err := walkNode(ctx, blobs, node{child, doc}, depth+1, left, visit); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) children() []ocispec.Descriptor {
	children := append([]ocispec.Descriptor{}, d.Manifests...)
	if d.Config != nil {
		children = append(children, *d.Config)
	}
	return append(children, d.Layers...)
}

func readDocument(ctx context.Context, blobs content.Store, desc ocispec.Descriptor) (*document, error) {
	data, err := readSmall(ctx, blobs, desc)
	if err != nil {
		return nil, err
	}
	doc, ok := parseDocument(data)
	if !ok || isIndex(doc.MediaType) != isIndex(desc.MediaType) {
		return nil, fmt.Errorf("blob %s is not a %s", desc.Digest, desc.MediaType)
	}
	return &doc, nil
}

// readSmall reads a manifest, an index or a config.
func readSmall(ctx context.Context, blobs content.Store, desc ocispec.Descriptor) ([]byte, error) {
	info, err := blobs.Info(ctx, desc.Digest)
	if err != nil {
		return nil, node{Descriptor: desc}.missing(err)
	}
	if info.Size > maxManifest {
		return nil, fmt.Errorf("blob %s of %d bytes is larger than any real %s", desc.Digest, info.Size, desc.MediaType)
	}
	return content.ReadBlob(ctx, blobs, ocispec.Descriptor{Digest: desc.Digest, Size: info.Size})
}

// Blob reads a manifest, an index or a config of an image in the store.
func (s *Store) Blob(ctx context.Context, desc ocispec.Descriptor) ([]byte, error) {
	blobs, err := s.local()
	if err != nil {
		return nil, err
	}
	return readSmall(ctx, blobs, desc)
}

// A Manifest is one manifest of an image in the store, as it is stored.
type Manifest struct {
	Desc     ocispec.Descriptor
	Platform string // "" for an attestation
	Raw      []byte
	Config   []byte
}

// Manifests reads the manifests of img and their configs, attestations
// included.
func (s *Store) Manifests(ctx context.Context, img Image) ([]Manifest, error) {
	blobs, err := s.local()
	if err != nil {
		return nil, err
	}
	var list []Manifest
	err = s.walk(ctx, blobs, img.Desc, func(n node) error {
		if !images.IsManifestType(n.MediaType) {
			return nil
		}
		m := Manifest{Desc: n.Descriptor, Platform: n.platform(ctx, blobs)}
		if m.Raw, err = readSmall(ctx, blobs, n.Descriptor); err != nil {
			return err
		}
		doc, err := readDocument(ctx, blobs, n.Descriptor)
		if err != nil {
			return err
		}
		m.Config, err = readSmall(ctx, blobs, *doc.Config)
		list = append(list, m)
		return err
	})
	return list, err
}

// whole checks that all blobs of an image are there, with their sizes.
func (s *Store) whole(ctx context.Context, blobs content.Store, desc ocispec.Descriptor) error {
	return s.walk(ctx, blobs, desc, func(n node) error {
		if n.elsewhere() {
			return nil
		}
		info, err := blobs.Info(ctx, n.Digest)
		if err != nil {
			return n.missing(err)
		}
		if info.Size != n.Size {
			return fmt.Errorf("blob %s has %d bytes instead of %d", n.Digest, info.Size, n.Size)
		}
		return nil
	})
}

// missing explains why a blob is not to be had.
func (n node) missing(err error) error {
	if !errdefs.IsNotFound(err) {
		return err
	}
	if n.elsewhere() {
		return nil
	}
	return fmt.Errorf("blob %s is missing", n.Digest)
}

// elsewhere reports whether the blob is one that registries do not hold, such
// as a layer of Windows.
func (n node) elsewhere() bool { return images.IsNonDistributable(n.MediaType) }

// platform is the platform of a manifest, "" if n is none or an attestation.
func (n node) platform(ctx context.Context, blobs content.Store) string {
	if !images.IsManifestType(n.MediaType) || isAttestation(n.Descriptor) {
		return ""
	}
	if n.Platform != nil && n.Platform.OS != "" {
		return formatPlatform(*n.Platform)
	}
	doc, err := readDocument(ctx, blobs, n.Descriptor)
	if err != nil || doc.Config == nil {
		return ""
	}
	data, err := readSmall(ctx, blobs, *doc.Config)
	var p ocispec.Platform
	if err != nil || json.Unmarshal(data, &p) != nil || p.OS == "" {
		return ""
	}
	return formatPlatform(p)
}

// isAttestation reports whether a manifest of an index is BuildKit's
// attestation of another.
func isAttestation(desc ocispec.Descriptor) bool {
	return desc.Annotations["vnd.docker.reference.type"] == "attestation-manifest" ||
		desc.Platform != nil && desc.Platform.OS == "unknown"
}
