package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// KindKey is the kind of inputs that tell the key of a step and, as their
// value, how long it took when it ran last. They are for the next plan only.
const KindKey = "key"

// KindResponse is the kind of inputs that tell what the exporters said, to be
// repeated when a target is reused.
const KindResponse = "response"

// weigh finds the critical chain of what is solved.
func (p *Plan) weigh() {
	weights := map[graph.ID]time.Duration{}
	for _, t := range p.Targets {
		if t.Action == Solve {
			weights[graph.ID(t.Name)] = t.Estimate
		}
	}
	p.critical(weights)
}

// steps says which steps of t are expected to run and how long that takes. A step whose key the last success has is
// expected in the engine's cache.
func (p *Planner) steps(ctx context.Context, t *Target) {
	res, err := p.Lowerer.Result(ctx, t.Name)
	if err != nil || res == nil || res.Foreign != "" {
		return
	}
	if t.Keys, err = res.StepKeys(t.content); err != nil {
		return
	}
	known := map[string]time.Duration{}
	if t.Last != nil {
		if d, ok := p.Index.Detail(ctx, *t.Last); ok {
			known = pastTimes(d.Inputs)
			t.past = pastSteps(d.Inputs)
		}
	}
	forced := slices.ContainsFunc(t.Reasons, func(r Reason) bool { return r.Kind == KindForced && r.Path == "no-cache" })
	for _, r := range res.Readings() {
		st := Step{Number: r.Step.Number, Name: r.Step.Name, Place: r.Place, Digest: r.Step.Digest}
		past, cached := known[t.Keys[r.Step.Digest]]
		st.Runs = !cached || forced
		if st.Past = past; !cached {
			st.Past = t.past[r.Step.Name]
		}
		if st.Runs {
			t.Estimate += st.Past
		}
		t.Steps = append(t.Steps, st)
	}
	if t.Estimate == 0 && t.Last != nil {
		t.Estimate = t.Last.Duration
	}
}

// pastTimes are the times of steps by key.
func pastTimes(list []index.Input) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, in := range pick(list, KindKey) {
		d, _ := time.ParseDuration(in.Value) // an unknown time is none
		out[in.Name] = d
	}
	return out
}

// pastSteps are the times of steps by what they say.
func pastSteps(list []index.Input) map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, in := range pick(list, KindKey) {
		if d, err := time.ParseDuration(in.Value); err == nil && in.Place != "" {
			out[in.Place] = d
		}
	}
	return out
}

// content hashes what a step reads of a set of files.
func (t *Target) content(sel lower.Selection) string {
	h := sha256.New()
	for _, tree := range t.Trees {
		if tree.Set.Dir != sel.Local.Dir || !equalSets(tree.Set, setOf(sel.Local)) {
			continue
		}
		for _, f := range tree.files {
			if sel.Matches(f.Path) {
				fmt.Fprintf(h, "%q %s\n", f.Path, f.Digest)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func equalSets(a, b files.Set) bool {
	return a.Dir == b.Dir && slices.Equal(a.Include, b.Include) && slices.Equal(a.Exclude, b.Exclude) && slices.Equal(a.Follow, b.Follow)
}

// StepInputs are the inputs that tell the next plan of this run's steps: took
// answers how long a step ran, 0 if it did not.
func (t *Target) StepInputs(took func(digest.Digest) time.Duration) []index.Input {
	var out []index.Input
	for _, st := range t.Steps {
		d := took(st.Digest)
		if d == 0 {
			d = st.Past
		}
		// Place holds what the step says, so that a changed one can be told by it.
		out = append(out, index.Input{Kind: KindKey, Name: t.Keys[st.Digest], Value: d.String(), Place: st.Name})
	}
	return out
}

// critical finds the chain of solved targets that takes longest.
func (p *Plan) critical(weights map[graph.ID]time.Duration) {
	best := map[string]time.Duration{}
	from := map[string]string{}
	end := ""
	for _, t := range p.Targets { // needs come first
		for _, n := range t.Needs {
			if best[n] > best[t.Name] || best[n] == best[t.Name] && from[t.Name] == "" && weightKnown(weights, n) {
				best[t.Name], from[t.Name] = best[n], n
			}
		}
		if w, ok := weights[graph.ID(t.Name)]; ok {
			best[t.Name] += w
			if end == "" || best[t.Name] > best[end] || best[t.Name] == best[end] && from[t.Name] == end {
				end = t.Name
			}
		}
	}
	p.Estimate = best[end]
	for at := end; at != ""; at = from[at] {
		if weightKnown(weights, at) {
			p.Critical = append(p.Critical, at)
		}
	}
	slices.Reverse(p.Critical)
}

func weightKnown(weights map[graph.ID]time.Duration, name string) bool {
	_, ok := weights[graph.ID(name)]
	return ok
}
