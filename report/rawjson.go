package report

import (
	"time"
	"unicode/utf8"

	"github.com/strata-build/strata/executor"
)

// EventSchema is the version of the JSON form of events, the "schema" of every
// line. It changes when a field changes its meaning, not when one is added.
const EventSchema = 1

// A wireEvent is one line of rawjson progress. Which fields are there depends
// on Type; docs/reference/events.md lists them.
type wireEvent struct {
	Schema int       `json:"schema"`
	Type   string    `json:"type"`
	Time   time.Time `json:"time,omitzero"`

	Target  string       `json:"target,omitempty"`
	Engine  string       `json:"engine,omitempty"`
	Targets []wireTarget `json:"targets,omitempty"`
	Result  *wireResult  `json:"result,omitempty"`
	Results []wireResult `json:"results,omitempty"`

	Step       *wireStep      `json:"step,omitempty"`
	SharedWith []string       `json:"sharedWith,omitempty"`
	State      executor.State `json:"state,omitempty"`
	Started    time.Time      `json:"started,omitzero"`
	Completed  time.Time      `json:"completed,omitzero"`
	Error      string         `json:"error,omitempty"`

	Stream int     `json:"stream,omitempty"`
	Text   *string `json:"text,omitempty"`
	Bytes  []byte  `json:"bytes,omitempty"`

	ID      string `json:"id,omitempty"`
	Current int64  `json:"current,omitempty"`
	Total   int64  `json:"total,omitempty"`
	Done    bool   `json:"done,omitempty"`

	Place string `json:"place,omitempty"`
	URL   string `json:"url,omitempty"`
	Count int    `json:"count,omitempty"`
}

type wireTarget struct {
	Name  string   `json:"name"`
	Needs []string `json:"needs,omitempty"`
	Steps int      `json:"steps,omitempty"`
}

type wireStep struct {
	ID       string `json:"id"`
	Number   int    `json:"number,omitempty"`
	Total    int    `json:"total,omitempty"`
	Name     string `json:"name"`
	Stage    string `json:"stage,omitempty"`
	Platform string `json:"platform,omitempty"`
	Place    string `json:"place,omitempty"`
	Internal bool   `json:"internal,omitempty"`
	Vertex   string `json:"-"`
}

type wireResult struct {
	Target     string         `json:"target"`
	State      executor.State `json:"state"`
	DurationNs time.Duration  `json:"durationNs"`
	Digest     string         `json:"digest,omitempty"`
	Size       int64          `json:"size"`
	Tags       []string       `json:"tags,omitempty"`
	Outputs    []string       `json:"outputs,omitempty"`
	Steps      int            `json:"steps"`
	Ran        int            `json:"ran"`
	Blame      string         `json:"blame,omitempty"`
	Failure    *wireFailure   `json:"failure,omitempty"`
	Error      string         `json:"error,omitempty"`
}

type wireFailure struct {
	Step    *wireStep    `json:"step"`
	Message string       `json:"message"`
	RanNs   int64        `json:"ranNs"`
	Excerpt []wireSource `json:"excerpt,omitempty"`
	Text    *string      `json:"text,omitempty"`
	Bytes   []byte       `json:"bytes,omitempty"`
	Clipped bool         `json:"clipped,omitempty"`
	Command string       `json:"command,omitempty"`
}

type wireSource struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
	Guilty bool   `json:"guilty,omitempty"`
}

// A rawJSON view writes each event as one line of JSON.
type rawJSON struct{ out *sink }

func newRawJSON(t Terminal) (view, *sink) {
	out := newSink(t.Err, jsonLimit, func(lost int) []byte {
		return encode(wireEvent{Type: "dropped", Time: time.Now(), Count: lost})
	})
	return &rawJSON{out}, out
}

func (v *rawJSON) interval() time.Duration { return time.Hour }
func (v *rawJSON) tick()                   {}
func (v *rawJSON) end()                    {}

