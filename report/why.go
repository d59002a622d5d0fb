package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/strata-build/strata/plan"
)

// A WhyDocument is the JSON form of what strata why says. See
// docs/reference/plan.md.
type WhyDocument struct {
	Schema  int         `json:"schema"` // PlanSchema
	Targets []WhyTarget `json:"targets"`
}

// A WhyTarget says why a target is what it is.
type WhyTarget struct {
	Name        string        `json:"name"`
	Action      plan.Action   `json:"action,omitempty"` // "" between two records
	Fingerprint string        `json:"fingerprint"`
	Reasons     []plan.Reason `json:"reasons"`
	Since       *WhyRecord    `json:"since,omitempty"` // what it is compared with; nil if there is nothing
	Until       *WhyRecord    `json:"until,omitempty"` // nil is now

	Inputs    *WhyInputs          `json:"inputs,omitempty"`
	Same      map[string][]string `json:"same,omitempty"` // names by kind
	SameFiles int                 `json:"sameFiles,omitempty"`
	Steps     []PlanStep          `json:"steps,omitempty"`   // of a target to solve
	Because   []WhyTarget         `json:"because,omitempty"` // needed targets that are reasons, each told once

	Lines map[string]string `json:"-"` // text of places
}

// A WhyRecord is one success that something is compared with.
type WhyRecord struct {
	Run         string    `json:"run"`
	Fingerprint string    `json:"fingerprint"`
	Built       time.Time `json:"built"`
	Revision    string    `json:"revision,omitempty"`
	Branch      string    `json:"branch,omitempty"`
	Scope       string    `json:"scope,omitempty"` // of the shared cache, "" if it is of this machine
}

// WhyInputs counts inputs, each file as one.
type WhyInputs struct {
	Total   int `json:"total"`
	Changed int `json:"changed"`
}

// WhyJSON writes list as JSON.
func WhyJSON(w io.Writer, list []WhyTarget) error {
	return writeDocument(w, WhyDocument{PlanSchema, list})
}

func writeDocument(w io.Writer, doc any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(doc)
}

// Why prints why each target is what it is: the answer, then the first causes
// with their lines, then what follows, then what is the same.
func Why(w io.Writer, t Terminal, list []WhyTarget, now time.Time) error {
	pr := newPrinter(w, t)
	for i, x := range list {
		if i > 0 {
			pr.line()
		}
		pr.why(x, "", now)
	}
	return pr.err
}

func (p *printer) why(t WhyTarget, indent string, now time.Time) {
	head := t.headline(now)
	if indent != "" {
		head = "because " + head
	}
	p.line(indent, SanitizeLine(head))
	if rows := t.rows(); len(rows) > 0 {
		p.line()
		p.findings(rows, indent+"  ")
	}
	for _, need := range t.Because {
		p.line()
		p.why(need, indent+"  ", now)
	}
}

// findings prints rows of a label, a fact and what more there is to it, in columns.
// A fact of which there is no more may be as long as it likes. What more there is
// is cut to the terminal, if it is one.
func (p *printer) findings(rows [][]string, indent string) {
	labels, facts := 0, 0
	for i, row := range rows {
		for len(row) < 3 {
			row = append(row, "")
		}
		for j := range row {
			row[j] = SanitizeLine(row[j])
		}
		rows[i] = row
		labels = max(labels, width(row[0]))
		if row[2] != "" {
			facts = max(facts, width(row[1]))
		}
	}
	for _, row := range rows {
		more := row[2]
		if room := p.s.width - width(indent) - labels - facts - 2*len(gap); p.s.tty && p.s.width > 0 && room < width(more) {
			more = cut(more, max(room, minFree))
		}
		label := pad(row[0], labels)
		p.line(indent, p.paint(label, dim), gap, pad(row[1], facts), gap, more)
	}
}

