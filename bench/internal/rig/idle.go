package rig

import (
	"context"
	"time"
)

const (
	idleSample = 250 * time.Millisecond
	idleShare  = 25                      // of a sample, 1/idleShare of a processor is still idle
	idleFor    = 4500 * time.Millisecond // BuildKit begins to write history 3 s after a solve
	settledFor = 750 * time.Millisecond  // nothing is delayed after a start
)

// Idle is what a daemon did after a command had ended.
type Idle struct {
	After time.Duration // until the last work
	CPU   time.Duration // processor time of that work
}

// WaitIdle waits until a process that used cpu has done nothing for 4.5 s, but
// no longer than limit: then After is limit.
func WaitIdle(ctx context.Context, cpu func() (time.Duration, error), limit time.Duration) (Idle, error) {
	return wait(ctx, cpu, limit, idleFor)
}

// Settle waits until a process that has just started has done what it does at the
// start, but no longer than limit.
func Settle(ctx context.Context, cpu func() (time.Duration, error), limit time.Duration) error {
	_, err := wait(ctx, cpu, limit, settledFor)
	return err
}

func wait(ctx context.Context, cpu func() (time.Duration, error), limit, quiet time.Duration) (Idle, error) {
	start := time.Now()
	first, err := cpu()
	if err != nil {
		return Idle{}, err
	}
	last, busy := first, time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return Idle{}, context.Cause(ctx)
		case <-time.After(idleSample):
		}
		now, err := cpu()
		if err != nil {
			return Idle{}, err
		}
		passed := time.Since(start)
		if now-last > idleSample/idleShare {
			busy = passed
		}
		last = now
		switch {
		case passed >= limit:
			return Idle{After: limit, CPU: now - first}, nil
		case passed-busy >= quiet:
			return Idle{After: busy, CPU: now - first}, nil
		}
	}
}
