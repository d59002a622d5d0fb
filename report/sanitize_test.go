package report

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestSanitize(t *testing.T) {
	tests := []struct{ name, in, plain, color string }{
		{"text", "go build ./...", "go build ./...", ""},
		{"lines and tabs", "a\tb\nc\n", "a\tb\nc\n", ""},
		{"crlf", "a\r\nb\r\n", "a\nb\n", ""},
		{"wide and joined", "日本語 👩‍👩‍👧 é", "日本語 👩‍👩‍👧 é", ""},
		{"sgr", "\x1b[1;31mred\x1b[0m", "red", "\x1b[1;31mred\x1b[0m"},
		{"sgr left open", "\x1b[31mred\nnext", "red\nnext", "\x1b[31mred\x1b[0m\nnext"},
		{"sgr with colons", "\x1b[38:2::1:2:3mx\x1b[m", "x", "\x1b[38:2::1:2:3mx\x1b[m"},
		{"private sgr", "\x1b[>4;2mx", "^[[>4;2mx", ""},
		{"endless sgr", "\x1b[" + strings.Repeat("1", 99) + "m", "^[[" + strings.Repeat("1", 99) + "m", ""},
		{"carriage return", "evil\rgood", "evil^Mgood", ""},
		{"clear screen", "\x1b[2J\x1b[H", "^[[2J^[[H", ""},
		{"title", "\x1b]0;owned\x07", "^[]0;owned^G", ""},
		{"link", "\x1b]8;;http://x\x1b\\text", "^[]8;;http://x^[\\text", ""},
		{"clipboard", "\x1b]52;c;AAAA\x07", "^[]52;c;AAAA^G", ""},
		{"device control", "\x1bP$q\"p\x1b\\", "^[P$q\"p^[\\", ""},
		{"lone escape", "x\x1b", "x^[", ""},
		{"escape in escape", "\x1b[\x1b[31mx", "^[[x", "^[[\x1b[31mx\x1b[0m"},
		{"controls", "\x00\x08\x0b\x7f", "^@^H^K^?", ""},
		{"c1 csi", "\u009b2J", "<U+009B>2J", ""},
		{"8 bit csi", "\x9b2J", "<9B>2J", ""},
		{"next line", "a\u0085b", "a<U+0085>b", ""},
		{"line separators", "a\u2028b\u2029c", "a<U+2028>b<U+2029>c", ""},
		{"bidi", "\u202eabc\u202c \u2066x\u2069", "<U+202E>abc<U+202C> <U+2066>x<U+2069>", ""},
		{"invisible", "a\u200bb\ufeffc\U000e0041", "a<U+200B>b<U+FEFF>c<U+E0041>", ""},
		{"invalid", "a\xffb\xc3", "a<FF>b<C3>", ""},
		{"surrogate", "\xed\xa0\x80", "<ED><A0><80>", ""},
		{"replacement character", "\ufffd", "\ufffd", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.color == "" {
				tt.color = tt.plain
			}
			if got := Sanitize(tt.in, false); got != tt.plain {
				t.Errorf("without colour: got %q, want %q", got, tt.plain)
			}
			if got := Sanitize(tt.in, true); got != tt.color {
				t.Errorf("with colour: got %q, want %q", got, tt.color)
			}
		})
	}
}

func TestSanitizeLine(t *testing.T) {
	tests := []struct{ in, want string }{
		{"RUN a &&\\\n\tb\r\n", "RUN a &&\\  b "},
		{"evil\rgood", "evil^Mgood"},
		{"\x1b[31mred", "red"},
		{"x\n\x1b[2Ky", "x ^[[2Ky"},
	}
	for _, tt := range tests {
		if got := SanitizeLine(tt.in); got != tt.want {
			t.Errorf("SanitizeLine(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestSanitizeLog(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"progress bar", "10%\r20%\r100%", "100%"},
		{"ends in a return", "10%\r20%\r", "20%"},
		{"erased first", "\r\x1b[Kfetching 3/7", "fetching 3/7"},
		{"erased last", "done\r\x1b[2K", "done"},
		{"blank over text", "text\r    ", "text"},
		{"moves are shown", "\x1b[1Aup", "^[[1Aup"},
		{"colour", "\x1b[32mok\r\x1b[31mno", "\x1b[31mno\x1b[0m"},
		{"section of GitLab", "\x1b[0Ksection_start:1:x\r\x1b[0Khead", "head"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := sanitizeLog(tt.in, true); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestDefuse(t *testing.T) {
	tests := []struct{ in, want string }{
		{"::set-output name=x::y", ": :set-output name=x::y"},
		{"   ::stop-commands::x", "   : :stop-commands::x"},
		{"\x1b[31m::error::x", "\x1b[31m: :error::x"},
		{"\u00a0::error::x", "\u00a0: :error::x"},
		{"std::vector", "std::vector"},
		{"x ##vso[task.setvariable variable=a]b", "x # #vso[task.setvariable variable=a]b"},
		{"##[set-env name=A]b", "# #[set-env name=A]b"},
		{"###[error]", "## #[error]"},
		{"##teamcity[x]", "# #teamcity[x]"},
		{"## heading", "## heading"},
		{":::", ": ::"},
	}
	for _, tt := range tests {
		if got := defuse(tt.in); got != tt.want {
			t.Errorf("defuse(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// unsafeIn reports the first thing in text that a terminal would obey.
func unsafeIn(text string, color bool) string {
	if !utf8.ValidString(text) {
		return "invalid UTF-8"
	}
	if color {
		text = regexp.MustCompile(`\x1b\[[0-9;:]*m`).ReplaceAllString(text, "")
	}
	for _, r := range text {
		if r == '\n' || r == '\t' {
			continue
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) {
			return string(r)
		}
	}
	return ""
}

func FuzzSanitize(f *testing.F) {
	for _, payload := range payloads {
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, color := range []bool{false, true} {
			got := Sanitize(in, color)
			if bad := unsafeIn(got, color); bad != "" {
				t.Errorf("Sanitize(%q, %v) = %q holds %q", in, color, got, bad)
			}
			if again := Sanitize(got, color); again != got {
				t.Errorf("Sanitize is not stable: %q, then %q", got, again)
			}
			if strings.Count(got, "\n") != strings.Count(in, "\n") {
				t.Errorf("Sanitize(%q, %v) = %q has other lines", in, color, got)
			}
			if got := sanitizeLog(in, color); unsafeIn(got, color) != "" {
				t.Errorf("sanitizeLog(%q, %v) = %q", in, color, got)
			}
		}
		if got := SanitizeLine(in); unsafeIn(got, false) != "" || strings.ContainsAny(got, "\n\t") {
			t.Errorf("SanitizeLine(%q) = %q", in, got)
		}
		for line := range strings.Lines(defuse(Sanitize(in, false))) {
			if dangerous.MatchString(line) && !strings.Contains(in, "\n") {
				t.Errorf("defuse left %q of %q", line, in)
			}
		}
	})
}

// dangerous is what CI systems act on.
var dangerous = regexp.MustCompile(`^\s*::|##[A-Za-z]*\[`)
