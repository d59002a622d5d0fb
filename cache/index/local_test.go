package index_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/strata-build/strata/cache/index"
)

var contextBackground = context.Background()

func TestLocalKeepsWhatIsPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "index")
	l := open(t, dir)
	if _, ok := l.Get(fp("1")); ok {
		t.Error("an empty index has an entry")
	}
	if _, err := os.Lstat(dir); err == nil {
		t.Error("reading has made the directory")
	}
	put(t, l, entry("api", "1"), detail("1"), "list a", "list b", "list a")
	put(t, l, entry("api", "2"), detail("2"), "list a")
	put(t, l, entry("web", "3"), nil)

	for _, l := range []*index.Local{l, open(t, dir)} {
		want := sealed(entry("api", "1"), detail("1"), "list a", "list b")
		got, ok := l.Get(fp("1"))
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("got %v %+v\nwant %+v", ok, got, want)
		}
		d, ok := l.Detail(got)
		if !ok || !reflect.DeepEqual(d.Inputs, detail("1").Inputs) || string(d.Record) != `{"schema":1}` {
			t.Errorf("detail: %v %+v", ok, d)
		}
		for i, want := range []string{"list a", "list b"} {
			if tree, ok := l.Tree(got.Trees[i]); !ok || string(tree) != want {
				t.Errorf("tree %d: %v %q", i, ok, tree)
			}
		}
		if got, ok := l.Latest("shop", "api"); !ok || got.Fingerprint != fp("2") {
			t.Errorf("latest of api: %v %+v", ok, got)
		}
		if _, ok := l.Latest("other", "api"); ok {
			t.Error("another project has the latest of this one")
		}
		var order []string
		for _, e := range l.List() {
			order = append(order, e.Target+" "+string(e.Fingerprint[:4]))
		}
		wantOrder := []string{"web " + string(fp("3")[:4]), "api " + string(fp("2")[:4]), "api " + string(fp("1")[:4])}
		if !reflect.DeepEqual(order, wantOrder) {
			t.Errorf("list %q, want %q", order, wantOrder)
		}
		if _, ok := l.Get("no fingerprint"); ok {
			t.Error("nonsense was found")
		}
	}
	if blobs := files(t, filepath.Join(dir, "blobs")); len(blobs) != 4 {
		t.Errorf("%d blobs for 2 details and 2 listings: %v", len(blobs), blobs)
	}
}

func TestPutAgainIsTheLatest(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	l := open(t, dir)
	put(t, l, entry("api", "1"), nil)
	put(t, l, entry("api", "2"), nil)
	again := entry("api", "1")
	again.Run = "r2"
	put(t, l, again, nil)
	for _, l := range []*index.Local{l, open(t, dir)} {
		if got, _ := l.Latest("shop", "api"); got.Run != "r2" {
			t.Errorf("the latest is of run %q", got.Run)
		}
		if n := len(l.List()); n != 2 {
			t.Errorf("%d entries, want 2", n)
		}
		var builds []index.Fingerprint
		for _, e := range l.Builds("shop", "api") {
			builds = append(builds, e.Fingerprint)
		}
		if want := []index.Fingerprint{fp("1"), fp("2")}; !reflect.DeepEqual(builds, want) {
			t.Errorf("builds %v, want %v", builds, want)
		}
		if got := l.Builds("shop", "web"); got != nil {
			t.Errorf("builds of web: %v", got)
		}
	}
}

// Targets with equal inputs have one fingerprint and an entry each, after
// compaction too.
func TestEqualInputs(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	l := open(t, dir)
	for _, target := range []string{"a", "b", "a", "c"} { // a twice: the first is replaced
		put(t, l, entry(target, "same"), detail(target))
	}
	for range 2 {
		for _, target := range []string{"a", "b", "c"} {
			if e, ok := l.Find(fp("same"), "shop", target); !ok || e.Target != target {
				t.Errorf("%s: %v %s", target, ok, e.Target)
			}
			if e, ok := l.Latest("shop", target); !ok || e.Target != target {
				t.Errorf("latest of %s: %v %s", target, ok, e.Target)
			}
		}
		for _, project := range []string{"shop", "other"} { // any will do
			if e, ok := l.Find(fp("same"), project, "none"); !ok || e.Target != "c" {
				t.Errorf("none: %v %s", ok, e.Target)
			}
		}
		if e, ok := l.Find(fp("none"), "shop", "a"); ok {
			t.Errorf("found %+v", e)
		}
		if got := targets(l); !reflect.DeepEqual(got, []string{"c", "a", "b"}) {
			t.Errorf("entries %v", got)
		}
		if done, err := l.Prune(t.Context(), index.Policy{}); err != nil || done.Entries != 0 {
			t.Errorf("%+v %v", done, err)
		}
	}
}

