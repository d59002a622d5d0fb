// Package store keeps images in a directory of the user's, in OCI layout, so
// that they can be listed, checked, pushed and saved with no engine running.
//
// It knows blobs, manifests and tags and nothing of builds.
package store

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
)

var errSoon = errors.New("not there yet")

// A Store is a directory of images shared by concurrent commands.
type Store struct{}

// An Option changes how a store is opened.
type Option func(*Store)

// WithWarn sets the function that is told of damage the store works around.
func WithWarn(warn func(error)) Option { return func(*Store) {} }

// DefaultDir returns the directory of the user's store.
func DefaultDir(lookupEnv func(string) (string, bool)) string { return "" }

// Open returns the store in dir. Nothing is written until something is stored.
func Open(dir string, opts ...Option) (*Store, error) { return &Store{}, nil }

// Close ends the protection of blobs written through Content but not tagged.
func (s *Store) Close() error { return nil }

// Content is the content store that an exporter writes blobs into.
func (s *Store) Content() content.Store { return nil }

// Meta is what is known of an image beside its content.
type Meta struct {
	Target  string    // that made it; "" if none did
	Project string    // directory of the build file
	Created time.Time // when it was stored
}

// An Image is one image of the store.
type Image struct {
	Tags      []string // normalised, sorted
	Digest    digest.Digest
	Platforms []string // attestations left out
	Size      int64    // bytes of all its blobs, compressed
	Created   time.Time
	Target    string
	Project   string
	Desc      ocispec.Descriptor
}

// Tag names the image desc, whose blobs Content holds, by tags.
func (s *Store) Tag(ctx context.Context, desc ocispec.Descriptor, tags []string, meta Meta) error {
	return errSoon
}

// List lists all images, sorted by name.
func (s *Store) List(ctx context.Context) ([]Image, error) { return nil, nil }

// Resolve finds the image that ref names.
func (s *Store) Resolve(ctx context.Context, ref string) (Image, error) { return Image{}, errSoon }

// Remove unties refs and collects the blobs that nothing needs any more.
func (s *Store) Remove(ctx context.Context, refs []string) (freed int64, err error) {
	return 0, errSoon
}

// Prune collects the blobs that nothing needs.
func (s *Store) Prune(ctx context.Context) (freed int64, err error) { return 0, errSoon }

// A Problem is one thing wrong with an image.
type Problem struct {
	Digest digest.Digest // the blob
	What   string        // manifest, config, layer
	Detail string
}

// Check reads every blob of the image ref.
func (s *Store) Check(ctx context.Context, ref string) ([]Problem, error) { return nil, errSoon }

// Index returns the image index ref, or an error if ref is a single image.
func (s *Store) Index(ctx context.Context, ref string) (v1.ImageIndex, error) { return nil, errSoon }

// Image returns the single image ref.
func (s *Store) Image(ctx context.Context, ref string) (v1.Image, error) { return nil, errSoon }

// Push writes the image ref to dest in a registry.
func (s *Store) Push(ctx context.Context, ref, dest string, to *registry.Client, progress func(done, total int64)) (digest.Digest, error) {
	return "", errSoon
}

// A Format is a kind of image archive.
type Format string

// The formats that Save writes.
const (
	OCI    Format = "oci"
	Docker Format = "docker"
)

// Save writes the images refs to w.
func (s *Store) Save(ctx context.Context, refs []string, format Format, w io.Writer) error {
	return errSoon
}

// LoadArchive stores the images of an OCI or docker archive.
func (s *Store) LoadArchive(ctx context.Context, r io.Reader) ([]Image, error) { return nil, errSoon }
