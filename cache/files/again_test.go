package files

import (
	"os"
	"slices"
	"testing"
	"time"
)

// TestAgainTellsWhatWasWrittenMeanwhile changes a file and changes it back, as a
// build that was sent it in between would not notice.
func TestAgainTellsWhatWasWrittenMeanwhile(t *testing.T) {
	tr := newTestTree(t, "a", "b", "sub/c")
	c := Open("", Options{})
	digest, err := c.Digest(t.Context(), tr.set())
	tr.must(err)
	check := func(what string, wantChanged, wantWritten []string) {
		t.Helper()
		changed, written, err := c.Again(t.Context(), tr.set(), digest)
		tr.must(err)
		if !slices.Equal(changed, wantChanged) || !slices.Equal(written, wantWritten) {
			t.Errorf("%s: changed are %v and written %v, want %v and %v", what, changed, written, wantChanged, wantWritten)
		}
	}
	check("nothing", nil, nil)
	fi, err := os.Stat(tr.path("a"))
	tr.must(err)
	tr.write("a", "A")
	check("a change", []string{"a"}, nil)
	tr.write("a", "a")
	check("a change taken back", nil, []string{"a"})
	tr.must(os.Chtimes(tr.path("a"), time.Time{}, fi.ModTime()))
	check("with its time", nil, []string{"a"})
	tr.write("sub/new", "")
	check("a file that came", []string{"sub/new"}, []string{"a", "sub"})
	tr.must(os.Remove(tr.path("sub/new")))
	check("and went", nil, []string{"a", "sub"})
}
