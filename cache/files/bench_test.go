package files

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// warm makes a stat cache in which all of sets are settled.
func warm(b *testing.B, sets []Set) string {
	b.Helper()
	home := b.TempDir()
	c := Open(home, Options{Now: later})
	for _, s := range sets {
		digestOf(b, c, s)
	}
	if err := c.Save(); err != nil {
		b.Fatal(err)
	}
	return home
}

// digests asks for all of sets with a new Cache, as a command does.
func digests(b *testing.B, home string, sets []Set, opts Options) {
	b.Helper()
	c := Open(home, opts)
	g, ctx := errgroup.WithContext(context.Background())
	g.SetLimit(2 * runtime.GOMAXPROCS(0))
	for _, s := range sets {
		g.Go(func() error {
			_, err := c.Digest(ctx, s)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

func bench(b *testing.B, sets []Set, files int) {
	b.Helper()
	home := warm(b, sets)
	for _, mode := range []string{"warm", "cold"} {
		b.Run(mode, func(b *testing.B) {
			dir := home
			if mode == "cold" {
				dir = ""
			}
			before := cpuTime(b)
			for b.Loop() {
				digests(b, dir, sets, Options{Now: later})
			}
			b.ReportMetric((cpuTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(files)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
		})
	}
}

// cpuTime is what this process has used. Unlike the wall clock it says the same
// on a machine that is busy with something else.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func wide(b *testing.B, dirs, files int) *tree {
	b.Helper()
	tr := &tree{b, b.TempDir()}
	text := strings.Repeat("content\n", 128)
	for d := range dirs {
		for f := range files {
			tr.write(fmt.Sprintf("d%04d/src/file%04d.go", d, f), text)
		}
	}
	return tr
}

// A thousand targets with directories of their own.
func BenchmarkOwnDirectories(b *testing.B) {
	tr := wide(b, 1000, 20)
	var sets []Set
	for d := range 1000 {
		sets = append(sets, Set{Dir: tr.path(fmt.Sprintf("d%04d", d)), Follow: []string{"src"}, Exclude: []string{"**/*.tmp", ".git"}})
	}
	bench(b, sets, 20_000)
}

// A thousand targets that read parts of one directory.
func BenchmarkOwnSubdirectories(b *testing.B) {
	tr := wide(b, 1000, 20)
	var sets []Set
	for d := range 1000 {
		sets = append(sets, Set{Dir: tr.dir, Follow: []string{fmt.Sprintf("d%04d/src", d)}, Exclude: []string{"**/*.tmp", ".git"}})
	}
	bench(b, sets, 20_000)
}

func BenchmarkOneLargeDirectory(b *testing.B) {
	bench(b, []Set{{Dir: wide(b, 100, 100).dir}}, 10_000)
}

func BenchmarkOneFlatDirectory(b *testing.B) {
	bench(b, []Set{{Dir: wide(b, 1, 10_000).dir}}, 10_000)
}

// Two hundred targets that read all of one directory.
func BenchmarkEqualSets(b *testing.B) {
	tr := wide(b, 100, 100)
	var sets []Set
	for range 200 {
		sets = append(sets, tr.set())
	}
	bench(b, sets, 10_000)
}

// Two hundred targets that read a subdirectory each of one directory.
func BenchmarkSubdirectoriesOfLarge(b *testing.B) {
	tr := wide(b, 200, 50)
	var sets []Set
	for d := range 200 {
		sets = append(sets, tr.set(fmt.Sprintf("d%04d", d)))
	}
	bench(b, sets, 10_000)
}

// What is asked right before a result is exported.
func BenchmarkChanged(b *testing.B) {
	tr := wide(b, 100, 100)
	c := Open("", Options{Now: later})
	t, err := c.Digest(b.Context(), tr.set())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if changed, err := c.Changed(b.Context(), tr.set(), t); err != nil || len(changed) > 0 {
			b.Fatal(changed, err)
		}
	}
	b.ReportMetric(float64(10_000)*float64(b.N)/b.Elapsed().Seconds(), "files/s")
}
