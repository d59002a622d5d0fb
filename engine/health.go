package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/codes"
)

// How an engine is watched. BuildKit closes connections that use gRPC's
// keepalive, so a call does the asking; a busy engine may be slow to answer.
const (
	healthInterval = 2 * time.Second
	silentNotice   = 15 * time.Second
	silentLimit    = 20 * time.Second
)

// WatchHealth returns a context that ends with an *UnreachableError as cause
// when the engine dies or gives no sign of life for 20 seconds; after 15 it
// tells Options.Notice. The cancel function ends the watch and waits for it.
func (e *Engine) WatchHealth(ctx context.Context) (context.Context, context.CancelFunc) {
	return e.watch(ctx, func(ctx context.Context) error {
		_, err := e.client.Info(ctx)
		return err
	})
}

// watch is WatchHealth with the question to ask.
func (e *Engine) watch(ctx context.Context, ask func(context.Context) error) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e.pause(ctx) {
			if err := e.signOfLife(ctx, ask); err != nil {
				cancel(e.unreachable(err))
			}
		}
	}()
	return ctx, func() {
		cancel(context.Canceled)
		<-done
	}
}

// pause waits until the next question is due, or says that none is.
func (e *Engine) pause(ctx context.Context) bool {
	timer := time.NewTimer(healthInterval)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// signOfLife asks once and waits for the answer as long as an engine may be
// silent. An engine that refuses to answer is alive.
func (e *Engine) signOfLife(ctx context.Context, ask func(context.Context) error) error {
	asking, cancel := context.WithTimeoutCause(ctx, silentLimit, errSilent)
	defer cancel()
	notice := time.AfterFunc(silentNotice, func() {
		e.notice(fmt.Sprintf("engine %s is silent for %s", e.address, silentNotice))
	})
	defer notice.Stop()

	err := ask(asking)
	switch {
	case err == nil, ctx.Err() != nil:
		return nil
	case asking.Err() != nil:
		return context.Cause(asking)
	case grpcerrors.Code(err) == codes.Unavailable:
		return err
	}
	return nil
}
