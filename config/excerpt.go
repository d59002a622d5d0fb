package config

import (
	"bytes"
	"io"

	"github.com/hashicorp/hcl/v2"
)

// WriteExcerpt prints the place of rng and the line of src that it begins in,
// with the guilty part underlined, as [Error.Write] does. A width of 0 is 80.
func WriteExcerpt(w io.Writer, src []byte, rng hcl.Range, color bool, width int) error {
	if rng.Filename == "" {
		return nil
	}
	if width <= 0 {
		width = 80
	}
	p := printer{color: color, width: width}
	p.out.WriteString("  " + printable(position(rng)) + "\n")
	line, shift := lineOf(src, rng.Start.Byte)
	rng.Start.Byte, rng.End.Byte = rng.Start.Byte-shift, rng.End.Byte-shift
	p.files = map[string]*hcl.File{rng.Filename: {Bytes: line}}
	p.excerpt(rng)
	_, err := io.WriteString(w, p.out.String())
	return err
}

// lineOf cuts the line that holds the byte at out of src, so that a long file
// is not copied for each of its lines, and says where it begins.
func lineOf(src []byte, at int) ([]byte, int) {
	if at < 0 || at > len(src) {
		return src, 0
	}
	start := bytes.LastIndexByte(src[:at], '\n') + 1
	line, _, _ := bytes.Cut(src[start:], []byte("\n"))
	return line, start
}
