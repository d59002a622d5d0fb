package executor

import (
	"time"
)

// An Event is one fact about a running build. Events come from one goroutine,
// in an order consistent with cause and effect. Exactly one RunStarted comes
// first and one RunDone last.
type Event interface{ event() }

// A Step is one vertex of the build as a user knows it: an instruction of a
// target's Dockerfile, or something the engine does around it.
type Step struct {
	ID       string // vertex digest, the key of updates and logs
	Number   int    // position among the target's own steps, from 1; 0 if it is none of them
	Total    int    // number of the target's own steps
	Name     string // "RUN go build ./...", "load build context", "export layers"
	Stage    string // stage name, "" for the only or last stage
	Platform string // "" if the target has one platform
	Place    string // "services/api/Dockerfile:9" or "build.hcl:31"; "" if none
	Internal bool   // bookkeeping of the engine: hidden unless it fails or takes long
	Vertex   string // what the engine calls it
}

// A TargetInfo introduces a target before the run.
type TargetInfo struct {
	Name  string
	Needs []string
	Steps int // own steps, 0 if not known yet
}

// State is what became of a target or a step.
type State string

// The states, in no order of time.
const (
	Waiting  State = "waiting"
	Running  State = "running"
	Built    State = "built"    // at least one step ran
	Cached   State = "cached"   // every step came from the cache
	Reused   State = "reused"   // it was there before; no engine was asked
	Retagged State = "retagged" // only its tags were moved
	Failed   State = "failed"
	Skipped  State = "skipped" // a target it needs failed
	Canceled State = "canceled"
)

type (
	// RunStarted opens the stream.
	RunStarted struct {
		Time    time.Time
		Engine  string // what builds, as a person would say it: "embedded engine", "docker", "tcp://..."
		Targets []TargetInfo
	}
	// TargetStarted says a target's solve was sent.
	TargetStarted struct {
		Time   time.Time
		Target string
	}
	// TargetReady says a target is evaluated: its dependents start now, its
	// exports run on.
	TargetReady struct {
		Time   time.Time
		Target string
	}
	// TargetDone says nothing more happens to a target.
	TargetDone struct {
		Time   time.Time
		Target string
		Result TargetResult
	}
	// StepUpdate says a step changed: it is Running, or ended as Built, Cached,
	// Failed or Canceled. Targets has the owner first, then the others that
	// contain the same step.
	StepUpdate struct {
		Time      time.Time
		Targets   []string
		Step      Step
		State     State
		Started   time.Time // zero if it never ran
		Completed time.Time
		Error     string
	}
	// StepLog is output of a step.
	StepLog struct {
		Time   time.Time
		Target string
		Step   Step
		Stream int // 1 stdout, 2 stderr
		Data   []byte
	}
	// StepProgress is a transfer within a step.
	StepProgress struct {
		Time           time.Time
		Target         string
		Step           Step
		ID             string // what moves: a layer digest, "exporting layers"
		Current, Total int64  // bytes; Total 0 if unknown
		Done           bool
	}
	// Warning is a lint or engine warning at a place.
	Warning struct {
		Time   time.Time
		Target string
		Place  string
		Text   string
		URL    string
	}
	// RunDone closes the stream.
	RunDone struct {
		Time    time.Time
		Results []TargetResult // in graph order
		Started time.Time      // when the run began; zero if unknown
	}
)

func (RunStarted) event()    {}
func (TargetStarted) event() {}
func (TargetReady) event()   {}
func (TargetDone) event()    {}
func (StepUpdate) event()    {}
func (StepLog) event()       {}
func (StepProgress) event()  {}
func (Warning) event()       {}
func (RunDone) event()       {}

// Done reports whether s is the state of a target that is as it should be.
func (s State) Done() bool { return s == Built || s == Cached || s == Reused || s == Retagged }

// A TargetResult is what became of one target.
type TargetResult struct {
	Target   string
	State    State
	Duration time.Duration
	Digest   string // image manifest or index; "" if no image was made
	Size     int64  // compressed bytes of all layers of all platforms; -1 if unknown
	Tags     []string
	Outputs  []string // what was written, as a person would say it: "pushed localhost:5000/a:1", "wrote out/"
	Steps    int      // own steps
	Ran      int      // own steps that ran
	Blame    string   // for Skipped: the failed target
	Failure  *Failure // for Failed
	Err      error    // for Failed and Canceled
}

// A Failure says where a target failed and shows the failing step.
type Failure struct {
	Step    Step
	Message string        // "exit status 1", "file not found: app.py"
	Ran     time.Duration // how long the step ran
	Excerpt []SourceLine  // lines around the guilty one
	Log     []byte        // the end of the step's output, up to 256 KiB
	Clipped bool          // Log lacks its beginning
	Command string        // reproduces: "strata build -f x.hcl api"
}

// A SourceLine is one line of a source excerpt.
type SourceLine struct {
	Number int
	Text   string
	Guilty bool
}
