package main

import (
	"fmt"
	"slices"
)

// A program is one of the two that are compared.
type program int

const (
	strata program = iota
	bake
)

var programs = []program{strata, bake}

func (p program) String() string { return []string{"strata", "bake"}[p] }

// A figure is something that is measured. Its name ends with its unit.
type figure string

const (
	wall        figure = "wall, s"
	cpu         figure = "CPU of the command, s"
	memory      figure = "peak memory of the command, MB"
	daemonCPU   figure = "CPU of the daemon meanwhile, s"
	idleAfter   figure = "daemon idle after, s"
	idleCPU     figure = "CPU of the daemon after, s"
	requests    figure = "registry requests"
	solves      figure = "solves"
	connections figure = "connections to the daemon"
	sent        figure = "sent to the daemon, kB"
	largest     figure = "largest message, kB"
	files       figure = "of local files, kB"
	exportLag   figure = "export after last step, s"
)

// A sample is what was measured in one run.
type sample map[figure]float64

// A series is what was measured in several pairs of runs. A program that failed
// is not run again.
type series struct {
	samples [2][]sample
	failed  [2]error
}

func (s *series) add(p program, got sample) { s.samples[p] = append(s.samples[p], got) }

// values are those of one figure, in the order of the runs.
func (s *series) values(p program, f figure) []float64 {
	var out []float64
	for _, got := range s.samples[p] {
		if v, ok := got[f]; ok {
			out = append(out, v)
		}
	}
	return out
}

// ratio is how many times more bake took, for each pair.
func (s *series) ratio(f figure) []float64 { return ratios(s.values(bake, f), s.values(strata, f)) }

// median is that of one figure, 0 if it was not measured.
func (s *series) median(p program, f figure) float64 { return spreadOf(s.values(p, f)).median }

// ratios divides the values that belong together, or the medians if there are
// not as many of both.
func ratios(above, below []float64) []float64 {
	if len(above) != len(below) {
		above, below = []float64{spreadOf(above).median}, []float64{spreadOf(below).median}
	}
	var out []float64
	for i := range above {
		if below[i] > 0 && above[i] > 0 {
			out = append(out, above[i]/below[i])
		}
	}
	return out
}

// A spread is what several values come to.
type spread struct {
	n                int
	min, median, max float64
}

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	v := slices.Sorted(slices.Values(values))
	m := (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	return spread{len(v), v[0], m, v[len(v)-1]}
}

// String is the median with the range, if there is one.
func (s spread) String() string {
	switch {
	case s.n == 0:
		return ""
	case number(s.min) == number(s.max):
		return number(s.median)
	}
	return fmt.Sprintf("%s (%s to %s)", number(s.median), number(s.min), number(s.max))
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}
