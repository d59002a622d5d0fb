package history

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// maxKept bounds the documents of one archive that are kept in memory.
const maxKept = 256 << 20

// An archived is what one pass over an archive keeps: the documents, and how
// large everything else is.
type archived struct {
	docs  map[string][]byte
	sizes map[string]int64
	zips  map[string]bool   // compressed files
	links map[string]string // symbolic links, as old docker archives have for shared layers
}

// fromArchive opens an image of an OCI or docker archive, compressed or not.
func fromArchive(r io.Reader, file, name string) (*opened, error) {
	stream, err := compression.DecompressStream(bufio.NewReader(r))
	if err != nil {
		return nil, fmt.Errorf("reading archive %s: %w", file, err)
	}
	defer stream.Close()
	a, err := scan(stream)
	if err != nil {
		return nil, fmt.Errorf("reading archive %s: %w", file, err)
	}
	o := &opened{ref: file, read: func(_ context.Context, d v1.Descriptor) ([]byte, error) {
		data, ok := a.docs[path.Join("blobs", d.Digest.Algorithm, d.Digest.Hex)]
		if !ok {
			return nil, fmt.Errorf("blob %s is missing in %s", d.Digest, file)
		}
		return data, nil
	}}
	if index, ok := a.docs[ocispec.ImageIndexFile]; ok {
		return o, o.choose(index, name)
	}
	if err := a.dockerImages(o, name); err != nil {
		return nil, fmt.Errorf("reading archive %s: %w", file, err)
	}
	return o, nil
}

// scan reads an archive once. Documents are known by their first byte.
func scan(r io.Reader) (*archived, error) {
	a := &archived{docs: map[string][]byte{}, sizes: map[string]int64{}, zips: map[string]bool{}, links: map[string]string{}}
	kept := int64(0)
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return a, nil
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeSymlink, tar.TypeLink:
			a.links[name] = path.Join(path.Dir(name), h.Linkname)
			continue
		case tar.TypeReg:
		default:
			continue
		}
		a.sizes[name] = h.Size
		br := bufio.NewReader(tr)
		head, err := br.Peek(int(min(h.Size, 10)))
		if err != nil {
			return nil, err
		}
		a.zips[name] = compression.DetectCompression(head) != compression.Uncompressed
		if len(head) == 0 || (head[0] != '{' && head[0] != '[') || h.Size > maxDocument {
			continue
		}
		if kept += h.Size; kept > maxKept {
			return nil, fmt.Errorf("more than %d bytes of manifests", maxKept)
		}
		if a.docs[name], err = io.ReadAll(br); err != nil {
			return nil, err
		}
	}
}

// dockerImages reads manifest.json, which tells of configs and layers, but not
// of what they would be in a registry.
func (a *archived) dockerImages(o *opened, name string) error {
	var manifests []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	data, ok := a.docs["manifest.json"]
	if !ok {
		return errors.New("it is neither an OCI archive nor a docker archive")
	}
	if err := json.Unmarshal(data, &manifests); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	var found, all []string
	for _, m := range manifests {
		all = append(all, m.RepoTags...)
		if name != "" && !containsTag(m.RepoTags, name) {
			continue
		}
		img, err := a.dockerImage(m.Config, m.Layers)
		if err != nil {
			return err
		}
		o.images = append(o.images, img)
		o.tags = append(o.tags, m.RepoTags...)
		found = append(found, m.Config)
	}
	switch {
	case len(found) == 0 && len(all) > 0:
		return fmt.Errorf("there is no image %q; there are %s", name, strings.Join(all, ", "))
	case len(found) == 0:
		return errors.New("there is no image")
	case len(found) > 1:
		return fmt.Errorf("there are several images; name one of %s", strings.Join(all, ", "))
	}
	return nil
}

func containsTag(tags []string, name string) bool {
	for _, tag := range tags {
		if normalized(tag) == normalized(name) {
			return true
		}
	}
	return false
}

func (a *archived) dockerImage(configName string, layers []string) (Image, error) {
	data, ok := a.docs[path.Clean(configName)]
	if !ok {
		return Image{}, fmt.Errorf("config %q is missing", configName)
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(data))
	if err != nil {
		return Image{}, fmt.Errorf("config %q: %w", configName, err)
	}
	sum, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		return Image{}, err
	}
	m := &v1.Manifest{Config: v1.Descriptor{Digest: sum}}
	kind := "compressed"
	for i, name := range layers {
		name = path.Clean(name)
		if to, ok := a.links[name]; ok {
			name = to
		}
		size, ok := a.sizes[name]
		if !ok {
			return Image{}, fmt.Errorf("layer %q is missing", name)
		}
		l := v1.Descriptor{Size: size}
		if !a.zips[name] {
			kind = "disk"
			if i < len(config.RootFS.DiffIDs) {
				l.Digest = config.RootFS.DiffIDs[i]
			}
		}
		m.Layers = append(m.Layers, l)
	}
	img := fromManifest(m, config)
	img.SizeKind = kind
	return img, nil
}
