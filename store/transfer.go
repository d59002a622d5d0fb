package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/platforms"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
)

// Push writes the image ref to dest, a tag in a registry, byte for byte, and
// reads back what the tag then names. progress, if not nil, is told of the
// bytes sent. Its error is a *registry.Error if the registry is to blame.
func (s *Store) Push(ctx context.Context, ref, dest string, to *registry.Client, progress func(done, total int64)) (digest.Digest, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return "", err
	}
	n, err := to.Parse(dest)
	if err != nil {
		return "", err
	}
	what, err := s.taggable(ctx, img)
	if err != nil {
		return "", err
	}
	if err := to.Explain(ctx, "pushing", dest, push(ctx, n, what, to, progress)); err != nil {
		return "", err
	}
	head, err := remote.Head(n, to.Options(ctx)...)
	if err != nil {
		return "", to.Explain(ctx, "reading back", dest, err)
	}
	if got := head.Digest.String(); got != img.Digest.String() {
		return "", &registry.Error{
			Host: n.Context().RegistryStr(), Ref: dest, Op: "pushing",
			Err:  fmt.Errorf("the registry took %s and then has %s", img.Digest, got),
			Hint: "Somebody else may have pushed to the same tag. Push again.",
		}
	}
	return img.Digest, nil
}

func (s *Store) taggable(ctx context.Context, img Image) (remote.Taggable, error) {
	all, err := s.layout(ctx)
	if err != nil {
		return nil, err
	}
	if isIndex(img.MediaType) {
		return all.ImageIndex(hashOf(img.Desc))
	}
	return all.Image(hashOf(img.Desc))
}

func push(ctx context.Context, n name.Reference, what remote.Taggable, to *registry.Client, progress func(done, total int64)) error {
	opts := to.Options(ctx)
	if progress == nil {
		return remote.Push(n, what, opts...)
	}
	updates := make(chan v1.Update, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for u := range updates {
			if u.Error == nil {
				progress(u.Complete, u.Total)
			}
		}
	}()
	err := remote.Push(n, what, append(opts, remote.WithProgress(updates))...)
	<-done // remote closes the channel
	return err
}

// A Format is a kind of image archive.
type Format string

// The formats that Save writes.
const (
	OCI    Format = "oci"    // an OCI layout, with all platforms and attestations
	Docker Format = "docker" // what docker load takes: one platform
)

