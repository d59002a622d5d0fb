package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// marshal is JSON for machines that is safe to print: what a terminal would
// obey (C1 controls, bidi and other hidden characters) and what a CI system
// would ("##") is written as \u escapes, which change nothing for a reader.
func marshal(v any, indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	if !bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r == '#' || r >= 0x7f }) {
		return b.Bytes(), nil
	}
	return escapeHidden(b.Bytes()), nil
}

// escapeHidden works on whole JSON: the characters it replaces occur within
// strings only.
func escapeHidden(data []byte) []byte {
	out := make([]byte, 0, len(data)+len(data)/8)
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == '#' && i > 0 && data[i-1] == '#', r == 0x7f, r >= 0x80 && hidden(r):
			out = appendEscape(out, r)
		default:
			out = append(out, data[i:i+n]...)
		}
		i += n
	}
	return out
}

func appendEscape(out []byte, r rune) []byte {
	if r > 0xffff {
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(out, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(out, `\u%04x`, r)
}
