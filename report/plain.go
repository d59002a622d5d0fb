package report

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strata-build/strata/executor"
)

const (
	plainTick     = 200 * time.Millisecond // output of a step is kept together for so long
	plainLong     = 2 * time.Second        // from here on engine bookkeeping is shown
	plainTransfer = 5 * time.Second        // between two lines about one transfer
	plainSilence  = time.Minute            // from here on a silent build says that it is alive
	lineMax       = 16 << 10               // a longer line of output is shown in pieces
	groupMax      = 64 << 10               // output of a step that is kept together at most
)

// A plain view writes one line a fact, each under its target and step. Lines
// of a step that come close together stay together.
type plain struct {
	out   *sink
	s     surface
	steps map[string]*plainStep // by ID
	order []*plainStep          // those that have not ended, oldest first
	last  time.Time             // when something was written
}

// A plainStep is a step that has begun.
type plainStep struct {
	executor.Step
	target  string
	started time.Time // by the clock of the engine
	since   time.Time // by ours
	named   bool      // its name was written
	ended   bool
	partial []byte // output after the last line end
	group   []byte // whole lines not written yet
	moving  map[string]executor.StepProgress
	moved   time.Time // when its transfers were last written
}

func newPlain(t Terminal) (view, *sink) {
	v := &plain{s: t.surface(t.Err), steps: map[string]*plainStep{}, last: time.Now()}
	v.s.ci = true // lines may end up in a log that is read by machines
	v.out = newSink(t.Err, lineLimit, func(lost int) []byte {
		const text = "strata | %d parts of the output left out, it was not read in time\n"
		return fmt.Appendf(nil, text, lost)
	})
	return v, v.out
}

func (v *plain) interval() time.Duration { return plainTick }

func (v *plain) event(e executor.Event) {
	switch e := e.(type) {
	case executor.RunStarted:
		v.fact("strata", SanitizeLine(e.Engine)+", "+count(len(e.Targets), "target"))
	case executor.StepUpdate:
		v.update(e)
	case executor.StepLog:
		v.log(e)
	case executor.StepProgress:
		v.progress(e)
	case executor.Warning:
		text := v.paint("warning", yellow) + ": " + SanitizeLine(placed(e.Place, e.Text))
		if e.URL != "" {
			text += " (" + SanitizeLine(e.URL) + ")"
		}
		v.fact(SanitizeLine(cmp.Or(e.Target, "strata")), text)
	case executor.TargetDone:
		v.target(e.Result)
	}
}

// placed puts a place before a text.
func placed(place, text string) string {
	if place == "" {
		return text
	}
	return place + ": " + text
}

// step returns what is known of a step, which may be new.
func (v *plain) step(target string, s executor.Step, at time.Time) *plainStep {
	p := v.steps[s.ID]
	if p == nil {
		p = &plainStep{target: SanitizeLine(target), started: at, since: time.Now()}
		v.steps[s.ID] = p
		v.order = append(v.order, p)
	}
	p.Step = s
	return p
}

func (v *plain) update(e executor.StepUpdate) {
	if len(e.Targets) == 0 || e.State == executor.Waiting {
		return
	}
	p := v.step(e.Targets[0], e.Step, e.Time)
	if !e.Started.IsZero() {
		p.started = e.Started
	}
	if e.State != executor.Running {
		v.ended(p, e)
		return
	}
	if p.ended { // the engine runs it again
		p.ended, p.named, p.since = false, false, time.Now()
		v.order = append(v.order, p)
	}
	if !p.Internal {
		v.name(p)
	}
}

// name writes what a step does, once.
func (v *plain) name(p *plainStep) {
	if p.named {
		return
	}
	p.named = true
	v.line(label(p), v.title(p))
}

func (v *plain) title(p *plainStep) string {
	title := SanitizeLine(p.Name)
	if p.Place != "" {
		title += v.paint(" ("+SanitizeLine(p.Place)+")", dim)
	}
	return title
}

// ended writes how a step ended. Bookkeeping that did nothing worth telling
// leaves no trace.
func (v *plain) ended(p *plainStep, e executor.StepUpdate) {
	v.flush(p, true)
	state := v.paint(string(e.State), stateColor(string(e.State)))
	if ran := e.Completed.Sub(p.started); e.State != executor.Cached && !e.Completed.IsZero() {
		state += " " + Duration(ran)
	}
	if e.Error != "" {
		state += ": " + SanitizeLine(e.Error)
	}
	switch {
	case e.State == executor.Failed:
		v.name(p)
		v.fact(label(p), which(p)+state)
	case p.named:
		v.line(label(p), which(p)+state)
	case !p.Internal:
		v.line(label(p), v.title(p)+" "+state)
	}
	p.ended = true
	v.order = slices.DeleteFunc(v.order, func(o *plainStep) bool { return o == p })
}

// log takes output of a step. It is written line by line, at the next tick.
func (v *plain) log(e executor.StepLog) {
	p := v.step(e.Target, e.Step, e.Time)
	v.name(p)
	after := Duration(e.Time.Sub(p.started))
	data := e.Data
	for len(data) > 0 {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		data = rest
		p.partial = append(p.partial, line...)
		open := p.partial
		for len(open) > lineMax {
			n := runeStart(open, lineMax)
			v.group(p, after, open[:n])
			open = open[n:]
		}
		if whole {
			v.group(p, after, open)
			open = nil
		}
		p.partial = append(p.partial[:0], open...)
	}
	if p.ended { // late output: no tick will come for it
		v.flush(p, true)
	}
}

// runeStart is the start of the character that byte n of b belongs to.
func runeStart(b []byte, n int) int {
	for i := n; i > n-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			return i
		}
	}
	return n
}

