package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agext/levenshtein"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
)

// Meta is what is known of an image beside its content.
type Meta struct {
	Target  string    // that made it; "" if none did
	Project string    // directory of the build file
	Created time.Time // when it was stored; now if zero
}

// An Image is one image of the store. Its JSON form is public.
type Image struct {
	Tags      []string           `json:"tags"` // normalised, sorted
	Digest    digest.Digest      `json:"digest"`
	MediaType string             `json:"mediaType"`
	Platforms []string           `json:"platforms"` // attestations left out
	Size      int64              `json:"size"`      // bytes of all its blobs, compressed
	Created   time.Time          `json:"created"`   // when it was stored
	Target    string             `json:"target,omitempty"`
	Project   string             `json:"project,omitempty"`
	Problem   string             `json:"problem,omitempty"` // why it is not whole
	Desc      ocispec.Descriptor `json:"-"`
}

// Name is the shortest name of the image: a tag as the user would write it,
// else the target that made it, else a part of the digest.
func (i Image) Name() string {
	switch {
	case len(i.Tags) > 0:
		return Familiar(i.Tags[0])
	case i.Target != "":
		return i.Target
	}
	return i.Digest.Encoded()[:12]
}

// Familiar shortens a normalised tag to what the user would write.
func Familiar(tag string) string {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return tag
	}
	return reference.FamiliarString(named)
}

// Normalize completes a tag as Docker does: "a" is docker.io/library/a:latest.
// Its error is a *registry.ReferenceError.
func Normalize(tag string) (string, error) {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return "", &registry.ReferenceError{Ref: tag, Err: err}
	}
	if _, ok := named.(reference.Digested); ok {
		return "", &registry.ReferenceError{Ref: tag, Err: errors.New("a tag cannot have a digest")}
	}
	return reference.TagNameOnly(named).String(), nil
}

// Tag names the image desc, all of whose blobs must be there, by tags. A tag
// that another image had moves to it; without tags the image is named by its
// target and takes the place of the target's last one.
func (s *Store) Tag(ctx context.Context, desc ocispec.Descriptor, tags []string, meta Meta) error {
	names := make([]string, len(tags))
	for i, t := range tags {
		name, err := Normalize(t)
		if err != nil {
			return err
		}
		names[i] = name
	}
	if err := s.takeLease(ctx); err != nil {
		return err
	}
	blobs, err := s.local()
	if err != nil {
		return err
	}
	if err := s.whole(ctx, blobs, desc); err != nil {
		return fmt.Errorf("storing image %s: %w", desc.Digest, err)
	}
	if meta.Created.IsZero() {
		meta.Created = time.Now()
	}
	return s.update(ctx, func(idx *index) error {
		idx.tag(desc, names, meta)
		return nil
	})
}

func (idx *index) tag(desc ocispec.Descriptor, names []string, meta Meta) {
	idx.entries = slices.DeleteFunc(idx.entries, func(e ocispec.Descriptor) bool {
		name := e.Annotations[annName]
		if name != "" {
			return slices.Contains(names, name)
		}
		sameTarget := meta.Target != "" && e.Annotations[annTarget] == meta.Target && e.Annotations[annProject] == meta.Project
		return sameTarget || e.Digest == desc.Digest
	})
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		idx.add(desc, name, meta)
	}
	if len(names) == 0 && !idx.has(desc.Digest) {
		idx.add(desc, "", meta)
	}
}

func (idx *index) has(d digest.Digest) bool {
	return slices.ContainsFunc(idx.entries, func(e ocispec.Descriptor) bool { return e.Digest == d })
}

func (idx *index) add(desc ocispec.Descriptor, name string, meta Meta) {
	ann := map[string]string{annCreated: meta.Created.UTC().Format(time.RFC3339Nano)}
	for key, value := range map[string]string{annName: name, annRef: name, annTarget: meta.Target, annProject: meta.Project} {
		if value != "" {
			ann[key] = value
		}
	}
	idx.entries = append(idx.entries, ocispec.Descriptor{
		MediaType:    desc.MediaType,
		Digest:       desc.Digest,
		Size:         desc.Size,
		Platform:     desc.Platform,
		ArtifactType: desc.ArtifactType,
		Annotations:  ann,
	})
}

// tagOf is the tag of an entry, also of one that another tool has written.
func tagOf(e ocispec.Descriptor) string {
	if name := e.Annotations[annName]; name != "" {
		return name
	}
	if name, err := Normalize(e.Annotations[annRef]); err == nil {
		return name
	}
	return ""
}

// List lists all images, sorted by name. An image that is not whole is listed
// with its problem.
func (s *Store) List(ctx context.Context) ([]Image, error) {
	idx, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	if idx.damaged != nil {
		s.warn(fmt.Errorf("image store: %w; the images were found in other ways", idx.damaged))
	}
	list := idx.images()
	if len(list) == 0 {
		return list, nil
	}
	blobs, err := s.local()
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := s.describe(ctx, blobs, &list[i]); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			list[i].Problem = err.Error()
		}
	}
	return list, nil
}

