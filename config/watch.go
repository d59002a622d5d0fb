package config

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
	"time"

	"github.com/hashicorp/hcl/v2"
)

// Whatever the files say, reading them ends within five seconds and with less
// than 512 MiB in use, the program itself included. Most of what could take longer
// is refused because it was counted; these are the limits of everything else.
const (
	maxTime   = 4 * time.Second  // on a clock, if the processor was at it
	maxWait   = 30 * time.Second // on a clock, however busy the machine is
	maxMemory = 352 << 20        // bytes of heap
)

// A watch ends work that takes too long or too much memory.
type watch struct {
	stopped atomic.Bool
	at      atomic.Pointer[hcl.Range] // what is being worked on
}

// run does the work, for as long and in as much memory as is allowed. It returns
// a problem if it gave up; then nothing that do has made must be used, because
// one that is inside of a library for long is left alone: the command ends soon.
func (w *watch) run(ctx context.Context, do func()) *hcl.Diagnostic {
	finished := make(chan struct{})
	var broken error
	go func() {
		defer close(finished)
		defer func() {
			if r := recover(); r != nil {
				broken = fmt.Errorf("%v\n%s", r, debug.Stack())
			}
		}()
		do()
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start, cpu, before := time.Now(), processorTime(), heap()
	for {
		why := ""
		select {
		case <-finished:
			if broken != nil {
				return problem(w.place(), internalProblem, "Reading this went wrong: %v", broken)
			}
			return nil
		case <-ctx.Done():
			why = context.Cause(ctx).Error()
		case <-tick.C:
			now := heap()
			why = exceeded(time.Since(start), processorTime()-cpu, now-min(before, now))
		}
		if why != "" {
			return w.giveUp(why, finished)
		}
	}
}

// internalProblem is the summary of a bug of ours, or of the parser.
const internalProblem = "Internal problem"

// exceeded names the limit that was passed, or "". A busy machine is no fault of
// the files, so a short time counts only if the processor was at work for most of
// it.
func exceeded(elapsed, cpu time.Duration, used uint64) string {
	switch {
	case used > maxMemory:
		return fmt.Sprintf("it needs more than %d MiB", maxMemory>>20)
	case elapsed > maxWait:
		return fmt.Sprintf("it takes longer than %v", maxWait)
	case elapsed > maxTime && cpu > maxTime*3/4:
		return fmt.Sprintf("it takes longer than %v", maxTime)
	}
	return ""
}

func (w *watch) giveUp(why string, finished <-chan struct{}) *hcl.Diagnostic {
	w.stopped.Store(true)
	select {
	case <-finished:
	case <-time.After(200 * time.Millisecond):
	}
	return problem(w.place(), "Evaluation given up", "Evaluating this was stopped: %s.", why)
}

func (w *watch) place() hcl.Range {
	if at := w.at.Load(); at != nil {
		return *at
	}
	return hcl.Range{}
}

// heap is how many bytes are in use.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
