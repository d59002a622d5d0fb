package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
)

// AddSource adds a problem in a file that later stages read, a Dockerfile for
// instance: its lines first to last. text is the file's content, nil if it is
// one of the build files.
func (e *Error) AddSource(file string, text []byte, first, last int, summary, detail string) {
	if e.Files == nil {
		e.Files = map[string]*hcl.File{}
	}
	if text != nil {
		e.Files[file] = &hcl.File{Bytes: text}
	} else if f, ok := e.Files[file]; ok {
		text = f.Bytes
	}
	e.Diags = append(e.Diags, &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: summary, Detail: detail, Subject: lineRange(file, text, first, max(first, last)),
	})
}

// lineRange covers lines first to last of text without their indentation.
func lineRange(file string, text []byte, first, last int) *hcl.Range {
	rng := &hcl.Range{Filename: file, Start: hcl.Pos{Line: first, Column: 1}, End: hcl.Pos{Line: last, Column: 1}}
	offset := 0
	for n, line := range bytes.SplitAfter(text, []byte("\n")) {
		bare := bytes.TrimRight(line, "\r\n")
		indent := len(bare) - len(bytes.TrimLeft(bare, " \t"))
		if n+1 == first {
			rng.Start = hcl.Pos{Line: first, Column: indent + 1, Byte: offset + indent}
			rng.End = rng.Start
		}
		if n+1 == last {
			rng.End = hcl.Pos{Line: last, Column: len(bare) + 1, Byte: offset + len(bare)}
		}
		offset += len(line)
	}
	return rng
}
