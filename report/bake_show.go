package report

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A statusJSON writes each status as one line of JSON.
type statusJSON struct{ out *sink }

func newStatusJSON(t Terminal) (shower, *sink) {
	out := newSink(t.Err, jsonLimit, func(int) []byte { return nil })
	return &statusJSON{out}, out
}

func (*statusJSON) interval() time.Duration { return time.Hour }
func (*statusJSON) tick()                   {}
func (*statusJSON) end()                    {}

func (s *statusJSON) show(st *solveStatus) {
	line, err := marshal(st, "")
	if err != nil { // a time beyond the year 9999
		return
	}
	if len(st.Vertexes) > 0 {
		s.out.put(line)
		return
	}
	s.out.offer(line)
}

// A statusPlain writes statuses as lines, each with the number of its step.
type statusPlain struct {
	out      *sink
	s        surface
	vertices map[string]*plainVertex // by digest
	order    []*plainVertex          // those under way
	current  *plainVertex            // whose lines were written last
	begun    bool                    // something was written
	warnings []statusWarning
}

// A plainVertex is a step that has begun.
type plainVertex struct {
	statusVertex
	number  int
	partial []byte               // output after the last line end
	lines   []string             // not written yet
	moved   map[string]time.Time // when a transfer was last written
}

func newStatusPlain(t Terminal) (shower, *sink) {
	p := &statusPlain{s: t.surface(t.Err), vertices: map[string]*plainVertex{}}
	p.s.ci = true // lines may end up in a log that is read by machines
	p.out = newSink(t.Err, lineLimit, func(lost int) []byte {
		return fmt.Appendf(nil, "%d parts of the output left out, it was not read in time\n", lost)
	})
	return p, p.out
}

func (*statusPlain) interval() time.Duration { return plainTick }

// tick writes what has gathered.
func (p *statusPlain) tick() {
	for _, v := range p.order {
		p.flush(v)
	}
}

func (p *statusPlain) show(st *solveStatus) {
	for _, v := range st.Vertexes {
		p.vertex(v)
	}
	for _, m := range st.Statuses {
		p.transfer(m)
	}
	for _, l := range st.Logs {
		p.log(l)
	}
	p.warnings = append(p.warnings, st.Warnings...)
}

func (p *statusPlain) vertex(st statusVertex) {
	v := p.vertices[st.Digest]
	if v == nil {
		v = &plainVertex{number: len(p.vertices) + 1, moved: map[string]time.Time{}}
		p.vertices[st.Digest] = v
	}
	v.statusVertex = st
	if st.Completed.IsZero() {
		if !slices.Contains(p.order, v) { // it is new, or runs again
			p.order = append(p.order, v)
		}
		p.write(v)
		return
	}
	if len(v.partial) > 0 {
		p.line(v, v.partial, v.Completed)
		v.partial = nil
	}
	p.write(v, append(v.lines, p.ended(v))...)
	v.lines, p.current = nil, nil
	p.order = slices.DeleteFunc(p.order, func(o *plainVertex) bool { return o == v })
}

// ended is how a step ended.
func (p *statusPlain) ended(v *plainVertex) string {
	switch {
	case strings.HasSuffix(v.Error, context.Canceled.Error()):
		return "CANCELED"
	case v.Error != "":
		return "ERROR: " + SanitizeLine(v.Error)
	case v.Cached:
		return "CACHED"
	}
	return fmt.Sprintf("DONE %.1fs", v.Completed.Sub(v.Started).Seconds())
}

// transfer writes what moves, now and then, and that it has arrived.
func (p *statusPlain) transfer(m statusTransfer) {
	v := p.vertices[m.Vertex]
	if v == nil || m.Completed.IsZero() && m.Timestamp.Sub(v.moved[m.ID]) < plainTransfer {
		return
	}
	v.moved[m.ID] = m.Timestamp
	text := SanitizeLine(m.ID)
	switch {
	case m.Total > 0:
		text += " " + Bytes(m.Current) + " / " + Bytes(m.Total)
	case m.Current > 0:
		text += " " + Bytes(m.Current)
	}
	if took := m.Timestamp.Sub(m.Started).Seconds(); took > 0.01 {
		text += fmt.Sprintf(" %.1fs", took)
	}
	if !m.Completed.IsZero() {
		text += " done"
	}
	p.write(v, append(v.lines, text)...)
	v.lines = nil
}

// log takes output of a step. It is written line by line, at the next tick.
func (p *statusPlain) log(l statusLog) {
	v := p.vertices[l.Vertex]
	if v == nil {
		return
	}
	data := append(v.partial, l.Data...)
	for {
		line, rest, whole := bytes.Cut(data, []byte("\n"))
		if !whole && len(line) <= lineMax {
			v.partial = bytes.Clone(line)
			break
		}
		if len(line) > lineMax {
			n := runeStart(line, lineMax)
			line, rest = data[:n], data[n:]
		}
		p.line(v, line, l.Timestamp)
		data = rest
	}
	if !v.Completed.IsZero() { // late output: no tick will come for it
		p.flush(v)
	}
}

// line takes a line of a step's output, with the seconds since the step began.
func (p *statusPlain) line(v *plainVertex, text []byte, at time.Time) {
	after := fmt.Sprintf("%.3f", max(at.Sub(v.Started).Seconds(), 0))
	v.lines = append(v.lines, after[:max(5, strings.IndexByte(after, '.'))]+" "+sanitizeLog(strings.TrimSuffix(string(text), "\r"), p.s.color))
}

func (p *statusPlain) flush(v *plainVertex) {
	if len(v.lines) > 0 {
		p.write(v, v.lines...)
		v.lines = nil
	}
}

// write writes lines of a step, below its name if another's came before.
func (p *statusPlain) write(v *plainVertex, lines ...string) {
	var b []byte
	if p.current != v {
		if p.begun {
			b = append(b, '\n')
		}
		lines = append([]string{SanitizeLine(v.Name)}, lines...)
	}
	p.current, p.begun = v, true
	for _, line := range lines {
		b = fmt.Appendf(b, "#%d %s\n", v.number, defuse(clean(line, p.s.color)))
	}
	p.out.put(b)
}

// end writes what is left, then the warnings, each once.
func (p *statusPlain) end() {
	p.tick()
	seen := map[string]bool{}
	var b bytes.Buffer
	for _, w := range p.warnings {
		line := SanitizeLine(string(w.Short))
		if w.URL != "" {
			line += " (" + SanitizeLine(w.URL) + ")"
		}
		if !seen[line] {
			seen[line] = true
			fmt.Fprintf(&b, " - %s\n", defuse(line))
		}
	}
	if len(seen) > 0 {
		p.out.put(fmt.Appendf(nil, "\n %s found:\n%s", count(len(seen), "warning"), b.Bytes()))
	}
	if p.begun {
		p.out.put([]byte("\n"))
	}
}
