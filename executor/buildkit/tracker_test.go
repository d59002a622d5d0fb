package buildkit

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
)

// All targets of a run may share their base. What each is told of the others does
// not grow with them.
func TestSharersAreCountedAndTheFirstAreNamed(t *testing.T) {
	tr := newTracker(nil)
	var names []string
	for i := range 1000 {
		name := fmt.Sprintf("t%03d", i)
		names = append(names, name)
		keys := []string{"base", "base", name} // of two platforms, one of them alike
		tr.addLayers(name, keys)
		tr.nameLayers(&lower.Result{Target: name, Platforms: []lower.Platform{{History: []lower.Entry{
			{Layer: "b1"}, {}, {Layer: "b2"}, {Layer: "own " + name},
		}}}}, keys)
	}
	for _, tt := range []struct {
		target, layer string
		first         []string
		count         int
	}{
		{"t500", "b1", names[:history.MaxShared], 999},
		{"t003", "b2", slices.Delete(slices.Clone(names[:history.MaxShared+1]), 3, 4), 999},
		{"t003", "own t003", nil, 0},
		{"t003", "unknown", nil, 0},
	} {
		if first, n := tr.sharers(tt.target, tt.layer); !slices.Equal(first, tt.first) || n != tt.count {
			t.Errorf("%s shares %q with %q and %d in all, want %q and %d", tt.target, tt.layer, first, n, tt.first, tt.count)
		}
	}
}
