package files

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// A Kind is what happened to a path.
type Kind string

// The kinds, the first that fits. A mode that changed changes the digest too, so
// that Mode does not exclude other content of the same size.
const (
	Added   Kind = "added"
	Removed Kind = "removed"
	Type    Kind = "type"    // a file is now a link, a directory...
	Mode    Kind = "mode"    // permission bits, and nothing that the sizes tell
	Content Kind = "content" // content, link or extended attributes
)

// A Change is one path that differs between two lists. From and To are its
// types, modes (0644), link targets or digests; "" where it does not exist.
type Change struct {
	Path     string
	Kind     Kind
	From, To string
}

// Diff compares two lists that are sorted by path, as List returns them.
func Diff(old, new []File) []Change {
	var changes []Change
	for len(old) > 0 || len(new) > 0 {
		order := 0
		switch {
		case len(old) == 0:
			order = 1
		case len(new) == 0:
			order = -1
		default:
			order = strings.Compare(old[0].Path, new[0].Path)
		}
		switch {
		case order < 0:
			changes = append(changes, Change{Path: old[0].Path, Kind: Removed, From: old[0].Digest})
			old = old[1:]
		case order > 0:
			changes = append(changes, Change{Path: new[0].Path, Kind: Added, To: new[0].Digest})
			new = new[1:]
		default:
			if c, ok := compare(old[0], new[0]); ok {
				changes = append(changes, c)
			}
			old, new = old[1:], new[1:]
		}
	}
	return slices.Clip(changes)
}

// compare says how a became b.
func compare(a, b File) (Change, bool) {
	c := Change{Path: a.Path}
	am, bm := fs.FileMode(a.Mode), fs.FileMode(b.Mode)
	switch {
	case am.Type() != bm.Type():
		c.Kind, c.From, c.To = Type, kindOf(am), kindOf(bm)
	case a.Link != b.Link:
		c.Kind, c.From, c.To = Content, a.Link, b.Link
	case am != bm && a.Size == b.Size:
		c.Kind, c.From, c.To = Mode, octal(am), octal(bm)
	case a.Digest != b.Digest:
		c.Kind, c.From, c.To = Content, a.Digest, b.Digest
	default:
		return c, false
	}
	return c, true
}

// octal is a mode as chmod takes it.
func octal(m fs.FileMode) string {
	bits := m.Perm()
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return fmt.Sprintf("%04o", uint32(bits))
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "directory"
	case m&fs.ModeSymlink != 0:
		return "link"
	case m&fs.ModeNamedPipe != 0:
		return "fifo"
	case m&fs.ModeDevice != 0:
		return "device"
	}
	return "file"
}