func TestPutRefusesWhatIsNoEntry(t *testing.T) {
	l := open(t, t.TempDir())
	for want, e := range map[string]index.Entry{
		`"ABC" is not a fingerprint`: {Fingerprint: "ABC", Target: "x"},
		`without a target`:           {Fingerprint: fp("1")},
		`262144 are the most`:        {Fingerprint: fp("1"), Target: "x", Run: strings.Repeat("x", 300<<10)},
	} {
		if err := l.Put(t.Context(), e, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAnIndexWithoutDirectoryIsEmpty(t *testing.T) {
	l := open(t, "")
	put(t, l, entry("api", "1"), detail("1"), "x")
	if _, ok := l.Get(fp("1")); ok || len(l.List()) > 0 {
		t.Error("something was kept nowhere")
	}
}

const (
	writers = 8
	writes  = 25
)

// Goroutines of one process, each with an index of its own, and processes.
func TestConcurrentPutsLoseNothing(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			name := fmt.Sprintf("w%d", w)
			if w%2 == 0 {
				l := index.OpenLocal(dir, index.LocalOptions{Warn: func(err error) { t.Error(err) }})
				for i := range writes {
					target := fmt.Sprintf("%s-%d", name, i)
					if err := l.Put(t.Context(), entry(target, target), detail(target), []byte("shared"), []byte(target)); err != nil {
						t.Error(err)
					}
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = append(os.Environ(), "STRATA_INDEX_TEST_WRITER="+dir, "STRATA_INDEX_TEST_NAME="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	l := open(t, dir)
	for w := range writers {
		for i := range writes {
			target := fmt.Sprintf("w%d-%d", w, i)
			e, ok := l.Get(fp(target))
			if !ok || e.Target != target {
				t.Errorf("%s is lost", target)
				continue
			}
			if _, ok := l.Detail(e); !ok {
				t.Errorf("the detail of %s is lost", target)
			}
			if tree, ok := l.Tree(e.Trees[1]); !ok || string(tree) != target {
				t.Errorf("the listing of %s is lost", target)
			}
		}
	}
}

// An index that is open sees what others put as soon as it puts itself.
func TestAnOpenIndexReadsOn(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	a, b := open(t, dir), open(t, dir)
	put(t, a, entry("api", "1"), nil)
	put(t, b, entry("web", "2"), nil)
	if _, err := b.Prune(t.Context(), index.Policy{MaxEntries: 1}); err != nil { // replaces the file
		t.Fatal(err)
	}
	put(t, a, entry("db", "3"), nil)
	for of, want := range map[string]bool{"1": false, "2": true, "3": true} {
		if _, ok := a.Get(fp(of)); ok != want {
			t.Errorf("entry %s: %v, want %v", of, ok, want)
		}
	}
}

func TestLargeListings(t *testing.T) {
	l := open(t, t.TempDir())
	tree := bytes.Repeat([]byte("0644 abcdef src/a/long/path/of/a/file.go\n"), 100_000)
	put(t, l, entry("api", "1"), nil, string(tree))
	e, _ := l.Get(fp("1"))
	if got, ok := l.Tree(e.Trees[0]); !ok || !bytes.Equal(got, tree) {
		t.Errorf("a listing of %d bytes came back with %d", len(tree), len(got))
	}
}

func TestDefaultDir(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"/c/strata/index":        {"XDG_CACHE_HOME": "/c", "HOME": "/h"},
		"/h/.cache/strata/index": {"XDG_CACHE_HOME": "relative", "HOME": "/h"},
		"":                       {},
	} {
		if got := index.DefaultDir(func(k string) (string, bool) { v, ok := env[k]; return v, ok }); got != want {
			t.Errorf("%v: %q, want %q", env, got, want)
		}
	}
}

// chmod makes a directory the user's own whatever the umask is.
func chmod(t testing.TB, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return all
}

func fill(b *testing.B, n int) string {
	dir := b.TempDir()
	l := open(b, dir)
	for i := range n {
		put(b, l, entry(fmt.Sprint("t", i), fmt.Sprint(i)), nil)
	}
	return dir
}

// BenchmarkOpenAndGet1000 is a run in which none of 1,000 targets changed.
func BenchmarkOpenAndGet1000(b *testing.B) {
	dir := fill(b, 1000)
	fps := make([]index.Fingerprint, 1000)
	for i := range fps {
		fps[i] = fp(fmt.Sprint(i))
	}
	for b.Loop() {
		l := index.OpenLocal(dir, index.LocalOptions{})
		for _, f := range fps {
			if _, ok := l.Get(f); !ok {
				b.Fatal("a miss")
			}
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	l := open(b, b.TempDir())
	i := 0
	for b.Loop() {
		i++
		put(b, l, entry("api", fmt.Sprint(i)), detail(fmt.Sprint(i)), "listing")
	}
}
