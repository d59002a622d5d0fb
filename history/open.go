package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// maxDocument bounds a manifest, an index or a config.
const maxDocument = 4 << 20

// maxDepth is how deep indexes may be nested.
const maxDepth = 4

// An opened image can be read from, wherever it is.
type opened struct {
	ref  string
	tags []string
	root v1.Descriptor
	read func(ctx context.Context, desc v1.Descriptor) ([]byte, error)

	images []Image // known without reading manifests; root is empty then
	local  bool    // the user's own: all platforms are of interest
}

// document reads a manifest, an index or a config and checks its digest.
func (o *opened) document(ctx context.Context, desc v1.Descriptor) ([]byte, error) {
	if desc.Size > maxDocument {
		return nil, fmt.Errorf("blob %s of %d bytes is larger than any real one", desc.Digest, desc.Size)
	}
	data, err := o.read(ctx, desc)
	if err != nil {
		return nil, err
	}
	want := digest.Digest(desc.Digest.String())
	if err := want.Validate(); err != nil {
		return nil, err
	}
	if got := want.Algorithm().FromBytes(data); got != want {
		return nil, fmt.Errorf("blob %s has the content of %s", want, got)
	}
	return data, nil
}

// fromStore opens an image of the local store.
func fromStore(ctx context.Context, s *store.Store, ref string) (*opened, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	root, err := toV1(img.Desc)
	if err != nil {
		return nil, err
	}
	return &opened{
		ref: img.Name(), tags: img.Tags, root: root, local: true,
		read: func(ctx context.Context, d v1.Descriptor) ([]byte, error) {
			return s.Blob(ctx, ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size})
		},
	}, nil
}

func toV1(desc ocispec.Descriptor) (v1.Descriptor, error) {
	data, err := json.Marshal(desc)
	if err != nil {
		return v1.Descriptor{}, err
	}
	var out v1.Descriptor
	return out, json.Unmarshal(data, &out)
}

// fromRegistry opens an image of a registry.
func fromRegistry(ctx context.Context, c *registry.Client, ref string) (*opened, error) {
	desc, err := c.Get(ctx, ref)
	if err != nil {
		return nil, err
	}
	root := desc.Descriptor
	return &opened{
		ref: ref, root: root,
		read: func(ctx context.Context, d v1.Descriptor) ([]byte, error) {
			if d.Digest == root.Digest {
				return desc.Manifest, nil
			}
			return c.Blob(ctx, ref, d)
		},
	}, nil
}

// fromLayout opens an image of an OCI layout directory. name is a tag, a
// digest, or "" for the only one.
func fromLayout(dir, name string) (*opened, error) {
	o := &opened{ref: dir, read: func(_ context.Context, d v1.Descriptor) ([]byte, error) {
		return readFile(filepath.Join(dir, "blobs", d.Digest.Algorithm, filepath.Base(d.Digest.Hex)))
	}}
	data, err := readFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return nil, fmt.Errorf("reading OCI layout: %w", err)
	}
	return o, o.choose(data, name)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readBounded(f, path)
}

func readBounded(r io.Reader, what string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = fmt.Errorf("%s is larger than any real one", what)
	}
	return data, err
}

// choose finds the entry called name in the index of a layout.
func (o *opened) choose(index []byte, name string) error {
	idx, err := v1.ParseIndexManifest(bytes.NewReader(index))
	if err != nil {
		return fmt.Errorf("reading the index of %s: %w", o.ref, err)
	}
	found := map[v1.Hash]v1.Descriptor{}
	var all []string
	for _, m := range idx.Manifests {
		tags := []string{m.Annotations[ocispec.AnnotationRefName], m.Annotations[images.AnnotationImageName]}
		label := m.Digest.String()
		for _, tag := range tags {
			if tag != "" {
				label = tag
			}
		}
		all = append(all, label)
		if name != "" && name != m.Digest.String() && !slices.Contains(tags, name) && !slices.Contains(tags, normalized(name)) {
			continue
		}
		found[m.Digest] = m
		if tag := tags[1]; tag != "" {
			o.tags = append(o.tags, tag)
		}
	}
	slices.Sort(all)
	switch {
	case len(found) == 0 && name == "":
		return fmt.Errorf("there is no image in %s", o.ref)
	case len(found) == 0:
		return fmt.Errorf("there is no image %q in %s; it has %s", name, o.ref, strings.Join(slices.Compact(all), ", "))
	case len(found) > 1:
		return fmt.Errorf("there are several images in %s; name one of %s", o.ref, strings.Join(slices.Compact(all), ", "))
	}
	for _, m := range found {
		o.root = m
	}
	return nil
}

func normalized(name string) string {
	full, err := store.Normalize(name)
	if err != nil {
		return name
	}
	return full
}

// fromFile opens an archive or a layout directory if path is one.
func fromFile(path, name string) (*opened, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		if _, err := os.Stat(filepath.Join(path, ocispec.ImageLayoutFile)); err != nil {
			return nil, fmt.Errorf("%s is a directory and no OCI layout: %w", path, fs.ErrNotExist)
		}
		return fromLayout(path, name)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return fromArchive(f, path, name)
}

// errNoPath says that a reference is no path.
var errNoPath = errors.New("not a file")

// splitPath splits FILE[:TAG] or DIR[:TAG|@DIGEST] at the longest part that
// exists.
func splitPath(ref string) (path, name string, err error) {
	if _, err := os.Stat(ref); err == nil {
		return ref, "", nil
	}
	for i := len(ref) - 1; i > 0; i-- {
		if ref[i] != ':' && ref[i] != '@' {
			continue
		}
		if _, err := os.Stat(ref[:i]); err == nil {
			return ref[:i], ref[i+1:], nil
		}
	}
	return "", "", errNoPath
}