func (v *rawJSON) event(e executor.Event) {
	line := encode(wire(e))
	switch e := e.(type) {
	case executor.StepLog, executor.StepProgress:
		v.out.offer(line)
	case executor.StepUpdate:
		if e.State == executor.Failed {
			v.out.put(line)
			return
		}
		v.out.offer(line)
	default:
		v.out.put(line)
	}
}

// wire turns an event into its JSON form.
func wire(e executor.Event) wireEvent {
	switch e := e.(type) {
	case executor.RunStarted:
		targets := make([]wireTarget, len(e.Targets))
		for i, t := range e.Targets {
			targets[i] = wireTarget(t)
		}
		return wireEvent{Type: "run-started", Time: e.Time, Engine: e.Engine, Targets: targets}
	case executor.TargetStarted:
		return wireEvent{Type: "target-started", Time: e.Time, Target: e.Target}
	case executor.TargetReady:
		return wireEvent{Type: "target-ready", Time: e.Time, Target: e.Target}
	case executor.TargetDone:
		result := wireOf(e.Result)
		return wireEvent{Type: "target-done", Time: e.Time, Target: e.Target, Result: &result}
	case executor.StepUpdate:
		w := wireEvent{
			Type: "step", Time: e.Time, Step: step(e.Step), State: e.State,
			Started: e.Started, Completed: e.Completed, Error: e.Error,
		}
		if len(e.Targets) > 0 {
			w.Target, w.SharedWith = e.Targets[0], e.Targets[1:]
		}
		return w
	case executor.StepLog:
		text, raw := textOrBytes(e.Data)
		return wireEvent{
			Type: "log", Time: e.Time, Target: e.Target, Step: step(e.Step),
			Stream: e.Stream, Text: text, Bytes: raw,
		}
	case executor.StepProgress:
		return wireEvent{
			Type: "progress", Time: e.Time, Target: e.Target, Step: step(e.Step),
			ID: e.ID, Current: e.Current, Total: e.Total, Done: e.Done,
		}
	case executor.Warning:
		return wireEvent{
			Type: "warning", Time: e.Time, Target: e.Target,
			Place: e.Place, Text: &e.Text, URL: e.URL,
		}
	case executor.RunDone:
		results := make([]wireResult, len(e.Results))
		for i, r := range e.Results {
			results[i] = wireOf(r)
		}
		return wireEvent{Type: "run-done", Time: e.Time, Started: e.Started, Results: results}
	}
	return wireEvent{Type: "unknown"}
}

func step(s executor.Step) *wireStep {
	w := wireStep(s)
	return &w
}

func wireOf(r executor.TargetResult) wireResult {
	w := wireResult{
		Target: r.Target, State: r.State, DurationNs: r.Duration, Digest: r.Digest, Size: r.Size,
		Tags: r.Tags, Outputs: r.Outputs, Steps: r.Steps, Ran: r.Ran, Blame: r.Blame,
	}
	if r.Err != nil {
		w.Error = r.Err.Error()
	}
	if f := r.Failure; f != nil {
		text, raw := textOrBytes(f.Log)
		w.Failure = &wireFailure{
			Step: step(f.Step), Message: f.Message, RanNs: int64(f.Ran),
			Text: text, Bytes: raw, Clipped: f.Clipped, Command: f.Command,
		}
		for _, line := range f.Excerpt {
			w.Failure.Excerpt = append(w.Failure.Excerpt, wireSource(line))
		}
	}
	return w
}

// textOrBytes gives output as text if it is UTF-8, else as bytes, so that
// nothing of it is changed.
func textOrBytes(data []byte) (*string, []byte) {
	if utf8.Valid(data) {
		text := string(data)
		return &text, nil
	}
	return nil, data
}

// encode writes one line of JSON.
func encode(e wireEvent) []byte {
	e.Schema = EventSchema
	line, err := marshal(e, "")
	if err != nil { // a time beyond the year 9999
		line, _ = marshal(wireEvent{Schema: EventSchema, Type: e.Type, Error: err.Error()}, "")
	}
	return line
}
