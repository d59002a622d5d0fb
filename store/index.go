package store

import (
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
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/atomicfile"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Annotations of the entries of index.json. An entry is one tag of an image, or
// an image without tags.
const (
	annName    = images.AnnotationImageName // the whole tag: docker.io/library/a:latest
	annRef     = ocispec.AnnotationRefName  // the same, for tools that know the layout only
	annCreated = ocispec.AnnotationCreated  // when it was stored
	annTarget  = "build.strata.target"
	annProject = "build.strata.project"
)

// maxIndex bounds index.json; a million tags are less.
const maxIndex = 1 << 30

// An index is what index.json says.
type index struct {
	entries []ocispec.Descriptor
	damaged error // why index.json is not to be read; entries are what was saved
}

// read reads index.json. If it is damaged, it says what can still be found out.
// No lock is needed: the file is always whole.
func (s *Store) read(ctx context.Context) (index, error) {
	entries, err := s.parse(ocispec.ImageIndexFile)
	switch {
	case err == nil:
		return index{entries: entries}, nil
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(s.path(oldIndex)); err != nil {
			return index{}, nil // a store without images
		}
		err = fs.ErrNotExist
	case errors.Is(err, syscall.ELOOP):
		return index{}, &DirError{s.dir, "has an index.json that is a symbolic link"}
	}
	var damage *damageError
	if !errors.As(err, &damage) && !errors.Is(err, fs.ErrNotExist) {
		return index{}, fmt.Errorf("reading the image store: %w", err)
	}
	saved, err2 := s.rebuild(ctx)
	if err2 != nil {
		return index{}, fmt.Errorf("reading the image store: %w", errors.Join(err, err2))
	}
	return index{entries: saved, damaged: err}, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, name) }

// A damageError says that an index is there and makes no sense.
type damageError struct{ error }

func (s *Store) parse(name string) ([]ocispec.Descriptor, error) {
	f, err := os.OpenFile(s.path(name), os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxIndex))
	if err != nil {
		return nil, err
	}
	var idx ocispec.Index
	if err := json.Unmarshal(data, &idx); err != nil {
		return nil, &damageError{fmt.Errorf("%s: %w", f.Name(), err)}
	}
	if idx.SchemaVersion != 2 {
		return nil, &damageError{fmt.Errorf("%s: schema version %d is not known", f.Name(), idx.SchemaVersion)}
	}
	for _, e := range idx.Manifests {
		if err := e.Digest.Validate(); err != nil {
			return nil, &damageError{fmt.Errorf("%s: digest %q: %w", f.Name(), e.Digest, err)}
		}
	}
	return idx.Manifests, nil
}

// rebuild finds the images of a store whose index is damaged: those of the
// index before the last change, and those that only their blobs tell of.
func (s *Store) rebuild(ctx context.Context) ([]ocispec.Descriptor, error) {
	entries, err := s.parse(oldIndex)
	if err != nil {
		entries = nil
	}
	blobs, err := s.local()
	if err != nil {
		return nil, err
	}
	known := map[digest.Digest]bool{}
	for _, e := range entries {
		known[e.Digest] = true
	}
	roots, err := findRoots(ctx, blobs)
	if err != nil {
		return nil, err
	}
	for _, r := range roots {
		if !known[r.Digest] {
			entries = append(entries, r)
		}
	}
	return entries, nil
}

// findRoots lists the manifests and indexes that no index names, by digest.
func findRoots(ctx context.Context, blobs content.Store) ([]ocispec.Descriptor, error) {
	found := map[digest.Digest]ocispec.Descriptor{}
	children := map[digest.Digest]bool{}
	err := blobs.Walk(ctx, func(info content.Info) error {
		if info.Size > maxManifest {
			return nil
		}
		data, err := content.ReadBlob(ctx, blobs, ocispec.Descriptor{Digest: info.Digest, Size: info.Size})
		if err != nil || info.Digest.Algorithm().FromBytes(data) != info.Digest {
			return nil // a damaged blob is no root
		}
		doc, ok := parseDocument(data)
		if !ok {
			return nil
		}
		for _, m := range doc.Manifests {
			children[m.Digest] = true
		}
		found[info.Digest] = ocispec.Descriptor{
			MediaType: doc.MediaType, Digest: info.Digest, Size: info.Size,
			Annotations: map[string]string{annCreated: info.CreatedAt.UTC().Format(time.RFC3339)},
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var roots []ocispec.Descriptor
	for d, desc := range found {
		if !children[d] {
			roots = append(roots, desc)
		}
	}
	slices.SortFunc(roots, func(a, b ocispec.Descriptor) int { return strings.Compare(string(a.Digest), string(b.Digest)) })
	return roots, nil
}

// A document is a manifest or an index.
type document struct {
	MediaType string               `json:"mediaType"`
	Config    *ocispec.Descriptor  `json:"config"`
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// parseDocument parses a manifest or index, ok if data is one.
func parseDocument(data []byte) (doc document, ok bool) {
	if len(data) == 0 || data[0] != '{' || json.Unmarshal(data, &doc) != nil {
		return doc, false
	}
	switch {
	case doc.Manifests != nil && doc.Config == nil:
		if doc.MediaType == "" {
			doc.MediaType = ocispec.MediaTypeImageIndex
		}
		return doc, images.IsIndexType(doc.MediaType)
	case doc.Config != nil && doc.Layers != nil:
		if doc.MediaType == "" {
			doc.MediaType = ocispec.MediaTypeImageManifest
		}
		return doc, images.IsManifestType(doc.MediaType)
	}
	return doc, false
}

// update changes the index under the lock. If change fails, nothing is changed.
func (s *Store) update(ctx context.Context, change func(*index) error) error {
	if err := s.create(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	idx, err := s.read(ctx)
	if err != nil {
		return err
	}
	if err := change(&idx); err != nil {
		return err
	}
	if idx.damaged != nil {
		s.warn(fmt.Errorf("image store: %w; %d images were found again, the damaged file is kept as %s", idx.damaged, len(idx.entries), badIndex))
		if err := os.Rename(s.path(ocispec.ImageIndexFile), s.path(badIndex)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("putting a damaged index aside: %w", err)
		}
	}
	return s.write(idx)
}

func (s *Store) lock(ctx context.Context) (unlock func(), err error) {
	l := s.flockAt(lockFile)
	if _, err := l.TryLockContext(ctx, lockPoll); err != nil {
		return nil, fmt.Errorf("locking the image store: %w", err)
	}
	return func() { _ = l.Close() }, nil
}

// write replaces index.json, keeping the one before. The caller holds the lock.
func (s *Store) write(idx index) error {
	data, err := json.MarshalIndent(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: append([]ocispec.Descriptor{}, idx.entries...),
	}, "", " ")
	if err != nil {
		return fmt.Errorf("writing the image store: %w", err)
	}
	before, err := os.ReadFile(s.path(ocispec.ImageIndexFile))
	if err == nil {
		err = s.replace(oldIndex, before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return s.replace(ocispec.ImageIndexFile, data)
}

// replace writes a file so that it is there whole, old or new, after any crash.
func (s *Store) replace(name string, data []byte) error {
	wrap := func(err error) error { return fmt.Errorf("writing the image store: %w", err) }
	f, err := atomicfile.New(s.path(name), 0o600)
	if err != nil {
		return wrap(err)
	}
	if _, err := f.Write(data); err != nil {
		return wrap(errors.Join(err, f.Cancel()))
	}
	if err := f.Close(); err != nil {
		return wrap(err)
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return wrap(err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return wrap(err)
	}
	return nil
}
