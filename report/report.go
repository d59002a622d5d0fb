// Package report shows a build to people and programs: its events while it
// runs, its results and its layer histories, as a terminal screen, plain text
// or JSON.
//
// It decides nothing, starts nothing and reads nothing but what it is given.
// Text that came from outside (logs, names, commands, labels) passes
// [Sanitize] before it reaches a terminal.
package report

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/history"
)

// A Mode says how a running build is shown.
type Mode string

// The modes.
const (
	Auto    Mode = "auto"    // TTY on a terminal outside CI, else Plain
	TTY     Mode = "tty"     // one line a running target, redrawn; Plain off a terminal
	Plain   Mode = "plain"   // one line a fact, for CI and files
	Quiet   Mode = "quiet"   // nothing; failures follow at the end
	RawJSON Mode = "rawjson" // one JSON object a line, see docs/reference/events.md
	None    Mode = "none"    // nothing at all
)

var modes = []Mode{Auto, TTY, Plain, Quiet, RawJSON, None}

// ParseMode returns the mode named s. The empty string is Auto.
func ParseMode(s string) (Mode, error) {
	if s == "" {
		return Auto, nil
	}
	if m := Mode(s); slices.Contains(modes, m) {
		return m, nil
	}
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = string(m)
	}
	return "", fmt.Errorf("unknown progress mode %q: use one of %s", s, strings.Join(names, ", "))
}

// Progress consumes events until the channel closes, drawing them to t.Err.
func Progress(ctx context.Context, mode Mode, t Terminal, events <-chan executor.Event) error {
	for range events {
	}
	return nil
}

// Summary prints the end screen of a build.
func Summary(w io.Writer, t Terminal, done executor.RunDone) {}

// Digests prints the digest of each target that made an image, one a line, in
// the order of the results: the whole output of a quiet build.
func Digests(w io.Writer, done executor.RunDone) {}

// Failures prints one screen for each failed target.
func Failures(w io.Writer, t Terminal, done executor.RunDone) {}

// A HistoryFormat says how a history is printed.
type HistoryFormat struct {
	Format  string // "table" or "", "json", or a Go text/template over history.Record
	NoTrunc bool   // whole commands and digests
	All     bool   // every layer of the base too
}

// History prints one record, newest step first.
func History(w io.Writer, t Terminal, rec history.Record, f HistoryFormat) error { return nil }

// Histories prints the records of a build: show is "built", "all" or "none".
func Histories(w io.Writer, t Terminal, recs []history.Record, show string) error { return nil }