// headline is the answer in one sentence.
func (t WhyTarget) headline(now time.Time) string {
	if t.Until != nil {
		return fmt.Sprintf("%s: %s between %s and %s", t.Name, t.changedCount(), t.Since.text(now), t.Until.text(now))
	}
	switch {
	case t.Action == plan.Reuse && len(t.Reasons) > 0, t.Action == "":
		return fmt.Sprintf("%s: %s since %s", t.Name, t.changedCount(), t.Since.text(now))
	case t.Action == plan.Reuse:
		return fmt.Sprintf("%s need not be solved: nothing has changed since %s", t.Name, t.Since.text(now))
	case t.Action == plan.Retag:
		return fmt.Sprintf("%s need not be solved, only its tags be moved: nothing has changed since %s", t.Name, t.Since.text(now))
	case t.Inputs != nil && t.Inputs.Changed > 0:
		return fmt.Sprintf("%s must be solved: %s since %s", t.Name, t.changedCount(), t.Since.text(now))
	case t.Inputs != nil:
		return fmt.Sprintf("%s must be solved, though its %s are as they were in %s", t.Name, count(t.Inputs.Total, "input"), t.Since.text(now))
	}
	if len(t.Reasons) == 0 {
		return t.Name + " must be solved"
	}
	return t.Name + " must be solved: " + ReasonText(t.Reasons[0])
}

func (t WhyTarget) changedCount() string {
	switch {
	case t.Inputs == nil:
		return "something has changed"
	case t.Inputs.Changed == 0:
		return fmt.Sprintf("none of its %s changed", count(t.Inputs.Total, "input"))
	case t.Inputs.Total == 1:
		return "its one input changed"
	}
	return fmt.Sprintf("%d of its %s changed", t.Inputs.Changed, count(t.Inputs.Total, "input"))
}

// text names a record: "run 3f2a9c1b (main, 3 hours ago)".
func (r *WhyRecord) text(now time.Time) string {
	if r == nil {
		return "it was built last"
	}
	var where []string
	if r.Scope != "" {
		where = append(where, "scope "+r.Scope)
	}
	if r.Branch != "" {
		where = append(where, r.Branch)
	}
	if r.Revision != "" {
		where = append(where, cutText(r.Revision, 8))
	}
	where = append(where, Ago(r.Built, now))
	return fmt.Sprintf("run %s (%s)", cutText(r.Run, 8), strings.Join(where, ", "))
}

func cutText(s string, n int) string { return s[:min(n, len(s))] }

// stepWidth is how many columns of a step are shown.
const stepWidth = 72

// shownReasons is how many causes the text form names.
const shownReasons = 10

// rows are the causes with their lines, what follows, and what is the same.
func (t WhyTarget) rows() [][]string {
	rows := t.causes()
	if t.Action == plan.Solve {
		rows = append(rows, t.follows()...)
	}
	if same := t.sameText(); same != "" {
		rows = append(rows, []string{"same", same})
	}
	return rows
}

func (t WhyTarget) causes() [][]string {
	var rows [][]string
	place := ""
	for i, r := range t.Reasons {
		if t.Inputs == nil && i == 0 && r.Place == "" {
			continue // the headline has said it
		}
		if i == shownReasons {
			rows = append(rows, []string{"", fmt.Sprintf("and %d more; --json lists them", len(t.Reasons)-i)})
			break
		}
		what, detail := causeText(r)
		if place != "" && place != r.Place {
			rows = append(rows, t.placeRow(t.Reasons[i-1]))
		}
		rows = append(rows, []string{r.Kind, what, detail})
		place = r.Place
	}
	if place != "" {
		rows = append(rows, t.placeRow(t.Reasons[min(len(t.Reasons), shownReasons)-1]))
	}
	return rows
}

// placeRow is the line that reads or declares what changed.
func (t WhyTarget) placeRow(r plan.Reason) []string {
	label := map[string]string{plan.KindFile: "read by", plan.KindArg: "set by", plan.KindBase: "named by", plan.KindParent: "named by"}[r.Kind]
	if label == "" {
		label = "at"
	}
	if r.To == "" && r.From != "" && r.Kind != plan.KindFile {
		label = "was at"
	}
	return []string{label, r.Place, t.Lines[r.Place]}
}

