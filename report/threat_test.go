package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/history"
)

// payloads are texts that try to get out of where they are shown.
var payloads = []string{
	"\x1b[2J", "\x1b[H", "\x1b[1A", "\x1b[9999;1H", "\x1b[?1049h", "\x1b[?25l", "\x1b[?2004h",
	"\x1b[6n", "\x1b[c", "\x1b[0c", "\x1b[21t", "\x1b[>c", "\x1b[5i", "\x1b[4i", "\x1b[!p",
	"\x1b[r", "\x1b[8;1;1t", "\x1b[1;31m", "\x1b[0;0;0;0m", "\x1b[31", "\x1b[31\x07m",
	"\x1b[38;5;1", "\x1b[K", "\x1b[2K\rgood", "\x1b]0;title\x07", "\x1b]2;title\x1b\\",
	"\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x1b\\", "\x1b]52;c;cm0gLXJmIC8=\x07",
	"\x1b]1337;File=inline=1:AAAA\x07", "\x1b]4;1;?\x07", "\x1bP+q544e\x1b\\", "\x1bPqsixel\x1b\\",
	"\x1b_apc\x1b\\", "\x1b^pm\x1b\\", "\x1bXsos\x1b\\", "\x1bc", "\x1b7\x1b8", "\x1b(0", "\x1b#8",
	"\x1bkname\x1b\\", "\x1b", "\x1b\x1b[m", "\x1b\n[2J", "\x9b2J", "\u009b2J", "\u009d0;t\u009c",
	"\u0090q\u009c", "\x07\x07\x07", "\x08\x08\x08\x08good", "\x0e\x0f", "\x05", "\x18\x1a", "\x7f",
	"evil\rgood", "a\u0085b", "a\u2028b\u2029c", "\u202egood\u202c", "\u2066\u2067\u2069",
	"\u200e\u200f\u061c", "\ufeff\u200b", "\U000e0041\U000e007f", "\ufff9a\ufffab\ufffb",
	"\xff\xfe", "\xc0\x9b2J", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x80",
	"::set-output name=a::b", "::stop-commands::x", "##vso[task.setvariable variable=a]b",
	"##[set-env name=A]b", "##teamcity[x]", "</script><script>alert(1)</script>",
}

// TestThreat_T19 puts every payload into every text a build can hold and looks
// at all that is printed, in every mode.
func TestThreat_T19(t *testing.T) {
	if len(payloads) < 60 {
		t.Fatalf("only %d payloads", len(payloads))
	}
	for i, payload := range payloads {
		for _, sink := range sinks {
			for _, color := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d/%s/%v", i, sink.name, color), func(t *testing.T) {
					var out bytes.Buffer
					term := Terminal{Out: &out, Err: &out, CI: "github", Color: color}
					if err := sink.print(&out, term, payload); err != nil {
						t.Fatal(err)
					}
					if bad := unsafeIn(out.String(), color); bad != "" {
						t.Errorf("%q came through: %q", bad, out.String())
					}
					for line := range strings.Lines(out.String()) {
						if dangerous.MatchString(line) {
							t.Errorf("a CI command came through: %q", line)
						}
					}
				})
			}
		}
	}
}

// sinks are all the places that print.
var sinks = []struct {
	name  string
	print func(*bytes.Buffer, Terminal, string) error
}{
	{"plain", progressOf(Plain)},
	{"rawjson", progressOf(RawJSON)},
	{"failures", func(w *bytes.Buffer, t Terminal, s string) error {
		Failures(w, t, hostileRun(s))
		return nil
	}},
	{"summary", func(w *bytes.Buffer, t Terminal, s string) error {
		Summary(w, t, hostileRun(s))
		return Digests(w, hostileRun(s))
	}},
	{"history", func(w *bytes.Buffer, t Terminal, s string) error {
		return History(w, t, hostileRecord(s), HistoryFormat{All: true, NoTrunc: true})
	}},
	{"histories", func(w *bytes.Buffer, t Terminal, s string) error {
		return Histories(w, t, []history.Record{hostileRecord(s)}, "all")
	}},
	{"json", func(w *bytes.Buffer, t Terminal, s string) error {
		return History(w, t, hostileRecord(s), HistoryFormat{Format: "json"})
	}},
	{"template", func(w *bytes.Buffer, t Terminal, s string) error {
		return History(w, t, hostileRecord(s), HistoryFormat{Format: "{{.Target}} {{json .}} {{join .Tags `,`}}"})
	}},
}

func progressOf(mode Mode) func(*bytes.Buffer, Terminal, string) error {
	return func(_ *bytes.Buffer, t Terminal, s string) error {
		events := make(chan executor.Event, 32)
		for _, e := range hostileEvents(s) {
			events <- e
		}
		close(events)
		return Progress(context.Background(), mode, t, events)
	}
}

func hostileStep(s string) executor.Step {
	return executor.Step{ID: "1", Number: 1, Total: 2, Name: s, Stage: s, Platform: s, Place: s}
}

func hostileEvents(s string) []executor.Event {
	step, now := hostileStep(s), time.Unix(1, 0)
	return []executor.Event{
		executor.RunStarted{Time: now, Engine: s, Targets: []executor.TargetInfo{{Name: s, Needs: []string{s}}}},
		executor.TargetStarted{Time: now, Target: s},
		executor.Warning{Time: now, Target: s, Place: s, Text: s, URL: s},
		executor.StepUpdate{Time: now, Targets: []string{s, s}, Step: step, State: executor.Running, Started: now},
		executor.StepProgress{Time: now, Target: s, Step: step, ID: s, Current: 1},
		executor.StepLog{Time: now, Target: s, Step: step, Stream: 1, Data: []byte(s + "\n" + s)},
		executor.StepUpdate{
			Time: now, Targets: []string{s}, Step: step, State: executor.Failed,
			Started: now, Completed: now, Error: s,
		},
		executor.TargetDone{Time: now, Target: s, Result: hostileRun(s).Results[0]},
		executor.TargetDone{Time: now, Target: s, Result: hostileRun(s).Results[1]},
		hostileRun(s),
	}
}

func hostileRun(s string) executor.RunDone {
	return executor.RunDone{Results: []executor.TargetResult{
		{
			Target: s, State: executor.Failed, Size: -1, Err: errors.New(s),
			Failure: &executor.Failure{
				Step: hostileStep(s), Message: s, Log: []byte(s + "\n" + s), Command: s, Clipped: true,
				Excerpt: []executor.SourceLine{{Number: 1, Text: s}, {Number: 2, Text: s, Guilty: true}},
			},
		},
		{Target: s, State: executor.Built, Digest: s, Tags: []string{s, s}, Outputs: []string{s}},
		{Target: s, State: executor.Skipped, Blame: s},
		{Target: s, State: executor.Canceled},
		{Target: s, State: executor.Failed, Err: errors.New(s)},
	}}
}

func hostileRecord(s string) history.Record {
	layer := history.Layer{
		Step: 1, CreatedBy: s, Place: s, Digest: s, SharedWith: []string{s},
		State: history.LayerState(s), Created: time.Unix(1, 0),
	}
	return history.Record{
		Target: s, Ref: s, Tags: []string{s}, Run: s, Digest: s, BuiltAt: time.Unix(1, 0),
		Images: []history.Image{{Platform: s, Digest: s, Base: s, Layers: []history.Layer{layer}}},
	}
}
