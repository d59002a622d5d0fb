package report

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// Sanitize makes text from outside safe to print. Lines and tabs stay; every
// other control, C1 and bidi or otherwise invisible formatting character, and
// every byte that is not UTF-8, is shown instead of obeyed: "^[", "<U+202E>",
// "<FF>". Escape sequences that only set colours (SGR) are kept with color and
// dropped without; a line that sets a colour ends by resetting it.
func Sanitize(s string, color bool) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = clean(strings.TrimSuffix(line, "\r"), color)
	}
	return strings.Join(lines, "\n")
}

// SanitizeLine is Sanitize for what must stay on one line and in one colour, a
// name or a command: line ends and tabs become spaces.
func SanitizeLine(s string) string {
	if plainASCII(s) {
		return s
	}
	return clean(oneLine.Replace(s), false)
}

// sanitizeLog is Sanitize for one line of a step's output, where carriage
// returns and erased lines are how progress bars move: of a line written over
// several times the last text is kept, as a terminal would show it.
func sanitizeLog(line string, color bool) string {
	if strings.Contains(line, "\x1b") {
		line = eraseLine.ReplaceAllString(line, "")
	}
	if strings.Contains(line, "\r") {
		parts := strings.Split(line, "\r")
		line = parts[0]
		for _, part := range parts[1:] {
			if strings.TrimSpace(part) != "" {
				line = part
			}
		}
	}
	return clean(line, color)
}

var (
	oneLine   = strings.NewReplacer("\r\n", " ", "\n", " ", "\t", " ")
	eraseLine = lazyregexp.New(`\x1b\[[012]?K`)
	sgr       = lazyregexp.New(`^\x1b\[[0-9;:]{0,64}m`)
	sgrReset  = lazyregexp.New(`^\x1b\[0*m`)
)

const reset = "\x1b[0m"

// clean does the work of Sanitize on one line.
func clean(line string, color bool) string {
	if plainASCII(line) {
		return line
	}
	var b strings.Builder
	b.Grow(len(line) + 16)
	open := false
	for i := 0; i < len(line); {
		if line[i] == 0x1b {
			if seq := sgr.FindString(line[i:]); seq != "" {
				if color {
					b.WriteString(seq)
					open = !sgrReset.MatchString(seq)
				}
				i += len(seq)
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		show(&b, r, line[i:i+n])
		i += n
	}
	if open {
		b.WriteString(reset)
	}
	return b.String()
}

// show writes the rune r, whose bytes are raw, or a picture of it.
func show(b *strings.Builder, r rune, raw string) {
	switch {
	case r == utf8.RuneError && len(raw) == 1:
		fmt.Fprintf(b, "<%02X>", raw[0])
	case r == '\t':
		b.WriteByte('\t')
	case r < 0x20 || r == 0x7f:
		b.WriteByte('^')
		b.WriteByte(byte(r) ^ 0x40)
	case hidden(r):
		fmt.Fprintf(b, "<U+%04X>", r)
	default:
		b.WriteString(raw)
	}
}

// hidden reports whether r changes how other text is shown without being seen:
// C1 controls, line separators, bidi controls and other format characters. The
// joiners that emoji and several scripts need, and the soft hyphen, are not.
func hidden(r rune) bool {
	switch r {
	case 0x00ad, 0x200c, 0x200d:
		return false
	}
	return r >= 0x80 && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}

func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// Log readers of CI systems act on lines that start with "::" (GitHub, Gitea)
// and on "##vso[", "##[" and "##teamcity[" anywhere.
var (
	leadingCommand = lazyregexp.New(`^((?:[\s\p{Z}]|\x1b\[[0-9;:]*m)*:):`)
	hashCommand    = lazyregexp.New(`#(#[A-Za-z]*\[)`)
)

// defuse puts a space into what a CI system would take for a command, so that
// it is read and not run.
func defuse(line string) string {
	if strings.Contains(line, "::") {
		line = leadingCommand.ReplaceAllString(line, "$1 :")
	}
	if strings.Contains(line, "##") {
		line = hashCommand.ReplaceAllString(line, "# $1")
	}
	return line
}
