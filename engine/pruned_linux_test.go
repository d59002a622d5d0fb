package engine

import (
	"testing"
	"time"
)

// An engine whose cache was removed calls itself by another name, now and when it
// is started again; removing a part of it changes nothing.
func TestPruningChangesTheID(t *testing.T) {
	opts := embeddedOptions(t)
	ctx := testContext(t)
	prune := func(p PruneOptions) (before, after string) {
		t.Helper()
		e := mustOpen(t, opts)
		if _, err := e.Prune(ctx, p); err != nil {
			t.Fatal(err)
		}
		return e.ID(), mustOpen(t, opts).ID()
	}
	for _, p := range []PruneOptions{{Unused: time.Hour}, {MaxUsed: 1 << 30}, {Filters: []string{"type==exec.cachemount"}}} {
		if before, after := prune(p); before == "" || before != after {
			t.Errorf("%+v: it was %q and is %q", p, before, after)
		}
	}
	first, second := prune(PruneOptions{})
	again, third := prune(PruneOptions{All: true})
	if first == second || second != again || second == third {
		t.Errorf("it was %q, then %q and %q, then %q", first, second, again, third)
	}
	if err := Stop(ctx, opts, true); err != nil {
		t.Fatal(err)
	}
	if last := mustOpen(t, opts).ID(); last != third {
		t.Errorf("it was %q before it was stopped and is %q", third, last)
	}
}