// group adds a line to the output of a step that will be written together.
func (v *plain) group(p *plainStep, after string, line []byte) {
	text := sanitizeLog(strings.TrimSuffix(string(line), "\r"), v.s.color)
	p.group = append(p.group, v.text(label(p), v.paint(after, dim)+" "+text)...)
	if len(p.group) > groupMax {
		v.flush(p, false)
	}
}

// flush writes the output of a step; all of it if the step is at its end.
func (v *plain) flush(p *plainStep, end bool) {
	if end && len(p.partial) > 0 {
		v.group(p, Duration(time.Since(p.since)), p.partial)
		p.partial = nil
	}
	if len(p.group) > 0 {
		v.out.offer(p.group)
		v.last = time.Now()
		p.group = p.group[:0]
	}
}

// progress notes a transfer; ticks write it.
func (v *plain) progress(e executor.StepProgress) {
	p := v.step(e.Target, e.Step, e.Time)
	if p.moving == nil {
		p.moving, p.moved = map[string]executor.StepProgress{}, time.Now()
	}
	p.moving[e.ID] = e
}

// transferred sums up the transfers of a step: "12.4 MB of 40.1 MB".
func transferred(moving map[string]executor.StepProgress) string {
	var current, total int64
	known := true
	for _, m := range moving {
		current += m.Current
		total += m.Total
		known = known && m.Total > 0
	}
	if known && total >= current {
		return Bytes(current) + " of " + Bytes(total)
	}
	return Bytes(current)
}

// tick writes what has gathered: output, slow bookkeeping, transfers, and a
// sign of life when there was nothing else for long.
func (v *plain) tick() {
	now := time.Now()
	for _, p := range v.order {
		if now.Sub(p.since) >= plainLong {
			v.name(p)
		}
		v.flush(p, false)
		if p.moving != nil && now.Sub(p.moved) >= plainTransfer {
			p.moved = now
			v.name(p)
			v.line(label(p), which(p)+transferred(p.moving))
		}
	}
	if now.Sub(v.last) < plainSilence {
		return
	}
	for _, p := range v.order {
		v.name(p)
		v.line(label(p), which(p)+v.paint("running", cyan)+" "+Duration(now.Sub(p.since)))
	}
}

// target writes how a target ended and what was written for it.
func (v *plain) target(r executor.TargetResult) {
	if r.State == executor.Reused && len(r.Outputs) == 0 {
		return // nothing happened; the summary has it
	}
	name := SanitizeLine(r.Target)
	text := v.paint(string(r.State), stateColor(string(r.State)))
	switch r.State {
	case executor.Built, executor.Cached, executor.Retagged:
		text += " in " + Duration(r.Duration) + madeOf(r)
	case executor.Failed:
		text += failedAt(r)
	case executor.Skipped:
		text += because(r)
	}
	v.fact(name, text)
	for _, output := range r.Outputs {
		v.fact(name, SanitizeLine(output))
	}
}

// madeOf describes the image a target made: ", 14.2 MB, sha256:1f0c…".
func madeOf(r executor.TargetResult) string {
	var text string
	if r.Steps > 0 && r.State == executor.Built {
		text += fmt.Sprintf(", %d of %s ran", r.Ran, count(r.Steps, "step"))
	}
	if r.Size >= 0 && r.Digest != "" {
		text += ", " + Bytes(r.Size)
	}
	if r.Digest != "" {
		text += ", " + SanitizeLine(ShortDigest(r.Digest))
	}
	return text
}

// failedAt says where and why a target failed, on one line.
func failedAt(r executor.TargetResult) string {
	var text string
	if f := r.Failure; f != nil {
		if f.Step.Number > 0 {
			text = fmt.Sprintf(" at step %d/%d", f.Step.Number, f.Step.Total)
		}
		if f.Step.Place != "" {
			text += " (" + f.Step.Place + ")"
		}
		return SanitizeLine(text + ": " + f.Message)
	}
	if r.Err != nil {
		text = ": " + r.Err.Error()
	}
	return SanitizeLine(text)
}

func because(r executor.TargetResult) string {
	if r.Blame == "" {
		return ""
	}
	return " (needs " + SanitizeLine(r.Blame) + ")"
}

func (v *plain) end() {
	for _, p := range v.order {
		v.flush(p, true)
	}
}

// label names a step before the bar: "api 4/7", "api linux/arm64 4/7", "api".
func label(p *plainStep) string {
	text := p.target
	if p.Platform != "" {
		text += " " + SanitizeLine(p.Platform)
	}
	if p.Number > 0 {
		text += fmt.Sprintf(" %d/%d", p.Number, p.Total)
	}
	return text
}

// which tells apart the steps that have no number to do it.
func which(p *plainStep) string {
	if p.Number > 0 {
		return ""
	}
	return SanitizeLine(p.Name) + " "
}

// line writes a line that may be left out for a slow reader.
func (v *plain) line(prefix, text string) {
	v.out.offer(v.text(prefix, text))
	v.last = time.Now()
}

// fact writes a line that may not be left out.
func (v *plain) fact(prefix, text string) {
	v.out.put(v.text(prefix, text))
	v.last = time.Now()
}

// text makes a line. Its parts are sanitized already; clean is there in case
// one was forgotten.
func (v *plain) text(prefix, text string) []byte {
	line := v.paint(prefix, dim) + " | " + text
	return append([]byte(defuse(clean(line, v.s.color))), '\n')
}

func (v *plain) paint(text, code string) string { return paint(text, code, v.s.color) }

// count writes a number of things: "1 step", "3 steps".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
