// Package store keeps images in a directory of the user's, in OCI layout, so
// that they can be listed, checked, pushed and saved with no engine running.
//
// It knows blobs, manifests and tags and nothing of builds. Many commands may
// use one directory at once: index.json is replaced whole under a lock, blobs
// are written once and under their digests, and none is deleted while an export
// runs anywhere.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/gofrs/flock"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// The files of a store beside those of an OCI layout.
const (
	lockFile  = ".lock"          // held while index.json is replaced
	leaseFile = ".lease"         // held, shared, while blobs are written that no image names yet
	oldIndex  = ".index.old"     // index.json before the last change
	badIndex  = "index.json.bad" // index.json when it was found damaged
)

// A Store is a directory of images. It may be used by many goroutines.
type Store struct {
	dir  string
	name string // of this process among those that write
	warn func(error)

	mu    sync.Mutex
	blobs content.Store // nil until first used
	lease *flock.Flock  // nil while nothing is being written
}

// An Option changes how a store is opened.
type Option func(*Store)

// WithWarn sets the function that is told of damage the store works around.
func WithWarn(warn func(error)) Option { return func(s *Store) { s.warn = warn } }

// DefaultDir returns the directory of the user's store: $STRATA_STORE, else
// strata/images in the user's data directory, "" if there is none.
func DefaultDir(lookupEnv func(string) (string, bool)) string {
	if dir, ok := lookupEnv("STRATA_STORE"); ok && dir != "" {
		return dir
	}
	if dir, ok := lookupEnv("XDG_DATA_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "strata", "images")
	}
	if home, ok := lookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".local", "share", "strata", "images")
	}
	return ""
}

// Open returns the store in dir, which need not exist: nothing is written until
// something is stored. A directory that is a symbolic link, or that others own
// or can write to, is refused.
func Open(dir string, opts ...Option) (*Store, error) {
	if dir == "" {
		return nil, errors.New("there is no directory for images: set HOME or STRATA_STORE")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s := &Store{dir: dir, name: randomName(), warn: func(error) {}}
	for _, opt := range opts {
		opt(s)
	}
	if err := CheckDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s, nil
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Close ends the protection of blobs that were written through Content and are
// not part of a tagged image. The store can be used again.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease == nil {
		return nil
	}
	err := s.lease.Close()
	s.lease = nil
	return err
}

// A DirError says that a directory is not the user's own. It is a matter of
// permission.
type DirError struct{ Dir, Reason string }

// Error names the directory and says what is wrong with it.
func (e *DirError) Error() string { return fmt.Sprintf("directory %s %s", e.Dir, e.Reason) }

// Is makes a DirError a case of fs.ErrPermission.
func (e *DirError) Is(target error) bool { return target == fs.ErrPermission }

// CheckDir refuses a directory that is a symbolic link, or that others own or
// can write to, with a *DirError.
func CheckDir(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	switch st, ok := fi.Sys().(*syscall.Stat_t); {
	case fi.Mode()&fs.ModeSymlink != 0:
		return &DirError{dir, "is a symbolic link; name the directory it leads to if that is meant"}
	case !fi.IsDir():
		return &DirError{dir, "is not a directory"}
	case ok && int(st.Uid) != os.Geteuid():
		return &DirError{dir, fmt.Sprintf("belongs to user %d, not to you", st.Uid)}
	case fi.Mode().Perm()&0o022 != 0:
		return &DirError{dir, "can be written to by others; chmod go-w it"}
	}
	return nil
}

// create makes the directory a store.
func (s *Store) create() error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making the image store: %w", err)
	}
	if err := CheckDir(s.dir); err != nil {
		return err
	}
	layout := filepath.Join(s.dir, ocispec.ImageLayoutFile)
	if _, err := os.Lstat(layout); err == nil {
		return nil
	}
	return s.replace(ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"`+ocispec.ImageLayoutVersion+`"}`))
}

// local is the content store below, without the protections of Content. It is
// for reading; it fails if there is no directory.
func (s *Store) local() (content.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blobs != nil {
		return s.blobs, nil
	}
	if err := CheckDir(s.dir); err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	blobs, err := local.NewStore(s.dir)
	if err != nil {
		return nil, fmt.Errorf("opening the image store: %w", err)
	}
	s.blobs = blobs
	return blobs, nil
}

// flockAt is the lock file name, not followed if it is a symbolic link.
func (s *Store) flockAt(name string) *flock.Flock {
	return flock.New(filepath.Join(s.dir, name),
		flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW), flock.SetPermissions(0o600))
}

// lockPoll is how often a lock that somebody else holds is tried.
const lockPoll = 5 * time.Millisecond

// isIndex reports whether a media type is that of an index.
func isIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == dockerList
}

// dockerList is Docker's media type of an index.
const dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

func hashOf(desc ocispec.Descriptor) v1.Hash {
	return v1.Hash{Algorithm: desc.Digest.Algorithm().String(), Hex: desc.Digest.Encoded()}
}
