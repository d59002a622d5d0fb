package config

import (
	"bytes"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxRestarts is after how many texts without an end a file is read no further.
const maxRestarts = 20

// lex splits data into tokens. A text ends with its line even if its quote is
// missing, so that one forgotten quote does not swallow the rest of the file.
func lex(name string, data []byte) hclsyntax.Tokens {
	var out hclsyntax.Tokens
	start := hcl.InitialPos
	for range maxRestarts {
		tokens, _ := hclsyntax.LexConfig(data[start.Byte:], name, start)
		cut := slices.IndexFunc(tokens, func(t hclsyntax.Token) bool { return t.Type == hclsyntax.TokenQuotedNewline })
		if cut < 0 {
			return append(out, tokens...)
		}
		out = append(out, tokens[:cut+1]...)
		start = tokens[cut].Range.End
	}
	return out
}

// A frameKind is what a scanner is inside of.
type frameKind int

const (
	inBody frameKind = iota
	inObject
	inList // brackets or parentheses
	inIndex
	inTemplate // ${ or %{
	inQuote
	inHeredoc
)

// A frame is one level of nesting.
type frame struct {
	kind  frameKind
	line  int               // where it begins
	block BlockPlace        // of a body
	item  []hclsyntax.Token // of a body: the words before = or {
	attr  string            // of a body: whose value is being read, else ""
	key   string            // of an object: whose value is being read
	value bool              // an expression is being read
	path  []string          // the names that are being read, target and api of target.api
	dot   bool              // the last token was a dot after path
	text  []hclsyntax.Token // of a quote
	mixed bool              // of a quote: it holds expressions
}

// A scanner follows the tokens of a file and notes its words.
type scanner struct {
	tokens hclsyntax.Tokens
	at     int // of tokens
	frames []*frame
	words  []Word
}

func scanWords(name string, data []byte) *scanner {
	s := &scanner{tokens: lex(name, data), frames: []*frame{{kind: inBody}}}
	for s.at = range s.tokens {
		s.next(s.tokens[s.at])
	}
	return s
}

func (s *scanner) top() *frame { return s.frames[len(s.frames)-1] }

func (s *scanner) push(f *frame) {
	f.line = s.tokens[s.at].Range.Start.Line
	s.frames = append(s.frames, f)
}

func (s *scanner) pop() {
	if len(s.frames) > 1 {
		s.frames = s.frames[:len(s.frames)-1]
	}
}

// popTo ends the innermost frame of one of the kinds and all in it; without one
// it does nothing.
func (s *scanner) popTo(kinds ...frameKind) *frame {
	for i := len(s.frames) - 1; i > 0; i-- {
		if f := s.frames[i]; slices.Contains(kinds, f.kind) {
			s.frames = s.frames[:i]
			return f
		}
	}
	return nil
}

// peek is the type of the token after the current one.
func (s *scanner) peek() hclsyntax.TokenType {
	if s.at+1 < len(s.tokens) {
		return s.tokens[s.at+1].Type
	}
	return hclsyntax.TokenEOF
}

// startsLine reports whether the current token is the first of its line.
func (s *scanner) startsLine() bool {
	return s.at == 0 || endsLine(s.tokens[s.at-1])
}

func endsLine(t hclsyntax.Token) bool {
	return t.Type == hclsyntax.TokenNewline || t.Type == hclsyntax.TokenQuotedNewline ||
		t.Type == hclsyntax.TokenComment && bytes.HasSuffix(t.Bytes, []byte("\n"))
}

func (s *scanner) next(t hclsyntax.Token) {
	switch s.top().kind {
	case inQuote:
		s.quoted(t)
		return
	case inHeredoc:
		s.heredoc(t)
		return
	}
	s.recover(t)
	f := s.top()
	switch {
	case endsLine(t):
		s.line(f)
	case t.Type == hclsyntax.TokenComment || t.Type == hclsyntax.TokenEOF:
	case f.kind == inBody && !f.value:
		s.item(f, t)
	default:
		s.expression(f, t)
	}
}

// recover ends brackets that were left open, where the text can not go on in them.
func (s *scanner) recover(t hclsyntax.Token) {
	if t.Type != hclsyntax.TokenIdent || !s.startsLine() || len(s.frames) == 1 {
		return
	}
	next := s.peek()
	header := next == hclsyntax.TokenOQuote || next == hclsyntax.TokenOBrace || next == hclsyntax.TokenIdent
	switch {
	case header && t.Range.Start.Column == 1 && topBlocks[string(t.Bytes)]:
		s.frames = s.frames[:1]
		*s.frames[0] = frame{kind: inBody}
	case next == hclsyntax.TokenEqual && s.top().kind != inObject && s.top().kind != inBody:
		for s.top().kind != inBody && s.top().kind != inObject {
			s.pop()
		}
		s.line(s.top())
	}
}

// topBlocks are the types of blocks that stand in no other.
var topBlocks = blockTypes(ownFileSchema)

func blockTypes(schema *hcl.BodySchema) map[string]bool {
	out := map[string]bool{}
	for _, b := range schema.Blocks {
		out[b.Type] = true
	}
	return out
}

// line ends what a line ends.
func (s *scanner) line(f *frame) {
	switch f.kind {
	case inBody:
		f.item, f.attr, f.value = nil, "", false
	case inObject:
		f.key, f.value = "", false
	}
	f.path, f.dot = nil, false
}

// item reads a token of a body outside of values.
func (s *scanner) item(f *frame, t hclsyntax.Token) {
	switch t.Type {
	case hclsyntax.TokenIdent:
		f.item = append(f.item, t)
	case hclsyntax.TokenOQuote:
		s.push(&frame{kind: inQuote})
	case hclsyntax.TokenEqual:
		if len(f.item) > 0 {
			s.note(RoleAttribute, string(f.item[0].Bytes), f.item[0].Range)
			f.attr = string(f.item[0].Bytes)
		}
		f.item, f.value = nil, true
	case hclsyntax.TokenOBrace:
		s.block(f)
	case hclsyntax.TokenCBrace:
		s.pop()
		s.line(s.top())
	}
}

// block begins the block whose header was read.
func (s *scanner) block(f *frame) {
	var b BlockPlace
	for i, t := range f.item {
		if i == 0 {
			b.Type = string(t.Bytes)
			b.Header = t.Range
			continue
		}
		b.Labels = append(b.Labels, string(t.Bytes))
		b.Header = hcl.RangeBetween(b.Header, t.Range)
	}
	header := f.item
	f.item = nil
	s.push(&frame{kind: inBody, block: b})
	for i, t := range header {
		role := RoleLabel
		if i == 0 {
			role = RoleBlock
		}
		s.note(role, string(t.Bytes), t.Range)
	}
}

// expression reads a token of a value.
func (s *scanner) expression(f *frame, t hclsyntax.Token) {
	switch t.Type {
	case hclsyntax.TokenIdent:
		s.name(f, t)
		return
	case hclsyntax.TokenDot:
		f.dot = true
		return
	case hclsyntax.TokenOBrack:
		kind := inList
		if len(f.path) > 0 && !f.dot {
			kind = inIndex
		}
		s.push(&frame{kind: kind})
		return
	case hclsyntax.TokenOQuote:
		s.push(&frame{kind: inQuote})
		return
	case hclsyntax.TokenNumberLit:
		if f.dot {
			f.path, f.dot = append(f.path, string(t.Bytes)), false
			return
		}
	}
	// In all other cases the names that were read are over.
	if s.closes(f, t); s.top() == f {
		f.path, f.dot = nil, false
	}
}

// closes reads a token that opens or closes something, or separates its parts.
func (s *scanner) closes(f *frame, t hclsyntax.Token) {
	switch t.Type {
	case hclsyntax.TokenOParen:
		s.push(&frame{kind: inList})
	case hclsyntax.TokenOBrace:
		s.push(&frame{kind: inObject})
	case hclsyntax.TokenOHeredoc:
		s.push(&frame{kind: inHeredoc})
	case hclsyntax.TokenCParen, hclsyntax.TokenCBrack:
		s.popTo(inList, inIndex)
	case hclsyntax.TokenTemplateSeqEnd:
		s.popTo(inTemplate)
	case hclsyntax.TokenCBrace:
		if s.popTo(inObject, inBody) != nil && s.top().kind == inBody && s.frames[len(s.frames)-1].attr == "" {
			s.line(s.top())
		}
	case hclsyntax.TokenEqual, hclsyntax.TokenColon:
		if f.kind == inObject {
			f.value = true
		}
	case hclsyntax.TokenComma:
		if f.kind == inObject {
			f.key, f.value = "", false
		}
	}
}

// name reads a name of an expression.
func (s *scanner) name(f *frame, t hclsyntax.Token) {
	text := string(t.Bytes)
	next := s.peek()
	switch {
	case f.dot:
		s.note(RoleMember, text, t.Range)
		f.path, f.dot = append(f.path, text), false
	case f.kind == inObject && !f.value && (next == hclsyntax.TokenEqual || next == hclsyntax.TokenColon):
		f.path = nil
		s.note(RoleKey, text, t.Range)
		f.key = text
	case next == hclsyntax.TokenOParen:
		f.path = nil
		s.note(RoleCall, text, t.Range)
	default:
		f.path = nil
		s.note(RoleName, text, t.Range)
		f.path = []string{text}
	}
}

// quoted reads a token of a text.
func (s *scanner) quoted(t hclsyntax.Token) {
	f := s.top()
	switch t.Type {
	case hclsyntax.TokenQuotedLit:
		f.text = append(f.text, t)
	case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		f.mixed = true
		s.push(&frame{kind: inTemplate, value: true})
	case hclsyntax.TokenCQuote:
		s.pop()
		s.text(f, t.Range.Start)
	case hclsyntax.TokenQuotedNewline:
		// Brackets of the same line are taken to have been forgotten too.
		s.pop()
		for f := s.top(); f.line == t.Range.Start.Line && f.kind != inBody && f.kind != inObject; f = s.top() {
			s.pop()
		}
		s.line(s.top())
	}
}

// text notes a whole text that ends at end.
func (s *scanner) text(quote *frame, end hcl.Pos) {
	f := s.top()
	if quote.mixed {
		f.path, f.dot = nil, false
		return
	}
	var text []byte
	rng := hcl.Range{Filename: s.tokens[s.at].Range.Filename, Start: end, End: end}
	if len(quote.text) > 0 {
		rng.Start = quote.text[0].Range.Start
	}
	for _, t := range quote.text {
		text = append(text, t.Bytes...)
	}
	next := s.peek()
	switch {
	case f.kind == inBody && !f.value:
		f.item = append(f.item, hclsyntax.Token{Type: hclsyntax.TokenQuotedLit, Bytes: text, Range: rng})
	case f.kind == inObject && !f.value && (next == hclsyntax.TokenEqual || next == hclsyntax.TokenColon):
		f.path = nil
		s.note(RoleKey, string(text), rng)
		f.key = string(text)
	case f.kind == inIndex && len(s.frames) > 1:
		s.note(RoleMember, string(text), rng)
		outer := s.frames[len(s.frames)-2]
		outer.path = append(outer.path, string(text))
	default:
		s.note(RoleText, string(text), rng)
	}
}

// heredoc reads a token of a here-document.
func (s *scanner) heredoc(t hclsyntax.Token) {
	switch t.Type {
	case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
		s.push(&frame{kind: inTemplate, value: true})
	case hclsyntax.TokenCHeredoc:
		s.pop()
	}
}

// note adds a word at the current place.
func (s *scanner) note(role Role, text string, rng hcl.Range) {
	s.words = append(s.words, Word{Role: role, Text: text, Range: rng, Place: s.place()})
}

// place is where the scanner is.
func (s *scanner) place() Place {
	var p Place
	for _, f := range s.frames {
		switch f.kind {
		case inBody:
			p.Attribute, p.Keys = f.attr, nil
			if f.block.Type != "" {
				p.Blocks = append(p.Blocks, f.block)
			}
		case inObject:
			if f.key != "" {
				p.Keys = append(p.Keys, f.key)
			}
		}
	}
	f := s.top()
	if f.kind == inIndex {
		f = s.frames[len(s.frames)-2]
	}
	p.Path = slices.Clone(f.path)
	return p
}