// Save writes the images refs to w as one archive. An OCI archive holds them
// byte for byte; a docker archive holds the given platform of each, or the only
// one, or that of this machine.
func (s *Store) Save(ctx context.Context, refs []string, format Format, platform string, w io.Writer) error {
	blobs, err := s.local()
	if err != nil {
		blobs = nil // nothing is stored; Resolve says so
	}
	var opts []archive.ExportOpt
	var errs []error
	for _, ref := range refs {
		opt, err := s.exported(ctx, blobs, ref, format, platform)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		opts = append(opts, opt)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if format == OCI {
		opts = append(opts, archive.WithAllPlatforms(), archive.WithSkipDockerManifest())
	}
	if err := archive.Export(ctx, blobs, w, opts...); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

// exported is what of the image ref goes into an archive, and under which names:
// the tag if ref is one, else all tags.
func (s *Store) exported(ctx context.Context, blobs content.Store, ref string, format Format, platform string) (archive.ExportOpt, error) {
	img, err := s.Resolve(ctx, ref)
	if err != nil {
		return nil, err
	}
	if err := s.whole(ctx, blobs, img.Desc); err != nil {
		return nil, fmt.Errorf("%s: %w", img.Name(), err)
	}
	names := img.Tags
	if tag, err := Normalize(ref); err == nil && slices.Contains(names, tag) {
		names = []string{tag}
	}
	desc := img.Desc
	if format == Docker {
		if desc, err = s.pick(ctx, blobs, img, platform); err != nil {
			return nil, err
		}
	}
	return archive.WithManifest(desc, names...), nil
}

// pick chooses the manifest of img for one platform.
func (s *Store) pick(ctx context.Context, blobs content.Store, img Image, platform string) (ocispec.Descriptor, error) {
	if !isIndex(img.MediaType) {
		return img.Desc, nil
	}
	var manifests []ocispec.Descriptor
	err := s.walk(ctx, blobs, img.Desc, func(n node) error {
		if p := n.platform(ctx, blobs); p != "" {
			parsed, err := platforms.Parse(p)
			if err != nil {
				return err
			}
			n.Platform = &parsed
			manifests = append(manifests, n.Descriptor)
		}
		return nil
	})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("%s: %w", img.Name(), err)
	}
	if platform == "" && len(manifests) == 1 {
		return manifests[0], nil
	}
	match := platforms.Default()
	if platform != "" {
		p, err := platforms.Parse(platform)
		if err != nil {
			return ocispec.Descriptor{}, &PlatformError{Image: img.Name(), Platform: platform, Has: img.Platforms}
		}
		match = platforms.Only(p)
	}
	slices.SortStableFunc(manifests, func(a, b ocispec.Descriptor) int {
		if match.Less(*a.Platform, *b.Platform) {
			return -1
		}
		return 1
	})
	if len(manifests) == 0 || !match.Match(*manifests[0].Platform) {
		return ocispec.Descriptor{}, &PlatformError{Image: img.Name(), Platform: platformOr(platform), Has: img.Platforms}
	}
	return manifests[0], nil
}

// A PlatformError says that an image exists, but not for a platform.
type PlatformError struct {
	Image, Platform string
	Has             []string
}

// Error names the platforms that the image has.
func (e *PlatformError) Error() string {
	return fmt.Sprintf("%s has no image for %s; it has %s", e.Image, e.Platform, strings.Join(e.Has, ", "))
}

func platformOr(platform string) string {
	if platform == "" {
		return formatPlatform(platforms.DefaultSpec())
	}
	return platform
}

// LoadArchive stores the images of an OCI or docker archive, compressed or not,
// and returns them. If one is not whole, none gets a name.
func (s *Store) LoadArchive(ctx context.Context, r io.Reader) ([]Image, error) {
	stream, err := compression.DecompressStream(bufio.NewReader(&ctxReader{ctx, r}))
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	defer stream.Close()
	blobs := s.Content()
	desc, err := archive.ImportIndex(ctx, blobs, stream)
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	data, err := readSmall(ctx, blobs, desc)
	if err != nil {
		return nil, fmt.Errorf("reading the archive: %w", err)
	}
	var idx ocispec.Index
	if err := json.Unmarshal(data, &idx); err != nil {
		return nil, fmt.Errorf("reading the index of the archive: %w", err)
	}
	if len(idx.Manifests) == 0 {
		return nil, errors.New("there is no image in the archive")
	}
	loaded, err := s.nameLoaded(ctx, blobs, idx.Manifests)
	if err != nil {
		return nil, err
	}
	// The index of the archive was stored as a blob, and is no image of ours.
	if !slices.ContainsFunc(idx.Manifests, func(m ocispec.Descriptor) bool { return m.Digest == desc.Digest }) {
		err = blobs.Delete(ctx, desc.Digest)
	}
	return loaded, err
}

// nameLoaded checks all images of an archive and then names each.
func (s *Store) nameLoaded(ctx context.Context, blobs content.Store, manifests []ocispec.Descriptor) ([]Image, error) {
	names := map[digest.Digest][]string{}
	var order []ocispec.Descriptor
	for _, m := range manifests {
		if err := s.whole(ctx, blobs, m); err != nil {
			return nil, fmt.Errorf("image %s of the archive: %w", m.Digest, err)
		}
		if _, ok := names[m.Digest]; !ok {
			order = append(order, m)
			names[m.Digest] = nil
		}
		if tag := archivedName(m); tag != "" {
			names[m.Digest] = append(names[m.Digest], tag)
		}
	}
	var loaded []Image
	for _, m := range order {
		m.Annotations = nil
		if err := s.Tag(ctx, m, names[m.Digest], Meta{}); err != nil {
			return nil, err
		}
		img, err := s.Resolve(ctx, m.Digest.String())
		if err != nil {
			return nil, err
		}
		loaded = append(loaded, img)
	}
	return loaded, nil
}

// archivedName is the tag of an entry of an archive. A reference name without a
// repository, such as "latest", names nothing outside its archive.
func archivedName(m ocispec.Descriptor) string {
	if tag := m.Annotations[images.AnnotationImageName]; tag != "" {
		return tag
	}
	if ref := m.Annotations[ocispec.AnnotationRefName]; strings.ContainsAny(ref, ":/") {
		return ref
	}
	return ""
}
