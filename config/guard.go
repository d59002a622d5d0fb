package config

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxDepth is how deep brackets, blocks and templates may nest. HCL's parser is
// recursive and a Go stack overflow can not be caught, so this is checked on the
// tokens before anything is parsed.
const maxDepth = 250

// guardHCL reports text that is not safe to give to the HCL parser.
func guardHCL(data []byte, name string) hcl.Diagnostics {
	if tooLarge := guardWords(piece{hcl.InitialPos, data}, name); tooLarge != nil {
		return hcl.Diagnostics{tooLarge}
	}
	tokens, diags := hclsyntax.LexConfig(data, name, hcl.InitialPos)
	if rng, deep := tooDeep(tokens); deep {
		return hcl.Diagnostics{tooDeepProblem(rng)}
	}
	if rng, many := tooManyLines(tokens); many {
		return hcl.Diagnostics{problem(rng, "Text too long", "Here-documents and templates may have about %d lines.", maxTemplate)}
	}
	if diags.HasErrors() {
		return diags
	}
	return nil
}

func tooDeepProblem(rng hcl.Range) *hcl.Diagnostic {
	return problem(rng, "Nested too deeply", "Brackets, blocks and templates may nest at most %d deep.", maxDepth)
}

func badUTF8(data []byte, name string) *hcl.Diagnostic {
	pos := hcl.InitialPos
	for rest := data; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 {
			break
		}
		pos.Byte += n
		pos.Column++
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
		rest = rest[n:]
	}
	rng := hcl.Range{Filename: name, Start: pos, End: pos}
	return problem(rng, "Invalid text", "Build files are UTF-8; this byte (0x%02x) is not. Save the file as UTF-8.", data[pos.Byte])
}

// maxChain is how many operators and indexes one top-level item may have: each
// is one more level of recursion when the expression is evaluated.
const maxChain = 100_000

// tooDeep finds the token that opens a level too much.
func tooDeep(tokens hclsyntax.Tokens) (hcl.Range, bool) {
	depth, chain := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrack:
			depth++
			chain++
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrace,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl,
			hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			depth++
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace,
			hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			depth--
		case hclsyntax.TokenBang, hclsyntax.TokenMinus, hclsyntax.TokenPlus, hclsyntax.TokenStar,
			hclsyntax.TokenSlash, hclsyntax.TokenPercent, hclsyntax.TokenQuestion,
			hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
			hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq,
			hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
			chain++
		case hclsyntax.TokenNewline:
			if depth <= 0 {
				chain = 0
			}
		}
		if depth > maxDepth || chain > maxChain {
			return t.Range, true
		}
	}
	return hcl.Range{}, false
}

// A piece is a part of a file that begins and ends between top-level items.
type piece struct {
	start hcl.Pos
	data  []byte
}

// pieceSize is how large pieces are, about.
const pieceSize = 64 << 10

// pieces takes most files apart without a lexer, which would be half the cost of
// reading a large one. It knows strings, comments to the end of the line and
// brackets; of a file with here-documents, block comments or templates that hold
// more than a name, and of one that is nested deeply, it says that it can not.
func pieces(data []byte) ([]piece, bool) { return piecesOf(data, pieceSize) }

// piecesOf is pieces with the size that pieces have at least.
func piecesOf(data []byte, size int) ([]piece, bool) {
	var out []piece
	begin, line := hcl.InitialPos, 1
	depth, chain := 0, 0
	for i := 0; i < len(data); i++ {
		next := byte('\n')
		if i+1 < len(data) {
			next = data[i+1]
		}
		switch c := data[i]; c {
		case '"':
			end, ok := plainString(data, i+1)
			if !ok {
				return nil, false
			}
			i = end
		case '#':
			i = lineEnd(data, i) - 1
		case '/':
			if next == '*' {
				return nil, false
			}
			if next == '/' {
				i = lineEnd(data, i) - 1
			}
			chain++
		case '<':
			if next == '<' {
				return nil, false
			}
			chain++
		case '(', '{':
			depth++
		case '[':
			depth++
			chain++
		case ')', '}', ']':
			depth--
		case '-', '+', '*', '%', '?', '!', '&', '|', '=', '>':
			chain++
		case '\n':
			line++
			if depth != 0 {
				break
			}
			chain = 0
			if i+1-begin.Byte >= size {
				out = append(out, piece{begin, data[begin.Byte : i+1]})
				begin = hcl.Pos{Line: line, Column: 1, Byte: i + 1}
			}
		}
		if depth > maxDepth || chain > maxChain {
			return nil, false
		}
	}
	return append(out, piece{begin, data[begin.Byte:]}), depth == 0
}

// plainString returns where the string whose text begins at i is closed.
func plainString(data []byte, i int) (int, bool) {
	for begin := i; i < len(data) && i-begin < pieceSize; i++ {
		switch data[i] {
		case '"':
			return i, true
		case '\n':
			return i, false
		case '\\':
			i++
		case '$', '%':
			if i+1 >= len(data) || data[i+1] != '{' {
				continue
			}
			for i += 2; i < len(data) && data[i] != '}'; i++ {
				if c := data[i]; !isNameChar(rune(c)) && c != '.' {
					return i, false
				}
			}
		}
	}
	return i, false
}

func lineEnd(data []byte, i int) int {
	if n := bytes.IndexByte(data[i:], '\n'); n >= 0 {
		return i + n
	}
	return len(data)
}

// guardJSON is guardHCL for JSON syntax: brackets and the templates in strings.
func guardJSON(data []byte, name string) hcl.Diagnostics {
	if !utf8.Valid(data) {
		return hcl.Diagnostics{badUTF8(data, name)}
	}
	pos, depth := hcl.InitialPos, 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '\n':
			pos = hcl.Pos{Line: pos.Line + 1, Column: 0, Byte: i}
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := stringEnd(data, i)
			if templateTooDeep(data[i:end]) {
				depth = maxDepth + 1
			}
			if depth <= maxDepth {
				i = end - 1
			}
		}
		if depth > maxDepth {
			at := hcl.Pos{Line: pos.Line, Column: i - pos.Byte + 1, Byte: i}
			return hcl.Diagnostics{tooDeepProblem(hcl.Range{Filename: name, Start: at, End: at})}
		}
	}
	return nil
}

// stringEnd returns where the JSON string that starts at i is over.
func stringEnd(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

func templateTooDeep(quoted []byte) bool {
	var text string
	if len(quoted) < maxDepth || json.Unmarshal(quoted, &text) != nil {
		return false
	}
	tokens, _ := hclsyntax.LexTemplate([]byte(text), "", hcl.InitialPos)
	_, deep := tooDeep(tokens)
	return deep
}
