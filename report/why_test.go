package report

import (
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/plan"
)

func TestWhy(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	since := &WhyRecord{Run: "3f2a9c1b00000000", Built: now.Add(-3 * time.Hour), Branch: "main", Revision: "71c0e2d4ffffffff"}
	shared := &WhyRecord{Run: "aa", Built: now.Add(-time.Minute), Scope: "main"}
	steps := []PlanStep{{1, "COPY go.mod .", "Dockerfile:2", false}, {2, "RUN go build", "Dockerfile:3", true}, {3, "COPY x /", "", true}, {5, "RUN y", "", true}}
	digests := [2]string{"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("b", 64)}
	var many []plan.Reason
	for _, name := range strings.Fields("a b c d e f g h i j k l") {
		many = append(many, plan.Reason{Kind: plan.KindFile, Path: name, Place: "Dockerfile:8", To: "x"})
	}
	base := WhyTarget{
		Name: "base", Action: plan.Solve, Since: since, Inputs: &WhyInputs{9, 2}, Steps: steps,
		Reasons: []plan.Reason{
			{Kind: plan.KindBase, Path: "docker.io/library/golang:1.26", Place: "Dockerfile:1", From: digests[0], To: digests[1]},
			{Kind: plan.KindBase, Path: "docker.io/library/debian:13", Place: "Dockerfile:5", From: "docker.io/library/debian:12", To: "docker.io/library/debian:13"},
		},
		Lines: map[string]string{"Dockerfile:1": "FROM golang:1.26", "Dockerfile:5": "FROM debian:13"},
	}
	list := []WhyTarget{
		{
			Name: "app", Action: plan.Solve, Since: since, Inputs: &WhyInputs{214, 1}, Steps: steps, Because: []WhyTarget{base},
			Reasons: []plan.Reason{{Kind: plan.KindParent, Path: "base", Place: "build.hcl:3", From: "x", To: "y"}},
			Same:    map[string][]string{plan.KindBase: {"docker.io/library/golang:1.26"}, plan.KindArg: {"A"}, plan.KindStep: {"1"}, plan.KindParent: {"tools"}}, SameFiles: 212,
			Lines: map[string]string{"build.hcl:3": `contexts = { base = "target:base" }`},
		},
		{
			Name: "steps", Action: plan.Solve, Since: since, Inputs: &WhyInputs{20, 5},
			Reasons: []plan.Reason{
				{Kind: plan.KindStep, Path: "RUN make all", Place: "Dockerfile:4", From: "RUN make", To: "RUN make all"},
				{Kind: plan.KindStep, Path: "RUN new", Place: "Dockerfile:5", To: "RUN new"},
				{Kind: plan.KindStep, Path: "RUN old", Place: "Dockerfile:6", From: "RUN old"},
				{Kind: plan.KindArg, Path: "V", Place: "build.hcl:7", From: "1"},
				{Kind: plan.KindConfig, Path: "Cmd", From: `["a"]`, To: `["b"]`},
			},
		},
		{Name: "many", Action: plan.Solve, Since: since, Inputs: &WhyInputs{12, 12}, Reasons: many, Lines: map[string]string{"Dockerfile:8": "COPY . .\x1b[31m"}},
		{Name: "fresh", Action: plan.Solve, Reasons: []plan.Reason{{Kind: plan.KindNew}}, Steps: steps},
		{Name: "forced", Action: plan.Solve, Since: since, Inputs: &WhyInputs{5, 0}, Reasons: []plan.Reason{{Kind: plan.KindForced, Path: "no-cache", Place: "build.hcl:9"}}},
		{Name: "exported", Action: plan.Solve, Since: since, Inputs: &WhyInputs{5, 1}, Steps: steps[:1], Reasons: []plan.Reason{{Kind: plan.KindFile, Path: "x", From: "0644", To: "0755"}}},
		{Name: "there", Action: plan.Reuse, Since: shared, Inputs: &WhyInputs{5, 0}, SameFiles: 3, Reasons: []plan.Reason{}},
		{Name: "moved", Action: plan.Retag, Since: since, Reasons: []plan.Reason{{Kind: plan.KindTag, Path: "shop/web:dev"}}},
		{Name: "older", Action: plan.Reuse, Since: shared, Inputs: &WhyInputs{1, 1}, Reasons: []plan.Reason{{Kind: plan.KindFile, Path: "x", From: "1"}}},
		{Name: "two", Since: since, Until: shared, Inputs: &WhyInputs{3, 0}},
	}
	var out strings.Builder
	for _, term := range []Terminal{{}, {OutTTY: true, OutColor: true, Size: func() (int, int) { return 60, 24 }}} {
		var b strings.Builder
		term.Out = &b
		if err := Why(&b, term, list, now); err != nil {
			t.Fatal(err)
		}
		out.WriteString("===\n" + b.String())
	}
	golden(t, "why.golden", out.String())
}

func TestAffectedText(t *testing.T) {
	list := []plan.Affected{
		{Name: "api", Reasons: []plan.Reason{{Kind: plan.KindFile, Path: "api/main.go", Place: "api/Dockerfile:8", From: "a", To: "b"}, {Kind: plan.KindArg, Path: "V"}}},
		{Name: "web", Reasons: []plan.Reason{{Kind: plan.KindFile, Path: "web/\x1b[31mnew", To: "b"}}},
		{Name: "site", Reasons: []plan.Reason{{Kind: plan.KindNew, Place: "build.hcl:3"}}},
		{Name: "gateway", Reasons: []plan.Reason{{Kind: plan.KindParent, Path: "api", Place: "build.hcl:9"}}},
	}
	var b strings.Builder
	if err := Affected(&b, Terminal{Out: &b}, list); err != nil {
		t.Fatal(err)
	}
	golden(t, "affected.golden", b.String())
}
