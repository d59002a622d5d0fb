package lower

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A Read is a file that was read, or looked for, to lower a target: the
// Dockerfile and ignore files.
type Read struct {
	Path string `json:"path"` // absolute
	Sum  string `json:"sum"`  // SHA-256 of its content in hex, "" if there is none
}

// reads collects what is read. Its methods may be called at once.
type reads struct {
	mu   sync.Mutex
	sums map[string]string
}

// file reads a file and notes its content, or that there is none.
func (r *reads) file(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	switch {
	case err == nil:
		r.note(path, sum(data))
	case missing(err):
		r.note(path, "")
	}
	return data, err
}

// stat looks at a file. What it tells is only used before the file is read, so
// that nothing but its absence is worth a note.
func (r *reads) stat(path string) (fs.FileInfo, error) {
	fi, err := os.Stat(path)
	if missing(err) {
		r.note(path, "")
	}
	return fi, err
}

func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func (r *reads) note(path, sum string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sums == nil {
		r.sums = map[string]string{}
	}
	r.sums[path] = sum
}

func (r *reads) list() []Read {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []Read
	for path, sum := range r.sums {
		out = append(out, Read{path, sum})
	}
	slices.SortFunc(out, func(a, b Read) int { return strings.Compare(a.Path, b.Path) })
	return out
}

// unchanged reports whether the file is as it was when r was noted.
func (r Read) unchanged() bool {
	data, err := os.ReadFile(r.Path)
	if err != nil {
		return r.Sum == "" && missing(err)
	}
	return r.Sum == sum(data)
}

func sum(data []byte) string {
	s := sha256.Sum256(data)
	return hex.EncodeToString(s[:])
}
