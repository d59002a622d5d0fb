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
	"slices"
	"strings"
	"time"

	"github.com/strata-build/strata/executor"
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

// Progress consumes events until the channel closes, drawing them to t.Err, and
// returns once all of it is written. A slow reader never holds up the build:
// progress it cannot take in time is left out, the end of a target never is. A
// write error, of a closed pipe for instance, is returned at the end and has
// no other effect. Once ctx is done Progress no longer waits for a reader who
// does not read.
//
// To outlive a closed standard error the process must not die of SIGPIPE.
func Progress(ctx context.Context, mode Mode, t Terminal, events <-chan executor.Event) error {
	v, out := newView(mode, t)
	if v == nil {
		for range events { // nothing to show, but the build must not block
		}
		return nil
	}
	return drive(ctx, v, out, events)
}

// drive hands events and ticks to v until there are no more.
func drive(ctx context.Context, v view, out *sink, events <-chan executor.Event) error {
	ticks := time.NewTicker(v.interval())
	defer ticks.Stop()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				v.end()
				return out.close(ctx)
			}
			v.event(e)
		case <-ticks.C:
			v.tick()
		}
	}
}

// A view draws a running build to a sink.
type view interface {
	interval() time.Duration // between ticks
	event(executor.Event)
	tick()
	end() // after the last event
}

// How much is held for a slow reader.
const (
	lineLimit = 1 << 20
	jsonLimit = 8 << 20
)

// newView returns the view for mode and the sink it draws to, or nil if there
// is nothing to draw.
func newView(mode Mode, t Terminal) (view, *sink) {
	switch mode {
	case Auto:
		if t.IsTTY && t.CI == "" {
			return newTTY(t)
		}
	case TTY:
		if t.IsTTY {
			return newTTY(t)
		}
	case RawJSON:
		return newRawJSON(t)
	case Quiet, None:
		return nil, nil
	}
	return newPlain(t)
}
