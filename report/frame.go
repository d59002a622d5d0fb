package report

import (
	"fmt"
	"strings"
	"time"

	"github.com/strata-build/strata/executor"
)

// A span is a piece of a line in one colour.
type span struct{ text, code string }

// spans are a line.
type spans []span

func (l spans) width() int {
	n := 0
	for _, s := range l {
		n += width(s.text)
	}
	return n
}

func (l spans) render(color bool) string {
	var b strings.Builder
	for _, s := range l {
		b.WriteString(paint(s.text, s.code, color))
	}
	return b.String()
}

// clip cuts a line to columns. Colours are put on afterwards, so that no
// escape sequence can be cut.
func (l spans) clip(columns int) spans {
	var out spans
	for i, s := range l {
		w := width(s.text)
		if w > columns || w == columns && l[i+1:].width() > 0 {
			return append(out, span{cut(s.text+" ", columns), s.code})
		}
		out, columns = append(out, s), columns-w
	}
	return out
}

// justify puts right at the end of a line of columns, if there is room.
func justify(left, right spans, columns int) spans {
	room := columns - left.width() - right.width()
	if room < 2 {
		return left.clip(columns)
	}
	return append(append(left, span{strings.Repeat(" ", room), plainText}), right...)
}

// up moves the cursor up n rows and to the start of the row.
func up(n int) string {
	if n <= 0 {
		return "\r"
	}
	return fmt.Sprintf("\r\x1b[%dA", n)
}

// frameMax is the widest line drawn: further than that the eye loses the row,
// and a narrower window wraps it.
const frameMax = 99

// frame is what is redrawn: as many lines as fit into rows, none as wide as
// columns, because terminals differ in what they do after the last column.
func (v *tty) frame(columns, rows int) []string {
	columns = min(columns-1, frameMax)
	if columns <= 0 {
		return nil
	}
	lines := []spans{v.header(columns)}
	room := rows - 1 - len(lines) // the last row stays free
	if room >= 2 {
		room--
	}
	lines = append(lines, v.rows(columns, room)...)
	if rows >= 4 {
		lines = append(lines, v.bar(columns))
	}
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = strings.TrimRight(line.clip(columns).render(v.s.color), " ")
	}
	return out
}

// header counts the targets.
func (v *tty) header(columns int) spans {
	ended := 0
	for _, n := range v.count {
		ended += n
	}
	building := len(v.running)
	waiting := len(v.targets) - ended - building
	line := spans{{" strata  ", bold}, {count(len(v.targets), "target"), plainText}}
	for _, c := range []struct {
		n          int
		word, code string
	}{
		{v.count[executor.Failed], "failed", red},
		{v.count[executor.Reused], "reused", plainText},
		{v.count[executor.Retagged], "retagged", green},
		{v.count[executor.Cached], "cached", plainText},
		{v.count[executor.Built], "built", green},
		{v.count[executor.Skipped], "skipped", yellow},
		{v.count[executor.Canceled], "canceled", yellow},
		{building, "building", cyan},
		{waiting, "waiting", plainText},
	} {
		if c.n > 0 {
			line = append(line, span{" · ", dim}, span{fmt.Sprintf("%d %s", c.n, c.word), c.code})
		}
	}
	elapsed := clock(time.Since(v.started))
	if line.width() > columns { // a narrow terminal
		line = spans{{fmt.Sprintf(" %d/%d ", ended, len(v.targets)), bold}}
		line = append(line, span{fmt.Sprintf("%d building", building), cyan})
	}
	return justify(line, spans{{elapsed, plainText}}, columns)
}

// clock writes a time that runs: "0:06", "1:02:03".
func clock(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	if s < 3600 {
		return fmt.Sprintf("%d:%02d", s/60, s%60)
	}
	return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
}

// rows are the lines of running targets: those that began first if there are
// more than room, each with its newest output if there is room for all.
func (v *tty) rows(columns, room int) []spans {
	if room <= 0 {
		return nil
	}
	shown := v.running
	if len(shown) > room {
		shown = shown[:max(1, room-1)]
	}
	names := 0
	for _, t := range shown {
		names = max(names, width(t.name))
	}
	tails := 2*len(shown) <= room && columns >= 20
	var lines []spans
	for _, t := range shown {
		lines = append(lines, v.row(t, names, columns))
		if tails && t.tail != nil {
			lines = append(lines, spans{{"     │ " + t.tail.text(), dim}})
		}
	}
	if rest := len(v.running) - len(shown); rest > 0 && room > 1 {
		lines = append(lines, spans{{fmt.Sprintf("   … and %d more", rest), dim}})
	}
	return lines
}

