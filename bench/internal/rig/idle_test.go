package rig

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitIdle(t *testing.T) {
	for _, c := range []struct {
		name string
		busy func(at time.Duration) bool
		want Idle
	}{
		{"nothing", func(time.Duration) bool { return false }, Idle{}},
		{"a second", func(at time.Duration) bool { return at <= time.Second }, Idle{time.Second, time.Second}},
		{"history", func(at time.Duration) bool { return at > 3*time.Second && at <= 5*time.Second }, Idle{5 * time.Second, 2 * time.Second}},
		{"always", func(time.Duration) bool { return true }, Idle{20 * time.Second, 20 * time.Second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			start, used, last := time.Now(), time.Duration(0), time.Duration(0)
			got, err := WaitIdle(t.Context(), func() (time.Duration, error) {
				at := time.Since(start)
				if c.busy(at) {
					used += at - last
				}
				last = at
				return used, nil
			}, 20*time.Second)
			if err != nil || got != c.want {
				t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
			}
		})
	}
}
