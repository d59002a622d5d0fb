package report

import (
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// The SGR codes in use.
const (
	plainText = ""
	bold      = "1"
	dim       = "2"
	red       = "31"
	green     = "32"
	yellow    = "33"
	cyan      = "36"
)

// paint puts text in a colour if there is colour.
func paint(text, code string, color bool) string {
	if !color || code == plainText || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + reset
}

// stateColor is the colour of a state word of targets, steps and layers.
func stateColor(state string) string {
	switch state {
	case "built", "retagged":
		return green
	case "failed":
		return red
	case "skipped", "canceled":
		return yellow
	case "running":
		return cyan
	case "cached", "reused", "config", "base", "waiting":
		return dim
	}
	return plainText
}

// cells measures text the same way in every locale.
var cells = &runewidth.Condition{}

// width is the number of columns text without escape sequences takes.
func width(text string) int { return cells.StringWidth(text) }

// cut shortens text without escape sequences to at most columns, ending in "…"
// if anything is left out.
func cut(text string, columns int) string {
	if columns <= 0 {
		return ""
	}
	return cells.Truncate(text, columns, "…")
}

// pad fills text with spaces up to columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(0, columns-width(text)))
}

// padLeft puts spaces before text up to columns.
func padLeft(text string, columns int) string {
	return strings.Repeat(" ", max(0, columns-width(text))) + text
}

// A printer writes lines and remembers the first error, after which it writes
// nothing.
type printer struct {
	w   io.Writer
	s   surface
	err error
}

func newPrinter(w io.Writer, t Terminal) *printer { return &printer{w: w, s: t.surface(w)} }

// line writes one line. Its parts are sanitized already; clean is there in
// case one was forgotten.
func (p *printer) line(parts ...string) {
	text := clean(strings.TrimRight(strings.Join(parts, ""), " "), p.s.color)
	if p.s.ci {
		text = defuse(text)
	}
	p.raw(text + "\n")
}

// raw writes text as it is.
func (p *printer) raw(text string) {
	if p.err == nil {
		_, p.err = io.WriteString(p.w, text)
	}
}

func (p *printer) paint(text, code string) string { return paint(text, code, p.s.color) }
