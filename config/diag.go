package config

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
	"github.com/hashicorp/hcl/v2"
	"github.com/mattn/go-runewidth"
	"github.com/mitchellh/go-wordwrap"

	"github.com/strata-build/strata/graph"
)

// maxShown is how many problems Write prints before it only counts.
const maxShown = 20

// An Error is everything that is wrong with the user's files.
type Error struct {
	Diags hcl.Diagnostics
	Files map[string]*hcl.File
}

// Error returns one line a problem: file:line:col: Summary; Detail.
func (e *Error) Error() string {
	lines := make([]string, 0, len(e.Diags))
	for _, d := range e.Diags {
		lines = append(lines, place(d.Subject)+sentence(d))
	}
	return strings.Join(lines, "\n")
}

// place is "file:line:col: ", or as much of it as rng has.
func place(rng *hcl.Range) string {
	switch {
	case rng == nil || rng.Filename == "":
		return ""
	case rng.Start.Line == 0:
		return rng.Filename + ": "
	}
	return position(*rng) + ": "
}

func position(rng hcl.Range) string {
	if rng.Start.Line == 0 {
		return rng.Filename
	}
	return fmt.Sprintf("%s:%d:%d", rng.Filename, rng.Start.Line, rng.Start.Column)
}

func sentence(d *hcl.Diagnostic) string {
	if d.Detail == "" {
		return d.Summary
	}
	return d.Summary + "; " + strings.ReplaceAll(d.Detail, "\n", " ")
}

// Write prints the problems for people, each with the source line it is about.
// At most twenty are shown and the rest are counted. A width of 0 is 80.
func (e *Error) Write(w io.Writer, color bool, width int) error {
	return WriteDiagnostics(w, e.Diags, e.Files, color, width)
}

// WriteDiagnostics prints diags as [Error.Write] does; it serves warnings too.
func WriteDiagnostics(w io.Writer, diags hcl.Diagnostics, files map[string]*hcl.File, color bool, width int) error {
	if width <= 0 {
		width = 80
	}
	p := printer{files: files, color: color, width: width}
	for i, d := range diags {
		if i == maxShown {
			fmt.Fprintf(&p.out, "... and %d more.\n\n", len(diags)-maxShown)
			break
		}
		p.diagnostic(d)
	}
	_, err := io.WriteString(w, p.out.String())
	return err
}

type printer struct {
	out   strings.Builder
	files map[string]*hcl.File
	color bool
	width int
}

func (p *printer) paint(code, s string) string {
	if !p.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) diagnostic(d *hcl.Diagnostic) {
	word := p.paint("1;31", "Error:")
	if d.Severity == hcl.DiagWarning {
		word = p.paint("1;33", "Warning:")
	}
	fmt.Fprintf(&p.out, "%s %s\n\n", word, p.paint("1", d.Summary))
	if d.Subject != nil && d.Subject.Filename != "" {
		fmt.Fprintf(&p.out, "  %s\n", position(*d.Subject))
		p.excerpt(*d.Subject)
	}
	if d.Detail != "" {
		text := wordwrap.WrapString(printable(d.Detail), uint(max(p.width-2, 20)))
		for line := range strings.SplitSeq(text, "\n") {
			fmt.Fprintf(&p.out, "  %s\n", line)
		}
	}
	p.out.WriteByte('\n')
}

// excerpt shows the first line of rng with its guilty part underlined.
func (p *printer) excerpt(rng hcl.Range) {
	f := p.files[rng.Filename]
	if f == nil || rng.Start.Line == 0 {
		return
	}
	line, start, ok := sourceLine(f.Bytes, rng.Start.Byte)
	if !ok {
		return
	}
	from := rng.Start.Byte - start
	to := min(max(rng.End.Byte-start, from+1), len(line))
	if rng.End.Line > rng.Start.Line {
		to = len(strings.TrimRight(line, " \t"))
	}
	line, from, to = window(line, from, max(to, from), p.width-8)
	head, guilty, tail := printable(line[:from]), printable(line[from:to]), printable(line[to:])
	marks := strings.Repeat("^", max(runewidth.StringWidth(guilty), 1))
	bar := p.paint("2", "│")
	fmt.Fprintf(&p.out, "%5d %s %s%s%s\n", rng.Start.Line, bar, head, guilty, tail)
	fmt.Fprintf(&p.out, "%5s %s %s%s\n", "", bar, strings.Repeat(" ", runewidth.StringWidth(head)), p.paint("31", marks))
}

// sourceLine returns the line of src that holds the byte at, and where it starts.
func sourceLine(src []byte, at int) (string, int, bool) {
	if at < 0 || at > len(src) {
		return "", 0, false
	}
	start := strings.LastIndexByte(string(src[:at]), '\n') + 1
	line, _, _ := strings.Cut(string(src[start:]), "\n")
	line = strings.TrimRight(line, "\r")
	return line, start, at-start <= len(line)
}

// window cuts a long line to what is around line[from:to].
func window(line string, from, to, width int) (string, int, int) {
	width = max(width, 20)
	if len(line) <= width {
		return line, from, to
	}
	start := max(0, min(from-width/4, len(line)-width))
	for start > 0 && !utf8.RuneStart(line[start]) {
		start--
	}
	end := min(start+width, len(line))
	for end < len(line) && !utf8.RuneStart(line[end]) {
		end++
	}
	return line[start:end], from - start, min(to, end) - start
}

// printable makes control characters visible, so that a file can not drive the
// reader's terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case r == '\n':
			return r
		case r < 0x20 || r >= 0x7f && r < 0xa0 || r == utf8.RuneError:
			return '\ufffd'
		case r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069: // bidirectional overrides
			return '\ufffd'
		}
		return r
	}, s)
}

