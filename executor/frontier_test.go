package executor

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/graph"
)

// demands reads "big:4/8/heavy small:1": cores, bytes, pool.
func demands(text string) func(graph.ID) Demand {
	out := map[graph.ID]Demand{}
	for _, f := range strings.Fields(text) {
		id, rest, _ := strings.Cut(f, ":")
		parts := append(strings.Split(rest, "/"), "", "")
		var d Demand
		d.CPUs, _ = strconv.ParseFloat(parts[0], 64)
		d.Memory, _ = strconv.ParseInt(parts[1], 10, 64)
		d.Pool = parts[2]
		out[graph.ID(id)] = d
	}
	return func(id graph.ID) Demand { return out[id] }
}

// play runs a script of "next", "done ID" and "fail ID" and tells what started
// ("+a") and what was lost ("a!b" is b on account of a).
func play(f *frontier, script string) string {
	var out []string
	lost := func(ids []graph.ID) {
		for _, id := range ids {
			out = append(out, fmt.Sprintf("%s!%s", f.Fate(id).(*skipError).blame, id))
		}
	}
	for cmd := range strings.SplitSeq(script, ",") {
		verb, id, _ := strings.Cut(strings.TrimSpace(cmd), " ")
		switch verb {
		case "next":
			for {
				next, ok := f.Next()
				if !ok {
					break
				}
				out = append(out, "+"+string(next))
			}
		case "done":
			lost(f.Done(graph.ID(id)))
		case "fail":
			lost(f.Fail(graph.ID(id), errors.New("broken")))
		}
	}
	return strings.Join(out, " ")
}

