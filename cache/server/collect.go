package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/filesystem"
)

// collect deletes manifests that no tag leads to, and the blobs that no
// manifest is left for. The parts of a tagged index stay.
func (s *Server) collect(ctx context.Context) error {
	if ok, err := s.lock.TryLock(); err != nil {
		return fmt.Errorf("locking the registry's directory: %w", err)
	} else if !ok {
		return &BusyError{s.opts.Root}
	}
	err := collect(ctx, s.opts.Root)
	return errors.Join(err, s.lock.Unlock())
}

func collect(ctx context.Context, root string) error {
	d := filesystem.New(filesystem.DriverParameters{RootDirectory: root, MaxThreads: 100})
	if _, err := d.Stat(ctx, "/docker/registry/v2/repositories"); err != nil {
		if _, none := errors.AsType[driver.PathNotFoundError](err); none {
			return nil
		}
		return fmt.Errorf("collecting: %w", err)
	}
	r, err := storage.NewRegistry(ctx, d, storage.EnableDelete)
	if err != nil {
		return fmt.Errorf("collecting: %w", err)
	}
	if err := storage.MarkAndSweep(ctx, d, r, storage.GCOpts{RemoveUntagged: true, Quiet: true}); err != nil {
		return fmt.Errorf("collecting: %w", err)
	}
	return nil
}
