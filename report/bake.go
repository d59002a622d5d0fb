package report

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"github.com/strata-build/strata/executor"
)

// A Bake shows a build as docker buildx bake does, to whom reads its output by
// program: BuildKit's own words and, as JSON, its own form of a status.
type Bake struct {
	Title       string   // what the first step is called, which reads the definitions
	Definitions []string // the names of the files that it has read
	Results     bool     // after a failure of one of several targets, say what became of each
}

// Progress is [Progress] in the words of docker buildx bake. The screen of a
// terminal is the same.
func (b Bake) Progress(ctx context.Context, mode Mode, t Terminal, events <-chan executor.Event) error {
	var show shower
	var out *sink
	switch {
	case mode == RawJSON:
		show, out = newStatusJSON(t)
	case mode == Quiet, mode == None, t.IsTTY && (mode == TTY || mode == Auto && t.CI == ""):
		return Progress(ctx, mode, t, events)
	default:
		show, out = newStatusPlain(t)
	}
	return drive(ctx, &bakeView{Bake: b, shower: show, moving: map[string]time.Time{}, started: map[string]bool{}}, out, events)
}

// A shower writes statuses.
type shower interface {
	show(*solveStatus)
	interval() time.Duration
	tick()
	end()
}

// A bakeView turns events into the statuses of BuildKit that tell the same.
type bakeView struct {
	Bake
	shower
	several bool                 // there are several targets: names of steps begin with theirs
	moving  map[string]time.Time // when a transfer was first heard of
	started map[string]bool      // targets that were sent to the engine
}

// A solveStatus is BuildKit's client.SolveStatus.
type solveStatus struct {
	Vertexes []statusVertex   `json:"vertexes,omitempty"`
	Statuses []statusTransfer `json:"statuses,omitempty"`
	Logs     []statusLog      `json:"logs,omitempty"`
	Warnings []statusWarning  `json:"warnings,omitempty"`
}

type statusVertex struct {
	Digest    string    `json:"digest"`
	Name      string    `json:"name"`
	Started   time.Time `json:"started,omitzero"`
	Completed time.Time `json:"completed,omitzero"`
	Cached    bool      `json:"cached,omitempty"`
	Error     string    `json:"error,omitempty"`
}

type statusTransfer struct {
	ID        string    `json:"id"`
	Vertex    string    `json:"vertex"`
	Name      string    `json:"name,omitempty"`
	Total     int64     `json:"total,omitempty"`
	Current   int64     `json:"current"`
	Timestamp time.Time `json:"timestamp"`
	Started   time.Time `json:"started,omitzero"`
	Completed time.Time `json:"completed,omitzero"`
}

type statusLog struct {
	Vertex    string    `json:"vertex"`
	Stream    int       `json:"stream,omitempty"`
	Data      []byte    `json:"data"`
	Timestamp time.Time `json:"timestamp"`
}

type statusWarning struct {
	Vertex string `json:"vertex,omitempty"`
	Level  int    `json:"level,omitempty"`
	Short  []byte `json:"short,omitempty"`
	URL    string `json:"url,omitempty"`
}

func (v *bakeView) event(e executor.Event) {
	switch e := e.(type) {
	case executor.RunStarted:
		v.several = len(e.Targets) > 1
		v.definitions(e.Time)
	case executor.TargetStarted:
		v.started[e.Target] = true
	case executor.StepUpdate:
		v.update(e)
	case executor.StepLog:
		v.show(&solveStatus{Logs: []statusLog{{Vertex: e.Step.ID, Stream: e.Stream, Data: e.Data, Timestamp: e.Time}}})
	case executor.StepProgress:
		v.progress(e)
	case executor.Warning:
		v.show(&solveStatus{Warnings: []statusWarning{{Vertex: stepID("warning"), Level: 1, Short: []byte(placed(e.Place, e.Text)), URL: e.URL}}})
	case executor.TargetDone:
		v.target(e)
	case executor.RunDone:
		v.results(e)
	}
}

// definitions shows which files were read, as BuildKit's bookkeeping.
func (v *bakeView) definitions(at time.Time) {
	var read []statusTransfer
	id := stepID(v.Title)
	for _, name := range v.Definitions {
		read = append(read, statusTransfer{ID: "reading " + name, Vertex: id, Timestamp: at, Started: at, Completed: at})
	}
	v.bookkeeping(v.Title, at, read)
}

