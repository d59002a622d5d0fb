package files

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Error is what is wrong with one file or directory that a target reads.
// Path is absolute, in the bytes the disk has.
type Error struct {
	Path string
	Err  error
}

// Error names the path, bytes that are not UTF-8 in the form \xff.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", show(e.Path), e.Err) }

// Unwrap returns the cause, so that errors.Is finds fs.ErrNotExist and such.
func (e *Error) Unwrap() error { return e.Err }

var (
	errNotUTF8  = errors.New("BuildKit takes only names that are UTF-8; rename it, or exclude it in .dockerignore")
	errLink     = errors.New("a symbolic link to a name that is not UTF-8, which BuildKit does not take; exclude it in .dockerignore")
	errXattr    = errors.New("an extended attribute whose name is not UTF-8, which BuildKit does not take")
	errChanging = errors.New("changes while being read; wait for what writes to it, or exclude it in .dockerignore")
)

// show is path as a person can read it, on one line.
func show(path string) string {
	if utf8.ValidString(path) && !strings.ContainsFunc(path, unicode.IsControl) {
		return path
	}
	return strconv.Quote(path)
}
