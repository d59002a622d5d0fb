package report

import (
	"fmt"
	"io"

	"github.com/strata-build/strata/plan"
)

// An AffectedDocument is the JSON form of what strata affected says. See
// docs/reference/plan.md.
type AffectedDocument struct {
	Schema  int              `json:"schema"`          // PlanSchema
	Since   *AffectedSince   `json:"since,omitempty"` // nil if the files were named
	Targets []AffectedTarget `json:"targets"`
}

// AffectedSince is what a checkout is compared with.
type AffectedSince struct {
	Revision string `json:"revision"` // as the user named it
	Commit   string `json:"commit"`
	Files    int    `json:"files"` // that differ
	Shallow  bool   `json:"shallow,omitempty"`
}

// An AffectedTarget is a target that a change touches.
type AffectedTarget struct {
	Name    string        `json:"name"`
	Needs   []string      `json:"needs,omitempty"`
	Reasons []plan.Reason `json:"reasons"`
}

// AffectedJSON writes list as JSON.
func AffectedJSON(w io.Writer, since *AffectedSince, list []plan.Affected) error {
	doc := AffectedDocument{Schema: PlanSchema, Since: since, Targets: []AffectedTarget{}}
	for _, a := range list {
		doc.Targets = append(doc.Targets, AffectedTarget(a))
	}
	return writeDocument(w, doc)
}

// Affected prints a line a target, with its first reason.
func Affected(w io.Writer, t Terminal, list []plan.Affected) error {
	pr := newPrinter(w, t)
	var rows [][]string
	for _, a := range list {
		r := a.Reasons[0]
		text := affectedText(r)
		if more := len(a.Reasons) - 1; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		rows = append(rows, []string{a.Name, text})
	}
	if len(rows) > 0 {
		pr.table([]Column{{}, {Kind: Free}}, rows, "")
	}
	return pr.err
}

// affectedText says a reason with its place.
func affectedText(r plan.Reason) string {
	text := ReasonText(r)
	switch {
	case r.Kind == plan.KindNew:
		text = "new"
	case r.Kind == plan.KindFile && r.From != "" && r.To != "", r.Kind == plan.KindFile && r.From == r.To:
		text = r.Path
	}
	if r.Place != "" {
		text += " (" + r.Place + ")"
	}
	return text
}

// AffectedNames prints the names alone, a line each.
func AffectedNames(w io.Writer, list []plan.Affected) error {
	for _, a := range list {
		if _, err := fmt.Fprintln(w, a.Name); err != nil {
			return err
		}
	}
	return nil
}
