package executor

import (
	"cmp"
	"slices"
	"time"

	"github.com/strata-build/strata/graph"
)

// A Demand is what a target takes while it is evaluated. Zero takes nothing.
type Demand struct {
	CPUs   float64 // cores
	Memory int64   // bytes
	Pool   string  // one place of the pool of this name; "" is none
}

// maxExports is how many targets export at once when Jobs is no limit: enough
// to keep a registry busy, few enough to leave the processors to the targets
// that others wait for.
const maxExports = 8

// maxFlying is how many targets are under way at once, evaluated or about to be
// exported, unless there are more Jobs. Each is a session with the engine, which
// takes a quarter of a megabyte here and more there; so many keep every
// processor and a registry busy.
const maxFlying = 64

// flying is how many targets may be under way at once, 0 for no limit: held
// exports wait for all targets.
func (o Options) flying() int {
	if o.HoldExports {
		return 0
	}
	return max(maxFlying, o.Jobs+o.exports())
}

// exports is how many targets export at once.
func (o Options) exports() int {
	if o.Jobs > 0 {
		return o.Jobs
	}
	return maxExports
}

// Estimates completes what is known of how long targets take: one for which
// known is zero, or all if known is nil, takes the median of the others of g, or
// a second if nothing is known at all.
func Estimates(g *graph.Graph, known func(graph.ID) time.Duration) func(graph.ID) time.Duration {
	took := make(map[graph.ID]time.Duration, g.Len())
	var all []time.Duration
	for _, id := range g.Order() {
		if known == nil {
			break
		}
		if d := known(id); d > 0 {
			took[id] = d
			all = append(all, d)
		}
	}
	median := time.Second
	if len(all) > 0 {
		slices.Sort(all)
		median = all[len(all)/2]
	}
	return func(id graph.ID) time.Duration { return cmp.Or(took[id], median) }
}
