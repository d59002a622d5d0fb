// Command language measures what reading and evaluating build files takes, side
// by side with docker buildx bake: files of many targets, in pairs of runs that
// follow each other, printed as medians and ratios.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-build/strata/bench/internal/machine"
	"github.com/strata-build/strata/bench/internal/run"
)

func main() {
	strata := flag.String("strata", "../bin/strata", "strata `program`")
	buildx := flag.String("buildx", "bin/buildx", "buildx `program`")
	sizes := flag.String("sizes", "1000,4000,10000", "numbers of targets")
	pairs := flag.Int("pairs", 5, "measure each this many times")
	peer := flag.String("peer", "", "`version` of buildx, for the report")
	flag.Parse()
	if err := measure(os.Stdout, *strata, *buildx, *sizes, *peer, *pairs); err != nil {
		fmt.Fprintln(os.Stderr, "language:", err)
		os.Exit(1)
	}
}

// A row is what one command took for one size.
type row struct {
	wall   time.Duration
	memory int64
}

func measure(w io.Writer, strata, buildx, sizes, peer string, pairs int) error {
	strata, err := filepath.Abs(strata)
	if err != nil {
		return err
	}
	if buildx, err = filepath.Abs(buildx); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s; buildx %s; medians of %d\n\n", machine.Describe(), peer, pairs)
	fmt.Fprintln(w, "| targets | | time | peak memory | time of buildx / this | memory of buildx / this |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|")
	commands := [][]string{
		{"strata print", strata, "print", "-f", "build.hcl"},
		{"strata bake --print", strata, "bake", "-f", "docker-bake.hcl", "--print"},
		{"buildx bake --print", buildx, "bake", "-f", "docker-bake.hcl", "--print"},
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			return fmt.Errorf("-sizes: %w", err)
		}
		rows, err := measureSize(commands, n, pairs)
		if err != nil {
			return err
		}
		peerRow := rows[len(rows)-1]
		for i, r := range rows {
			fmt.Fprintf(w, "| %d | `%s` | %.2f s | %d MB | %.1f | %.1f |\n", n, commands[i][0], r.wall.Seconds(), r.memory/1e6,
				peerRow.wall.Seconds()/r.wall.Seconds(), float64(peerRow.memory)/float64(r.memory))
		}
	}
	return nil
}

// measureSize runs the commands in turn, so that a busy machine is as busy for
// each of them.
func measureSize(commands [][]string, n, pairs int) ([]row, error) {
	dir, err := os.MkdirTemp("", "language")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, name := range []string{"build.hcl", "docker-bake.hcl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(file(n)), 0o644); err != nil {
			return nil, err
		}
	}
	results := make([][]run.Result, len(commands))
	for range pairs {
		for i, words := range commands {
			r := run.Run(dir, words[1:]...)
			if r.Err != nil {
				return nil, r.Err
			}
			if i > 0 && !run.Same(r.Out, results[0][0].Out) {
				return nil, fmt.Errorf("%s prints other targets than %s", words[0], commands[0][0])
			}
			results[i] = append(results[i], r)
		}
	}
	rows := make([]row, 0, len(commands))
	for _, all := range results {
		rows = append(rows, median(all))
	}
	return rows, nil
}

func median(all []run.Result) row {
	var walls []time.Duration
	var memories []int64
	for _, r := range all {
		walls, memories = append(walls, r.Wall), append(memories, r.Memory)
	}
	slices.Sort(walls)
	slices.Sort(memories)
	return row{walls[len(walls)/2], memories[len(memories)/2]}
}

// file is a build file of n targets as a large repository has them: a function
// for tags, a common parent, one in ten the base of the nine after it.
func file(n int) string {
	var b strings.Builder
	b.WriteString(`variable "TAG" {
  default = "dev"
}

function "image" {
  params = [name]
  result = ["registry.example.com/shop/${name}:${TAG}"]
}

target "_common" {
  args   = { GO_VERSION = "1.26", TAG = TAG }
  labels = { "org.opencontainers.image.vendor" = "shop" }
}
`)
	names := make([]string, 0, n)
	for i := range n {
		name := fmt.Sprintf("svc-%05d", i)
		names = append(names, strconv.Quote(name))
		fmt.Fprintf(&b, "\ntarget %q {\n  inherits = [\"_common\"]\n  context  = \"services/%s\"\n  tags     = image(%q)\n", name, name, name)
		if i%10 != 0 {
			fmt.Fprintf(&b, "  contexts = { base = \"target:svc-%05d\" }\n", i-i%10)
		}
		fmt.Fprintf(&b, "  args     = { SERVICE = upper(%q), PORT = %d }\n}\n", name, 8000+i%1000)
	}
	fmt.Fprintf(&b, "\ngroup \"default\" {\n  targets = [%s]\n}\n", strings.Join(names, ", "))
	return b.String()
}
