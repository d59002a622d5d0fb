package engine

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxSocketPath is how long a unix socket's address may be.
const maxSocketPath = 107

// privateDir makes a folder that only its owner, who must be us, can enter.
func privateDir(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is no folder", path)
	case int(owner) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, not to you", path, owner)
	case info.Mode().Perm()&0o077 != 0:
		return os.Chmod(path, 0o700)
	}
	return nil
}

// socketAddr is the address to bind or dial for a socket at path. One that is
// too long is reached through its opened folder, until release is called.
func socketAddr(path string) (addr string, release func() error, err error) {
	if len(path) <= maxSocketPath {
		return path, func() error { return nil }, nil
	}
	dir, err := os.OpenFile(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", nil, err
	}
	addr = fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path))
	return addr, dir.Close, nil
}

// peerOf says which process is at the other end, as the kernel knows it.
func peerOf(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var peer *unix.Ucred
	var peerErr error
	err = raw.Control(func(fd uintptr) {
		peer, peerErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	return peer, errors.Join(err, peerErr)
}

// buildOf identifies a build of a program: by the id that the Go linker gives
// it, which changes with the code alone, else by the file's size and time.
func buildOf(path string) string {
	if id := goBuildID(path); id != "" {
		return id
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d bytes of %s", info.Size(), info.ModTime().UTC().Format("2006-01-02T15:04:05.000000000Z"))
}

// goBuildID reads the note that the Go linker writes, "" when there is none.
func goBuildID(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	section := f.Section(".note.go.buildid")
	if section == nil {
		return ""
	}
	note, err := section.Data()
	// An ELF note is the sizes of name and data, a type, the name and the data.
	const header, name = 12, len("Go\x00\x00")
	if err != nil || len(note) < header+name {
		return ""
	}
	size := int(f.ByteOrder.Uint32(note[4:]))
	if size > len(note)-header-name {
		return ""
	}
	return string(note[header+name:][:size])
}

// tail returns the last bytes of a file.
func tail(path string, size int64) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if _, err := f.Seek(max(0, info.Size()-size), io.SeekStart); err != nil {
		return "", err
	}
	text, err := io.ReadAll(f)
	return string(text), err
}
