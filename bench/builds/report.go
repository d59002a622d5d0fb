package main

import (
	"fmt"
	"io"
	"strings"
)

// A section is what one case has measured.
type section struct {
	name    string
	figures []figure
	got     *series
	goals   []goal
}

// A goal is what was wanted of strata and what came out.
type goal struct {
	want, got string
	met       bool
}

// atMost is the goal that a figure is no more than limit.
func atMost(what string, got, limit float64, unit string) goal {
	return goal{
		want: strings.TrimSpace(fmt.Sprintf("%s at most %s %s", what, number(limit), unit)),
		got:  strings.TrimSpace(number(got) + " " + unit),
		met:  got <= limit,
	}
}

// times is the goal that bake takes at least so many times more.
func times(got, limit float64) goal {
	return goal{want: fmt.Sprintf("bake takes at least %s times as long", number(limit)), got: number(got) + " times", met: got >= limit}
}

// printGoals prints the goals of all sections as a table.
func printGoals(w io.Writer, sections []section) {
	fmt.Fprintln(w, "| case | goal | got | |\n|---|---|---|---|")
	for _, s := range sections {
		for _, g := range s.goals {
			verdict := "**missed**"
			switch {
			case s.got.failed[strata] != nil:
				g.got, verdict = "failed", "**missed**"
			case g.met:
				verdict = "met"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", s.name, g.want, g.got, verdict)
		}
	}
}

// printFigures prints all that was measured as a table. What neither program
// did is left out.
func printFigures(w io.Writer, sections []section) {
	fmt.Fprintln(w, "| case | | strata | bake | bake / strata |\n|---|---|---|---|---|")
	for _, s := range sections {
		name := s.name
		for _, p := range programs {
			if err := s.got.failed[p]; err != nil {
				fmt.Fprintf(w, "| %s | %s failed: %s | | | |\n", name, p, strings.ReplaceAll(err.Error(), "|", `\|`))
				name = ""
			}
		}
		for _, f := range s.figures {
			ours, theirs := spreadOf(s.got.values(strata, f)), spreadOf(s.got.values(bake, f))
			if ours.max == 0 && theirs.max == 0 {
				continue
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", name, f, ours, theirs, spreadOf(s.got.ratio(f)))
			name = ""
		}
	}
}
