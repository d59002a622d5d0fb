package index

import (
	"context"
	"time"
)

// WithNow sets the clock.
func WithNow(now func() time.Time) LocalOption { return func(l *Local) { l.now = now } }

// HoldLease holds the lease as a Put does that writes blobs.
func HoldLease(l *Local) (release func()) {
	release, err := l.lock(context.Background(), leaseFile, false)
	if err != nil {
		panic(err)
	}
	return release
}
