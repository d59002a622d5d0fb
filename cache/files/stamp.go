package files

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// window is how much older than the moment of reading a time of a file must be
// to prove that the file was not written again since. File systems keep times
// in steps of a few milliseconds (ext4, xfs) up to 2 s (FAT); git calls an entry
// inside the window "racy" (Documentation/technical/racy-git.txt).
const window = 2 * time.Second

// A stamp is what lstat tells of an entry. Equal stamps that are settled mean
// equal content. A directory's size and mtime follow from its entries and are 0.
type stamp struct {
	mode         uint32 // of io/fs, as fsutil sends it
	size         int64
	mtime, ctime int64 // ns since 1970
	ino, dev     uint64
}

func newStamp(st *unix.Stat_t) stamp {
	s := stamp{mode: fileMode(uint32(st.Mode)), ctime: st.Ctim.Nano(), ino: uint64(st.Ino), dev: uint64(st.Dev)}
	if !s.isDir() {
		s.size, s.mtime = st.Size, st.Mtim.Nano()
	}
	return s
}

// fileMode is a mode of stat(2) in the terms of io/fs. A socket has no type: it
// is sent as an empty file (fsutil's mkstat).
func fileMode(m uint32) uint32 {
	mode := fs.FileMode(m & 0o777)
	switch m & unix.S_IFMT {
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	}
	if m&unix.S_ISUID != 0 {
		mode |= fs.ModeSetuid
	}
	if m&unix.S_ISGID != 0 {
		mode |= fs.ModeSetgid
	}
	if m&unix.S_ISVTX != 0 {
		mode |= fs.ModeSticky
	}
	return uint32(mode)
}

func (s stamp) isDir() bool     { return fs.FileMode(s.mode).IsDir() }
func (s stamp) isRegular() bool { return fs.FileMode(s.mode).IsRegular() }

// settled says whether an entry with this stamp, read at the time at, would
// have another stamp if it had been written after that. A read that lies in the
// future proves nothing: the clock was set back.
func (s stamp) settled(at int64, now time.Time) bool {
	return max(s.mtime, s.ctime)+int64(window) < at && at <= now.UnixNano()
}

// append adds s to b in its fixed form.
func (s stamp) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, s.mode)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.mtime))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.ctime))
	b = binary.LittleEndian.AppendUint64(b, s.ino)
	return binary.LittleEndian.AppendUint64(b, s.dev)
}

// sign hashes paths and stamps of nodes, in their order.
func sign(nodes []node) [sha256.Size]byte {
	h := sha256.New()
	buf := make([]byte, 0, 16<<10)
	for _, n := range nodes {
		buf = binary.AppendUvarint(buf, uint64(len(n.path)))
		buf = append(buf, n.path...)
		buf = n.stamp.append(buf)
		if len(buf) > 12<<10 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	h.Write(buf)
	return [sha256.Size]byte(h.Sum(nil))
}
