package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/strata-build/strata/executor"
)

// TestEventRoundTrip checks that a line of JSON holds all of an event, be its
// text what it may.
func TestEventRoundTrip(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	s := executor.Step{
		ID: "sha256:1", Number: 4, Total: 7, Name: "RUN \x1b[2J ##vso[x] \u202e <a>&", Stage: "build",
		Platform: "linux/arm64", Place: "Dockerfile:9", Internal: true,
	}
	failed := executor.TargetResult{
		Target: "api", State: executor.Failed, Duration: 3 * time.Second, Size: -1, Steps: 7, Ran: 2,
		Err: errors.New("exit status 1"), Tags: []string{"a:1"}, Outputs: []string{"wrote out/"},
		Failure: &executor.Failure{
			Step: s, Message: "exit status 1", Ran: time.Second, Clipped: true, Command: "strata build",
			Log: []byte("\xff\x00bin"), Excerpt: []executor.SourceLine{{Number: 9, Text: "RUN x", Guilty: true}},
		},
	}
	events := []executor.Event{
		executor.RunStarted{Time: at, Engine: "docker", Targets: []executor.TargetInfo{
			{Name: "api", Needs: []string{"base"}, Steps: 7}, {Name: "base"},
		}},
		executor.TargetStarted{Time: at, Target: "api"},
		executor.TargetReady{Time: at, Target: "api"},
		executor.StepUpdate{
			Time: at, Targets: []string{"api", "web"}, Step: s, State: executor.Failed,
			Started: at.Add(-time.Second), Completed: at, Error: "exit status 1",
		},
		executor.StepUpdate{Time: at, Targets: []string{"api"}, Step: executor.Step{ID: "2"}, State: executor.Running},
		executor.StepLog{Time: at, Target: "api", Step: s, Stream: 2, Data: []byte("text\u009b2J\U000e0041\x7f")},
		executor.StepLog{Time: at, Target: "api", Step: s, Stream: 1, Data: []byte("half of \xe6\x97")},
		executor.StepProgress{Time: at, Target: "api", Step: s, ID: "sha256:2", Current: 1, Total: 2, Done: true},
		executor.Warning{Time: at, Target: "api", Place: "Dockerfile:3", Text: "t", URL: "https://x"},
		executor.TargetDone{Time: at, Target: "api", Result: failed},
		executor.RunDone{Time: at, Started: at.Add(-time.Hour), Results: []executor.TargetResult{
			{Target: "base", State: executor.Built, Digest: "sha256:3", Size: 12},
			failed, {Target: "web", State: executor.Skipped, Blame: "api"},
		}},
	}
	for _, want := range events {
		line := encode(wire(want))
		if bytes.Count(line, []byte("\n")) != 1 || unsafeIn(string(line), false) != "" {
			t.Errorf("not one safe line: %q", line)
		}
		var w wireEvent
		if err := json.Unmarshal(line, &w); err != nil {
			t.Fatal(err)
		}
		if got := unwire(t, w); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\ngot  %+v\nwant %+v", line, got, want)
		}
	}
}

// unwire is the inverse of wire, as a reader of the documentation writes it.
func unwire(t *testing.T, w wireEvent) executor.Event {
	t.Helper()
	if w.Schema != EventSchema {
		t.Errorf("schema %d", w.Schema)
	}
	var s executor.Step
	if w.Step != nil {
		s = executor.Step(*w.Step)
	}
	switch w.Type {
	case "run-started":
		e := executor.RunStarted{Time: w.Time, Engine: w.Engine}
		for _, info := range w.Targets {
			e.Targets = append(e.Targets, executor.TargetInfo(info))
		}
		return e
	case "target-started":
		return executor.TargetStarted{Time: w.Time, Target: w.Target}
	case "target-ready":
		return executor.TargetReady{Time: w.Time, Target: w.Target}
	case "target-done":
		return executor.TargetDone{Time: w.Time, Target: w.Target, Result: unwireResult(*w.Result)}
	case "step":
		return executor.StepUpdate{
			Time: w.Time, Targets: append([]string{w.Target}, w.SharedWith...), Step: s, State: w.State,
			Started: w.Started, Completed: w.Completed, Error: w.Error,
		}
	case "log":
		return executor.StepLog{Time: w.Time, Target: w.Target, Step: s, Stream: w.Stream, Data: unwireText(w.Text, w.Bytes)}
	case "progress":
		return executor.StepProgress{
			Time: w.Time, Target: w.Target, Step: s, ID: w.ID, Current: w.Current, Total: w.Total, Done: w.Done,
		}
	case "warning":
		return executor.Warning{Time: w.Time, Target: w.Target, Place: w.Place, Text: *w.Text, URL: w.URL}
	case "run-done":
		e := executor.RunDone{Time: w.Time, Started: w.Started}
		for _, r := range w.Results {
			e.Results = append(e.Results, unwireResult(r))
		}
		return e
	}
	t.Errorf("unknown type %q", w.Type)
	return nil
}

