package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The parser holds every word of what it is given several times, and takes the
// square of the time for a template of many lines. So both are counted before.
const (
	maxWords    = 700_000 // words and signs of what is parsed at once
	maxDigits   = 100_000 // digits of a number
	maxTemplate = 20_000  // lines of one template
)

// guardWords reports the word that is one too many, and a number too long. It
// counts more words than the lexer would, because it knows neither strings nor
// comments.
func guardWords(p piece, name string) *hcl.Diagnostic {
	words, digits, inWord := 0, 0, false
	for i, c := range p.data {
		if digits++; c < '0' || c > '9' {
			digits = 0
		}
		if digits > maxDigits {
			return problem(p.at(i, name), "Number too long", "A number has more than %d digits.", maxDigits)
		}
		begins := c != ' ' && c != '\t' && c != '\r'
		if isNameChar(rune(c)) || c >= 0x80 {
			begins, inWord = !inWord, true
		} else {
			inWord = false
		}
		if !begins {
			continue
		}
		if words++; words > maxWords {
			return problem(p.at(i, name), "File too large", "The file has more than %d words and signs. Make several of it.", maxWords)
		}
	}
	return nil
}

// at is the place of a byte of p.
func (p piece) at(i int, name string) hcl.Range {
	pos := hcl.Pos{Line: p.start.Line, Column: p.start.Column, Byte: p.start.Byte + i}
	for _, c := range p.data[:i] {
		pos.Column++
		if c == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
	}
	end := hcl.Pos{Line: pos.Line, Column: pos.Column + 1, Byte: pos.Byte + 1}
	return hcl.Range{Filename: name, Start: pos, End: end}
}

// tooManyLines finds the template whose lines are too many: what counts is the
// square of them, of all templates together.
func tooManyLines(tokens hclsyntax.Tokens) (hcl.Range, bool) {
	run, cost := 0, 0
	for _, t := range tokens {
		if t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
			run = 0
			continue
		}
		run++
		if cost += 2 * run; cost > maxTemplate*maxTemplate {
			return t.Range, true
		}
	}
	return hcl.Range{}, false
}
