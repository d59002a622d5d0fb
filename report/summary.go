package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/strata-build/strata/executor"
)

// Summary prints the end screen of a build: a table of the targets, what was
// written, and a line of totals.
func Summary(w io.Writer, t Terminal, done executor.RunDone) {
	p := newPrinter(w, t)
	columns := []Column{
		{Title: "TARGET"},
		{Title: "STATE", Kind: State},
		{Title: "TIME", Kind: Number},
		{Title: "SIZE", Kind: Number},
		{Title: "DIGEST", Optional: true},
		{Title: "TAGS"},
	}
	var rows [][]string
	for _, r := range done.Results {
		rows = append(rows, resultRows(r)...)
	}
	if len(rows) > 0 {
		p.table(columns, rows, "")
	}
	p.outputs(done.Results)
	p.line(totals(done))
}

// resultRows is the row of a target, and one more for each further tag.
func resultRows(r executor.TargetResult) [][]string {
	row := []string{r.Target, string(r.State), none, none, ShortDigest(r.Digest), ""}
	if r.Duration > 0 && r.State != executor.Reused {
		row[2] = Duration(r.Duration)
	}
	if r.Digest != "" || r.Size > 0 {
		row[3] = Bytes(r.Size)
	}
	if len(r.Tags) == 0 {
		return [][]string{row}
	}
	row[5] = r.Tags[0]
	rows := [][]string{row}
	for _, tag := range r.Tags[1:] {
		rows = append(rows, []string{"", "", "", "", "", tag})
	}
	return rows
}

// outputs prints what was written, under the target it was written for.
func (p *printer) outputs(results []executor.TargetResult) {
	var rows [][]string
	for _, r := range results {
		name := r.Target
		for _, output := range r.Outputs {
			rows = append(rows, []string{name, output})
			name = ""
		}
	}
	if len(rows) == 0 {
		return
	}
	p.line()
	p.table([]Column{{}, {}}, rows, "  ")
	p.line()
}

// totals counts the states of all targets: "17 targets: 2 built, 15 cached,
// 0 failed in 6.4s".
func totals(done executor.RunDone) string {
	n := tally(done.Results)
	var parts []string
	for _, state := range []executor.State{
		executor.Built, executor.Cached, executor.Retagged, executor.Reused, executor.Skipped, executor.Canceled,
		executor.Running, executor.Waiting, executor.Failed,
	} {
		if n[state] > 0 || state == executor.Failed {
			parts = append(parts, fmt.Sprintf("%d %s", n[state], state))
		}
	}
	text := count(len(done.Results), "target") + ": " + strings.Join(parts, ", ")
	if !done.Started.IsZero() {
		text += " in " + Duration(done.Time.Sub(done.Started))
	}
	return text
}

func tally(results []executor.TargetResult) map[executor.State]int {
	n := map[executor.State]int{}
	for _, r := range results {
		n[r.State]++
	}
	return n
}

// Digests prints the digest of each target that made an image, one a line, in
// the order of the results: all that a quiet build prints to standard output.
func Digests(w io.Writer, done executor.RunDone) error {
	p := &printer{w: w, s: surface{ci: true}}
	for _, r := range done.Results {
		if r.State.Done() && r.Digest != "" {
			p.line(SanitizeLine(r.Digest))
		}
	}
	return p.err
}
