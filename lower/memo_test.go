package lower

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// A mapMemo is a Memo that counts its hits.
type mapMemo struct {
	mu   sync.Mutex
	m    map[string][]byte
	hits int
}

func (m *mapMemo) Load(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.m[key]
	if ok {
		m.hits++
	}
	return v, ok
}

func (m *mapMemo) Store(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[string][]byte{}
	}
	m.m[key] = value
}

// briefs are the briefs of targets, needs first, with the memo memo.
func briefs(t *testing.T, dir string, memo Memo, targets ...*config.Target) map[string]*Brief {
	t.Helper()
	opts := Options{Dir: dir, Resolver: fakeRegistry{}, RunID: "run"}
	opts.Digest = func(_ context.Context, ref string, _ digest.Digest) (digest.Digest, error) {
		return digest.FromString(ref), nil
	}
	l := NewLowerer(context.Background(), targets, memo, opts)
	out := map[string]*Brief{}
	for _, target := range targets {
		b, err := l.Brief(target.Name)
		if err != nil {
			t.Fatal(err)
		}
		out[target.Name] = b
	}
	return out
}

// dirs are the directories of which b takes something, from dir, in the order
// that its shape numbers them.
func dirs(b *Brief, dir string) []string {
	var out []string
	for _, l := range b.Locals {
		r, _ := filepath.Rel(dir, l.Dir) // both are absolute
		out = append(out, r)
	}
	return out
}

func TestMemoTellsSwappedContextsApart(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY --from=a f /a\nCOPY --from=b f /b\n", "one/f": "1", "two/f": "2"})
	memo := &mapMemo{}
	for _, tt := range []struct{ a, b string }{{"one", "two"}, {"two", "one"}} {
		b := briefs(t, dir, memo, &config.Target{Name: "app", Context: ".", Contexts: map[string]string{"a": tt.a, "b": tt.b}})["app"]
		if got, want := dirs(b, dir), []string{tt.a, tt.b}; !slices.Equal(got, want) {
			t.Errorf("with a=%s and b=%s the target takes of %v", tt.a, tt.b, got)
		}
	}
}

func TestMemoTellsANeededTargetsDirectoriesApart(t *testing.T) {
	script := "FROM scratch\nCOPY f /f\n"
	dir := tree(t, map[string]string{
		"one/Dockerfile": script, "one/f": "1", "two/Dockerfile": script, "two/f": "2", "app/Dockerfile": "FROM base\nLABEL a=b\n",
	})
	memo := &mapMemo{}
	for _, place := range []string{"one", "two"} {
		b := briefs(t, dir, memo,
			&config.Target{Name: "base", Context: place},
			&config.Target{Name: "app", Context: "app", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}},
		)["app"]
		if got, want := dirs(b, dir), []string{place}; !slices.Equal(got, want) {
			t.Errorf("on top of %s the target takes of %v", place, got)
		}
	}
}

func TestMemoGivesAnEqualBrief(t *testing.T) {
	dir := tree(t, map[string]string{
		"Dockerfile":    "ARG V\nFROM alpine AS x\nMAINTAINER me\nRUN --mount=type=bind,source=sub,target=/s cat /s/f\nFROM scratch\nCOPY --from=x /f /f\nCOPY . /all\n",
		".dockerignore": "*.md\n", "sub/f": "x",
	})
	target := &config.Target{Name: "app", Context: ".", Args: map[string]string{"V": "1"}, Labels: map[string]string{"l": "m"}}
	memo := &mapMemo{}
	first := briefs(t, dir, memo, target)["app"]
	again := briefs(t, dir, memo, target)["app"]
	if memo.hits != 1 {
		t.Fatalf("the memo was hit %d times, want 1", memo.hits)
	}
	if !reflect.DeepEqual(first, again) {
		t.Errorf("the memo gives\n%+v\nwant\n%+v", again, first)
	}
	if len(first.Warnings) == 0 || first.WarningPlace(0) != again.WarningPlace(0) {
		t.Errorf("the place of the warnings %v is %v, was %v", first.Warnings, again.WarningPlace(0), first.WarningPlace(0))
	}
}

// TestMemoLooksAtFiles changes, one after another, what was read.
func TestMemoLooksAtFiles(t *testing.T) {
	for _, change := range []struct {
		name, file, text string
		missed           bool
	}{
		{"Dockerfile", "Dockerfile", "FROM scratch\nCOPY f /g\n", true},
		{"ignore file", ".dockerignore", "*.md\n", true},
		{"ignore file of the Dockerfile", "Dockerfile.dockerignore", "*.md\n", true},
		{"content", "f", "other", false},
	} {
		t.Run(change.name, func(t *testing.T) {
			dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "x"})
			target, memo := &config.Target{Name: "app", Context: "."}, &mapMemo{}
			briefs(t, dir, memo, target)
			if err := os.WriteFile(filepath.Join(dir, change.file), []byte(change.text), 0o644); err != nil {
				t.Fatal(err)
			}
			before := maps.Clone(memo.m)
			briefs(t, dir, memo, target)
			if stored := !reflect.DeepEqual(before, memo.m); stored != change.missed {
				t.Errorf("lowered again: %t, want %t", stored, change.missed)
			}
		})
	}
}

// TestAgreeNoticesALaterDockerfile changes a Dockerfile between a brief that the
// memo answers and the LLB that is sent.
func TestAgreeNoticesALaterDockerfile(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "x"})
	target, memo := &config.Target{Name: "app", Context: "."}, &mapMemo{}
	briefs(t, dir, memo, target)
	l := NewLowerer(t.Context(), []*config.Target{target}, memo, Options{Dir: dir, Resolver: fakeRegistry{}})
	if _, err := l.Brief("app"); err != nil {
		t.Fatal(err)
	}
	if memo.hits != 1 {
		t.Fatalf("the memo was hit %d times, want 1", memo.hits)
	}
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM scratch\nCOPY f /g\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := l.Agree(t.Context(), "app")
	if e, ok := errors.AsType[*ChangedError](err); !ok || e.What != "Dockerfile" {
		t.Errorf("the error is %v", err)
	}
}

// TestNeedsThatAreForeign are in nobody's way who is only built after them.
func TestNeedsThatAreForeign(t *testing.T) {
	inline := "FROM scratch\nENV A=1\n"
	far := &config.Target{Name: "far", Context: "https://example.com/a.git"}
	after := &config.Target{Name: "after", Context: ".", DockerfileInline: &inline, Needs: []graph.ID{"far"}}
	stands := &config.Target{Name: "stands", Context: ".", DockerfileInline: &inline, Needs: []graph.ID{"far"}, Contexts: map[string]string{"far": "target:far"}}
	l := NewLowerer(t.Context(), []*config.Target{far, after, stands}, nil, Options{Dir: t.TempDir(), RunID: "run"})
	if b, err := l.Brief("after"); err != nil || b.Foreign != "" {
		t.Errorf("after: got %+v, %v", b, err)
	}
	if b, err := l.Brief("stands"); err != nil || b.Foreign == "" {
		t.Errorf("stands: got %+v, %v", b, err)
	}
	if r, err := l.Result(t.Context(), "stands"); err != nil || r != nil {
		t.Errorf("stands: got %v, %v", r, err)
	}
}
