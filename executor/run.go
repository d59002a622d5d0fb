// Package executor runs the targets of a graph: what can start starts, a
// failure skips what needs it, and everything that happens is told as events.
//
// It knows order, limits and lifetimes. How one target is built is the Solver's
// business; how it looks is report's.
package executor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/strata-build/strata/graph"
)

// A Solver builds one target. executor/buildkit implements it; tests implement
// it in ten lines.
type Solver interface {
	// Solve builds id. It calls ready once, as soon as targets that need id can
	// start; if ready returns nil exports go on after that, else Solve returns
	// its error and exports nothing. The result is complete but for State
	// Skipped and Canceled, which the executor decides.
	Solve(ctx context.Context, id graph.ID, ready func() error) (TargetResult, error)
}

// Options limit a run.
type Options struct {
	Jobs      int  // targets in flight at once; 0 is no limit
	KeepGoing bool // a failure stops only what needs it

	// HoldExports exports nothing before every target is evaluated, and nothing
	// at all if one failed. Jobs has to be no limit then: a target that waits
	// to export holds its slot.
	HoldExports bool
}

// ErrFailed is returned by Run when at least one target failed. The results say
// which and why.
var ErrFailed = errors.New("some targets failed")

// A task is one target in flight. The goroutine that owns it sets err and then
// closes ready, and sets result and then closes done; others read only after.
type task struct {
	id    graph.ID
	ready chan struct{} // evaluated, or never will be: see err
	once  sync.Once
	err   error
	res   TargetResult
}

// A skipError says that a target was not tried because of another.
type skipError struct{ blame graph.ID }

// A cancelError says that a target was stopped, or not started, because the
// run was.
type cancelError struct{ cause error }

func (e *cancelError) Error() string { return e.cause.Error() }
func (e *cancelError) Unwrap() error { return e.cause }

func (e *skipError) Error() string { return fmt.Sprintf("needs %s, which failed", e.blame) }

// Run builds every target of g and returns what became of each, in the order of
// g. It tells emit all that happens between one RunStarted, which the caller
// has sent, and one RunDone. The error is nil, ErrFailed, or the cause of ctx.
func Run(ctx context.Context, g *graph.Graph, s Solver, opts Options, emit func(Event)) ([]TargetResult, error) {
	r := &runner{graph: g, solver: s, opts: opts, emit: emit, tasks: map[graph.ID]*task{}}
	if opts.Jobs > 0 {
		r.slots = semaphore.NewWeighted(int64(opts.Jobs))
	}
	for _, id := range g.Order() {
		r.tasks[id] = &task{id: id, ready: make(chan struct{})}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, id := range g.Order() {
		group.Go(func() error { return r.run(groupCtx, r.tasks[id]) })
	}
	_ = group.Wait() // the failures are in the results
	var results []TargetResult
	failed := false
	for _, id := range g.Order() {
		res := r.tasks[id].res
		failed = failed || !res.State.Done()
		results = append(results, res)
	}
	emit(RunDone{Time: time.Now(), Results: results})
	if ctx.Err() != nil {
		return results, context.Cause(ctx)
	}
	if failed {
		return results, ErrFailed
	}
	return results, nil
}

type runner struct {
	graph  *graph.Graph
	solver Solver
	opts   Options
	emit   func(Event)
	slots  *semaphore.Weighted // nil is no limit
	tasks  map[graph.ID]*task
}

// run builds one target. Its error cancels the others, so it is nil for a
// target that was only skipped and, when asked to keep going, for any.
func (r *runner) run(ctx context.Context, t *task) error {
	res, err := r.solve(ctx, t)
	if _, known := errors.AsType[*skipError](err); err != nil && !known && ctx.Err() != nil {
		err = &cancelError{context.Cause(ctx)}
	}
	res.Target = string(t.id)
	skip, skipped := errors.AsType[*skipError](err)
	cancel, canceled := errors.AsType[*cancelError](err)
	switch {
	case err == nil:
	case skipped:
		res.State, res.Blame = Skipped, string(skip.blame)
	case canceled:
		res.State, res.Err, res.Failure = Canceled, cancel.cause, nil
	default:
		res.State, res.Err = Failed, err
	}
	t.res = res
	t.finish(err)
	r.emit(TargetDone{Time: time.Now(), Target: string(t.id), Result: res})
	if r.opts.KeepGoing || skipped {
		return nil
	}
	return err
}

// finish tells the dependents how it went, unless they started already.
func (t *task) finish(err error) {
	t.once.Do(func() {
		t.err = err
		close(t.ready)
	})
}

// solve waits for what t needs, then for a slot, then builds. In this order a
// waiting target never holds the slot that its need wants.
func (r *runner) solve(ctx context.Context, t *task) (TargetResult, error) {
	for _, id := range r.graph.Needs(t.id) {
		need := r.tasks[id]
		<-need.ready // ends with ctx too: what it waits for does
		if need.err != nil {
			return TargetResult{}, inherit(need)
		}
	}
	if r.slots != nil {
		if err := r.slots.Acquire(ctx, 1); err != nil {
			return TargetResult{}, &cancelError{context.Cause(ctx)}
		}
		defer r.slots.Release(1)
	}
	if ctx.Err() != nil {
		return TargetResult{}, &cancelError{context.Cause(ctx)}
	}
	start := time.Now()
	r.emit(TargetStarted{Time: start, Target: string(t.id)})
	res, err := r.solver.Solve(ctx, t.id, func() error {
		r.emit(TargetReady{Time: time.Now(), Target: string(t.id)})
		t.finish(nil)
		return r.hold(ctx)
	})
	res.Duration = time.Since(start)
	return res, err
}

// hold waits until all targets are evaluated, if exports are held.
func (r *runner) hold(ctx context.Context) error {
	if !r.opts.HoldExports {
		return nil
	}
	for _, id := range r.graph.Order() {
		other := r.tasks[id]
		select {
		case <-other.ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if other.err != nil {
			return &cancelError{fmt.Errorf("%s failed, so nothing is exported", id)}
		}
	}
	return nil
}

// inherit is what becomes of a target whose need did not succeed: it is
// canceled with it, or skipped on account of the target that failed first.
func inherit(need *task) error {
	if _, ok := errors.AsType[*skipError](need.err); ok {
		return need.err
	}
	if _, ok := errors.AsType[*cancelError](need.err); ok {
		return need.err
	}
	return &skipError{need.id}
}
