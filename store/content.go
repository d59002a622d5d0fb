package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Content is the content store that an exporter writes blobs into; only those
// that are missing travel. From its first use until Close no blob of the store
// is deleted, by this process or another. Nothing is written by calling it.
func (s *Store) Content() content.Store { return contents{s} }

// contents is the content store of containerd, made on first use, guarded by
// the lease, and with writers of its own for each process: containerd's are
// safe within one process only.
type contents struct{ s *Store }

var _ content.Store = contents{}

// open makes the store, takes the lease and returns the store below.
func (c contents) open(ctx context.Context) (content.Store, error) {
	if err := c.s.takeLease(ctx); err != nil {
		return nil, err
	}
	return c.s.local()
}

func (s *Store) takeLease(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != nil {
		return nil
	}
	if err := s.create(); err != nil {
		return err
	}
	lease := s.flockAt(leaseFile)
	if _, err := lease.TryRLockContext(ctx, lockPoll); err != nil {
		return fmt.Errorf("waiting for the image store: %w", err)
	}
	s.lease = lease
	return nil
}

// Info implements content.InfoProvider.
func (c contents) Info(ctx context.Context, dgst digest.Digest) (content.Info, error) {
	b, err := c.open(ctx)
	if err != nil {
		return content.Info{}, err
	}
	return b.Info(ctx, dgst)
}

// Update implements content.Manager. Labels are not kept: what the store knows
// of an image is in its index.
func (c contents) Update(ctx context.Context, info content.Info, _ ...string) (content.Info, error) {
	return c.Info(ctx, info.Digest)
}

// Walk implements content.Manager.
func (c contents) Walk(ctx context.Context, fn content.WalkFunc, filters ...string) error {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	err = b.Walk(ctx, fn, filters...)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Delete implements content.Manager.
func (c contents) Delete(ctx context.Context, dgst digest.Digest) error {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	return b.Delete(ctx, dgst)
}

// ReaderAt implements content.Provider.
func (c contents) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return b.ReaderAt(ctx, desc)
}

// Status implements content.IngestManager.
func (c contents) Status(ctx context.Context, ref string) (content.Status, error) {
	b, err := c.open(ctx)
	if err != nil {
		return content.Status{}, err
	}
	st, err := b.Status(ctx, c.mine(ref))
	st.Ref = ref
	return st, err
}

// ListStatuses implements content.IngestManager, for writers of this process.
func (c contents) ListStatuses(ctx context.Context, fs ...string) ([]content.Status, error) {
	filter, err := filters.ParseAll(fs...)
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	all, err := b.ListStatuses(ctx)
	if err != nil {
		return nil, err
	}
	var mine []content.Status
	for _, st := range all {
		ref, ok := strings.CutPrefix(st.Ref, c.mine(""))
		st.Ref = ref
		if ok && filter.Match(adaptStatus(st)) {
			mine = append(mine, st)
		}
	}
	return mine, nil
}

func adaptStatus(st content.Status) filters.Adaptor {
	return filters.AdapterFunc(func(path []string) (string, bool) {
		if len(path) == 1 && path[0] == "ref" {
			return st.Ref, true
		}
		return "", false
	})
}

// Abort implements content.IngestManager.
func (c contents) Abort(ctx context.Context, ref string) error {
	b, err := c.open(ctx)
	if err != nil {
		return err
	}
	return b.Abort(ctx, c.mine(ref))
}

// Writer implements content.Ingester. A blob of the wrong size, as a full disk
// or a power cut can leave it, is written anew.
func (c contents) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var w content.WriterOpts
	for _, opt := range opts {
		if err := opt(&w); err != nil {
			return nil, err
		}
	}
	if w.Ref == "" {
		return nil, fmt.Errorf("ref must not be empty: %w", errdefs.ErrInvalidArgument)
	}
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if w.Desc.Digest != "" && w.Desc.Size > 0 {
		if info, err := b.Info(ctx, w.Desc.Digest); err == nil && info.Size != w.Desc.Size {
			c.s.warn(fmt.Errorf("image store: blob %s has %d bytes instead of %d and is written anew", w.Desc.Digest, info.Size, w.Desc.Size))
			if err := b.Delete(ctx, w.Desc.Digest); err != nil {
				return nil, err
			}
		}
	}
	inner, err := b.Writer(ctx, content.WithRef(c.mine(w.Ref)), content.WithDescriptor(w.Desc))
	if err != nil {
		return nil, err
	}
	return writer{inner, w.Ref}, nil
}

// mine is the name of a writer among those of all processes.
func (c contents) mine(ref string) string { return c.s.name + " " + ref }

// A writer is called what its user calls it.
type writer struct {
	content.Writer
	ref string
}

// Status implements content.Writer.
func (w writer) Status() (content.Status, error) {
	st, err := w.Writer.Status()
	st.Ref = w.ref
	return st, err
}

func randomName() string { return rand.Text() }
