package report

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/executor"
)

func TestSummary(t *testing.T) {
	var out strings.Builder
	for _, term := range []Terminal{
		{},
		{IsTTY: true, Color: true, Size: func() (int, int) { return 60, 24 }},
	} {
		var b bytes.Buffer
		term.Err = &b
		Summary(&b, term, shopRun())
		out.WriteString("===\n" + b.String())
	}
	var b bytes.Buffer
	Summary(&b, Terminal{Err: &b}, executor.RunDone{})
	golden(t, "summary.golden", out.String()+"===\n"+b.String())
}

func TestDigests(t *testing.T) {
	var b bytes.Buffer
	if err := Digests(&b, shopRun()); err != nil {
		t.Fatal(err)
	}
	if want := digestA + "\n" + digestB + "\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestFailures(t *testing.T) {
	failed := func(name string, f *executor.Failure) executor.TargetResult {
		return executor.TargetResult{Target: name, State: executor.Failed, Failure: f, Err: errors.New("lost\nthe engine")}
	}
	shared := &executor.Failure{
		Step:    executor.Step{ID: "1", Number: 1, Total: 2, Name: "FROM golang:9", Platform: "linux/arm64"},
		Message: "golang:9: not found", Command: "strata build web",
	}
	internal := &executor.Failure{
		Step: executor.Step{ID: "2", Name: "exporting layers", Internal: true}, Message: "no space left on device\non /var",
	}
	long := shopRun().Results[2].Failure
	long.Clipped = true
	long.Log = []byte("\x1b[31merror\x1b[0m\r\n10%\r99%\n\n::error::x\n" + strings.Repeat("x", 300))
	long.Message = "process \"/bin/sh -c go build\" did not complete:\n  exit status 1"
	tests := []struct {
		name    string
		results []executor.TargetResult
	}{
		{"one", shopRun().Results},
		{"nothing", []executor.TargetResult{{Target: "a", State: executor.Built}}},
		{"no step", []executor.TargetResult{failed("a", nil)}},
		{"shared step", []executor.TargetResult{
			failed("a", shared), failed("b", shared), {Target: "c", State: executor.Canceled},
			{Target: "d", State: executor.Skipped, Blame: "b"}, {Target: "e", State: executor.Built},
		}},
		{"engine", []executor.TargetResult{failed("a", internal)}},
		{"several", append(manySkipped("a"), failed("a", long), failed("b", internal))},
	}
	var out strings.Builder
	for _, tt := range tests {
		for _, color := range []bool{false, true} {
			var b bytes.Buffer
			Failures(&b, Terminal{Err: &b, Color: color}, executor.RunDone{Results: tt.results})
			fmt.Fprintf(&out, "=== %s, colour %v\n%s", tt.name, color, b.String())
		}
	}
	golden(t, "failures.golden", out.String())
}

func manySkipped(blame string) []executor.TargetResult {
	var results []executor.TargetResult
	for i := range 20 {
		results = append(results, executor.TargetResult{
			Target: fmt.Sprintf("service-%d", i), State: executor.Skipped, Blame: blame,
		})
	}
	return append(results, executor.TargetResult{Target: "base", State: executor.Cached, Duration: time.Second})
}
