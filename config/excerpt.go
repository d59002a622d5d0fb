package config

import (
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
	p := printer{files: map[string]*hcl.File{rng.Filename: {Bytes: src}}, color: color, width: width}
	p.out.WriteString("  " + printable(position(rng)) + "\n")
	p.excerpt(rng)
	_, err := io.WriteString(w, p.out.String())
	return err
}