// row is the line of a running target.
func (v *tty) row(t *ttyTarget, names, columns int) spans {
	name, digits := t.name, 0
	if columns >= names+30 { // room for columns
		name, digits = pad(name, names), 5
	}
	line := spans{{" ● ", cyan}, {name, bold}}
	s, more := t.current()
	if s == nil {
		return append(line, span{"  " + t.phase(), dim})
	}
	number := ""
	if s.owner == t && s.Number > 0 {
		number = fmt.Sprintf("%d/%d", s.Number, s.Total)
	}
	line = append(line, span{"  " + padLeft(number, digits) + "  ", plainText})
	what := SanitizeLine(s.Name)
	if s.Platform != "" {
		what = SanitizeLine(s.Platform) + " " + what
	}
	if s.owner != t {
		what += " (with " + s.owner.name + ")"
	}
	if more > 0 {
		what += fmt.Sprintf(" and %d more", more)
	}
	elapsed := padLeft(Duration(time.Since(s.since)), 9)
	for _, right := range []string{padLeft(v.moved(s), 9) + elapsed, elapsed} {
		if room := columns - line.width() - width(right) - 2; room >= 10 {
			line = append(line, span{cut(what, room), plainText})
			return justify(line, spans{{right, plainText}}, columns)
		}
	}
	return append(line, span{what, plainText})
}

// moved is what a step has transferred.
func (v *tty) moved(s *ttyStep) string {
	var current int64
	for _, m := range s.moving {
		current += m.Current
	}
	if current == 0 {
		return ""
	}
	return Bytes(current)
}

// current is the running step to show for a target and how many more run: its
// own before those it shares with others, instructions before bookkeeping, the
// oldest first.
func (t *ttyTarget) current() (s *ttyStep, more int) {
	best := -1
	for _, candidate := range t.steps {
		rank := 0
		if candidate.owner == t {
			rank += 2
		}
		if !candidate.Internal {
			rank++
			more++
		}
		if rank > best {
			s, best = candidate, rank
		}
	}
	if s != nil && !s.Internal {
		more--
	}
	return s, more
}

// phase is what a target without a running step does.
func (t *ttyTarget) phase() string {
	switch {
	case t.ready:
		return "finishing"
	case t.last != nil:
		return SanitizeLine(t.last.Name)
	}
	return "starting"
}

// bar shows how many of all steps are done.
func (v *tty) bar(columns int) spans {
	var done, all float64
	for _, t := range v.targets {
		total := max(t.total, len(t.ended), 1)
		all += float64(total)
		if t.done {
			done += float64(total)
		} else {
			done += float64(min(len(t.ended), total))
		}
	}
	if all > 0 {
		v.filled = max(v.filled, done/all)
	}
	percent := fmt.Sprintf("%3d %%", int(v.filled*100))
	length := min(columns-3-width(percent), 60)
	if length < 4 {
		return spans{{" " + percent, plainText}}
	}
	full := int(v.filled * float64(length))
	return spans{
		{" " + strings.Repeat("━", full), green},
		{strings.Repeat("─", length-full), dim},
		{"  " + percent, plainText},
	}
}

// finished is the line about a target that ended. Its digest is there if it
// fits, its name and state always.
func (v *tty) finished(t *ttyTarget, r executor.TargetResult) spans {
	mark, code := "–", stateColor(string(r.State))
	switch r.State {
	case executor.Built, executor.Retagged:
		mark = "✔"
	case executor.Cached, executor.Reused:
		mark = "="
	case executor.Failed:
		mark = "✘"
	}
	name := pad(t.name, v.names) + "  "
	line := spans{{" " + mark + " ", code}, {name, bold}, {string(r.State), code}}
	switch r.State {
	case executor.Failed:
		return append(line, span{failedAt(r), plainText})
	case executor.Skipped:
		return append(line, span{because(r), plainText})
	case executor.Built, executor.Cached, executor.Retagged:
		took := padLeft(Duration(r.Duration), 14-width(string(r.State)))
		line = append(line, span{took, plainText})
	}
	digest := spans{{"  " + SanitizeLine(ShortDigest(r.Digest)), dim}}
	if columns, _ := v.extent(); r.Digest != "" && line.width()+digest.width() < columns {
		line = append(line, digest...)
	}
	return line
}
