package lint

import (
	"bytes"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// A text is a file with the offsets of its lines.
type text struct {
	src    []byte
	starts []int
}

func newText(src []byte) *text {
	t := &text{src: src, starts: []int{0}}
	for i, b := range src {
		if b == '\n' {
			t.starts = append(t.starts, i+1)
		}
	}
	return t
}

// text is a file that is known by its name; an unknown one is empty.
func (r *run) text(file string) *text {
	t, ok := r.texts[file]
	if !ok || len(t.src) != len(r.sources[file]) {
		t = newText(r.sources[file])
		r.texts[file] = t
	}
	return t
}

// lines is the range of word in the lines first to last of a file, or of the
// first line without its indentation.
func (r *run) lines(file string, first, last int, word string) hcl.Range {
	t := r.text(file)
	if first < 1 || first > len(t.starts) {
		return hcl.Range{Filename: file, Start: hcl.Pos{Line: first}, End: hcl.Pos{Line: first}}
	}
	to := len(t.src)
	if last < len(t.starts) {
		to = t.starts[last]
	}
	return t.within(file, t.starts[first-1], to, word)
}

// within is the range of word between two offsets, or of the first line there.
func (t *text) within(file string, from, to int, word string) hcl.Range {
	part := t.src[from:to]
	start, end := -1, 0
	if word != "" {
		start, end = wordIn(part, word)
	}
	if start < 0 {
		line, _, _ := bytes.Cut(part, []byte("\n"))
		start = len(line) - len(bytes.TrimLeft(line, " \t"))
		end = len(bytes.TrimRight(line, " \t\r"))
		end = max(end, start)
	}
	return hcl.Range{Filename: file, Start: t.position(from + start), End: t.position(from + end)}
}

func (t *text) position(at int) hcl.Pos {
	line, exact := slices.BinarySearch(t.starts, at)
	if !exact {
		line--
	}
	return hcl.Pos{Line: line + 1, Column: utf8.RuneCount(t.src[t.starts[line]:at]) + 1, Byte: at}
}

// wordIn finds word in text, preferably where it stands alone, and never in a
// line that is a comment.
func wordIn(text []byte, word string) (start, end int) {
	best := -1
	for at := 0; ; {
		i := bytes.Index(text[at:], []byte(word))
		if i < 0 {
			break
		}
		i += at
		at = i + 1
		line := text[bytes.LastIndexByte(text[:i], '\n')+1 : i]
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("#")) {
			continue
		}
		if best < 0 {
			best = i
		}
		if (i == 0 || !wordByte(text[i-1])) && (i+len(word) == len(text) || !wordByte(text[i+len(word)])) {
			best = i
			break
		}
	}
	return best, best + len(word)
}

func wordByte(b byte) bool {
	return b == '_' || b == '-' || b == '/' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// ignoreComment silences rules at the line it stands on or above, or in all of
// the target whose header that is. What follows the ids is for people.
var ignoreComment = lazyregexp.New(`strata:ignore=([A-Za-z0-9,-]+)`)

// broken are findings that nothing silences: there is no build with them.
var broken = []string{configProblem, dockerfileProblem, targetProblem}

// silence leaves out the findings that a flag or a comment silences.
func (r *run) silence(list []Finding) []Finding {
	ignored := map[string][][]string{} // ids by line, by file
	for name, src := range r.sources {
		ignored[name] = ignoredIn(src)
	}
	on := func(file string, line int, id string) bool {
		lines := ignored[file]
		return line > 0 && line <= len(lines) && slices.Contains(lines[line-1], id)
	}
	header := map[string]hcl.Range{}
	for _, t := range r.sel.Targets {
		header[t.Name] = t.Range
	}
	var out []Finding
	for _, f := range list {
		if slices.Contains(broken, f.Rule) {
			out = append(out, f)
			continue
		}
		if slices.Contains(r.opts.Ignore, f.Rule) || on(f.Place.Filename, f.Place.Start.Line, f.Rule) || on(f.Place.Filename, f.first, f.Rule) {
			continue
		}
		had := len(f.Targets) > 0
		f.Targets = slices.DeleteFunc(slices.Clone(f.Targets), func(t string) bool {
			h := header[t]
			return on(h.Filename, h.Start.Line, f.Rule)
		})
		if had && len(f.Targets) == 0 {
			continue
		}
		out = append(out, f)
	}
	return out
}

// ignoredIn lists for each line of src which rules are silenced there: by a
// comment on the line itself or in the comment lines directly above.
func ignoredIn(src []byte) [][]string {
	if !bytes.Contains(src, []byte("strata:ignore=")) {
		return nil
	}
	var out [][]string
	var above []string
	for line := range strings.SplitSeq(string(src), "\n") {
		trimmed := strings.TrimSpace(line)
		comment := strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, "//")
		var here []string
		if m := ignoreComment.FindStringSubmatchIndex(line); m != nil && strings.ContainsAny(line[:m[0]], "#/") {
			here = strings.Split(line[m[2]:m[3]], ",")
		}
		if comment {
			above = append(above, here...)
			out = append(out, nil)
			continue
		}
		out = append(out, append(here, above...))
		above = nil
	}
	return out
}
