package main

import (
	"runtime"
	"testing"
)

func TestCollectorPercent(t *testing.T) {
	for _, tt := range []struct {
		liveMB  uint64
		percent int
	}{
		{0, 800}, {4, 800}, {8, 400}, {16, 200}, {32, 100}, {48, 66}, {56, 42}, {64, 25}, {80, 25}, {1024, 25},
	} {
		if got := collectorPercent(tt.liveMB << 20); got != tt.percent {
			t.Errorf("with %d MiB in use: %d percent, want %d", tt.liveMB, got, tt.percent)
		}
	}
}

func TestTheCollectorIsFollowed(t *testing.T) {
	const enough = 3
	runs := make(chan int)
	n := 0
	follow(func() bool {
		n++
		runs <- n
		return n < enough
	})
	for want := 1; want <= enough; want++ { // again after each
		for called := false; !called; { // a run may come before it is followed again
			runtime.GC()
			select {
			case got := <-runs:
				called = true
				if got != want {
					t.Errorf("called %d times, want %d", got, want)
				}
			default:
			}
		}
	}
}

func TestTheUserTunesTheCollector(t *testing.T) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if tunes(func(n string) (string, bool) { return "100", n == name }) {
			t.Errorf("%s of the user is overruled", name)
		}
	}
	if !tunes(func(string) (string, bool) { return "", false }) {
		t.Error("nothing is tuned")
	}
}
