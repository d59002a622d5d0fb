package config

import (
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
	if !utf8.Valid(data) {
		return hcl.Diagnostics{badUTF8(data, name)}
	}
	tokens, diags := hclsyntax.LexConfig(data, name, hcl.InitialPos)
	if rng, deep := tooDeep(tokens); deep {
		return hcl.Diagnostics{tooDeepProblem(rng)}
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
