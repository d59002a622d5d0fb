package index

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/atomicfile"
)

// checkOwn refuses a file or directory that somebody else could have put there.
func checkOwn(fi fs.FileInfo, dir bool) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("%w: it is a symbolic link", fs.ErrPermission)
	case dir && !fi.IsDir():
		return fmt.Errorf("%w: it is not a directory", fs.ErrPermission)
	case !dir && !fi.Mode().IsRegular():
		return fmt.Errorf("%w: it is not a file", fs.ErrPermission)
	case ok && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%w: it belongs to user %d, not to you", fs.ErrPermission, st.Uid)
	case fi.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%w: others can write to it; chmod go-w it", fs.ErrPermission)
	}
	return nil
}

// checkDir is checkOwn of the directory at path, whose absence is
// fs.ErrNotExist.
func checkDir(path string) error {
	fi, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if err := checkOwn(fi, true); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// openOwn opens a file of the user's own.
func openOwn(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: %w: it is a symbolic link", path, fs.ErrPermission)
	}
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = checkOwn(fi, false)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return f, nil
}

// readOwn reads a file of the user's own, of at most limit bytes.
func readOwn(path string, limit int64) ([]byte, error) {
	f, err := openOwn(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if fi.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than ever written", path, fi.Size())
	}
	data := make([]byte, fi.Size())
	n, err := io.ReadFull(f, data)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data[:n], nil
}

// replace writes a file so that it is there whole, old or new, after any crash.
func replace(path string, data []byte) error {
	f, err := atomicfile.New(path, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Cancel())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
