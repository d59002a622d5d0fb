package buildkit

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
)

// logLimit is how much of a step's output is kept for its failure.
const logLimit = 256 << 10

// A tracker turns the status streams of all targets into events, each fact told
// once. A step that several targets contain appears in several streams; it
// belongs to the first target in graph order that has it.
type tracker struct {
	emit func(executor.Event)

	mu     sync.Mutex
	steps  map[digest.Digest]*tracked
	named  map[string]map[string]digest.Digest // target -> front end's vertex name -> digest
	order  []string                            // targets, in graph order
	unread map[string]bool                     // caches of which was told that they are not read
	linted map[string]bool                     // targets whose Dockerfile was read here, and what is wrong in it told
	layer  map[string][]string                 // key of a layer -> targets whose image has it
	keys   map[string]string                   // lower.Entry.Layer -> key of the layer
	hushed map[digest.Digest]bool              // vertices whose failure is told as a warning
}

// A tracked is one vertex and what is known of it.
type tracked struct {
	step      executor.Step
	targets   []string // owner first
	source    bool     // reads files or an image; it never "runs"
	stream    string   // target whose stream tells its logs
	state     executor.State
	started   time.Time
	completed time.Time
	err       string
	log       []byte
	clipped   bool
}

func newTracker(emit func(executor.Event)) *tracker {
	return &tracker{
		emit:   emit,
		steps:  map[digest.Digest]*tracked{},
		named:  map[string]map[string]digest.Digest{},
		layer:  map[string][]string{},
		keys:   map[string]string{},
		unread: map[string]bool{},
		linted: map[string]bool{},
		hushed: map[digest.Digest]bool{},
	}
}

// addHidden introduces a target that is not solved by itself but goes into others
// that are: its steps are shown only if they take long or fail.
func (t *tracker) addHidden(r *lower.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range r.Platforms {
		for _, s := range p.Steps {
			if _, ok := t.steps[s.Digest]; ok {
				continue
			}
			step := stepOf(r, s, 0)
			step.Number, step.Internal = 0, true
			t.steps[s.Digest] = &tracked{step: step, source: s.Source, targets: []string{r.Target}}
		}
	}
}

// add introduces a lowered target. Targets are added in graph order.
func (t *tracker) add(r *lower.Result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.order = append(t.order, r.Target)
	t.linted[r.Target] = r.Foreign == ""
	names := map[string]digest.Digest{}
	t.named[r.Target] = names
	total := r.StepCount()
	for _, p := range r.Platforms {
		for _, s := range p.Steps {
			names[s.Vertex] = s.Digest
			known, ok := t.steps[s.Digest]
			if !ok {
				known = &tracked{step: stepOf(r, s, total), source: s.Source}
				t.steps[s.Digest] = known
			}
			if !slices.Contains(known.targets, r.Target) {
				known.targets = append(known.targets, r.Target)
			}
		}
	}
}

// addLayers notes the layers of a target's image, which is solved or not. Targets
// come in graph order.
func (t *tracker) addLayers(target string, keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		if n := len(t.layer[key]); n == 0 || t.layer[key][n-1] != target {
			t.layer[key] = append(t.layer[key], target)
		}
	}
}

// nameLayers notes the keys of the layers of a lowered target, in the order of
// its history.
func (t *tracker) nameLayers(r *lower.Result, keys []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range r.Platforms {
		for _, e := range p.History {
			if e.Layer != "" && len(keys) > 0 {
				t.keys[e.Layer] = keys[0]
				keys = keys[1:]
			}
		}
	}
}

// sharers are the targets other than target whose image has the layer: the first
// history.MaxShared, and how many there are.
func (t *tracker) sharers(target, layer string) (first []string, count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, other := range t.layer[t.keys[layer]] {
		if other == target {
			continue
		}
		if count++; len(first) < history.MaxShared {
			first = append(first, other)
		}
	}
	return first, count
}

func stepOf(r *lower.Result, s lower.Step, total int) executor.Step {
	return executor.Step{
		ID:       string(s.Digest),
		Number:   s.Number,
		Total:    total,
		Name:     s.Name,
		Stage:    s.Stage,
		Platform: s.Platform,
		Place:    placeOf(r, s.Line),
		Internal: s.Internal,
		Vertex:   s.Vertex,
	}
}

func placeOf(r *lower.Result, line int) string {
	if line == 0 || r.Source == nil {
		return ""
	}
	return r.Source.Place(line).String()
}

// lookup finds the vertex v of target's stream. A front end that ran in the
// engine has its own digests but the same names.
func (t *tracker) lookup(target string, d digest.Digest, name string) *tracked {
	if k, ok := t.steps[d]; ok {
		return k
	}
	if known, ok := t.named[target][name]; ok {
		k := t.steps[known]
		t.steps[d] = k
		return k
	}
	s := lower.ParseVertexName(name)
	k := &tracked{
		step:    executor.Step{ID: string(d), Name: s.Name, Stage: s.Stage, Internal: s.Internal || !strings.HasPrefix(name, "["), Vertex: name},
		targets: []string{target},
		source:  true,
	}
	t.steps[d] = k
	return k
}

