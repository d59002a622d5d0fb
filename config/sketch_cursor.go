package config

import (
	"bytes"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// This file tells what could be written where a scanner has stopped.

// cursor is the place at the end of what was scanned, which is at offset.
func (s *scanner) cursor(offset int) Cursor {
	last := hclsyntax.Token{Type: hclsyntax.TokenNewline}
	for _, t := range s.tokens {
		if t.Type != hclsyntax.TokenEOF {
			last = t
		}
	}
	touches := last.Range.End.Byte == offset
	f := s.top()
	switch {
	case last.Type == hclsyntax.TokenComment && !endsLine(last) && !bytes.HasSuffix(last.Bytes, []byte("*/")),
		f.kind == inHeredoc, last.Type == hclsyntax.TokenNumberLit && touches:
		return Cursor{}
	case f.kind == inQuote:
		return s.cursorInText(f)
	case last.Type == hclsyntax.TokenIdent && touches:
		return s.cursorInName(f, string(last.Bytes))
	}
	c := Cursor{Place: s.place()}
	c.Want = s.want(f)
	if c.Want == WantItem {
		c.Item = wordsOf(f.item)
	}
	return c
}

func (s *scanner) want(f *frame) Want {
	switch {
	case f.kind == inBody && !f.value:
		return WantItem
	case f.dot:
		return WantMember
	case f.kind == inObject && !f.value:
		return WantKey
	}
	return WantValue
}

// cursorInName is for a name that is being written; it was read as a word already.
func (s *scanner) cursorInName(f *frame, name string) Cursor {
	c := Cursor{Prefix: name}
	if f.kind == inBody && !f.value {
		c.Want, c.Place, c.Item = WantItem, s.place(), wordsOf(f.item[:max(len(f.item)-1, 0)])
		return c
	}
	member := len(f.path) > 1
	f.path = f.path[:max(len(f.path)-1, 0)]
	c.Place = s.place()
	switch {
	case member:
		c.Want = WantMember
	case f.kind == inObject && !f.value:
		c.Want = WantKey
	default:
		c.Want = WantValue
	}
	return c
}

func (s *scanner) cursorInText(quote *frame) Cursor {
	c := Cursor{Want: WantText}
	for _, t := range quote.text {
		c.Prefix += string(t.Bytes)
	}
	s.pop()
	outer := s.top()
	c.Place = s.place()
	switch {
	case quote.mixed:
		return Cursor{}
	case outer.kind == inBody && !outer.value:
		c.Want, c.Item = WantLabel, wordsOf(outer.item)
	case outer.kind == inIndex:
		c.Want = WantMember
	}
	return c
}

func wordsOf(tokens []hclsyntax.Token) []string {
	var out []string
	for _, t := range tokens {
		out = append(out, string(t.Bytes))
	}
	return out
}
