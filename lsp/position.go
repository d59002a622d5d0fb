package lsp

import (
	"bytes"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// A text is the content of a file, with where its lines begin.
type text struct {
	data  []byte
	lines []int // offsets
}

func newText(data []byte) *text {
	t := &text{data: data, lines: []int{0}}
	for i := 0; i < len(data); i++ {
		// The protocol has lines end with \n, \r\n and \r.
		if data[i] == '\n' || data[i] == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			t.lines = append(t.lines, i+1)
		}
	}
	return t
}

// position is the place of the byte at offset; offsets outside of the text are
// its start and its end.
func (t *text) position(offset int) position {
	offset = min(max(offset, 0), len(t.data))
	line := len(t.lines) - 1
	for lo := 0; lo < line; {
		mid := (lo + line + 1) / 2
		if t.lines[mid] <= offset {
			lo = mid
		} else {
			line = mid - 1
		}
	}
	return position{line, utf16Length(t.data[t.lines[line]:offset])}
}

// offset is the byte at p; places outside of a line or of the text are its end.
func (t *text) offset(p position) int {
	switch {
	case p.Line < 0:
		return 0
	case p.Line >= len(t.lines):
		return len(t.data)
	}
	start, end := t.lines[p.Line], len(t.data)
	if p.Line+1 < len(t.lines) {
		end = t.lines[p.Line+1]
	}
	line := bytes.TrimRight(t.data[start:end], "\r\n")
	at := 0
	for units := 0; at < len(line); {
		r, size := utf8.DecodeRune(line[at:])
		if units += utf16Units(r); units > p.Character {
			break
		}
		at += size
	}
	return start + at
}

func (t *text) span(from, to int) textRange { return textRange{t.position(from), t.position(to)} }

func (t *text) rangeOf(rng hcl.Range) textRange { return t.span(rng.Start.Byte, rng.End.Byte) }

func utf16Length(data []byte) int {
	n := 0
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		n += utf16Units(r)
		data = data[size:]
	}
	return n
}

// utf16Units is how many code units r is: two outside of the basic plane.
func utf16Units(r rune) int {
	if r > 0xffff {
		return 2
	}
	return 1
}
