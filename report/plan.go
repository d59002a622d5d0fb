package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-build/strata/plan"
)

// PlanSchema is the version of the JSON form of a plan.
const PlanSchema = 1

// A PlanDocument is the JSON form of a plan. See docs/reference/plan.md.
type PlanDocument struct {
	Schema       int          `json:"schema"`
	Request      *PlanRequest `json:"request,omitempty"` // in a plan file
	Targets      []PlanTarget `json:"targets"`
	CriticalPath []string     `json:"criticalPath"`
	Estimate     int64        `json:"estimateNs"` // of the critical path; 0 if unknown
}

// A PlanRequest is what a plan file was made for.
type PlanRequest struct {
	Files   []string `json:"files,omitempty"`
	Targets []string `json:"targets,omitempty"`
	Args    []string `json:"args,omitempty"` // flags as given
}

// A PlanTarget is what is decided for one target.
type PlanTarget struct {
	Name        string        `json:"name"`
	Action      plan.Action   `json:"action"`
	Fingerprint string        `json:"fingerprint"`
	Reasons     []plan.Reason `json:"reasons"`
	Implicit    bool          `json:"implicit,omitempty"` // only needed by others
	Needs       []string      `json:"needs,omitempty"`
	Steps       []PlanStep    `json:"steps,omitempty"` // of a target to solve
	Estimate    int64         `json:"estimateNs,omitempty"`
	Digest      string        `json:"digest,omitempty"` // of the image that is there
}

// A PlanStep is a step of a target to solve.
type PlanStep struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Place  string `json:"place,omitempty"`
	Runs   bool   `json:"runs"` // else it is expected in the engine's cache
}

// NewPlanDocument returns the JSON form of p.
func NewPlanDocument(p *plan.Plan) PlanDocument {
	doc := PlanDocument{Schema: PlanSchema, Targets: []PlanTarget{}, CriticalPath: p.Critical, Estimate: int64(p.Estimate)}
	if doc.CriticalPath == nil {
		doc.CriticalPath = []string{}
	}
	for _, t := range p.Targets {
		one := PlanTarget{
			Name: t.Name, Action: t.Action, Fingerprint: string(t.Fingerprint), Reasons: t.Reasons,
			Implicit: t.Implicit, Needs: t.Needs, Estimate: int64(t.Estimate),
		}
		if one.Reasons == nil {
			one.Reasons = []plan.Reason{}
		}
		if t.Entry != nil {
			one.Digest = t.Entry.Digest
		}
		for _, s := range t.Steps {
			one.Steps = append(one.Steps, PlanStep{s.Number, s.Name, s.Place, s.Runs})
		}
		doc.Targets = append(doc.Targets, one)
	}
	return doc
}

// PlanJSON writes p as JSON.
func PlanJSON(w io.Writer, p *plan.Plan) error {
	return writeDocument(w, NewPlanDocument(p))
}

// Plan prints what would be done, a line a target, and the sum. With all, also
// the targets for which nothing has to be done.
func Plan(w io.Writer, t Terminal, p *plan.Plan, all bool) error {
	pr := newPrinter(w, t)
	var rows [][]string
	for _, action := range []plan.Action{plan.Solve, plan.Retag, plan.Reuse} {
		if action == plan.Reuse && !all {
			continue
		}
		for _, x := range p.Targets {
			if x.Action == action {
				rows = append(rows, planRow(x))
			}
		}
	}
	if n := p.Count(plan.Reuse); n > 0 && !all {
		rows = append(rows, []string{"=", "reuse", count(n, "target"), "", "", ""})
	}
	if len(rows) > 0 {
		pr.table([]Column{{}, {Kind: State}, {}, {Kind: Free}, {}, {Kind: Number}}, rows, "  ")
	}
	pr.line(planTotals(p))
	return pr.err
}

var marks = map[plan.Action]string{plan.Solve: "+", plan.Retag: "~", plan.Reuse: "="}

func planRow(t *plan.Target) []string {
	row := []string{marks[t.Action], string(t.Action), t.Name, "", "", ""}
	if len(t.Reasons) > 0 {
		row[3] = SanitizeLine(ReasonText(t.Reasons[0]))
		if more := len(t.Reasons) - 1; more > 0 {
			row[3] += fmt.Sprintf(" (and %d more)", more)
		}
	}
	row[4] = stepRange(t.Steps)
	if t.Estimate > 0 {
		row[5] = "~" + Duration(t.Estimate)
	}
	return row
}

