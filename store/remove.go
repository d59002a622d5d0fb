package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Remove unties refs and then collects as Prune does. A tag is taken from its
// image, which stays if it has others; a digest or a target takes the image
// with all its tags. If one of refs is not found, nothing is removed.
func (s *Store) Remove(ctx context.Context, refs []string) (freed int64, err error) {
	if idx, err := s.read(ctx); err != nil || len(idx.entries) == 0 {
		return 0, errors.Join(err, idx.remove(refs)) // no store is made to find nothing in it
	}
	// The index is written before blobs go: a crash between the two leaves
	// blobs too many and never too few.
	if err := s.update(ctx, func(idx *index) error { return idx.remove(refs) }); err != nil {
		return 0, err
	}
	return s.Prune(ctx)
}

func (idx *index) remove(refs []string) error {
	before := *idx
	var errs []error
	for _, ref := range refs {
		img, tag, err := before.find(ref)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		idx.entries = slices.DeleteFunc(slices.Clone(idx.entries), func(e ocispec.Descriptor) bool {
			if tag != "" {
				return tagOf(e) == tag
			}
			return e.Digest == img.Digest
		})
	}
	return errors.Join(errs...)
}

// Prune collects the blobs that no image needs and says how many bytes that
// freed. While an export runs anywhere it collects nothing: its blobs belong to
// no image yet.
func (s *Store) Prune(ctx context.Context) (freed int64, err error) {
	if _, err := os.Lstat(s.dir); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err := s.create(); err != nil {
		return 0, err
	}
	lease := s.flockAt(leaseFile)
	alone, err := lease.TryLock()
	if err != nil {
		return 0, fmt.Errorf("locking the image store: %w", err)
	}
	defer lease.Close()
	if !alone {
		s.warn(errors.New("image store: an export is running; blobs that are no longer needed stay until the next rm or prune"))
		return 0, nil
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	return s.collect(ctx)
}

// collect deletes unneeded blobs. The caller holds both locks.
func (s *Store) collect(ctx context.Context) (freed int64, err error) {
	idx, err := s.read(ctx)
	if err != nil {
		return 0, err
	}
	blobs, err := s.local()
	if err != nil {
		return 0, err
	}
	needed := map[digest.Digest]bool{}
	for _, e := range idx.entries {
		err := s.walk(ctx, blobs, e, func(n node) error {
			needed[n.Digest] = true
			return nil
		})
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if err != nil {
			// What a damaged image needs is not known. Better to keep all.
			s.warn(fmt.Errorf("image store: nothing is collected, for an image is damaged: %s: %w", e.Digest, err))
			return 0, nil
		}
	}
	var unneeded []content.Info
	err = blobs.Walk(ctx, func(info content.Info) error {
		if !needed[info.Digest] {
			unneeded = append(unneeded, info)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("reading the image store: %w", err)
	}
	for _, info := range unneeded {
		if err := blobs.Delete(ctx, info.Digest); err != nil && !errdefs.IsNotFound(err) {
			return freed, fmt.Errorf("deleting a blob: %w", err)
		}
		freed += info.Size
	}
	return freed + s.sweep(), nil
}

// sweep removes what writers left that ended half-way.
func (s *Store) sweep() (freed int64) {
	ingest := s.path("ingest")
	_ = filepath.WalkDir(ingest, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if fi, err := e.Info(); err == nil {
				freed += fi.Size()
			}
		}
		return nil
	})
	errs := []error{emptyDir(ingest)}
	files, _ := os.ReadDir(s.dir)
	for _, f := range files {
		if f.Type().IsRegular() && strings.Trim(f.Name(), "0123456789") == "" { // atomicfile's
			errs = append(errs, os.Remove(s.path(f.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.warn(fmt.Errorf("image store: %w", err))
	}
	return freed
}

// emptyDir empties a directory that others expect to stay.
func emptyDir(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, f.Name())))
	}
	return errors.Join(errs...)
}
