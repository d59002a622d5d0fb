package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/buildkit/client"

	"github.com/strata-build/strata/executor"
)

var bakeOfTwo = Bake{
	Title: "[internal] load local bake definitions", Definitions: []string{"docker-bake.hcl", "from stdin"}, Results: true,
}

// playBake runs a script through a Bake's Progress and returns what it wrote.
func playBake(t *testing.T, b Bake, mode Mode, term Terminal, script func(*build)) string {
	t.Helper()
	var out bytes.Buffer
	term.Err = &out
	synctest.Test(t, func(t *testing.T) {
		p := &build{events: make(chan executor.Event), began: map[string]time.Time{}}
		go func() {
			defer close(p.events)
			script(p)
		}()
		if err := b.Progress(t.Context(), mode, term, p.events); err != nil {
			t.Error(err)
		}
	})
	return out.String()
}

func TestBakePlain(t *testing.T) {
	golden(t, "bake.golden", playBake(t, bakeOfTwo, Plain, Terminal{}, shop))
}

// TestBakeRawJSON reads the lines as BuildKit's own type: what is told must be
// all there, in the fields that programs look at.
func TestBakeRawJSON(t *testing.T) {
	var steps, read, results []string
	logs, warnings := map[string]string{}, 0
	names := map[string]string{}
	for line := range strings.Lines(playBake(t, bakeOfTwo, RawJSON, Terminal{}, shop)) {
		var st client.SolveStatus
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&st); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		for _, v := range st.Vertexes {
			names[v.Digest.String()] = v.Name
			if v.Started == nil {
				t.Errorf("%s has not started", v.Name)
			}
			if v.Completed != nil {
				steps = append(steps, v.Name+"|"+v.Error)
			}
		}
		for _, s := range st.Statuses {
			switch names[s.Vertex.String()] {
			case bakeOfTwo.Title:
				read = append(read, s.ID)
			case "[internal] target results":
				results = append(results, s.ID+"|"+s.Name)
			}
		}
		for _, l := range st.Logs {
			logs[names[l.Vertex.String()]] += string(l.Data)
		}
		warnings += len(st.Warnings)
	}
	if want := []string{"reading docker-bake.hcl", "reading from stdin"}; !slices.Equal(read, want) {
		t.Errorf("it read %q, want %q", read, want)
	}
	want := []string{
		"api: failed|failed", "base: succeeded|succeeded", "e2e: aborted|aborted", "gateway: aborted|aborted", "web: succeeded|succeeded",
	}
	if !slices.Equal(results, want) {
		t.Errorf("the results are %q, want %q", results, want)
	}
	compile := "[api] RUN go build -o /out/api ./cmd/api && echo 日本語のとても長いコマンド"
	if !slices.Contains(steps, compile+"|exit status 1") || !slices.Contains(steps, "[web internal] load build context|") {
		t.Errorf("the steps are %q", steps)
	}
	if !strings.HasSuffix(logs[compile], "undefined: servr") || warnings != 1 {
		t.Errorf("the log is %q, with %d warnings", logs[compile], warnings)
	}
}

func TestBakeTellsResultsOnlyIfOneOfSeveralFailed(t *testing.T) {
	failed := executor.TargetResult{Target: "api", State: executor.Failed, Err: errors.New("exit status 1")}
	built := executor.TargetResult{Target: "web", State: executor.Built}
	waiting := executor.TargetResult{Target: "web", State: executor.Canceled}
	for _, tt := range []struct {
		results []executor.TargetResult
		asked   bool
		started bool
		want    string
	}{
		{[]executor.TargetResult{failed, built}, true, true, "web: succeeded done"},
		{[]executor.TargetResult{failed, waiting}, true, true, "web: aborted done"},
		{[]executor.TargetResult{failed, waiting}, true, false, "web: not started done"},
		{[]executor.TargetResult{failed, built}, false, true, ""},
		{[]executor.TargetResult{failed}, true, true, ""},
		{[]executor.TargetResult{built, built}, true, true, ""},
	} {
		out := playBake(t, Bake{Title: "definitions", Results: tt.asked}, Plain, Terminal{}, func(b *build) {
			b.run(executor.TargetInfo{Name: "api"}, executor.TargetInfo{Name: "web"})
			if tt.started {
				b.start("web")
			}
			b.finish(executor.RunDone{Time: time.Now(), Results: tt.results})
		})
		if told := strings.Contains(out, "target results"); told != (tt.want != "") || !strings.Contains(out, tt.want) {
			t.Errorf("%+v: it says\n%s", tt, out)
		}
	}
}

func TestThreat_BakePlainObeysNothing(t *testing.T) {
	out := playBake(t, Bake{Title: "definitions"}, Plain, Terminal{}, func(b *build) {
		b.run(executor.TargetInfo{Name: "api"})
		s := executor.Step{ID: "1", Name: "RUN evil\x1b[2J", Vertex: "[1/1] RUN evil\x1b[2J"}
		b.begin(s, "api")
		b.log("api", s, "\x1b]0;title\a##[error]x\n::set-output name=a::b\n")
		b.warn("api", "", "\x1b[31mred", "")
		b.end(s, executor.Failed, "no\x1b[1Aup", "api")
	})
	if strings.ContainsAny(out, "\x1b\a") || strings.Contains(out, "##[") || strings.Contains(out, "\n::") {
		t.Errorf("it obeys: %q", out)
	}
}
