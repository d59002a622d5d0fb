package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-build/strata/bench/internal/tree"
)

// maxMessage is where gRPC refuses, in kB.
const maxMessage = 16 << 20 / 1e3

// chain rebuilds chains of links because the first has changed.
func (b *bench) chain(ctx context.Context) ([]section, error) {
	var all []section
	for _, n := range b.sizes.chain {
		got, err := b.fromBase(ctx, tree.Chain(b.base, n))
		if err != nil {
			return all, err
		}
		all = append(all, section{
			name: fmt.Sprintf("chain of %d, first changed", n), figures: of(sent, largest), got: got,
			goals: []goal{atMost("largest message", spreadOf(got.values(strata, largest)).max, maxMessage/2, "kB")},
		})
	}
	first, last := b.sizes.chain[0], b.sizes.chain[len(b.sizes.chain)-1]
	growth := spreadOf(ratios(all[len(all)-1].got.values(strata, wall), all[0].got.values(strata, wall))).median
	all[len(all)-1].goals = append(all[len(all)-1].goals,
		atMost("wall", growth, 1.25*float64(last)/float64(first), fmt.Sprintf("times that of %d (linear: %d)", first, last/first)))
	return all, nil
}

// diamond rebuilds a graph with very many ways through it.
func (b *bench) diamond(ctx context.Context) ([]section, error) {
	got, err := b.fromBase(ctx, tree.Diamond(b.base, b.sizes.level))
	if err != nil {
		return nil, err
	}
	n := float64(2*b.sizes.level + 1)
	return []section{{
		name: fmt.Sprintf("diamond with 2^%d paths, first changed", b.sizes.level), figures: of(sent, largest), got: got,
		goals: []goal{
			atMost("largest message", spreadOf(got.values(strata, largest)).max, maxMessage/2, "kB"),
			atMost("solves", spreadOf(got.values(strata, solves)).max, n+2, "(targets and 2)"),
		},
	}}, nil
}

// fromBase measures builds of all targets after the first has changed.
func (b *bench) fromBase(ctx context.Context, t *tree.Tree) (got *series, err error) {
	w, err := b.warmWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	return b.inPairs(ctx, b.pairs, func(p program) (sample, error) {
		if err := t.Change(w.checkout, "base"); err != nil {
			return nil, err
		}
		return w.measure(ctx, p, measures{messages: true})
	})
}

// large builds very many targets in one call, once, and then again with nothing
// changed.
func (b *bench) large(ctx context.Context) (_ []section, err error) {
	n := b.sizes.large
	t := tree.Services(b.base, n)
	w, err := b.newWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	first := &series{}
	s, err := w.measure(ctx, strata, measures{messages: true})
	if first.failed[strata] = err; err != nil {
		return []section{{name: fmt.Sprintf("first build, %d targets", n), got: first}}, err
	}
	first.add(strata, s)
	nothing, err := b.nothingLarge(ctx, w)
	if err != nil {
		return nil, err
	}
	return []section{
		{
			name: fmt.Sprintf("first build, %d targets in one call", n), figures: of(sent, largest), got: first,
			goals: []goal{
				atMost("largest message", spreadOf(first.values(strata, largest)).max, maxMessage/2, "kB"),
				atMost("memory of the command", first.median(strata, memory), 150, "MB"),
			},
		}, {
			name: fmt.Sprintf("nothing changed, %d targets", n), figures: of(), got: nothing,
			goals: []goal{
				atMost("wall", nothing.median(strata, wall), 0.250, "s"),
				atMost("memory of the command", spreadOf(nothing.values(strata, memory)).max, 150, "MB"),
			},
		},
	}, nil
}

// nothingLarge measures bake once only, because it takes long, and on what strata
// has built, because the steps are the same.
func (b *bench) nothingLarge(ctx context.Context, w *world) (*series, error) {
	w.caches[bake] = w.caches[strata]
	if err := w.warm(ctx, bake); err != nil {
		return nil, err
	}
	got := &series{}
	for i := range b.pairs + 1 {
		p := strata
		if i == b.pairs {
			p = bake
		}
		s, err := w.measure(ctx, p, measures{})
		if ctx.Err() != nil {
			return got, context.Cause(ctx)
		}
		if err != nil {
			got.failed[p] = err
			continue
		}
		got.add(p, s)
	}
	return got, nil
}

// slow is a target that is ready at once and pushed, and one that needs it and
// takes four seconds.
func (b *bench) slow(ctx context.Context) (_ []section, err error) {
	t := tree.Slow(b.base)
	w, err := b.newWorld(ctx, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for p, file := range map[program]string{strata: strataFile, bake: bakeFile} {
		if err := t.WriteBuildFile(w.checkout, file, tree.Output{Images: b.registry.Host + "/bench/slow/" + p.String()}); err != nil {
			return nil, err
		}
	}
	got, err := b.inPairs(ctx, b.pairs, func(p program) (sample, error) {
		if err := t.Change(w.checkout, "base"); err != nil {
			return nil, err
		}
		s, err := w.measure(ctx, p, measures{progress: true})
		if _, ok := s[exportLag]; err == nil && !ok {
			return nil, fmt.Errorf("the progress of %s tells no export of base", p)
		}
		return s, err
	})
	if err != nil {
		return nil, err
	}
	return []section{{
		name: "base ready, child slow", figures: []figure{wall, exportLag}, got: got,
		goals: []goal{atMost("base exported", got.median(strata, exportLag), 0.2, "s after its last step")},
	}}, nil
}
