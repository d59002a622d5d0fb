package files

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/moby/buildkit/cache/contenthash"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"golang.org/x/sys/unix"
)

// A record is what was read of an entry. It is immutable.
type record struct {
	stamp stamp
	at    int64    // when reading began, ns since 1970
	sum   [32]byte // BuildKit's content hash: header and content
	link  string   // where a symbolic link leads
	day   uint32   // when it was last looked at, days since 1970
	own   bool     // read by this Cache, not by an earlier one
}

// tries is how often a file that changes while it is read is read again.
const tries = 5

var buffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

// errAgain says that an entry changed between two looks.
var errAgain = errors.New("changed")

// hashEntry reads the entry at path, which is absolute.
func hashEntry(ctx context.Context, path string, now func() time.Time, c *counts) (*record, error) {
	for range tries {
		rec, err := hashOnce(ctx, path, now().UnixNano(), c)
		if err == nil {
			return rec, nil
		}
		if !errors.Is(err, errAgain) {
			return nil, explain(path, err)
		}
	}
	return nil, &Error{Path: path, Err: errChanging}
}

func hashOnce(ctx context.Context, path string, at int64, c *counts) (*record, error) {
	before, err := lstat(path)
	if err != nil {
		return nil, err
	}
	st, err := fsutil.Stat(path) // what BuildKit is told, extended attributes included
	if err != nil {
		return nil, err
	}
	if err := checkUTF8(st); err != nil {
		return nil, err
	}
	st.Uid, st.Gid = 0, 0
	h, err := contenthash.NewFromStat(st)
	if err != nil {
		return nil, err
	}
	// A socket has no type either, but cannot be opened: it is sent empty.
	if before.isRegular() && !isSocket(path, before) {
		err = hashContent(ctx, h, path, before, c)
	} else {
		err = same(before, func() (stamp, error) { return lstat(path) })
	}
	if err != nil {
		return nil, err
	}
	rec := &record{stamp: before, at: at, sum: [32]byte(h.Sum(nil)), day: dayOf(at), own: true}
	if fs.FileMode(st.Mode)&fs.ModeSymlink != 0 {
		rec.link = st.Linkname
	}
	return rec, nil
}

// isSocket tells a socket from a file; both have no type bits in a stamp.
func isSocket(path string, s stamp) bool {
	if s.size != 0 {
		return false
	}
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode()&fs.ModeSocket != 0
}

// hashContent writes the content of the file at path to h. The file must have
// the stamp want before and after it is read, by its descriptor.
func hashContent(ctx context.Context, h hash.Hash, path string, want stamp, c *counts) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			return errAgain // a link has taken its place
		}
		return err
	}
	defer f.Close()
	look := func() (stamp, error) {
		var st unix.Stat_t
		if err := unix.Fstat(int(f.Fd()), &st); err != nil {
			return stamp{}, &fs.PathError{Op: "fstat", Path: path, Err: err}
		}
		return newStamp(&st), nil
	}
	if err := same(want, look); err != nil {
		return err
	}
	c.read(path)
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := f.Read(*buf)
		h.Write((*buf)[:n])
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return same(want, look)
}

func same(want stamp, look func() (stamp, error)) error {
	got, err := look()
	if err == nil && got != want {
		err = errAgain
	}
	return err
}

// checkUTF8 refuses what protobuf cannot carry as a string.
func checkUTF8(st *types.Stat) error {
	if !utf8.ValidString(st.Linkname) {
		return errLink
	}
	for name := range st.Xattrs {
		if !utf8.ValidString(name) {
			return errXattr
		}
	}
	return nil
}

// explain makes an Error of a failure to look at path. What is merely gone and
// what was cancelled stays what it is.
func explain(path string, err error) error {
	if _, ok := errors.AsType[*Error](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		err = perr.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		mode := "unknown" // its directory cannot be entered
		if fi, lerr := os.Lstat(path); lerr == nil {
			mode = fi.Mode().String()
		}
		err = fmt.Errorf("%w (mode %s); make it readable, or exclude it in .dockerignore", err, mode)
	}
	return &Error{Path: path, Err: err}
}

func dayOf(ns int64) uint32 {
	return uint32(max(ns, 0) / int64(24*time.Hour))
}