func unwireText(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return raw
}

func unwireResult(w wireResult) executor.TargetResult {
	r := executor.TargetResult{
		Target: w.Target, State: w.State, Duration: w.DurationNs, Digest: w.Digest, Size: w.Size,
		Tags: w.Tags, Outputs: w.Outputs, Steps: w.Steps, Ran: w.Ran, Blame: w.Blame,
	}
	if w.Error != "" {
		r.Err = errors.New(w.Error)
	}
	if f := w.Failure; f != nil {
		r.Failure = &executor.Failure{
			Step: executor.Step(*f.Step), Message: f.Message, Ran: time.Duration(f.RanNs),
			Log: unwireText(f.Text, f.Bytes), Clipped: f.Clipped, Command: f.Command,
		}
		for _, line := range f.Excerpt {
			r.Failure.Excerpt = append(r.Failure.Excerpt, executor.SourceLine(line))
		}
	}
	return r
}

// TestEventsOutOfRange checks that a line stays JSON whatever the clock says.
func TestEventsOutOfRange(t *testing.T) {
	line := encode(wire(executor.TargetStarted{Time: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC), Target: "a"}))
	var w wireEvent
	if err := json.Unmarshal(line, &w); err != nil || w.Type != "target-started" || w.Error == "" {
		t.Errorf("got %s, %v", line, err)
	}
}

// TestEventsDocumented checks that the documentation names every type and
// every field that is ever written.
func TestEventsDocumented(t *testing.T) {
	documented := fieldsIn(t, "../docs/reference/events.md")
	var check func(of reflect.Type)
	check = func(of reflect.Type) {
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() {
			return
		}
		for f := range of.Fields() {
			if name := jsonName(f); name != "-" && !documented[name] {
				t.Errorf("docs/reference/events.md does not say what %q is", name)
			}
			check(f.Type)
		}
	}
	check(reflect.TypeFor[wireEvent]())
	for _, e := range hostileEvents("x") {
		if name := wire(e).Type; !documented[name] {
			t.Errorf("docs/reference/events.md does not say what %q is", name)
		}
	}
	if !documented["dropped"] {
		t.Error("docs/reference/events.md does not say what dropped is")
	}
}

// TestEventsExample checks that the example in the documentation is what is
// written.
func TestEventsExample(t *testing.T) {
	for _, line := range jsonBlocks(t, "../docs/reference/events.md") {
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.DisallowUnknownFields()
		var w wireEvent
		if err := dec.Decode(&w); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		again := fmt.Sprintf("%s\n", line)
		if got := encode(wire(unwire(t, w))); string(got) != again {
			t.Errorf("the documentation has\n%swhich is\n%s", again, got)
		}
	}
}

// jsonBlocks returns the lines of the blocks of JSON in a page.
func jsonBlocks(t *testing.T, file string) [][]byte {
	t.Helper()
	var lines [][]byte
	in := false
	scan := bufio.NewScanner(bytes.NewReader(readFile(t, file)))
	for scan.Scan() {
		switch line := bytes.Clone(scan.Bytes()); {
		case bytes.HasPrefix(line, []byte("```")):
			in = string(line) == "```json"
		case in:
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		t.Errorf("%s has no example", file)
	}
	return lines
}
