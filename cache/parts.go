package cache

import (
	"encoding/json"
	"errors"
	"fmt"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The parts of a layer cache are caches of their own, manifests without a tag.
// The tag is that of an index of them. So a HEAD tells by the media type whether
// there are parts, and all that a registry does with the platforms of an image
// it does with parts: they stay as long as the index does.

// partsType is the artifact type of an index of parts.
const partsType = "application/vnd.strata.layercache.parts.v1"

// maxParts bounds the parts of one cache: each is one that BuildKit reads, holds
// and asks.
const maxParts = 16

// partsIndex is the index of parts.
func partsIndex(parts []ocispec.Descriptor) ([]byte, error) {
	return json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex,
		ArtifactType: partsType, Manifests: parts,
	})
}

// readParts lists the parts that an index names. ok is false if it is one of
// something else.
func readParts(index []byte) (parts []ocispec.Descriptor, ok bool, err error) {
	var i ocispec.Index
	if err := json.Unmarshal(index, &i); err != nil {
		return nil, false, fmt.Errorf("its index: %w", err)
	}
	if i.ArtifactType != partsType {
		return nil, false, nil
	}
	if n := len(i.Manifests); n == 0 || n > maxParts {
		return nil, true, fmt.Errorf("its index has %d parts", n)
	}
	for _, d := range i.Manifests {
		switch {
		case d.MediaType != ocispec.MediaTypeImageManifest:
			return nil, true, fmt.Errorf("a part is of the type %q", d.MediaType)
		case d.Digest.Validate() != nil:
			return nil, true, fmt.Errorf("a part has the digest %q", d.Digest)
		case d.Size > MaxManifest:
			return nil, true, errors.New("a part is too large")
		}
	}
	return i.Manifests, true, nil
}
