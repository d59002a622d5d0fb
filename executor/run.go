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

// Options limit a run. What is zero or nil limits nothing.
//
// A target takes its place among Jobs, its demand and its place in a pool from
// its start until it is evaluated. Then those that need it can start, and while
// it exports it is counted apart, so that no export keeps a target waiting that
// others need.
type Options struct {
	// Jobs is how many targets are evaluated at once, and how many export.
	// Without it only few export at once.
	Jobs      int
	KeepGoing bool // a failure stops only what needs it

	// HoldExports exports nothing before every target is evaluated, and nothing
	// at all if one failed.
	HoldExports bool

	// CPUs and Memory are what there is for the demands of all targets that are
	// evaluated. A target that demands more than there is runs alone.
	CPUs   float64
	Memory int64 // bytes
	// Pools are the sizes of the named pools.
	Pools map[string]int
	// Demand says what a target takes.
	Demand func(graph.ID) Demand
	// Estimate is how long a target took before, 0 if that is not known: of the
	// targets that can start, the one with the longest way to the end does.
	Estimate func(graph.ID) time.Duration
}

// ErrFailed is returned by Run when at least one target failed. The results say
// which and why.
var ErrFailed = errors.New("some targets failed")

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
// emit is called from several goroutines.
func Run(ctx context.Context, g *graph.Graph, s Solver, opts Options, emit func(Event)) ([]TargetResult, error) {
	runCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &runner{
		graph: g, solver: s, opts: opts, emit: emit, cancel: cancel,
		frontier: newFrontier(g, opts),
		news:     make(chan news),
		held:     make(chan struct{}),
		exports:  semaphore.NewWeighted(int64(opts.exports())),
		results:  map[graph.ID]TargetResult{},
	}
	r.loop(runCtx)
	var results []TargetResult
	failed := false
	for _, id := range g.Order() {
		res := r.results[id]
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

// A runner is one run. Only the loop touches what is not a channel, the solver
// or emit; it closes held after it has set heldErr.
type runner struct {
	graph    *graph.Graph
	solver   Solver
	opts     Options
	emit     func(Event)
	cancel   context.CancelCauseFunc
	frontier *frontier
	news     chan news           // from the targets in flight
	exports  *semaphore.Weighted // free places to export
	results  map[graph.ID]TargetResult

	held    chan struct{} // closed when exports may start, or never will: see heldErr
	heldErr error
	release sync.Once
}

// news is what a target in flight tells the loop: it is evaluated, or nothing
// more happens to it.
type news struct {
	id   graph.ID
	done bool
	res  TargetResult
	err  error
}

// loop starts what can start and listens to what is in flight, until nothing is
// left.
func (r *runner) loop(ctx context.Context) {
	flying := 0
	stopped := ctx.Done()
	for {
		for ctx.Err() == nil && (r.opts.flying() == 0 || flying < r.opts.flying()) {
			id, ok := r.frontier.Next()
			if !ok {
				break
			}
			flying++
			go r.fly(ctx, id)
		}
		if ctx.Err() != nil {
			r.drop(context.Cause(ctx))
		}
		if r.frontier.Settled() {
			r.letGo(nil)
		}
		if flying == 0 {
			return // what is not running could start, and all that could has
		}
		select {
		case n := <-r.news:
			if n.done {
				flying--
			}
			r.take(n)
		case <-stopped:
			stopped = nil
		}
	}
}

// take notes what is new of a target. A failure stops the others, unless the run
// shall go on.
func (r *runner) take(n news) {
	if !n.done || n.err == nil {
		r.lose(r.frontier.Done(n.id))
		if n.done {
			r.results[n.id] = n.res
		}
		return
	}
	r.results[n.id] = n.res
	r.lose(r.frontier.Fail(n.id, n.err))
	if n.res.State == Failed {
		r.letGo(&cancelError{fmt.Errorf("%s failed, so nothing is exported", n.id)})
	}
	if !r.opts.KeepGoing {
		r.cancel(n.err)
	}
}

// drop gives up all that could start.
func (r *runner) drop(cause error) {
	err := &cancelError{cause}
	for {
		id, lost, ok := r.frontier.Drop(err)
		if !ok {
			return
		}
		r.finish(id, TargetResult{}, err)
		r.lose(lost)
	}
}

// lose finishes targets that never start.
func (r *runner) lose(ids []graph.ID) {
	for _, id := range ids {
		r.finish(id, TargetResult{}, r.frontier.Fate(id))
	}
}

func (r *runner) finish(id graph.ID, res TargetResult, err error) {
	r.results[id] = r.told(id, res, err)
}

// told completes what became of a target and tells it.
func (r *runner) told(id graph.ID, res TargetResult, err error) TargetResult {
	res.Target = string(id)
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
	r.emit(TargetDone{Time: time.Now(), Target: string(id), Result: res})
	return res
}

// letGo ends the waiting of those that hold their exports.
func (r *runner) letGo(err error) {
	r.release.Do(func() {
		r.heldErr = err
		close(r.held)
	})
}

// fly builds one target and tells the loop.
func (r *runner) fly(ctx context.Context, id graph.ID) {
	start := time.Now()
	r.emit(TargetStarted{Time: start, Target: string(id)})
	exporting := false
	res, err := r.solver.Solve(ctx, id, func() error {
		r.emit(TargetReady{Time: time.Now(), Target: string(id)})
		r.news <- news{id: id}
		if err := r.hold(ctx); err != nil {
			return err
		}
		exporting = r.exports.Acquire(ctx, 1) == nil
		if !exporting {
			return context.Cause(ctx)
		}
		return nil
	})
	if exporting {
		r.exports.Release(1)
	}
	res.Duration = time.Since(start)
	if err != nil && ctx.Err() != nil {
		err = &cancelError{context.Cause(ctx)}
	}
	r.news <- news{id: id, done: true, res: r.told(id, res, err), err: err}
}

// hold waits until all targets are evaluated, if exports are held.
func (r *runner) hold(ctx context.Context) error {
	if !r.opts.HoldExports {
		return nil
	}
	select {
	case <-r.held:
		return r.heldErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
