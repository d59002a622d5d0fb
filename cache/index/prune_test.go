package index_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/strata-build/strata/cache/index"
)

// targets lists the targets of an index, those put last first.
func targets(l *index.Local) []string {
	var all []string
	for _, e := range l.List() {
		all = append(all, e.Target)
	}
	return all
}

func TestPrune(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	for what, tc := range map[string]struct {
		policy index.Policy
		want   []string
	}{
		"no limit":       {index.Policy{}, []string{"t3", "t2", "t1", "t0"}},
		"entries":        {index.Policy{MaxEntries: 2}, []string{"t3", "t0"}}, // t0 was used again
		"age":            {index.Policy{MaxAge: 2*day + time.Hour}, []string{"t3", "t2", "t0"}},
		"bytes of all":   {index.Policy{MaxBytes: 1 << 20}, []string{"t3", "t2", "t1", "t0"}},
		"bytes of few":   {index.Policy{MaxBytes: 2000}, []string{"t3", "t0"}},
		"no bytes":       {index.Policy{MaxBytes: 1}, nil},
		"several limits": {index.Policy{MaxEntries: 3, MaxBytes: 2000}, []string{"t3", "t0"}},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			chmod(t, dir)
			now := start
			l := openLimited(t, dir, index.Policy{})
			l.SetNow(func() time.Time { return now })
			for i := range 4 {
				now = start.Add(time.Duration(i) * day)
				put(t, l, entry(fmt.Sprint("t", i), fmt.Sprint(i)), detail(fmt.Sprint(i)), "shared")
			}
			now = start.Add(4 * day)
			if _, ok := l.Get(fp("0")); !ok {
				t.Fatal("a miss")
			}
			if err := l.Close(); err != nil { // notes the use
				t.Fatal(err)
			}
			put(t, l, entry("t3", "3"), detail("3"), "shared")
			before := size(t, dir)
			pruned, err := l.Prune(t.Context(), tc.policy)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range []*index.Local{l, open(t, dir)} {
				if got := targets(l); !reflect.DeepEqual(got, tc.want) {
					t.Errorf("kept %v, want %v", got, tc.want)
				}
			}
			if want := (index.Pruned{Entries: 4 - len(tc.want), Bytes: before - size(t, dir)}); pruned != want {
				t.Errorf("pruned %+v, want %+v", pruned, want)
			}
			wantBlobs := len(tc.want) + 1
			if tc.want == nil {
				wantBlobs = 0
			}
			if got := files(t, filepath.Join(dir, "blobs")); len(got) != wantBlobs {
				t.Errorf("%d blobs are left, want %d", len(got), wantBlobs)
			}
			for _, e := range l.List() {
				if _, ok := l.Detail(e); !ok {
					t.Errorf("the detail of %s is gone", e.Target)
				}
			}
		})
	}
}

func size(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	for _, f := range files(t, dir) {
		fi := must(os.Stat(f))
		n += fi.Size()
	}
	return n
}

// Blobs are not swept while somebody may be writing some, and the journal is
// pruned all the same.
func TestPruneWhileSomebodyWrites(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	l := open(t, dir)
	put(t, l, entry("a", "1"), detail("1"))
	release := index.HoldLease(l)
	if _, err := l.Prune(t.Context(), index.Policy{MaxBytes: 1}); err != nil {
		t.Fatal(err)
	}
	if got, blobs := targets(l), files(t, filepath.Join(dir, "blobs")); got != nil || len(blobs) != 1 {
		t.Errorf("entries %v, blobs %v", got, blobs)
	}
	release()
	if _, err := l.Prune(t.Context(), index.Policy{}); err != nil {
		t.Fatal(err)
	}
	if blobs := files(t, filepath.Join(dir, "blobs")); len(blobs) != 0 {
		t.Errorf("blobs %v", blobs)
	}
}

func TestPruneOfNothing(t *testing.T) {
	for _, dir := range []string{"", filepath.Join(t.TempDir(), "none")} {
		if got, err := open(t, dir).Prune(t.Context(), index.Policy{MaxEntries: 1}); err != nil || got != (index.Pruned{}) {
			t.Errorf("%q: %+v %v", dir, got, err)
		}
	}
}

// Close trims an index that has outgrown its limits, at once, and by age once a
// day; a run that only reads writes nothing.
func TestCloseTrims(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	l := openLimited(t, dir, index.Policy{MaxEntries: 8, MaxAge: 10 * 24 * time.Hour})
	l.SetNow(func() time.Time { return now })
	for i := range 10 {
		put(t, l, entry(fmt.Sprint("t", i), fmt.Sprint(i)), nil)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(l.List()); n != 8 {
		t.Errorf("%d entries after closing, want 8", n)
	}

	before := must(os.ReadFile(filepath.Join(dir, journal)))
	if _, ok := l.Get(fp("9")); !ok {
		t.Fatal("a miss")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if after := must(os.ReadFile(filepath.Join(dir, journal))); string(after) != string(before) {
		t.Error("a run that reads has written")
	}

	now = now.Add(11 * 24 * time.Hour)
	if _, ok := l.Get(fp("9")); !ok {
		t.Fatal("a miss")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := targets(l); !reflect.DeepEqual(got, []string{"t9"}) {
		t.Errorf("after 11 days %v is left, want what was used", got)
	}
}

// A clock that was in the future for a while neither keeps entries for ever nor
// loses fresh ones.
func TestFault_F23(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	now := time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)
	l := openLimited(t, dir, index.Policy{MaxAge: time.Hour})
	l.SetNow(func() time.Time { return now })
	put(t, l, entry("future", "1"), nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	put(t, l, entry("fresh", "2"), nil)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if got := targets(l); !reflect.DeepEqual(got, []string{"fresh", "future"}) {
		t.Errorf("left %v", got)
	}
	if _, err := l.Prune(t.Context(), index.Policy{MaxEntries: 1}); err != nil {
		t.Fatal(err)
	}
	if got := targets(l); !reflect.DeepEqual(got, []string{"fresh"}) {
		t.Errorf("of two used now, %v was kept", got)
	}
}
