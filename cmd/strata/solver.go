package main

import (
	"context"
	"fmt"
	"time"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/plan"
)

// A plannedSolver does for each target what the plan says.
type plannedSolver struct{ r *buildRun }

var _ executor.Solver = (*plannedSolver)(nil)

// Solve implements executor.Solver.
func (s *plannedSolver) Solve(ctx context.Context, id graph.ID, ready func() error) (executor.TargetResult, error) {
	r := s.r
	pt := r.decided[string(id)]
	t := r.target(string(id))
	switch pt.Action {
	case plan.Reuse:
		if pt.Entry != nil {
			r.planning.index.share(ctx, *pt.Entry)
		}
		res := reused(t, pt, executor.Reused)
		res.Outputs = r.tookImage(t.Name)
		return res, ready()
	case plan.Retag:
		return s.retag(ctx, t, pt, ready)
	}
	started := time.Now()
	res, err := r.builder.Solve(ctx, id, ready)
	if err != nil {
		return res, err
	}
	r.save(t)
	entry := index.Entry{Built: started, Duration: time.Since(started), Run: r.planning.runID, Platforms: platformsOf(r, t.Name), Tags: t.Tags, Total: max(res.Size, 0)}
	entry.Revision, entry.Branch = r.revision()
	entry.Engine, entry.Images = r.planning.engine.ID(), r.builder.TookImages(t.Name)
	if t.Implicit && pt.Last != nil && pt.Last.Fingerprint == pt.Fingerprint && pt.Last.Digest != "" {
		return res, nil // that one tells more
	}
	if err := r.planning.remember(ctx, t, pt, r.builder, entry); err != nil {
		r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Text: fmt.Sprintf("the next build will not know that this one succeeded: %v", err)}
	}
	return res, nil
}

func platformsOf(r *buildRun, target string) []string {
	var out []string
	if b, err := r.planning.lowerer.Brief(target); err == nil {
		for _, p := range b.Platforms {
			out = append(out, p.ID)
		}
	}
	return out
}

// reused is the result of a target for which nothing has to be made.
func reused(t *config.Target, pt *plan.Target, state executor.State) executor.TargetResult {
	res := executor.TargetResult{Target: t.Name, State: state, Size: -1, Tags: t.Tags}
	if pt.Entry != nil {
		res.Digest = pt.Entry.Digest
		if pt.Entry.Total > 0 {
			res.Size = pt.Entry.Total
		}
	}
	return res
}

// retag moves the tags of a target.
func (s *plannedSolver) retag(ctx context.Context, t *config.Target, pt *plan.Target, ready func() error) (executor.TargetResult, error) {
	res := reused(t, pt, executor.Retagged)
	if err := ready(); err != nil {
		return res, err
	}
	var err error
	if res.Outputs, err = s.r.planning.places.Retag(ctx, t, *pt.Entry); err != nil {
		return res, err
	}
	s.r.planning.index.share(ctx, *pt.Entry)
	res.Outputs = append(res.Outputs, s.r.tookImage(t.Name)...)
	return res, nil
}

// target is the target of the selection with this name.
func (r *buildRun) target(name string) *config.Target {
	r.once.Do(func() {
		r.targets = map[string]*config.Target{}
		for _, t := range r.sel.Targets {
			r.targets[t.Name] = t
		}
	})
	return r.targets[name]
}

// save writes a target's record at once, so that a later crash does not lose it.
func (r *buildRun) save(t *config.Target) {
	rec, ok := r.builder.Record(t.Name)
	if !ok {
		return
	}
	if err := r.app.records().Save(r.cfg.Dir, *rec); err != nil {
		r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Text: fmt.Sprintf("its layer history was not recorded: %v", err)}
	}
}

// record is the layer history of a target: of this run, or of the success that
// it rests on if all histories are wanted.
func (r *buildRun) record(ctx context.Context, pt *plan.Target) (history.Record, bool) {
	if r.builder != nil {
		if rec, ok := r.builder.Record(pt.Name); ok {
			return *rec, true
		}
	}
	if r.opts.history != "all" || pt.Entry == nil {
		return history.Record{}, false
	}
	if rec, ok := r.app.records().Latest(r.cfg.Dir, pt.Name); ok && rec.Run == pt.Entry.Run {
		return asCached(rec), true
	}
	return r.planning.index.record(ctx, *pt.Entry, pt.Name)
}

// asCached is an earlier record as it is in a run that has made nothing.
func asCached(rec history.Record) history.Record {
	images := make([]history.Image, len(rec.Images))
	for i, img := range rec.Images {
		layers := make([]history.Layer, len(img.Layers))
		for j, l := range img.Layers {
			if l.State == history.Built {
				l.State, l.Time = history.Cached, 0
			}
			layers[j] = l
		}
		img.Layers = layers
		images[i] = img
	}
	rec.Images = images
	return rec
}

// revision is what the checkout is at, for the records.
func (r *buildRun) revision() (commit, branch string) {
	r.revisionOnce.Do(func() { r.commit, r.branch = config.Checkout(r.cfg.Dir) })
	return r.commit, r.branch
}