// causeText says what changed, and how.
func causeText(r plan.Reason) (what, detail string) {
	from, to := r.From, r.To
	switch r.Kind {
	case plan.KindFile:
		return fileSign(r) + " " + r.Path, shift(from, to)
	case plan.KindBase:
		if to == r.Path {
			from, to = familiar(from), familiar(to)
		}
		return familiar(r.Path), shift(shortDigest(from), shortDigest(to))
	case plan.KindParent:
		return r.Path, ""
	case plan.KindStep:
		return cut(SanitizeLine(r.Path), stepWidth), stepShift(r)
	case plan.KindArg, plan.KindConfig, plan.KindFrontend, plan.KindPlatform, plan.KindOutput:
		return r.Path, shift(from, to)
	}
	return ReasonText(r), ""
}

// fileSign is + for a new file, - for one that is gone and ~ for one that
// changed.
func fileSign(r plan.Reason) string {
	switch {
	case r.From == "" && r.To != "":
		return "+"
	case r.To == "" && r.From != "":
		return "-"
	}
	return "~"
}

func shift(from, to string) string {
	switch {
	case from == to: // both may be empty
		return ""
	case from == "":
		return "new"
	case to == "":
		return "no more"
	}
	return from + " → " + to
}

// stepShift says what a step was before, if its text changed.
func stepShift(r plan.Reason) string {
	switch {
	case r.From == "":
		return "new"
	case r.To == "":
		return "no more"
	case r.To == r.Path:
		return "was " + r.From
	}
	return "the same text, other effect"
}

func shortDigest(s string) string {
	if strings.HasPrefix(s, "sha256:") {
		return ShortDigest(s)
	}
	return s
}

// familiar is a reference as people write it.
func familiar(ref string) string {
	return strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/")
}

// follows tells of the steps that must run: the first by its text, the others
// by their numbers.
func (t WhyTarget) follows() [][]string {
	i := slices.IndexFunc(t.Steps, func(s PlanStep) bool { return s.Runs })
	if i < 0 {
		if len(t.Steps) == 0 {
			return nil
		}
		return [][]string{{"so", "no step has to run, only its image be made"}}
	}
	again := "must run again"
	if t.Since == nil {
		again = "must run"
	}
	rows := [][]string{{"so", fmt.Sprintf("step %d  %s", t.Steps[i].Number, cut(SanitizeLine(t.Steps[i].Name), stepWidth)), again}}
	var rest []plan.Step
	for _, s := range t.Steps[i+1:] {
		rest = append(rest, plan.Step{Number: s.Number, Runs: s.Runs})
	}
	if text := stepNumbers(rest); text != "" {
		rows = append(rows, []string{"", text, "as well"})
	}
	return rows
}

// sameText lists what is as it was.
func (t WhyTarget) sameText() string {
	var parts []string
	for _, ref := range t.Same[plan.KindBase] {
		parts = append(parts, "base image "+familiar(ref))
	}
	if n := len(t.Same[plan.KindArg]); n > 0 {
		parts = append(parts, count(n, "argument"))
	}
	if n := t.SameFiles; n > 0 {
		parts = append(parts, count(n, "file"))
	}
	if !t.dockerfileChanged() && len(t.Same[plan.KindStep])+len(t.Same[plan.KindConfig]) > 0 {
		parts = append(parts, "Dockerfile")
	}
	for _, name := range t.Same[plan.KindParent] {
		parts = append(parts, "parent "+name)
	}
	return strings.Join(parts, ", ")
}

func (t WhyTarget) dockerfileChanged() bool {
	return slices.ContainsFunc(t.Reasons, func(r plan.Reason) bool {
		named := r.From == "" || r.To == "" || r.To == r.Path
		return r.Kind == plan.KindStep || r.Kind == plan.KindConfig || r.Kind == plan.KindBase && named
	})
}
