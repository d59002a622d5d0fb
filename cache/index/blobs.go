package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	digest "github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// blobPath is where the blob of a digest is kept.
func (l *Local) blobPath(dgst string) (string, error) {
	d := digest.Digest(dgst)
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return "", fmt.Errorf("digest %q is not one of SHA-256", dgst)
	}
	return filepath.Join(l.dir, blobDir, d.Encoded()[:2], d.Encoded()), nil
}

// writeBlobs writes the blobs that are not there yet, synced. The caller holds
// the lease.
func (l *Local) writeBlobs(blobs map[string][]byte) error {
	var g errgroup.Group // side by side, so that the syncs are
	for dgst, data := range blobs {
		g.Go(func() error { return l.writeBlob(dgst, data) })
	}
	return g.Wait()
}

func (l *Local) writeBlob(dgst string, data []byte) error {
	path, err := l.blobPath(dgst)
	if err != nil {
		return err
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode().IsRegular() && fi.Size() > 0 {
		return nil
	}
	if len(data) > maxBlob {
		return fmt.Errorf("blob %s of %d bytes is too large", dgst, len(data))
	}
	packed, err := l.codec.pack(data)
	if err != nil {
		return err
	}
	for _, dir := range []string{l.path(blobDir), filepath.Dir(path)} { // one after another: no link is followed
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := checkDir(dir); err != nil {
			return err
		}
	}
	return replace(path, packed)
}

// readBlob reads the blob of a digest. One that is damaged is removed, so that
// it is written again.
func (l *Local) readBlob(dgst string) ([]byte, error) {
	path, err := l.blobPath(dgst)
	if err != nil {
		return nil, err
	}
	packed, err := readOwn(path, maxBlob)
	if err != nil {
		return nil, err
	}
	data, err := l.codec.unpack(packed, dgst)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return data, nil
}
