package config

import (
	"bytes"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns the text of an HCL build file in the canonical layout. What
// does not parse is refused with an *Error.
func Format(name string, text []byte) ([]byte, error) {
	if strings.HasSuffix(name, ".json") {
		rng := hcl.Range{Filename: name}
		return nil, formatError(name, text, hcl.Diagnostics{problem(rng, "Not HCL", "JSON has no layout of ours.")})
	}
	if len(text) > maxFile {
		return nil, formatError(name, nil, hcl.Diagnostics{problem(hcl.Range{Filename: name}, "Unreadable file", "It is larger than %d MiB.", maxFile>>20)})
	}
	text, mark := bytes.CutPrefix(text, []byte("\xef\xbb\xbf"))
	_, diags := parseHCL(source{name, text})
	if diags.HasErrors() {
		return nil, formatError(name, text, diags)
	}
	out := hclwrite.Format(text)
	if mark {
		out = append([]byte("\xef\xbb\xbf"), out...)
	}
	return out, nil
}

func formatError(name string, text []byte, diags hcl.Diagnostics) error {
	errs, _ := collect(diags)
	return &Error{Diags: errs, Files: map[string]*hcl.File{name: {Bytes: text}}}
}
