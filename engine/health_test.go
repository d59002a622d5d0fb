package engine

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// F04: a silent engine is told of after 15 seconds and given up after 20, one
// that is slow or refuses is not.
func TestFault_F04_Watch(t *testing.T) {
	silence := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	tests := []struct {
		name    string
		ask     func(context.Context) error
		after   time.Duration
		ends    bool
		message string
		notices int32
	}{
		{"well", func(context.Context) error { return nil }, time.Hour, false, "", 0},
		{"refuses", func(context.Context) error { return status.Error(codes.Unimplemented, "no") }, time.Hour, false, "", 0},
		{"slow", func(ctx context.Context) error { return sleep(ctx, 14*time.Second) }, time.Hour, false, "", 0},
		{"very slow", func(ctx context.Context) error { return sleep(ctx, 16*time.Second) }, 18500 * time.Millisecond, false, "", 1},
		{"silent, not yet", silence, 21 * time.Second, false, "", 1},
		{"silent", silence, 23 * time.Second, true, "no sign of life for 20s", 1},
		{"dead", func(context.Context) error { return status.Error(codes.Unavailable, "EOF") }, 3 * time.Second, true, "EOF", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var notices atomic.Int32
				e := &Engine{address: "test", notice: func(string) { notices.Add(1) }}
				ctx, stop := e.watch(t.Context(), test.ask)
				time.Sleep(test.after) // of the test's own clock
				var lost *UnreachableError
				if ends := errors.As(context.Cause(ctx), &lost); ends != test.ends {
					t.Errorf("after %s the watch ended with %v", test.after, context.Cause(ctx))
				}
				if test.ends && !strings.Contains(lost.Error(), test.message) {
					t.Errorf("got %v, want %q", lost, test.message)
				}
				stop()
				if got := notices.Load(); got != test.notices {
					t.Errorf("got %d notices, want %d", got, test.notices)
				}
				if ctx.Err() == nil {
					t.Error("the context outlived its watch")
				}
			})
		})
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