func TestFrontier(t *testing.T) {
	tests := []struct {
		name, graph, demands, script string
		opts                         Options
		want                         string
	}{
		{
			name: "the longest way first, then as declared", graph: "x:\nbase:\nlib: base\napp: lib\ny:",
			script: "next, done base, next", want: "+base +x +y +lib",
		},
		{
			name: "processors", graph: "a:\nb:\nc:\nfree:", demands: "a:2 b:2 c:1",
			opts: Options{CPUs: 3}, script: "next, done a, next, done b, next",
			want: "+a +free +b +c",
		},
		{
			name: "memory", graph: "a:\nb:\nc:", demands: "a:0/3 b:0/2 c:0/1",
			opts: Options{Memory: 4}, script: "next, done a, next", want: "+a +b +c",
		},
		{
			name: "one that waits for memory is not overtaken by those who want some", graph: "a:\nb:\nc:\nd:",
			demands: "a:1/3 b:1/3 c:0/1 d:1", opts: Options{CPUs: 9, Memory: 4},
			script: "next, done a, next", want: "+a +b +c +d",
		},
		{
			name: "larger than all there is: alone", graph: "a:\nbig:\nb:", demands: "a:1 big:8",
			opts: Options{CPUs: 4}, script: "next, next, done a, next, next, done big, next", want: "+a +big +b",
		},
		{
			name: "a full pool holds back its members only", graph: "a:\nb:\nc:\nd:", demands: "a:0/0/p b:0/0/p c:0/0/p",
			opts: Options{Pools: map[string]int{"p": 1}}, script: "next, done a, next, fail b, next", want: "+a +d +b +c",
		},
		{
			name: "a pool without a size has no limit", graph: "a:\nb:", demands: "a:0/0/q b:0/0/q",
			opts: Options{Pools: map[string]int{"p": 1}}, script: "next", want: "+a +b",
		},
		{
			name: "a failure is inherited once all needs are settled", graph: "a:\nb:\nc: b a\nd: c",
			script: "next, fail a, next, done b", want: "+a +b a!c a!d",
		},
		{
			name: "blame goes by the order of needs", graph: "a:\nb:\nc: b a",
			script: "next, fail a, fail b", want: "+a +b b!c",
		},
		{
			name: "a place is given back only once", graph: "a:\nb:\nc:", opts: Options{Jobs: 1},
			script: "next, done a, next, fail a, next", want: "+a +b",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.opts.Demand = demands(tt.demands)
			if got := play(newFrontier(parse(t, tt.graph), tt.opts), tt.script); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Whatever the graph, the demands and the failures: nothing is ever stuck, no
// limit is passed but by one that is alone, and every target gets a fate.
func TestFrontierNeverStuckNeverOver(t *testing.T) {
	for seed := range uint64(400) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		opts := Options{Jobs: rnd.IntN(4), CPUs: float64(rnd.IntN(4)), Memory: rnd.Int64N(4), Pools: map[string]int{"p": rnd.IntN(3)}}
		var text strings.Builder
		demand := map[graph.ID]Demand{}
		n := 1 + rnd.IntN(20)
		for i := range n {
			fmt.Fprintf(&text, "t%d:", i)
			for range rnd.IntN(3) {
				if i > 0 {
					fmt.Fprintf(&text, " t%d", rnd.IntN(i))
				}
			}
			text.WriteByte('\n')
			demand[graph.ID(fmt.Sprintf("t%d", i))] = Demand{float64(rnd.IntN(10)) / 2, rnd.Int64N(6), []string{"", "p"}[rnd.IntN(2)]}
		}
		opts.Demand = func(id graph.ID) Demand { return demand[id] }
		opts.Estimate = func(graph.ID) time.Duration { return time.Duration(rnd.IntN(3)) }
		f := newFrontier(parse(t, text.String()), opts)
		var running []graph.ID
		settled := map[graph.ID]int{}
		for {
			for id, ok := f.Next(); ok; id, ok = f.Next() {
				running = append(running, id)
				if why := over(opts, running, demand); why != "" {
					t.Fatalf("seed %d: %s: %v", seed, why, running)
				}
			}
			if len(running) == 0 {
				break
			}
			i := rnd.IntN(len(running))
			id := running[i]
			running = slices.Delete(running, i, i+1)
			settled[id]++
			lost := f.Done
			if rnd.IntN(4) == 0 {
				lost = func(id graph.ID) []graph.ID { return f.Fail(id, errors.New("broken")) }
			}
			for _, id := range lost(id) {
				settled[id]++
			}
		}
		if !f.Settled() || len(settled) != n {
			t.Fatalf("seed %d: stuck with %d of %d settled", seed, len(settled), n)
		}
		for id, times := range settled {
			if times != 1 {
				t.Fatalf("seed %d: %s settled %d times", seed, id, times)
			}
		}
	}
}

// over says which limit running passes, "" if none.
func over(opts Options, running []graph.ID, demand map[graph.ID]Demand) string {
	if opts.Jobs > 0 && len(running) > opts.Jobs {
		return "more than jobs"
	}
	var sum Demand
	members := 0
	for _, id := range running {
		d := demand[id]
		sum.CPUs += d.CPUs
		sum.Memory += d.Memory
		if d.Pool == "p" {
			members++
		}
	}
	switch {
	case opts.Pools["p"] > 0 && members > opts.Pools["p"] && len(running) > 1:
		return "more than the pool"
	case opts.CPUs > 0 && sum.CPUs > opts.CPUs && len(running) > 1:
		return "more than the processors"
	case opts.Memory > 0 && sum.Memory > opts.Memory && len(running) > 1:
		return "more than the memory"
	}
	return ""
}

func TestEstimates(t *testing.T) {
	g := parse(t, "a:\nb:\nc:\nd:")
	known := map[graph.ID]time.Duration{"a": 10, "b": 30, "c": 20}
	tests := []struct {
		name  string
		known func(graph.ID) time.Duration
		want  time.Duration // of d
	}{
		{"the median of what is known", func(id graph.ID) time.Duration { return known[id] }, 20},
		{"a second if nothing is", nil, time.Second},
	}
	for _, tt := range tests {
		if got := Estimates(g, tt.known)("d"); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	if got := Estimates(g, tests[0].known)("b"); got != 30 {
		t.Errorf("what is known counts: got %v", got)
	}
}
