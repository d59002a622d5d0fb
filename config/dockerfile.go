package config

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/tonistiigi/go-csvvalue"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// This file writes strings so that the Dockerfile front end reads them back.

// plainWord is text that means itself wherever a Dockerfile reads a word, and
// $NAME, which is meant to be expanded.
var plainWord = lazyregexp.New(`^[A-Za-z0-9_./:@%+,=~^*?!&|;>#${}\[\]()-]+$`)

// word writes s as one word of an instruction that expands $NAME. In s, \$ is a
// dollar sign; every other backslash is itself.
func word(s string) string {
	if plainWord.MatchString(s) && !strings.HasPrefix(s, "#") && !strings.HasPrefix(s, "--") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && s[i+1] == '$':
			b.WriteString(`\$`)
			i++
		case c == '\\' || c == '"':
			b.WriteByte('\\')
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// escapeBackslashes writes text for a here-document in which $NAME is expanded.
// Quotes mean nothing there.
func escapeBackslashes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' {
			b.WriteByte('\\')
			if i+1 < len(s) && s[i+1] == '$' {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// wordList writes the words of COPY, ADD and VOLUME: separated by spaces where
// that is unmistakable, else as a JSON array.
func wordList(list []string) string {
	words := make([]string, len(list))
	plain := !strings.HasPrefix(list[0], "--") && !strings.HasPrefix(list[0], "[")
	for i, s := range list {
		words[i] = word(s)
		plain = plain && !strings.ContainsFunc(s, isSpaceOrQuote)
	}
	if plain {
		return strings.Join(words, " ")
	}
	return jsonList(words)
}

func isSpaceOrQuote(r rune) bool {
	return unicode.IsSpace(r) || r == '"' || r == '\'' || r == '\\' || r < 0x20 || r == 0xfeff
}

// jsonList writes a JSON array as a person would.
func jsonList(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(s); err != nil {
			words[i] = fmt.Sprintf("%q", s)
			continue
		}
		words[i] = strings.TrimSpace(b.String())
	}
	return "[" + strings.Join(words, ", ") + "]"
}

// shellLine is text as the rest of a line; ok is false if the front end would
// read something else back.
func shellLine(text string) (line string, ok bool) {
	line = strings.TrimSpace(text)
	ok = !strings.Contains(line, "\n") && !strings.HasPrefix(line, "[") &&
		!strings.HasPrefix(line, "--") && !strings.HasSuffix(line, `\`)
	return line, ok
}

// escapeFlag writes the value of a flag, of which the front end takes quotes and
// backslashes away once before anything else.
func escapeFlag(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ', '\t', '"', '\'', '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// csvField quotes one field of a mount if it has to be.
func csvField(s string) string {
	if !strings.ContainsAny(s, ",\"") {
		return s
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write([]string{s}); err != nil {
		return s
	}
	w.Flush()
	return strings.TrimSuffix(b.String(), "\n")
}

// delimiter is a word that is none of lines.
func delimiter(lines []string) string {
	for i := 0; ; i++ {
		name := "EOF"
		if i > 0 {
			name = fmt.Sprintf("EOF%d", i)
		}
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.TrimRight(l, "\r") == name }) {
			return name
		}
	}
}

// tag is what may stand after the colon of an image reference.
var tag = lazyregexp.New(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// contextName is how a Dockerfile names the target, and the key under which the
// front end then looks for a named context. It reads every name as an image
// reference, so that target:base is the tag base of an image target, and it cuts
// off the tag latest.
func contextName(target string) (word, key string) {
	switch {
	case target == "latest":
		return "target:latest", "target"
	case tag.MatchString(target):
		return "target:" + target, "target:" + target
	}
	sum := sha256.Sum256([]byte(target))
	name := "target-" + hex.EncodeToString(sum[:16])
	return name, name
}

// mountText checks a mount given as text and names the target it may be from.
func (s *stepReader) mountText(text string, rng hcl.Range) (string, bool) {
	list, err := csvvalue.Fields(text, nil)
	if err != nil {
		s.fail(rng, "Unsuitable value", "The mount %q is not a list of key=value: %s.", text, err)
		return "", false
	}
	changed := false
	for i, f := range list {
		ref, ok := strings.CutPrefix(f, "from=")
		if !ok {
			continue
		}
		word, ok := s.reference("from", ref, rng)
		if !ok {
			return "", false
		}
		changed = changed || word != ref
		list[i] = "from=" + word
	}
	if !changed {
		return text, true
	}
	for i := range list {
		list[i] = csvField(list[i])
	}
	return strings.Join(list, ","), true
}
