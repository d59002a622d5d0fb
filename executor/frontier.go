package executor

import (
	"slices"
	"time"

	"github.com/strata-build/strata/graph"
)

// A frontier knows which targets of a graph can start. It holds no lock, no
// clock and no goroutine: the one loop of a run asks and tells it.
//
// Of the targets that can start, the one with the longest way to the end of the
// graph comes first. One that waits for processors or memory is not overtaken by
// others that want some too, so that a large one is not kept waiting by many
// small ones; a full pool holds back only its own members. One that runs alone
// waits until nothing is evaluated, and nothing starts before it.
type frontier struct {
	graph *graph.Graph
	opts  Options
	rank  map[graph.ID]rank

	open  map[graph.ID]int   // needs that are not settled
	fates map[graph.ID]error // of settled targets: nil is evaluated
	ready []graph.ID         // can start, best first

	running map[graph.ID]Demand // started and not settled
	alone   bool                // one that runs alone is running
	cpus    float64
	memory  int64
	pools   map[string]int
}

// A rank orders targets that can start: longest way to the end, then order of
// the graph.
type rank struct {
	left  time.Duration
	place int
}

func newFrontier(g *graph.Graph, opts Options) *frontier {
	f := &frontier{
		graph: g, opts: opts,
		rank: map[graph.ID]rank{}, open: map[graph.ID]int{}, fates: map[graph.ID]error{},
		running: map[graph.ID]Demand{}, pools: map[string]int{},
	}
	left := g.Remaining(Estimates(g, opts.Estimate))
	for i, id := range g.Order() {
		f.rank[id] = rank{left[id], i}
		f.open[id] = len(g.Needs(id))
	}
	for _, id := range g.Order() {
		if f.open[id] == 0 {
			f.push(id)
		}
	}
	return f
}

func (f *frontier) push(id graph.ID) {
	at, _ := slices.BinarySearchFunc(f.ready, f.rank[id], func(other graph.ID, r rank) int {
		o := f.rank[other]
		if o.left != r.left {
			return int(min(max(r.left-o.left, -1), 1))
		}
		return o.place - r.place
	})
	f.ready = slices.Insert(f.ready, at, id)
}

// Next starts a target, if one can start now.
func (f *frontier) Next() (graph.ID, bool) {
	if f.alone || f.opts.Jobs > 0 && len(f.running) >= f.opts.Jobs {
		return "", false
	}
	var cpuWanted, memoryWanted bool // by one that waits
	for i, id := range f.ready {
		d := f.demand(id)
		if f.oversized(d) {
			if len(f.running) > 0 {
				return "", false
			}
			f.alone = true
			return f.start(i, d), true
		}
		if size := f.opts.Pools[d.Pool]; size > 0 && f.pools[d.Pool] >= size {
			continue
		}
		noCPU := d.CPUs > 0 && (cpuWanted || f.opts.CPUs > 0 && f.cpus+d.CPUs > f.opts.CPUs)
		noMemory := d.Memory > 0 && (memoryWanted || f.opts.Memory > 0 && f.memory+d.Memory > f.opts.Memory)
		if !noCPU && !noMemory {
			return f.start(i, d), true
		}
		cpuWanted = cpuWanted || d.CPUs > 0
		memoryWanted = memoryWanted || d.Memory > 0
	}
	return "", false
}

func (f *frontier) demand(id graph.ID) Demand {
	if f.opts.Demand == nil {
		return Demand{}
	}
	d := f.opts.Demand(id)
	d.CPUs, d.Memory = max(d.CPUs, 0), max(d.Memory, 0)
	return d
}

// oversized reports whether d is more than there is.
func (f *frontier) oversized(d Demand) bool {
	return f.opts.CPUs > 0 && d.CPUs > f.opts.CPUs || f.opts.Memory > 0 && d.Memory > f.opts.Memory
}

func (f *frontier) start(i int, d Demand) graph.ID {
	id := f.ready[i]
	f.ready = slices.Delete(f.ready, i, i+1)
	f.running[id] = d
	f.cpus += d.CPUs
	f.memory += d.Memory
	f.pools[d.Pool]++
	return id
}

// Done says that id is evaluated, so that what needs it can start. It returns
// the targets of which it is now known that they never will, because of others,
// in the order of the graph; Fate says why.
func (f *frontier) Done(id graph.ID) []graph.ID { return f.Fail(id, nil) }

// Fail says that id will never be evaluated, because of err. It returns what
// Done does.
func (f *frontier) Fail(id graph.ID, err error) []graph.ID {
	lost := f.settle(id, err)
	slices.SortFunc(lost, func(a, b graph.ID) int { return f.rank[a].place - f.rank[b].place })
	return lost
}

// Drop gives up a target that could start.
func (f *frontier) Drop(err error) (id graph.ID, lost []graph.ID, ok bool) {
	if len(f.ready) == 0 {
		return "", nil, false
	}
	id = f.ready[0]
	f.ready = f.ready[1:]
	return id, f.Fail(id, err), true
}

// Fate is why id was not evaluated, nil if it was or may still be.
func (f *frontier) Fate(id graph.ID) error { return f.fates[id] }

// Settled reports whether it is known of all targets whether they are evaluated.
func (f *frontier) Settled() bool { return len(f.fates) == f.graph.Len() }

// settle notes what became of id. A target all of whose needs are settled can
// start, or never will: it is among those returned then.
func (f *frontier) settle(id graph.ID, err error) (lost []graph.ID) {
	if _, known := f.fates[id]; known {
		return nil
	}
	f.fates[id] = err
	f.release(id)
	for _, b := range f.graph.NeededBy(id) {
		if f.open[b]--; f.open[b] > 0 {
			continue
		}
		if fate := f.inherited(b); fate != nil {
			lost = append(append(lost, b), f.settle(b, fate)...)
		} else {
			f.push(b)
		}
	}
	return lost
}

func (f *frontier) release(id graph.ID) {
	d, ok := f.running[id]
	if !ok {
		return
	}
	delete(f.running, id)
	f.cpus -= d.CPUs
	f.memory -= d.Memory
	f.pools[d.Pool]--
	f.alone = f.alone && len(f.running) > 0
	if len(f.running) == 0 {
		f.cpus = 0 // what rounding left
	}
}

// inherited is why id can not start: it is skipped on account of the first of
// its needs that failed, else canceled with one that was. The failure comes
// first: a consequence must not hide a cause.
func (f *frontier) inherited(id graph.ID) error {
	var canceled error
	for _, need := range f.graph.Needs(id) {
		switch fate := f.fates[need].(type) {
		case nil:
		case *skipError:
			return fate
		case *cancelError:
			canceled = fate
		default:
			return &skipError{need}
		}
	}
	return canceled
}
