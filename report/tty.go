package report

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/strata-build/strata/executor"
)

// ttyTick is the time between two frames.
const ttyTick = 100 * time.Millisecond

// A tty view redraws a few lines at the bottom of a terminal: a header, one
// line a running target, a bar. Lines about ended targets scroll away above.
//
// The cursor rests at the start of the first redrawn line. So a frame never
// has to know how many rows the one before took: whatever a resized terminal
// made of it, it is all below the cursor. Nothing of the terminal stays changed
// between frames, so there is nothing to restore if the process dies.
type tty struct {
	out     *sink
	s       surface
	size    func() (int, int)
	started time.Time
	targets map[string]*ttyTarget
	running []*ttyTarget // started and not done, oldest first
	steps   map[string]*ttyStep
	count   map[executor.State]int // of ended targets
	scroll  []byte                 // lines not yet written
	names   int                    // width of the longest name shown
	filled  float64                // part of the bar, which never shrinks
}

// A ttyTarget is a target as the terminal knows it.
type ttyTarget struct {
	name    string
	started time.Time
	ready   bool
	done    bool
	total   int          // own steps, 0 if not known
	ended   map[int]bool // own steps that ended
	steps   []*ttyStep   // running, oldest first; those of other targets too
	last    *ttyStep     // ended last
	tail    *lineTail    // of its newest output
}

// A ttyStep is a step that runs or ran.
type ttyStep struct {
	executor.Step
	owner  *ttyTarget
	since  time.Time
	moving map[string]executor.StepProgress
	tail   lineTail
}

func newTTY(t Terminal) (view, *sink) {
	v := &tty{
		s: t.surface(t.Err), size: t.Size, started: time.Now(),
		targets: map[string]*ttyTarget{}, steps: map[string]*ttyStep{},
		count: map[executor.State]int{},
	}
	v.out = newSink(t.Err, 0, func(int) []byte { return nil })
	return v, v.out
}

func (v *tty) interval() time.Duration { return ttyTick }

func (v *tty) event(e executor.Event) {
	switch e := e.(type) {
	case executor.RunStarted:
		for _, info := range e.Targets {
			t := v.target(info.Name)
			t.total = info.Steps
			v.names = max(v.names, min(width(t.name), 32))
		}
	case executor.TargetStarted:
		v.start(v.target(e.Target))
	case executor.TargetReady:
		v.target(e.Target).ready = true
	case executor.StepUpdate:
		v.update(e)
	case executor.StepLog:
		s := v.step(e.Target, e.Step)
		s.tail.write(e.Data)
		s.owner.tail = &s.tail
	case executor.StepProgress:
		s := v.step(e.Target, e.Step)
		if s.moving == nil {
			s.moving = map[string]executor.StepProgress{}
		}
		s.moving[e.ID] = e
	case executor.Warning:
		v.warn(e)
	case executor.TargetDone:
		v.finish(v.target(e.Target), e.Result)
	}
}

func (v *tty) target(name string) *ttyTarget {
	t := v.targets[name]
	if t == nil {
		t = &ttyTarget{name: SanitizeLine(name), ended: map[int]bool{}}
		v.targets[name] = t
	}
	return t
}

func (v *tty) start(t *ttyTarget) {
	if t.started.IsZero() && !t.done {
		t.started = time.Now()
		v.running = append(v.running, t)
	}
}

func (v *tty) step(owner string, s executor.Step) *ttyStep {
	known := v.steps[s.ID]
	if known == nil {
		known = &ttyStep{owner: v.target(owner), since: time.Now()}
		v.steps[s.ID] = known
	}
	known.Step = s
	return known
}

func (v *tty) update(e executor.StepUpdate) {
	if len(e.Targets) == 0 || e.State == executor.Waiting {
		return
	}
	s := v.step(e.Targets[0], e.Step)
	t := s.owner
	v.start(t)
	if s.Total > 0 {
		t.total = s.Total
	}
	for _, name := range e.Targets {
		other := v.target(name)
		other.steps = slices.DeleteFunc(other.steps, func(o *ttyStep) bool { return o == s })
		if e.State == executor.Running {
			other.steps = append(other.steps, s)
		}
	}
	if e.State == executor.Running {
		s.since = time.Now()
		return
	}
	if s.Number > 0 && (e.State == executor.Built || e.State == executor.Cached) {
		t.ended[s.Number] = true
	}
	if !s.Internal {
		t.last = s
	}
	if t.tail == &s.tail {
		t.tail = nil
	}
	s.tail, s.moving = lineTail{}, nil
}