// stepRange names the steps that are expected to run: "steps 4-7 of 7".
func stepRange(steps []plan.Step) string {
	total := 0
	for _, s := range steps {
		total = max(total, s.Number)
	}
	switch text := stepNumbers(steps); {
	case len(steps) == 0:
		return ""
	case text == "":
		return "no step"
	default:
		return fmt.Sprintf("%s of %d", text, total)
	}
}

// stepNumbers names the steps that are expected to run: "steps 4-7", "" if none
// is.
func stepNumbers(steps []plan.Step) string {
	var parts []string
	first, last := 0, 0
	flush := func() {
		switch {
		case first == 0:
		case first == last:
			parts = append(parts, strconv.Itoa(first))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
		first = 0
	}
	n := 0
	for _, s := range steps {
		if !s.Runs {
			continue
		}
		n++
		if first != 0 && s.Number == last+1 {
			last = s.Number
			continue
		}
		flush()
		first, last = s.Number, s.Number
	}
	flush()
	switch n {
	case 0:
		return ""
	case 1:
		return "step " + parts[0]
	}
	return "steps " + strings.Join(parts, ", ")
}

func planTotals(p *plan.Plan) string {
	solve, retag, reuse := p.Count(plan.Solve), p.Count(plan.Retag), p.Count(plan.Reuse)
	if solve == 0 && retag == 0 {
		return fmt.Sprintf("Plan: nothing to do, %s reused.", count(reuse, "target"))
	}
	text := fmt.Sprintf("Plan: %d to solve", solve)
	if p.Estimate >= 100*time.Millisecond {
		text += fmt.Sprintf(" (about %s on the critical path %s)", Duration(p.Estimate), strings.Join(p.Critical, " › "))
	}
	return text + fmt.Sprintf(", %d to retag, %d reused.", retag, reuse)
}

// ReasonText says a reason in a few words.
func ReasonText(r plan.Reason) string {
	switch r.Kind {
	case plan.KindForced:
		return "asked for by " + r.Path
	case plan.KindNew:
		return "never built here"
	case plan.KindAge:
		return "built at " + r.From + ", longer ago than allowed"
	case plan.KindMissing:
		if r.Path == "" {
			return "what was made is gone"
		}
		return r.Path + " is gone"
	case plan.KindOutput:
		return changedText("output", r)
	case plan.KindUnpinned:
		return "nobody here can tell whether this changed: " + r.Path
	case plan.KindFrontend:
		return changedText("front end", r)
	case plan.KindPlatform:
		return changedText("platform", r)
	case plan.KindBase:
		if r.From != "" && r.To == r.Path {
			return "base image " + familiar(r.From) + " is now " + familiar(r.To)
		}
		return "base image " + verb(r, familiar(r.Path), "moved")
	case plan.KindArg:
		return "argument " + verb(r, r.Path, "changed")
	case plan.KindStep:
		return "step " + verb(r, r.Path, "changed")
	case plan.KindConfig:
		return "image config " + verb(r, r.Path, "changed")
	case plan.KindFile:
		return verb(r, r.Path, "changed")
	case plan.KindParent:
		return "needs " + r.Path
	case plan.KindTag:
		return r.Path + " is elsewhere, the image is there"
	}
	return r.Path
}

func changedText(what string, r plan.Reason) string { return what + " " + verb(r, r.Path, "changed") }

func verb(r plan.Reason, what, changed string) string {
	switch {
	case r.From == "" && r.To != "":
		return what + " is new"
	case r.From != "" && r.To == "":
		return what + " is no more"
	}
	return what + " " + changed
}

// ReasonKinds lists the kinds of reasons, for the schema.
func ReasonKinds() []string {
	kinds := []string{
		plan.KindForced, plan.KindNew, plan.KindAge, plan.KindMissing, plan.KindOutput, plan.KindUnpinned, plan.KindFrontend,
		plan.KindPlatform, plan.KindBase, plan.KindArg, plan.KindStep, plan.KindConfig, plan.KindFile, plan.KindParent, plan.KindTag, plan.KindUnknown,
	}
	slices.Sort(kinds)
	return kinds
}
