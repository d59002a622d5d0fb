package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-build/strata/graph"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// parse reads "app: lib base\nlib: base\nbase:".
func parse(t *testing.T, text string) *graph.Graph {
	t.Helper()
	var nodes []graph.Node
	for line := range strings.Lines(text) {
		name, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		n := graph.Node{ID: graph.ID(name)}
		for _, f := range strings.Fields(needs) {
			n.Needs = append(n.Needs, graph.ID(f))
		}
		nodes = append(nodes, n)
	}
	g, err := graph.New(nodes)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// A fake solver takes a second to evaluate and a second to export each target,
// and fails those in fail.
type fake struct {
	fail    map[graph.ID]bool
	mu      sync.Mutex
	log     []string
	running [2]int // evaluating, exporting
	most    [2]int
	start   time.Time
}

// enter counts one more in phase until the returned func is called.
func (f *fake) enter(phase int) func() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running[phase]++
	f.most[phase] = max(f.most[phase], f.running[phase])
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running[phase]--
	}
}

func (f *fake) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log = append(f.log, fmt.Sprintf("%v ", time.Since(f.start))+fmt.Sprintf(format, args...))
}

func (f *fake) Solve(ctx context.Context, id graph.ID, ready func() error) (TargetResult, error) {
	evaluated := f.enter(0)
	f.note("start %s", id)
	err := pause(ctx)
	evaluated()
	if err != nil {
		return TargetResult{}, err
	}
	if f.fail[id] {
		return TargetResult{}, errors.New("broken")
	}
	if err := ready(); err != nil {
		return TargetResult{}, err
	}
	defer f.enter(1)()
	if err := pause(ctx); err != nil {
		return TargetResult{}, err
	}
	f.note("end %s", id)
	return TargetResult{State: Built}, nil
}

func pause(ctx context.Context) error {
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func states(results []TargetResult) string {
	var out []string
	for _, r := range results {
		s := r.Target + "=" + string(r.State)
		if r.Blame != "" {
			s += "(" + r.Blame + ")"
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestDependentsStartWhenReadyNotWhenExported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{start: time.Now()}
		results, err := Run(t.Context(), parse(t, "app: base\nbase:"), f, Options{}, func(Event) {})
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"0s start base", "1s start app", "2s end base", "3s end app"}
		if !slices.Equal(f.log, want) {
			t.Errorf("log is %v, want %v", f.log, want)
		}
		if got := states(results); got != "app=built base=built" {
			t.Error(got)
		}
	})
}

func TestFailure(t *testing.T) {
	tests := []struct {
		name, graph, fail string
		keep              bool
		want              string
	}{
		{"skips dependents, all of them, by the first failure", "a:\nb: a\nc: b\nd:", "a", true, "a=failed b=skipped(a) c=skipped(a) d=built"},
		{"stops the others", "a:\nb: a\nslow: s1\ns1: s2\ns2: s3\ns3:", "a", false, "a=failed b=skipped(a) s1=canceled s2=canceled s3=canceled slow=canceled"},
		{"two at once", "a:\nb:\nc: a b", "a b", true, "a=failed b=failed c=skipped(a)"},
		{"diamond", "base:\nl: base\nr: base\ntop: l r", "l", true, "base=built l=failed r=built top=skipped(l)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fake{start: time.Now(), fail: map[graph.ID]bool{}}
				for _, id := range strings.Fields(tt.fail) {
					f.fail[graph.ID(id)] = true
				}
				results, err := Run(t.Context(), parse(t, tt.graph), f, Options{KeepGoing: tt.keep}, func(Event) {})
				if !errors.Is(err, ErrFailed) {
					t.Errorf("error is %v", err)
				}
				if got := states(results); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

// The failure itself is always told, never only its consequences.
func TestConsequenceNeverHidesCause(t *testing.T) {
	for range 2000 {
		f := failFirst{}
		results, _ := Run(t.Context(), parse(t, "a:\nb: a\nc: a\nd: b c"), f, Options{}, func(Event) {})
		if got := states(results); got != "a=failed b=skipped(a) c=skipped(a) d=skipped(a)" {
			t.Fatal(got)
		}
	}
}

type failFirst struct{}

func (failFirst) Solve(context.Context, graph.ID, func() error) (TargetResult, error) {
	return TargetResult{}, errors.New("broken")
}

// A linked target counts until it is evaluated; its export is counted apart.
func TestJobsLimitsTargetsInFlight(t *testing.T) {
	for _, tt := range []struct {
		jobs int
		want [2]int
	}{{1, [2]int{1, 1}}, {2, [2]int{2, 2}}, {0, [2]int{10, maxExports}}} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{start: time.Now()}
			g := parse(t, "a:\nb: a\nc: a\nd: b\ne:\nf: e\ng:\nh:\ni:\nj:\nk:\nl:\nm:\nn:")
			_, err := Run(t.Context(), g, f, Options{Jobs: tt.jobs}, func(Event) {})
			if err != nil || f.most != tt.want {
				t.Errorf("with %d jobs: error %v, %v at once, want %v", tt.jobs, err, f.most, tt.want)
			}
		})
	}
}

