package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/strata-build/strata/bench/internal/tree"
)

// cases are all that can be measured, in the order of the report.
var cases = []struct {
	name    string
	measure func(*bench, context.Context) ([]section, error)
}{
	{"local", (*bench).local},
	{"fresh", (*bench).fresh},
	{"rebuild", (*bench).rebuild},
	{"bytes", (*bench).bytes},
	{"chain", (*bench).chain},
	{"diamond", (*bench).diamond},
	{"large", (*bench).large},
	{"slow", (*bench).slow},
}

func caseNames() []string {
	var names []string
	for _, c := range cases {
		names = append(names, c.name)
	}
	return names
}

// of are the figures of every case.
func of(more ...figure) []figure {
	return append([]figure{wall, cpu, memory, daemonCPU, solves, connections, requests}, more...)
}

// inPairs measures both programs so many times. Who goes first changes with
// every pair. The error is one of the machinery, never that of a program.
func (b *bench) inPairs(ctx context.Context, pairs int, one func(program) (sample, error)) (*series, error) {
	got := &series{}
	for i := range pairs {
		for j := range programs {
			p := programs[(i+j)%len(programs)]
			if got.failed[p] != nil {
				continue
			}
			s, err := one(p)
			if ctx.Err() != nil {
				return got, context.Cause(ctx)
			}
			if err != nil {
				got.failed[p] = err
				continue
			}
			got.add(p, s)
		}
	}
	return got, nil
}

// local is what a developer does all day, on one machine that keeps everything.
func (b *bench) local(ctx context.Context) ([]section, error) {
	var all []section
	for _, n := range b.sizes.local {
		w, err := b.warmWorld(ctx, tree.Services(b.base, n))
		if err != nil {
			return all, err
		}
		got, err := b.localIn(ctx, w, n)
		all = append(all, got...)
		if err := errors.Join(err, w.close()); err != nil {
			return all, err
		}
	}
	return all, nil
}

// warmWorld is a world in which both programs have built the tree, if they can.
func (b *bench) warmWorld(ctx context.Context, t *tree.Tree) (*world, error) {
	w, err := b.newWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	if err := w.warm(ctx, programs...); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (b *bench) localIn(ctx context.Context, w *world, n int) ([]section, error) {
	nothing, err := b.inPairs(ctx, b.pairs, func(p program) (sample, error) { return w.measure(ctx, p, measures{}) })
	if err != nil {
		return nil, err
	}
	all, alone, err := b.oneLeaf(ctx, w)
	if err != nil {
		return nil, err
	}
	sections := []section{
		{name: fmt.Sprintf("nothing changed, %d targets", n), figures: of(), got: nothing},
		{name: fmt.Sprintf("one leaf of %d changed", n), figures: of(), got: all},
		{name: fmt.Sprintf("one leaf of %d changed, built alone", n), figures: of(), got: alone},
	}
	if n == b.sizes.full {
		toAlone := spreadOf(ratios(all.values(strata, wall), alone.values(strata, wall))).median
		sections[0].goals = []goal{
			times(spreadOf(nothing.ratio(wall)).median, 100),
			atMost("wall", nothing.median(strata, wall), 0.060, "s"),
			atMost("connections to the engine", spreadOf(nothing.values(strata, connections)).max, 0, ""),
		}
		sections[1].goals = []goal{atMost("wall", toAlone, 1.2, "times that of the leaf alone")}
	}
	return sections, nil
}

// oneLeaf changes one target before each run: once all targets are built and
// once only that one.
func (b *bench) oneLeaf(ctx context.Context, w *world) (all, alone *series, err error) {
	leaf := tree.Leaf(len(w.tree.Targets) / 2)
	changed := func(targets ...string) func(program) (sample, error) {
		return func(p program) (sample, error) {
			if err := w.tree.Change(w.checkout, leaf); err != nil {
				return nil, err
			}
			return w.measure(ctx, p, measures{targets: targets})
		}
	}
	all, alone = &series{}, &series{}
	for range b.pairs {
		for s, one := range map[*series]func(program) (sample, error){all: changed(), alone: changed(leaf)} {
			got, err := b.inPairs(ctx, 1, one)
			if err != nil {
				return nil, nil, err
			}
			s.join(got)
		}
	}
	return all, alone, nil
}

// rebuild builds everything on an empty daemon, then everything again because
// the base has changed.
func (b *bench) rebuild(ctx context.Context) ([]section, error) {
	n := b.sizes.full
	t := tree.Services(b.base, n)
	again := &series{}
	first, err := b.inPairs(ctx, b.pairs, func(p program) (_ sample, err error) {
		w, err := b.newWorld(ctx, t)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		got, err := w.measure(ctx, p, measures{})
		if err != nil {
			return nil, err
		}
		if err := t.Change(w.checkout, "base"); err != nil {
			return nil, err
		}
		rebuilt, err := w.measure(ctx, p, measures{idle: true})
		if err == nil {
			again.add(p, rebuilt)
		}
		return got, err
	})
	if err != nil {
		return nil, err
	}
	again.failed = first.failed
	share := spreadOf(ratios(again.values(strata, idleAfter), again.values(strata, wall))).median
	return []section{
		{
			name: fmt.Sprintf("first build, %d targets", n), figures: of(), got: first,
			goals: []goal{atMost("wall", inverse(first), 0.9, "times that of bake")},
		}, {
			name: fmt.Sprintf("base changed, %d rebuilt", n), figures: of(idleAfter, idleCPU), got: again,
			goals: []goal{
				atMost("wall", inverse(again), 0.6, "times that of bake"),
				atMost("daemon idle again after", 100*share, 10, "% of the wall time"),
			},
		},
	}, nil
}

// inverse is the median of strata's time as a part of bake's, NaN if there are
// no pairs.
func inverse(s *series) float64 {
	if r := spreadOf(ratios(s.values(strata, wall), s.values(bake, wall))); r.n > 0 {
		return r.median
	}
	return math.NaN()
}

// fresh is a machine that was just made, as in CI: a checkout of its own, no
// local state, an empty daemon. The registry has what another machine built.
func (b *bench) fresh(ctx context.Context) ([]section, error) {
	n := b.sizes.full
	t := tree.Services(b.base, n)
	first, err := b.newWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, first.close()) }()
	if err := b.publish(ctx, first); err != nil {
		return nil, err
	}
	got, err := b.inPairs(ctx, b.pairs, func(p program) (_ sample, err error) {
		w, err := b.emptyWorld(ctx)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, w.close()) }()
		w.checkout = filepath.Join(w.dir, "tree")
		if err := os.CopyFS(w.checkout, os.DirFS(first.checkout)); err != nil {
			return nil, err
		}
		w.failed = first.failed
		return w.measure(ctx, p, measures{})
	})
	if err != nil {
		return nil, err
	}
	return []section{{
		name: fmt.Sprintf("nothing changed, fresh machine, %d targets", n), figures: of(), got: got,
		goals: []goal{
			atMost("wall", inverse(got), 0.1, "times that of bake"),
			atMost("requests", got.median(strata, requests), float64(n)+20, ""),
		},
	}}, err
}

