package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A command lives shortly and needs little: by Go's default the collector of
// garbage would run a dozen times while a plan of a thousand targets is made,
// for a few megabytes each. There may be freeGarbage before it runs, in bytes, and
// less as soon as it and what is in use are more than roomyHeap; but always a
// quarter of what is in use.
const (
	freeGarbage = 32 << 20
	roomyHeap   = 80 << 20
)

// tuneCollector adapts the collector after each of its runs, for as long as the
// process lives.
func tuneCollector() {
	tune := func() bool {
		debug.SetGCPercent(collectorPercent(liveHeap()))
		return true
	}
	tune()
	follow(tune)
}

// tunes reports whether the collector is ours to tune: what the user says by
// GOGC or GOMEMLIMIT is left alone.
func tunes(lookupEnv func(string) (string, bool)) bool {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if _, ok := lookupEnv(name); ok {
			return false
		}
	}
	return true
}

// collectorPercent is how much garbage there may be before the collector runs, in
// percent of the live bytes. Fewer than 4 MiB count as that many, which is Go's
// least heap.
func collectorPercent(live uint64) int {
	live = max(live, 4<<20)
	garbage := min(freeGarbage, roomyHeap-min(live, roomyHeap))
	return int(max(100*garbage/live, 25))
}

// follow calls f after each run of the collector, until f says that it is enough.
func follow(f func() bool) {
	type sentinel struct{ _ [16]byte } // not so small that Go would put it with others
	var again func(*sentinel)
	again = func(s *sentinel) {
		if f() {
			runtime.SetFinalizer(s, again)
		}
	}
	runtime.SetFinalizer(new(sentinel), again)
}

// liveHeap is how many bytes the collector found in use when it last ran.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
