package files

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// smallCache writes the stat cache of a small tree, and returns its bytes.
func smallCache(t testing.TB, tr *tree, home string) []byte {
	t.Helper()
	c := Open(home, Options{Now: later})
	digestOf(t, c, tr.set())
	tr.must(c.Save())
	b, err := os.ReadFile(filepath.Join(home, fileName))
	tr.must(err)
	return b
}

// A stat cache that is cut or in which any bit is wrong is never an error, and
// never a wrong digest: neither while nothing changed nor after a change.
func TestDamage(t *testing.T) {
	tr, home := newTestTree(t, "a", "b"), t.TempDir()
	sound := smallCache(t, tr, home)
	check := func(b []byte, want string, what string) {
		t.Helper()
		tr.must(os.WriteFile(filepath.Join(home, fileName), b, 0o600))
		c := Open(home, Options{Now: later})
		if got := digestOf(t, c, tr.set()); got != want {
			t.Fatalf("%s: a wrong digest", what)
		}
		if list, err := c.List(t.Context(), tr.set()); err != nil || len(list) != 2 {
			t.Fatalf("%s: list %v, %v", what, list, err)
		}
	}
	damageAll := func(want string) {
		t.Helper()
		for i := range sound {
			check(sound[:i], want, fmt.Sprintf("cut at %d", i))
			b := bytes.Clone(sound)
			b[i] ^= 1 << (i % 8)
			check(b, want, fmt.Sprintf("bit %d of byte %d", i%8, i))
		}
		check(append(bytes.Clone(sound), 0), want, "one byte more")
	}
	damageAll(fresh(t, tr.set()))
	tr.write("a", "changed")
	damageAll(fresh(t, tr.set()))
}

// A warning tells about a stat cache that is left out.
func TestDamageIsTold(t *testing.T) {
	tr, home := newTestTree(t, "a", "b"), t.TempDir()
	sound := smallCache(t, tr, home)
	for name, b := range map[string][]byte{"head": sound[:len(sound)/2], "records": append(bytes.Clone(sound[:len(sound)-1]), 0x5a)} {
		tr.must(os.WriteFile(filepath.Join(home, fileName), b, 0o600))
		var told []error
		c := Open(home, Options{Now: later, Warn: func(err error) { told = append(told, err) }})
		_, err := c.List(t.Context(), tr.set())
		tr.must(err)
		if len(told) != 1 {
			t.Errorf("%s: told %v", name, told)
		}
		tr.must(c.Save())
		if _, err := load(filepath.Join(home, fileName)); err != nil {
			t.Errorf("%s: not repaired: %v", name, err)
		}
	}
}

// What two commands saw at once is in the stat cache afterwards.
func TestSaveAtOnce(t *testing.T) {
	a, b, home := shop(t), shop(t), t.TempDir()
	// The two open before either saves; they share one Set.
	sets := [][]Set{{a.set("app"), b.set()}, {a.set("lib"), b.set()}}
	caches := []*Cache{Open(home, Options{Now: later}), Open(home, Options{Now: later})}
	for i, c := range caches {
		for _, s := range sets[i] {
			digestOf(t, c, s)
		}
	}
	for _, c := range caches {
		a.must(c.Save())
	}
	c := Open(home, Options{Now: later})
	for _, list := range sets {
		for _, s := range list {
			if got := digestOf(t, c, s); got != fresh(t, s) {
				t.Error("a wrong digest")
			}
		}
	}
	if n := c.counts.reads.Load(); n != 0 {
		t.Errorf("%d files read again", n)
	}
}