// Targets under way are bounded, whatever they wait for; but not those whose
// exports wait for all.
func TestTargetsUnderWayAreBounded(t *testing.T) {
	var text strings.Builder
	for i := range 3 * maxFlying {
		fmt.Fprintf(&text, "t%d:\n", i)
	}
	g := parse(t, strings.TrimSuffix(text.String(), "\n"))
	for _, tt := range []struct {
		opts Options
		want int
	}{{Options{}, maxFlying}, {Options{Jobs: 40}, 80}, {Options{HoldExports: true}, g.Len()}} {
		synctest.Test(t, func(t *testing.T) {
			flying, most := 0, 0
			var mu sync.Mutex
			count := func(e Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e.(type) {
				case TargetStarted:
					flying++
				case TargetDone:
					flying--
				}
				most = max(most, flying)
			}
			if _, err := Run(t.Context(), g, &fake{start: time.Now()}, tt.opts, count); err != nil || most != tt.want {
				t.Errorf("with %+v: error %v, %d under way at once, want %d", tt.opts, err, most, tt.want)
			}
		})
	}
}

// With few places the long way goes first, and an export holds nobody up.
func TestLongestWayFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{start: time.Now()}
		g := parse(t, "x:\ny:\nbase:\nlib: base\napp: lib")
		took := map[graph.ID]time.Duration{"x": time.Second, "y": time.Minute, "lib": time.Hour}
		opts := Options{Jobs: 1, Estimate: func(id graph.ID) time.Duration { return took[id] }}
		if _, err := Run(t.Context(), g, f, opts, func(Event) {}); err != nil {
			t.Fatal(err)
		}
		var started []string
		for _, line := range f.log {
			if _, id, ok := strings.Cut(line, " start "); ok {
				started = append(started, id)
			}
		}
		if got := strings.Join(started, " "); got != "base lib y app x" {
			t.Errorf("started %s", got)
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped by interrupt")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(1500*time.Millisecond, func() { cancel(stopped) })
		f := &fake{start: time.Now()}
		var done []string
		results, err := Run(ctx, parse(t, "a:\nb: a\nc: b"), f, Options{}, func(e Event) {
			if d, ok := e.(TargetDone); ok {
				f.mu.Lock()
				done = append(done, d.Target)
				f.mu.Unlock()
			}
		})
		if !errors.Is(err, stopped) {
			t.Errorf("error is %v", err)
		}
		if got := states(results); got != "a=canceled b=canceled c=canceled" {
			t.Error(got)
		}
		if len(done) != 3 {
			t.Errorf("told of %v, want all three", done)
		}
	})
}

func TestHeldExports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{start: time.Now()}
		if _, err := Run(t.Context(), parse(t, "app: base\nbase:\nother:"), f, Options{HoldExports: true}, func(Event) {}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(f.log)
		want := []string{"0s start base", "0s start other", "1s start app", "3s end app", "3s end base", "3s end other"}
		if !slices.Equal(f.log, want) {
			t.Errorf("log is %v, want %v", f.log, want)
		}
	})
	synctest.Test(t, func(t *testing.T) { // those that hold their exports hold no place
		f := &fake{start: time.Now()}
		if _, err := Run(t.Context(), parse(t, "app: base\nbase:\nother:"), f, Options{Jobs: 1, HoldExports: true}, func(Event) {}); err != nil {
			t.Fatal(err)
		}
		if f.most != [2]int{1, 1} || !slices.Contains(f.log, "2s start app") || !strings.HasPrefix(f.log[3], "4s end") {
			t.Errorf("log is %v, %v at once", f.log, f.most)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		f := &fake{start: time.Now(), fail: map[graph.ID]bool{"app": true}}
		results, err := Run(t.Context(), parse(t, "app: base\nbase:\nother:"), f, Options{HoldExports: true, KeepGoing: true}, func(Event) {})
		if got := states(results); !errors.Is(err, ErrFailed) || got != "app=failed base=canceled other=canceled" {
			t.Errorf("%v: %s", err, got)
		}
	})
}
