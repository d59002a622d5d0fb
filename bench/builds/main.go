// Command builds measures whole builds of synthetic monorepos, side by side with
// docker buildx bake on one daemon and one registry: pairs of runs that follow
// each other, printed as Markdown with medians, ranges, ratios and goals.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/strata-build/strata/bench/internal/machine"
	"github.com/strata-build/strata/bench/internal/rig"
)

// sizes is how large the trees are, in targets but for files.
type sizes struct {
	local []int // nothing and one leaf changed
	full  int   // all other cases; the largest of local too
	large int   // one tree once
	files int   // in the shared context
	chain []int
	level int // of the diamond
}

var (
	allSizes   = sizes{[]int{10, 50, 200}, 200, 1000, 10_000, []int{15, 30, 60}, 20}
	quickSizes = sizes{[]int{10, 50}, 10, 50, 1000, []int{5, 10, 20}, 8}
)

// A bench is one run of all cases.
type bench struct {
	strata, buildx, buildkitd string
	dir                       string // all that is made is below
	registry                  *rig.Registry
	base                      string // image that all trees start from
	pairs                     int
	limit                     time.Duration // of one run
	sizes                     sizes
	log                       io.Writer
}

func main() {
	strata := flag.String("strata", "../bin/strata", "strata `program`")
	peers := flag.String("peers", "bin", "`directory` with buildx, buildkitd, registry and work")
	pairs := flag.Int("pairs", 5, "measure each case this many times")
	names := flag.String("cases", strings.Join(caseNames(), ","), "cases to measure")
	quick := flag.Bool("quick", false, "small trees and two pairs: to see that it works")
	limit := flag.Duration("limit", 5*time.Minute, "give a run up after this `time`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{pairs: *pairs, limit: *limit, sizes: allSizes, log: os.Stderr}
	if *quick {
		b.pairs, b.sizes = min(b.pairs, 2), quickSizes
	}
	if err := b.main(ctx, os.Stdout, *strata, *peers, strings.Split(*names, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "builds:", err)
		stop()
		os.Exit(1)
	}
}

func (b *bench) main(ctx context.Context, out io.Writer, strata, peers string, names []string) (err error) {
	for _, name := range names {
		if !slices.Contains(caseNames(), name) {
			return fmt.Errorf("-cases: no case %q, there are %s", name, strings.Join(caseNames(), ", "))
		}
	}
	if b.strata, err = filepath.Abs(strata); err != nil {
		return err
	}
	if peers, err = filepath.Abs(peers); err != nil {
		return err
	}
	b.buildx, b.buildkitd = filepath.Join(peers, "buildx"), filepath.Join(peers, "buildkitd")
	header, err := b.header(peers)
	if err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "builds"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if b.registry, err = rig.StartRegistry(ctx, filepath.Join(peers, "registry"), b.dir); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.registry.Close()) }()
	if err := b.pushBase(ctx, filepath.Join(peers, "work")); err != nil {
		return fmt.Errorf("pushing the base image: %w", err)
	}
	sections, err := b.measureAll(ctx, names)
	fmt.Fprintf(out, "%s\n\n", header)
	printGoals(out, sections)
	fmt.Fprintln(out)
	printFigures(out, sections)
	return err
}

// measureAll goes on after a case that failed.
func (b *bench) measureAll(ctx context.Context, names []string) (all []section, err error) {
	for _, c := range cases {
		if !slices.Contains(names, c.name) {
			continue
		}
		start := time.Now()
		got, failure := c.measure(b, ctx)
		all = append(all, got...)
		if ctx.Err() != nil {
			return all, context.Cause(ctx)
		}
		if failure != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", c.name, failure))
		}
		for _, s := range got {
			err = errors.Join(err, s.got.failed[strata])
		}
		fmt.Fprintf(b.log, "%s: %s\n", c.name, time.Since(start).Round(time.Second))
	}
	return all, err
}

// header says what was measured, where and how.
func (b *bench) header(peers string) (string, error) {
	var versions []string
	for name, program := range map[string]string{
		"strata": b.strata, "buildx": b.buildx, "buildkitd": b.buildkitd, "distribution": filepath.Join(peers, "registry"),
	} {
		v, err := machine.Version(program)
		if err != nil {
			return "", fmt.Errorf("%w; make bench-builds builds what is needed", err)
		}
		versions = append(versions, name+" "+v)
	}
	slices.Sort(versions)
	out, err := exec.Command("runc", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("runc --version: %w; make setup installs it", err)
	}
	runc, _, _ := strings.Cut(string(out), "\n")
	head := fmt.Sprintf("%s, load average %s before; %s, %s; medians (ranges) of %s pairs",
		machine.Describe(), machine.Load(), strings.Join(versions, ", "), strings.Replace(runc, " version", "", 1), strconv.Itoa(b.pairs))
	if b.sizes.full != allSizes.full {
		head += "; smaller trees than the goals are for"
	}
	return head, nil
}

// pushBase builds the image that all trees start from: one static program.
func (b *bench) pushBase(ctx context.Context, work string) error {
	w, err := b.emptyWorld(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.close() }()
	b.base = b.registry.Host + "/bench/os:1"
	w.checkout = filepath.Join(w.dir, "os")
	data, err := os.ReadFile(work)
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.Mkdir(w.checkout, 0o755),
		os.WriteFile(filepath.Join(w.checkout, "work"), data, 0o755),
		os.WriteFile(filepath.Join(w.checkout, "Dockerfile"), []byte("FROM scratch\nCOPY work /bin/work\n"), 0o644),
		w.daemon.Start(ctx, "cache"),
	); err != nil {
		return err
	}
	push := w.command(bake, measures{})
	push.Words = []string{b.buildx, "build", "--builder", builder, "--push", "-t", b.base, "."}
	return push.Run(ctx).Err
}
