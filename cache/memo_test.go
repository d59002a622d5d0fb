package cache

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// newMemo is a memo in file whose clock stands at now.
func newMemo(file string, now time.Time) *Memo {
	m := OpenMemo(file)
	m.now = func() time.Time { return now }
	return m
}

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// contents are the values of the keys of want that m still has.
func contents(m *Memo, want map[string]string) map[string]string {
	got := map[string]string{}
	for key := range want {
		if v, ok := m.Load(key); ok {
			got[key] = string(v)
		}
	}
	return got
}

func filledMemo(t *testing.T) (string, map[string]string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "dir", "memo")
	want := map[string]string{}
	m := newMemo(file, noon)
	for i := range 5 {
		key := fmt.Sprintf("key %d", i)
		want[key] = fmt.Sprintf("value %d", i*i*i)
		m.Store(key, []byte(want[key]))
	}
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	return file, want
}

func TestMemoKeepsWhatItWasGiven(t *testing.T) {
	file, want := filledMemo(t)
	if got := contents(newMemo(file, noon), want); !maps.Equal(got, want) {
		t.Errorf("the memo has %v, want %v", got, want)
	}
}

// TestMemoIsTrueWhenDamaged cuts the file after, and changes, each of its bytes:
// what the memo still answers is what was put in.
func TestMemoIsTrueWhenDamaged(t *testing.T) {
	file, want := filledMemo(t)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	damaged := file + ".damaged"
	check := func(what string, data []byte) {
		t.Helper()
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		m := newMemo(damaged, noon)
		for key, v := range contents(m, want) {
			if v != want[key] {
				t.Errorf("%s: %s is %q, want %q", what, key, v, want[key])
			}
		}
		m.Store("new", []byte("v"))
		if err := m.Save(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range whole {
		check(fmt.Sprintf("cut at %d", i), whole[:i])
		for _, bit := range []byte{1, 0x80} {
			flipped := slices.Clone(whole)
			flipped[i] ^= bit
			check(fmt.Sprintf("byte %d changed by %#x", i, bit), flipped)
		}
	}
}

// TestMemoForgets saves in a file that is so many days old, and opens it again.
func TestMemoForgets(t *testing.T) {
	for days, kept := range map[int]bool{0: true, memoDays: true, memoDays + 1: false} {
		file, want := filledMemo(t)
		m := newMemo(file, noon.AddDate(0, 0, days))
		m.Store("new", []byte("v"))
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
		if got := len(contents(newMemo(file, noon), want)) > 0; got != kept {
			t.Errorf("after %d days something is kept: %t, want %t", days, got, kept)
		}
	}
}

// TestMemoRenewsWhatIsUsed asks for one value each 20 days.
func TestMemoRenewsWhatIsUsed(t *testing.T) {
	file, _ := filledMemo(t)
	for days := 20; days <= 100; days += 20 {
		m := newMemo(file, noon.AddDate(0, 0, days))
		if _, ok := m.Load("key 1"); !ok {
			t.Fatalf("after %d days it is gone", days)
		}
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
	}
	if m := newMemo(file, noon); len(contents(m, map[string]string{"key 2": ""})) > 0 {
		t.Error("what nobody asked for is still there")
	}
}

func TestMemoLeavesAClockInThePastAlone(t *testing.T) {
	file, want := filledMemo(t)
	m := newMemo(file, noon.AddDate(-10, 0, 0))
	if got := contents(m, want); !maps.Equal(got, want) {
		t.Errorf("the memo has %v, want %v", got, want)
	}
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	if got := contents(newMemo(file, noon), want); !maps.Equal(got, want) {
		t.Errorf("then it has %v, want %v", got, want)
	}
}

func TestMemoWithoutAFileKeepsNothing(t *testing.T) {
	m := OpenMemo("")
	m.Store("a", []byte("b"))
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
}