// images groups the entries by image, without reading any.
func (idx *index) images() []Image {
	byDigest := map[digest.Digest]*Image{}
	for _, e := range idx.entries {
		img := byDigest[e.Digest]
		if img == nil {
			img = &Image{Tags: []string{}, Platforms: []string{}, Digest: e.Digest, MediaType: e.MediaType, Desc: e}
			img.Desc.Annotations = nil
			byDigest[e.Digest] = img
		}
		if tag := tagOf(e); tag != "" {
			img.Tags = append(img.Tags, tag)
		}
		img.Target = cmp.Or(img.Target, e.Annotations[annTarget])
		img.Project = cmp.Or(img.Project, e.Annotations[annProject])
		if at, err := time.Parse(time.RFC3339, e.Annotations[annCreated]); err == nil && at.After(img.Created) {
			img.Created = at
		}
	}
	list := make([]Image, 0, len(byDigest))
	for _, img := range byDigest {
		slices.Sort(img.Tags)
		img.Tags = slices.Compact(img.Tags)
		list = append(list, *img)
	}
	slices.SortFunc(list, func(a, b Image) int {
		return cmp.Or(
			cmp.Compare(min(1, len(b.Tags)), min(1, len(a.Tags))), // tagged ones first
			strings.Compare(a.Name(), b.Name()),
			strings.Compare(string(a.Digest), string(b.Digest)))
	})
	return list
}

// describe fills in what the blobs of img say.
func (s *Store) describe(ctx context.Context, blobs content.Store, img *Image) error {
	seen := map[digest.Digest]bool{}
	return s.walk(ctx, blobs, img.Desc, func(n node) error {
		if p := n.platform(ctx, blobs); p != "" && !slices.Contains(img.Platforms, p) {
			img.Platforms = append(img.Platforms, p)
		}
		if seen[n.Digest] {
			return nil
		}
		seen[n.Digest] = true
		info, err := blobs.Info(ctx, n.Digest)
		if err != nil {
			return n.missing(err)
		}
		img.Size += info.Size
		return nil
	})
}

// Resolve finds the image that ref names: a tag, a digest, the beginning of one
// image's digest, or the target that made it. Its error is a *NotFoundError or
// an *AmbiguousError.
func (s *Store) Resolve(ctx context.Context, ref string) (Image, error) {
	idx, err := s.read(ctx)
	if err != nil {
		return Image{}, err
	}
	img, _, err := idx.find(ref)
	if err != nil {
		return Image{}, err
	}
	blobs, err := s.local()
	if err != nil {
		return Image{}, err
	}
	if err := s.describe(ctx, blobs, &img); err != nil {
		if ctx.Err() != nil {
			return Image{}, context.Cause(ctx)
		}
		img.Problem = err.Error()
	}
	return img, nil
}

// minPrefix is the shortest beginning of a digest that names an image.
const minPrefix = 4

// find returns the image that ref names, and the tag if ref is one.
func (idx *index) find(ref string) (img Image, tag string, err error) {
	list := idx.images()
	if name, err := Normalize(ref); err == nil {
		for _, img := range list {
			if slices.Contains(img.Tags, name) {
				return img, name, nil
			}
		}
	}
	prefix := strings.TrimPrefix(ref, "sha256:")
	if _, pinned, ok := strings.Cut(ref, "@sha256:"); ok {
		prefix = pinned
	}
	byDigest := func(i Image) bool { return len(prefix) >= minPrefix && strings.HasPrefix(i.Digest.Encoded(), prefix) }
	byTarget := func(i Image) bool { return ref != "" && i.Target == ref }
	byPlain := func(i Image) bool { return ref != "" && strings.HasSuffix(i.Target, ":"+ref) } // of PATH:NAME
	for _, matches := range []func(Image) bool{byDigest, byTarget, byPlain} {
		var found []Image
		for _, img := range list {
			if matches(img) {
				found = append(found, img)
			}
		}
		switch len(found) {
		case 0:
		case 1:
			return found[0], "", nil
		default:
			return Image{}, "", &AmbiguousError{Ref: ref, Images: found}
		}
	}
	return Image{}, "", &NotFoundError{Ref: ref, Similar: similar(ref, list)}
}

// A NotFoundError says that no image of the store has a name.
type NotFoundError struct {
	Ref     string
	Similar string // a name that an image has, "" if none is like Ref
}

// Error names the image, and one that may have been meant.
func (e *NotFoundError) Error() string {
	msg := fmt.Sprintf("no image %q in the image store", e.Ref)
	if e.Similar != "" {
		msg += fmt.Sprintf("; did you mean %q?", e.Similar)
	}
	return msg
}

// An AmbiguousError says that several images of the store have a name.
type AmbiguousError struct {
	Ref    string
	Images []Image
}

// Error lists the images.
func (e *AmbiguousError) Error() string {
	names := make([]string, len(e.Images))
	for i, img := range e.Images {
		names[i] = fmt.Sprintf("%s (%s)", img.Name(), img.Digest.Encoded()[:12])
	}
	return fmt.Sprintf("%q names several images: %s", e.Ref, strings.Join(names, ", "))
}

func similar(ref string, list []Image) string {
	best, bestDistance := "", 3+len(ref)/8
	for _, img := range list {
		names := []string{img.Target}
		for _, tag := range img.Tags {
			short := Familiar(tag)
			names = append(names, short, strings.TrimSuffix(short, ":latest"))
		}
		for _, name := range names {
			if d := levenshtein.Distance(ref, name, nil); name != "" && d < bestDistance {
				best, bestDistance = name, d
			}
		}
	}
	return best
}

// formatPlatform writes a platform the short way.
func formatPlatform(p ocispec.Platform) string { return platforms.Format(platforms.Normalize(p)) }
