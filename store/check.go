package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Problem is one thing wrong with an image. Its JSON form is public.
type Problem struct {
	Digest digest.Digest `json:"digest"` // the blob
	What   string        `json:"what"`   // index, manifest, config, layer, blob
	Detail string        `json:"detail"`
}

// Check reads every blob of the image ref: each must be there and have the size
// and digest it is named by, and each layer must unpack to what the config
// says. No problem means that the image is as it was made.
func (s *Store) Check(ctx context.Context, ref string) ([]Problem, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	blobs, err := s.local()
	if err != nil {
		return nil, err
	}
	c := &checker{blobs: blobs, seen: map[digest.Digest]bool{}}
	err = s.walk(ctx, blobs, img.Desc, func(n node) error { return c.visit(ctx, n) })
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, errBroken) {
		c.problem(img.Desc, err.Error())
	}
	return c.problems, nil
}

// errBroken ends a walk that cannot go on; the problem is noted already.
var errBroken = errors.New("image is broken")

// A checker collects what is wrong with one image.
type checker struct {
	blobs    content.Store
	seen     map[digest.Digest]bool
	problems []Problem
}

func (c *checker) problem(desc ocispec.Descriptor, detail string) {
	c.problems = append(c.problems, Problem{Digest: desc.Digest, What: kindOf(desc.MediaType), Detail: detail})
}

func (c *checker) visit(ctx context.Context, n node) error {
	if c.seen[n.Digest] {
		return nil
	}
	c.seen[n.Digest] = true
	_, err := c.blobs.Info(ctx, n.Digest)
	switch {
	case errdefs.IsNotFound(err) && n.elsewhere():
		return nil
	case errdefs.IsNotFound(err):
		c.problem(n.Descriptor, "is missing")
	case err != nil:
		return err
	default:
		diffID := c.diffID(ctx, n)
		detail, err := c.read(ctx, n.Descriptor, diffID)
		if err != nil {
			return err
		}
		if detail == "" {
			return nil
		}
		c.problem(n.Descriptor, detail)
	}
	if images.IsManifestType(n.MediaType) || images.IsIndexType(n.MediaType) {
		return errBroken // what is below it is anybody's guess
	}
	return nil
}

// read reads a blob once, for its digest and for that of its unpacked content.
func (c *checker) read(ctx context.Context, desc ocispec.Descriptor, diffID digest.Digest) (detail string, err error) {
	ra, err := c.blobs.ReaderAt(ctx, desc)
	if err != nil {
		return "", err
	}
	defer ra.Close()
	if ra.Size() != desc.Size {
		return fmt.Sprintf("has %d bytes instead of %d", ra.Size(), desc.Size), nil
	}
	if err := desc.Digest.Validate(); err != nil {
		return err.Error(), nil
	}
	sum := desc.Digest.Algorithm().Digester()
	raw := io.TeeReader(&ctxReader{ctx, content.NewReader(ra)}, sum.Hash())
	unpackErr := error(nil)
	unpacked := digest.Canonical.Digester()
	if diffID != "" {
		unpackErr = unpack(unpacked.Hash(), raw)
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return "", err
	}
	switch {
	case sum.Digest() != desc.Digest:
		return fmt.Sprintf("has the content of %s", sum.Digest()), nil
	case unpackErr != nil:
		return fmt.Sprintf("does not unpack: %v", unpackErr), nil
	case diffID != "" && unpacked.Digest() != diffID:
		return fmt.Sprintf("unpacks to %s instead of %s", unpacked.Digest(), diffID), nil
	}
	return "", nil
}

// unpack decompresses a layer.
func unpack(w io.Writer, r io.Reader) (err error) {
	d, err := compression.DecompressStream(r)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	_, err = io.Copy(w, d)
	return err
}

// diffID is what the config of n's manifest says that the layer n unpacks to,
// "" if n is no layer of an image.
func (c *checker) diffID(ctx context.Context, n node) digest.Digest {
	if n.parent == nil || n.parent.Config == nil || !images.IsLayerType(n.MediaType) {
		return ""
	}
	data, err := readSmall(ctx, c.blobs, *n.parent.Config)
	if err != nil {
		return ""
	}
	var config ocispec.Image
	if json.Unmarshal(data, &config) != nil || len(config.RootFS.DiffIDs) != len(n.parent.Layers) {
		return ""
	}
	for i, layer := range n.parent.Layers {
		if layer.Digest == n.Digest {
			return config.RootFS.DiffIDs[i]
		}
	}
	return ""
}

// kindOf names a kind of blob for people.
func kindOf(mediaType string) string {
	switch {
	case images.IsIndexType(mediaType):
		return "index"
	case images.IsManifestType(mediaType):
		return "manifest"
	case images.IsConfigType(mediaType):
		return "config"
	case images.IsLayerType(mediaType):
		return "layer"
	}
	return "blob"
}

// A ctxReader ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *ctxReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(p)
}