// Diagnose turns an error of a later stage, joined ones too, into diagnostics at
// the user's lines: one for each failure, none lost. It returns nil for nil.
func (c *Config) Diagnose(err error) *Error {
	if err == nil {
		return nil
	}
	return &Error{Diags: c.diagnose(err, nil), Files: c.Files}
}

// diagnose uses targets to find places, or the declared ones when it is nil.
func (c *Config) diagnose(err error, targets map[graph.ID]*Target) hcl.Diagnostics {
	if own, ok := errors.AsType[*Error](err); ok {
		return own.Diags
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var diags hcl.Diagnostics
		for _, e := range joined.Unwrap() {
			diags = append(diags, c.diagnose(e, targets)...)
		}
		return diags
	}
	at := func(id graph.ID, attr string) *hcl.Range {
		if t := targets[id]; t != nil {
			return t.Place(attr).Ptr()
		}
		return c.place(string(id), attr).Ptr()
	}
	d := &hcl.Diagnostic{Severity: hcl.DiagError}
	if cycle, ok := errors.AsType[*graph.CycleError](err); ok {
		d.Summary = "Dependency cycle"
		d.Detail = fmt.Sprintf("These targets need one another: %s. Remove one of the needs.", chain(cycle.Path))
		d.Subject = c.needRange(targets, cycle.Path[0], cycle.Path[1]).Ptr()
	} else if unknown, ok := errors.AsType[*graph.UnknownError](err); ok {
		d.Summary = unknownTarget
		d.Detail = c.noTarget(string(unknown.Need))
		d.Subject = c.needRange(targets, unknown.From, unknown.Need).Ptr()
	} else if failed, ok := errors.AsType[*graph.TargetError](err); ok {
		d.Summary = "Target failed"
		d.Detail = fmt.Sprintf("Target %q: %v.", failed.ID, failed.Err)
		d.Subject = at(failed.ID, failed.Attr)
	} else {
		d.Summary = "Failure"
		d.Detail = err.Error()
	}
	return hcl.Diagnostics{d}
}

func chain(ids []graph.ID) string {
	names := make([]string, len(ids))
	for i, id := range ids {
		names[i] = string(id)
	}
	return strings.Join(names, " -> ")
}

// needRange is where from says that it needs need.
func (c *Config) needRange(targets map[graph.ID]*Target, from, need graph.ID) hcl.Range {
	s := c.whole(string(from))
	if t := targets[from]; t != nil {
		s = t.spec
	}
	if s == nil {
		return hcl.Range{}
	}
	for _, n := range s.needs() {
		if n.target == string(need) {
			return n.rng
		}
	}
	return s.rng
}

// place is where attr of the target called name is declared, here or inherited.
func (c *Config) place(name, attr string) hcl.Range {
	s := c.whole(name)
	if s == nil {
		return hcl.Range{}
	}
	return s.place(attr)
}

// whole is the target called name with what it inherits, or nil.
func (c *Config) whole(name string) *spec {
	if c.specs[name] == nil {
		return nil
	}
	return newResolver(c, &watch{}).resolve(name, hcl.Range{}, nil)
}

// noTarget says that no target is called name, and which one was meant.
func (c *Config) noTarget(name string) string {
	text := fmt.Sprintf("No target is named %q.", name)
	if c.Mode == ModeBake { // in the words that programs look for
		text = fmt.Sprintf("failed to find target %s.", name)
	}
	near := suggest(name, c.order)
	for i := 0; near == "" && i < len(c.order); i++ {
		if _, plain := splitName(c.order[i]); plain != c.order[i] && suggest(name, []string{plain}) != "" {
			near = c.order[i]
		}
	}
	if near != "" {
		text += fmt.Sprintf(" Did you mean %q", near)
		if s := c.specs[near]; s != nil && s.rng.Filename != "" {
			text += fmt.Sprintf(" (%s:%d)", s.rng.Filename, s.rng.Start.Line)
		}
		text += "?"
	}
	return text
}

// suggest returns the known name most like name, or "".
func suggest(name string, known []string) string {
	if name == "" {
		return ""
	}
	best, least := "", max(len(name)/3, min(len(name)/2, 2))+1
	for _, k := range known {
		d := levenshtein.Distance(name, k, nil)
		if len(name) < 6 && d > 1 && (k == "" || k[0] != name[0]) {
			continue // half of a short name is wrong: that is another name
		}
		if d < least {
			best, least = k, d
		}
	}
	return best
}

// didYouMean is " Did you mean X?" or "".
func didYouMean(name string, known []string) string {
	if near := suggest(name, known); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}

// problem makes an error at rng.
func problem(rng hcl.Range, summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  summary,
		Detail:   fmt.Sprintf(format, args...),
		Subject:  rng.Ptr(),
	}
}

// collect keeps each different diagnostic once, in order of place.
func collect(diags hcl.Diagnostics) (errs, warnings hcl.Diagnostics) {
	seen := map[string]bool{}
	for _, d := range diags {
		key := place(d.Subject) + d.Summary + "\x00" + d.Detail
		if seen[key] {
			continue
		}
		seen[key] = true
		if d.Severity == hcl.DiagError {
			errs = append(errs, d)
		} else {
			warnings = append(warnings, d)
		}
	}
	slices.SortStableFunc(errs, byPlace)
	slices.SortStableFunc(warnings, byPlace)
	return errs, warnings
}

func byPlace(a, b *hcl.Diagnostic) int {
	if a.Subject == nil || b.Subject == nil || a.Subject.Filename != b.Subject.Filename {
		return 0
	}
	return a.Subject.Start.Byte - b.Subject.Start.Byte
}