// publish builds the tree with both programs, each with repositories of its
// own, and pushes images and what the programs need to know them again.
func (b *bench) publish(ctx context.Context, w *world) error {
	at := func(p program) string { return b.registry.Host + "/bench/" + p.String() }
	if err := errors.Join(
		w.tree.WriteBuildFile(w.checkout, strataFile, tree.Output{Images: at(strata), Index: at(strata) + "/cache"}),
		w.tree.WriteBuildFile(w.checkout, bakeFile, tree.Output{Images: at(bake), LayerCache: at(bake) + "/cache"}),
	); err != nil {
		return err
	}
	return w.warm(ctx, programs...)
}

// bytes is what reaches the daemon when one file has changed.
func (b *bench) bytes(ctx context.Context) ([]section, error) {
	shared := min(50, b.sizes.full)
	var all []section
	for _, c := range []struct {
		name string
		tree *tree.Tree
	}{
		{fmt.Sprintf("one file changed, %d contexts", b.sizes.full), tree.Services(b.base, b.sizes.full)},
		{fmt.Sprintf("one file changed, %d targets share a context of %d files", shared, b.sizes.files), tree.Shared(b.base, shared, b.sizes.files)},
	} {
		w, err := b.warmWorld(ctx, c.tree)
		if err != nil {
			return all, err
		}
		got, err := b.inPairs(ctx, b.pairs, func(p program) (sample, error) {
			leaf := tree.Leaf(1)
			if err := w.tree.Change(w.checkout, leaf); err != nil {
				return nil, err
			}
			return w.measure(ctx, p, measures{progress: true})
		})
		if err := errors.Join(err, w.close()); err != nil {
			return all, err
		}
		stats := float64(countFiles(c.tree)) * statSize
		all = append(all, section{
			name: c.name, figures: of(sent, files), got: got,
			goals: []goal{atMost("local files sent", spreadOf(got.values(strata, files)).max, (tree.FirstSize+stats)/1e3, "kB: the changed file and a stat of each")},
		})
	}
	return all, nil
}

// statSize is what a file that has not changed may cost: its name, mode, size
// and times.
const statSize = 100

func countFiles(t *tree.Tree) (n int) {
	for _, target := range t.Targets {
		n += target.Files
	}
	return n
}

// join appends what another series has measured.
func (s *series) join(other *series) {
	for _, p := range programs {
		s.samples[p] = slices.Concat(s.samples[p], other.samples[p])
		s.failed[p] = errors.Join(s.failed[p], other.failed[p])
	}
}