func (v *tty) finish(t *ttyTarget, r executor.TargetResult) {
	if t.done {
		return
	}
	t.done = true
	t.steps = nil
	v.running = slices.DeleteFunc(v.running, func(o *ttyTarget) bool { return o == t })
	v.count[r.State]++
	if r.State == executor.Reused {
		return // nothing happened; the summary has it
	}
	v.scrollLine(v.finished(t, r))
}

func (v *tty) warn(e executor.Warning) {
	line := spans{{" ! ", yellow}}
	if e.Target != "" {
		line = append(line, span{pad(SanitizeLine(e.Target), v.names) + "  ", plainText})
	}
	line = append(line, span{SanitizeLine(placed(e.Place, e.Text)), plainText})
	if e.URL != "" {
		line = append(line, span{"  " + SanitizeLine(e.URL), dim})
	}
	v.scrollLine(line)
}

// scrollLine adds a whole line to those above the redrawn ones. It may take
// several rows.
func (v *tty) scrollLine(line spans) {
	v.scroll = append(v.scroll, strings.TrimRight(line.render(v.s.color), " ")+"\r\n"...)
}

// tick draws a frame, unless the one before is still on its way to a slow
// terminal.
func (v *tty) tick() {
	if !v.out.idle() {
		return
	}
	v.draw(v.frame(v.extent()))
}

// extent is the size of the terminal, or a usual one if it does not say.
func (v *tty) extent() (columns, rows int) {
	if v.size != nil {
		columns, rows = v.size()
	}
	if columns <= 0 {
		columns = 80
	}
	if rows <= 0 {
		rows = 24
	}
	return columns, rows
}

// end leaves the lines about targets and nothing else.
func (v *tty) end() { v.draw(nil) }

// eraseBelow clears the last frame. The space keeps tmux from saving it in its
// history, which it does when all of the screen is erased.
const eraseBelow = "\r \x1b[J\r"

// Lines of a frame must not wrap even if the terminal became narrower since it
// was measured: the way back up to the first of them is counted in lines.
const (
	wrapOff = "\x1b[?7l"
	wrapOn  = "\x1b[?7h"
)

// draw writes the lines to keep, then the lines of a frame, and puts the
// cursor back before the frame. It is one write, so that there is no moment
// at which the terminal is left half drawn.
func (v *tty) draw(frame []string) {
	b := append([]byte(eraseBelow), v.scroll...)
	v.scroll = v.scroll[:0]
	if len(frame) > 0 {
		b = append(b, wrapOff+strings.Join(frame, "\r\n")+up(len(frame)-1)+wrapOn...)
	}
	v.out.put(b)
}

// A lineTail keeps the end of the last line of a stream.
type lineTail struct {
	last    []byte // the last whole line that is not blank
	partial []byte // what came after it
}

// tailMax bounds what is kept of a line: more than a terminal shows.
const tailMax = 2048

func (t *lineTail) write(data []byte) {
	if end := bytes.LastIndexByte(data, '\n'); end >= 0 {
		start := bytes.LastIndexByte(data[:end], '\n') + 1
		line := data[start:end]
		if start == 0 {
			line = append(t.partial, line...)
		}
		if len(bytes.TrimSpace(line)) > 0 {
			t.last = lastOf(line)
		}
		t.partial, data = nil, data[end+1:]
	}
	t.partial = lastOf(append(t.partial, data...))
}

func lastOf(line []byte) []byte {
	return slices.Clone(line[max(0, len(line)-tailMax):])
}

// text is the line to show.
func (t *lineTail) text() string {
	line := t.partial
	if len(bytes.TrimSpace(line)) == 0 {
		line = t.last
	}
	text := sanitizeLog(strings.TrimRight(string(line), "\r\n"), false)
	return strings.TrimSpace(oneLine.Replace(text))
}
