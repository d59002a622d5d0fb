package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/strata-build/strata/executor"
)

// Failures prints one screen for each failure: where, the source lines, the
// whole log of the step, what was skipped for it and how to do it again; and at
// the end what was kept. Targets that failed at one shared step share a screen.
// It prints nothing if nothing failed.
func Failures(w io.Writer, t Terminal, done executor.RunDone) {
	p := newPrinter(w, t)
	groups := failureGroups(done.Results)
	for i, group := range groups {
		if i > 0 {
			p.line()
		}
		p.failure(group)
		p.outcome(group, done.Results, i == len(groups)-1)
	}
}

// failureGroups puts together the targets that failed at the same step.
func failureGroups(results []executor.TargetResult) [][]executor.TargetResult {
	var groups [][]executor.TargetResult
	for _, r := range results {
		if r.State != executor.Failed {
			continue
		}
		i := slices.IndexFunc(groups, func(g []executor.TargetResult) bool {
			first := g[0].Failure
			return first != nil && r.Failure != nil && r.Failure.Step.ID != "" &&
				first.Step.ID == r.Failure.Step.ID
		})
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], r)
	}
	return groups
}

// failure prints the first part of a screen: what failed.
func (p *printer) failure(group []executor.TargetResult) {
	var names []string
	for _, r := range group {
		names = append(names, p.paint(SanitizeLine(r.Target), bold))
	}
	title := strings.Join(names, ", ") + p.paint(" failed", red)
	f := group[0].Failure
	if f == nil {
		p.line(title)
		if err := group[0].Err; err != nil {
			p.line()
			p.text(err.Error(), "  ")
		}
		return
	}
	p.line(title + stepPlace(f.Step))
	p.excerpt(f)
	p.log(f)
}

// stepPlace says where a step is: " at step 4/7, services/api/Dockerfile:9".
func stepPlace(s executor.Step) string {
	var text string
	if s.Number > 0 {
		text = fmt.Sprintf(" at step %d/%d", s.Number, s.Total)
	} else if s.Name != "" {
		text = " at " + SanitizeLine(s.Name)
	}
	if s.Platform != "" {
		text += " for " + SanitizeLine(s.Platform)
	}
	if s.Place != "" {
		text += ", " + SanitizeLine(s.Place)
	}
	return text
}

// excerpt prints the source lines with the reason under the guilty ones, or
// the step and the reason if there is no source.
func (p *printer) excerpt(f *executor.Failure) {
	reason := f.Message
	if f.Ran > 0 {
		reason += " after " + Duration(f.Ran)
	}
	digits, guilty := 1, -1
	for i, line := range f.Excerpt {
		digits = max(digits, len(fmt.Sprint(line.Number)))
		if line.Guilty {
			guilty = i
		}
	}
	p.line()
	if guilty < 0 {
		if f.Step.Number > 0 && f.Step.Name != "" {
			p.line("  ", SanitizeLine(f.Step.Name))
		}
		p.text(reason, "  ")
	}
	for i, line := range f.Excerpt {
		code := plainText
		if line.Guilty {
			code = bold
		}
		number := padLeft(fmt.Sprint(line.Number), digits)
		p.line("  ", p.paint(number+" │ ", dim), p.paint(Sanitize(line.Text, false), code))
		if i == guilty {
			p.reason(reason, "  "+padLeft("", digits)+" ")
		}
	}
}

// reason prints a message under its source line.
func (p *printer) reason(text, indent string) {
	mark := "╰─ "
	for line := range strings.Lines(Sanitize(strings.TrimSpace(text), false)) {
		p.line(indent, p.paint("│ ", dim), p.paint(mark+strings.TrimRight(line, "\n"), red))
		mark = "   "
	}
}

// log prints all that is known of the output of a step.
func (p *printer) log(f *executor.Failure) {
	log := strings.Trim(string(f.Log), "\r\n")
	if log == "" {
		return
	}
	p.line()
	if f.Clipped {
		p.line("   ", p.paint("… the beginning of the output is left out", dim))
	}
	for line := range strings.Lines(log) {
		p.line("   ", sanitizeLog(strings.TrimRight(line, "\r\n"), p.s.color))
	}
}

// text prints a text of any number of lines after indent.
func (p *printer) text(text, indent string) {
	for line := range strings.Lines(Sanitize(strings.TrimSpace(text), false)) {
		p.line(indent, strings.TrimRight(line, "\n"))
	}
}

// outcome prints the last part of a screen: what a failure left behind. What
// was kept and what was canceled concern the whole build and come once.
func (p *printer) outcome(group, results []executor.TargetResult, last bool) {
	var facts [][2]string
	if last {
		canceled := named(results, func(r executor.TargetResult) bool {
			return r.State == executor.Canceled
		})
		facts = append(facts, [2]string{"kept", kept(tally(results))},
			[2]string{"canceled", strings.Join(canceled, ", ")})
	}
	for _, failed := range group {
		facts = append(facts, [2]string{"skipped", skipped(results, failed.Target)})
	}
	if f := group[0].Failure; f != nil {
		facts = append(facts, [2]string{"again", SanitizeLine(f.Command)})
	}
	facts = slices.DeleteFunc(facts, func(f [2]string) bool { return f[1] == "" })
	if len(facts) > 0 {
		p.line()
	}
	for _, f := range facts {
		p.line("  ", p.paint(pad(f[0], 9), dim), f[1])
	}
}

// skipped lists what was skipped because a target failed.
func skipped(results []executor.TargetResult, failed string) string {
	names := named(results, func(r executor.TargetResult) bool {
		return r.State == executor.Skipped && r.Blame == failed
	})
	need := " (need "
	switch len(names) {
	case 0:
		return ""
	case 1:
		need = " (needs "
	}
	return strings.Join(names, ", ") + need + SanitizeLine(failed) + ")"
}

// kept counts what a failed build still gave.
func kept(n map[executor.State]int) string {
	var parts []string
	if built := n[executor.Built]; built > 0 {
		parts = append(parts, count(built, "target")+" built")
	}
	if cached := n[executor.Cached]; cached > 0 {
		if len(parts) == 0 {
			parts = append(parts, count(cached, "target")+" cached")
		} else {
			parts = append(parts, fmt.Sprintf("%d cached", cached))
		}
	}
	if reused := n[executor.Reused] + n[executor.Retagged]; reused > 0 {
		if len(parts) == 0 {
			parts = append(parts, count(reused, "target")+" reused")
		} else {
			parts = append(parts, fmt.Sprintf("%d reused", reused))
		}
	}
	return strings.Join(parts, ", ")
}

// named lists the targets for which keep is true; many are counted.
func named(results []executor.TargetResult, keep func(executor.TargetResult) bool) []string {
	const most = 8
	var names []string
	rest := 0
	for _, r := range results {
		switch {
		case !keep(r):
		case len(names) == most:
			rest++
		default:
			names = append(names, SanitizeLine(r.Target))
		}
	}
	if rest > 0 {
		names = append(names, fmt.Sprintf("%d more", rest))
	}
	return names
}