// bookkeeping shows a step of this program that is over.
func (v *bakeView) bookkeeping(name string, at time.Time, told []statusTransfer) {
	vertex := statusVertex{Digest: stepID(name), Name: name, Started: at}
	v.show(&solveStatus{Vertexes: []statusVertex{vertex}})
	if len(told) > 0 {
		v.show(&solveStatus{Statuses: told})
	}
	vertex.Completed = at
	v.show(&solveStatus{Vertexes: []statusVertex{vertex}})
}

// stepID is the key of a step that BuildKit does not know.
func stepID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (v *bakeView) update(e executor.StepUpdate) {
	if e.State == executor.Waiting || len(e.Targets) == 0 {
		return
	}
	vertex := statusVertex{Digest: e.Step.ID, Name: v.named(e.Targets[0], vertexName(e.Step)), Started: e.Started, Error: e.Error}
	if vertex.Started.IsZero() {
		vertex.Started = e.Time
	}
	if e.State != executor.Running {
		vertex.Completed, vertex.Cached = e.Completed, e.State == executor.Cached
		if vertex.Completed.IsZero() {
			vertex.Completed = e.Time
		}
		if e.State == executor.Canceled {
			vertex.Error = context.Canceled.Error()
		}
	}
	v.show(&solveStatus{Vertexes: []statusVertex{vertex}})
}

// vertexName is what BuildKit calls a step.
func vertexName(s executor.Step) string {
	switch {
	case s.Vertex != "":
		return s.Vertex
	case s.Internal:
		return "[internal] " + s.Name
	}
	return s.Name
}

// named puts the target's name before that of a step, if there are several.
func (v *bakeView) named(target, name string) string {
	rest, bracket := strings.CutPrefix(name, "[")
	switch {
	case !v.several:
		return name
	case bracket:
		return "[" + target + " " + rest
	}
	return "[" + target + "] " + name
}

func (v *bakeView) progress(e executor.StepProgress) {
	key := e.Step.ID + " " + e.ID
	began, known := v.moving[key]
	if !known {
		began = e.Time
		v.moving[key] = began
	}
	moved := statusTransfer{ID: e.ID, Vertex: e.Step.ID, Total: e.Total, Current: e.Current, Timestamp: e.Time, Started: began}
	if e.Done {
		moved.Completed = e.Time
	}
	v.show(&solveStatus{Statuses: []statusTransfer{moved}})
}

// target shows a target for which the engine had nothing to do.
func (v *bakeView) target(e executor.TargetDone) {
	if e.Result.State != executor.Reused && e.Result.State != executor.Retagged {
		return
	}
	name := v.named(e.Target, "nothing to build: "+string(e.Result.State))
	v.show(&solveStatus{Vertexes: []statusVertex{{Digest: stepID(e.Target + name), Name: name, Started: e.Time, Completed: e.Time, Cached: true}}})
}

// results says what became of each target, in the order of their names.
func (v *bakeView) results(e executor.RunDone) {
	failed := slices.ContainsFunc(e.Results, func(r executor.TargetResult) bool { return !r.State.Done() })
	if !v.Results || !failed || len(e.Results) < 2 {
		return
	}
	const name = "[internal] target results"
	var told []statusTransfer
	for _, r := range e.Results {
		became := v.became(r)
		told = append(told, statusTransfer{
			ID: r.Target + ": " + became, Name: became, Vertex: stepID(name), Timestamp: e.Time, Started: e.Time, Completed: e.Time,
		})
	}
	slices.SortFunc(told, func(a, b statusTransfer) int { return strings.Compare(a.ID, b.ID) })
	v.bookkeeping(name, e.Time, told)
}

// became is the state of a target in the words of docker buildx.
func (v *bakeView) became(r executor.TargetResult) string {
	switch {
	case r.State.Done():
		return "succeeded"
	case r.State == executor.Failed:
		return "failed"
	case r.State == executor.Skipped, v.started[r.Target]:
		return "aborted"
	}
	return "not started"
}
