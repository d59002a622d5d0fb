package index

import (
	"context"
	"time"
)

// SetNow sets the clock.
func (l *Local) SetNow(now func() time.Time) { l.now = now }

// HoldLease holds the lease as a Put does that writes blobs.
func HoldLease(l *Local) (release func()) {
	release, err := l.lock(context.Background(), leaseFile, false)
	if err != nil {
		panic(err)
	}
	return release
}