// alias makes known that vertices are what others were when they were added.
func (t *tracker) alias(was map[digest.Digest]digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for now, was := range was {
		if k, ok := t.steps[was]; ok {
			t.steps[now] = k
		}
	}
}

// hush has failures of vertices told by somebody else.
func (t *tracker) hush(vertices []digest.Digest) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, d := range vertices {
		t.hushed[d] = true
	}
}

// update takes one message of target's status stream.
func (t *tracker) update(target string, s *client.SolveStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range s.Vertexes {
		t.vertex(target, v)
	}
	for _, st := range s.Statuses {
		t.progress(target, st)
	}
	for _, l := range s.Logs {
		t.log(target, l)
	}
	for _, w := range s.Warnings {
		if t.linted[target] {
			break
		}
		t.emit(executor.Warning{Time: time.Now(), Target: target, Text: string(w.Short), URL: w.URL})
	}
}

func (t *tracker) vertex(target string, v *client.Vertex) {
	v = t.missed(target, v)
	if t.hushed[v.Digest] && v.Error != "" {
		quiet := *v
		quiet.Error = ""
		v = &quiet
	}
	k := t.lookup(target, v.Digest, v.Name)
	state := stateOf(v)
	if v.Started != nil && (k.started.IsZero() || v.Started.Before(k.started)) {
		k.started = *v.Started
	}
	if k.stream == "" && v.Started != nil && !v.Cached {
		k.stream = target
	}
	if state == "" || !supersedes(state, k.state) {
		return
	}
	k.state = state
	if v.Completed != nil {
		k.completed = *v.Completed
	}
	if v.Error != "" {
		k.err = plainly(v.Error)
	}
	if state == executor.Built || state == executor.Cached {
		k.log = nil
	}
	t.emit(executor.StepUpdate{
		Time: time.Now(), Targets: k.targets, Step: k.step, State: state,
		Started: k.started, Completed: k.completed, Error: k.err,
	})
}

func stateOf(v *client.Vertex) executor.State {
	switch {
	case v.Completed != nil && v.Error != "" && strings.Contains(v.Error, "context canceled"):
		return executor.Canceled
	case v.Completed != nil && v.Error != "":
		return executor.Failed
	case v.Cached:
		return executor.Cached
	case v.Completed != nil:
		return executor.Built
	case v.Started != nil:
		return executor.Running
	}
	return ""
}

// supersedes reports whether a step in state was may still become now: what was
// built in this run stays built when a later target finds it in the cache, and
// what was cached stays cached when its layer is fetched.
func supersedes(now, was executor.State) bool {
	if was == executor.Cached && now == executor.Built {
		return false // its layer was fetched later, which BuildKit tells like this
	}
	rank := func(s executor.State) int {
		switch s {
		case executor.Running:
			return 1
		case executor.Cached, executor.Canceled:
			return 2
		case executor.Failed:
			return 3
		case executor.Built:
			return 4
		}
		return 0
	}
	return rank(now) > rank(was)
}

func (t *tracker) progress(target string, st *client.VertexStatus) {
	k, ok := t.steps[st.Vertex]
	if !ok || k.stream != "" && k.stream != target {
		return
	}
	t.emit(executor.StepProgress{
		Time: st.Timestamp, Target: k.targets[0], Step: k.step, ID: st.ID,
		Current: st.Current, Total: st.Total, Done: st.Completed != nil,
	})
}

func (t *tracker) log(target string, l *client.VertexLog) {
	k, ok := t.steps[l.Vertex]
	if !ok {
		return
	}
	if k.stream == "" {
		k.stream = target
	}
	if k.stream != target {
		return
	}
	k.log = append(k.log, l.Data...)
	if over := len(k.log) - logLimit; over > 0 {
		k.log = append(k.log[:0], k.log[over:]...)
		k.clipped = true
	}
	t.emit(executor.StepLog{Time: l.Timestamp, Target: k.targets[0], Step: k.step, Stream: l.Stream, Data: l.Data})
}

// ran counts the numbered steps that target owns and how many of them ran.
// Reading a base image or a context is not running.
func (t *tracker) ran(target string) (own, ran int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := map[*tracked]bool{}
	for _, k := range t.steps {
		if seen[k] || k.step.Number == 0 || k.targets[0] != target {
			continue
		}
		seen[k] = true
		own++
		if k.state == executor.Built && !k.source {
			ran++
		}
	}
	return own, ran
}

// find returns a copy of what is known of vertex d.
func (t *tracker) find(d digest.Digest) (tracked, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k, ok := t.steps[d]
	if !ok {
		return tracked{}, false
	}
	c := *k
	c.log = append([]byte(nil), k.log...)
	return c, true
}