// Many that save and load at the same time never see half a file.
func TestSaveIsWhole(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	want := fresh(t, tr.set())
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 4 {
				// Each looks with another clock, so that each has something to write.
				now := later().Add(time.Duration(i*4+j) * 24 * time.Hour)
				c := Open(home, Options{Now: func() time.Time { return now }, Verify: true, Warn: func(err error) { t.Error(err) }})
				if got, err := c.Digest(t.Context(), tr.set()); err != nil || got.Digest.String() != want {
					t.Errorf("digest: %v", err)
				}
				if err := c.Save(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	left, err := os.ReadDir(home)
	tr.must(err)
	if len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

// A hidden change between what two commands saw is a new generation.
func TestMergeSeesHiddenChanges(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	smallCache(t, tr, home)
	one, two := Open(home, Options{Now: later}), Open(home, Options{Now: later})
	start := one.Generation(tr.dir)
	tr.write("app/main.go", "app/MAIN.go")
	digestOf(t, one, tr.set())
	tr.must(one.Save())
	tr.rewrite("app/main.go", "APP/MAIN.go")
	digestOf(t, two, tr.set())
	tr.must(two.Save())
	if one.Generation(tr.dir) != start || two.Generation(tr.dir) == start {
		t.Error("the second has the generation under which the first sent its files")
	}
}

// A Save that failed loses nothing: the next one writes it, and does not take
// the generation of another command for its own.
func TestSaveFails(t *testing.T) {
	tr, home := shop(t), t.TempDir()
	smallCache(t, tr, home)
	c := Open(home, Options{Now: later})
	start := c.Generation(tr.dir)
	tr.rewrite("app/main.go", "app/MAIN.go")
	want := digestOf(t, c, tr.set())
	tr.must(os.Rename(home, home+".away"))
	tr.must(os.WriteFile(home, nil, 0o600))
	if err := c.Save(); err == nil || !strings.Contains(err.Error(), home) {
		t.Fatalf("got %v", err)
	}
	alone := c.Generation(tr.dir)
	tr.must(os.Remove(home))
	tr.must(os.Rename(home+".away", home))
	other := Open(home, Options{Now: later})
	digestOf(t, other, tr.set("lib"))
	tr.must(other.Save())
	tr.must(c.Save())
	after := c.Generation(tr.dir)
	if after == start || alone == start || alone == after {
		t.Errorf("generations %s, %s, %s", start, alone, after)
	}
	c = Open(home, Options{Now: later})
	if digestOf(t, c, tr.set()) != want || c.counts.reads.Load() != 0 || c.Generation(tr.dir) != after {
		t.Error("something was lost")
	}
}

// What is used stays, what was not used for long goes, also with a clock that
// jumps.
func TestOldThingsAreDropped(t *testing.T) {
	a, b, home := shop(t), shop(t), t.TempDir()
	day := func(n int) Options {
		return Options{Now: func() time.Time { return later().Add(time.Duration(n) * 24 * time.Hour) }}
	}
	c := Open(home, day(0))
	digestOf(t, c, a.set())
	digestOf(t, c, a.set("lib"))
	digestOf(t, c, b.set())
	a.must(c.Save())
	for n := 5; n <= 60; n += 5 {
		c = Open(home, day(n))
		digestOf(t, c, a.set("lib"))
		if reads := c.counts.reads.Load(); reads != 0 {
			t.Errorf("day %d: %d files read", n, reads)
		}
		a.write("app/main.go", strings.Repeat("x", n)) // what is beside it is written anew
		digestOf(t, c, a.set("app/main.go"))
		a.must(c.Save())
	}
	in, err := load(filepath.Join(home, fileName))
	a.must(err)
	d := in.dirs[a.dir]
	if len(in.sets) != 2 || len(in.dirs) != 1 || d == nil {
		t.Fatalf("%d sets, %d directories", len(in.sets), len(in.dirs))
	}
	d.load()
	if len(d.entries) != 4 {
		t.Errorf("%d records, want lib, lib/lib.go, app and app/main.go", len(d.entries))
	}
}

func TestSizeIsBounded(t *testing.T) {
	home := t.TempDir()
	var trees []*tree
	for i := range 4 {
		tr := shop(t)
		trees = append(trees, tr)
		c := Open(home, Options{Now: func() time.Time { return later().Add(time.Duration(i*8) * 24 * time.Hour) }})
		c.store.limit = 3 << 10
		digestOf(t, c, tr.set())
		tr.must(c.Save())
	}
	fi, err := os.Stat(filepath.Join(home, fileName))
	trees[0].must(err)
	if fi.Size() > 4<<10 {
		t.Errorf("%d bytes", fi.Size())
	}
	in, err := load(filepath.Join(home, fileName))
	trees[0].must(err)
	if in.dirs[trees[3].dir] == nil || in.dirs[trees[0].dir] != nil {
		t.Error("the directory used last is not the one that stays")
	}
}

// seal makes the sum of the head right, so that fuzzing gets beyond it.
func seal(b []byte) []byte {
	b = bytes.Clone(b)
	at := len(magic) + 8
	if len(b) < at+32 {
		return b
	}
	n := min(binary.LittleEndian.Uint64(b[len(magic):]), uint64(len(b)-at-32))
	binary.LittleEndian.PutUint64(b[len(magic):], n)
	sum := sha256.Sum256(b[at+32:][:n])
	copy(b[at:], sum[:])
	return b
}

func FuzzLoad(f *testing.F) {
	tr := newTestTree(f, "a", "dir/b")
	f.Add(smallCache(f, tr, f.TempDir()))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := decodeImage(seal(b))
		if err != nil {
			return
		}
		for _, d := range in.dirs {
			d.load()
		}
		again, err := decodeImage(in.encode(in.pack(0, maxBytes), 0))
		if err != nil || len(again.sets) != len(in.sets) || len(again.dirs) != len(in.dirs) {
			t.Fatalf("written again: %v", err)
		}
	})
}

func FuzzRecords(f *testing.F) {
	f.Add(encodeRecords(map[string]*record{"a": {link: "b"}, "a/b": {day: 3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, ok := decodeRecords(b, sha256.Sum256(b))
		if !ok {
			return
		}
		b = encodeRecords(entries)
		if again, ok := decodeRecords(b, sha256.Sum256(b)); !ok || len(again) != len(entries) {
			t.Fatal("written again")
		}
	})
}
