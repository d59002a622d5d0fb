package cache

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

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/registry"
)

// A fakeRegistry has references of a size, and counts who asks.
type fakeRegistry struct {
	has  map[string]int64
	fail map[string]error // by a part of the reference
	hang string

	mu    sync.Mutex
	asked map[string]int
	said  []string
}

// A fakeStore is a repository of a fakeRegistry. It knows no other question.
type fakeStore struct {
	Store
	of   *fakeRegistry
	repo string
}

func (f *fakeRegistry) options() SharedOptions {
	return SharedOptions{Warn: f.warn, Open: func(repo string) (Store, error) { return &fakeStore{of: f, repo: repo}, nil }}
}

func (s *fakeStore) Head(ctx context.Context, tag string) (registry.Manifest, bool, error) {
	f, ref := s.of, s.repo+":"+tag
	f.mu.Lock()
	if f.asked == nil {
		f.asked = map[string]int{}
	}
	f.asked[ref]++
	f.mu.Unlock()
	for part, err := range f.fail {
		if strings.Contains(ref, part) {
			return registry.Manifest{}, false, err
		}
	}
	if f.hang != "" && strings.Contains(ref, f.hang) {
		<-ctx.Done()
		return registry.Manifest{}, false, ctx.Err()
	}
	size, ok := f.has[ref]
	return registry.Manifest{Digest: digest.FromString(ref).String(), Size: size, MediaType: ocispec.MediaTypeImageManifest}, ok, nil
}

func (f *fakeRegistry) warn(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, text)
}

func block(scopes ...string) *config.CacheBlock {
	b := &config.CacheBlock{Repository: "r/c", Mode: "max", Write: true}
	for _, s := range scopes {
		b.Scopes = append(b.Scopes, config.CacheScope{Name: s})
	}
	return b
}

// imports are the references without digests, shortened.
func imports(t *testing.T, s *Shared, targets ...string) string {
	t.Helper()
	var layers []Layers
	for _, name := range targets {
		layers = append(layers, Layers{Target: name, Platform: "linux/amd64"})
	}
	var out []string
	for _, e := range s.Imports(t.Context(), layers) {
		ref, sum, _ := strings.Cut(e.Attrs["ref"], "@")
		if e.Type != "registry" || sum != digest.FromString(ref).String() {
			t.Errorf("entry %v is not pinned", e)
		}
		out = append(out, strings.NewReplacer("r/c/", "", "layers-", "", ".linux-amd64", "").Replace(ref))
	}
	return strings.Join(out, " ")
}

func ref(scope, target string) string { return "r/c/" + scope + ":layers-" + target + ".linux-amd64" }

func TestImportsAreWhatExistsInOrderAndAskedOnce(t *testing.T) {
	f := &fakeRegistry{has: map[string]int64{ref("pr", "app"): 1, ref("main", "app"): 1, ref("main", "base"): 1}}
	s := NewShared(block("pr", "main"), f.options())
	for range 3 {
		if got := imports(t, s, "app", "base"); got != "pr:app main:app main:base" {
			t.Errorf("imports %s", got)
		}
	}
	for ref, n := range f.asked {
		if n != 1 {
			t.Errorf("%s was asked for %d times", ref, n)
		}
	}
	if len(f.asked) != 4 || len(f.said) != 0 {
		t.Errorf("asked %v, said %q", f.asked, f.said)
	}
	for l, want := range map[Layers]bool{
		{Target: "base", Platform: "linux/amd64"}:                 true,
		{Target: "base", Platform: "linux/arm64"}:                 false,
		{Target: "base", Platform: "linux/amd64", OnImages: true}: false,
	} {
		if got := s.Has(t.Context(), []Layers{l}); got != want {
			t.Errorf("has %v: %v", l, got)
		}
	}
	s.Broken(s.Imports(t.Context(), []Layers{{Target: "base", Platform: "linux/amd64"}}))
	if got := imports(t, s, "app", "base"); got != "pr:app main:app" {
		t.Errorf("after base was broken: %s", got)
	}
}

func TestImportsAreFew(t *testing.T) {
	f := &fakeRegistry{has: map[string]int64{}}
	var names []string
	for i := range 100 {
		names = append(names, fmt.Sprintf("t%d", i))
		f.has[ref("main", names[i])] = 1
	}
	s := NewShared(block("main"), f.options())
	if got := strings.Fields(imports(t, s, names...)); !slices.Equal(got, strings.Fields("main:t"+strings.Join(numbers(maxImports), " main:t"))) {
		t.Errorf("imports %v", got)
	}
}

func numbers(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint(i))
	}
	return out
}

func TestARepositoryThatFailsIsAskedNoMore(t *testing.T) {
	f := &fakeRegistry{has: map[string]int64{ref("main", "app"): 1}, fail: map[string]error{"r/c/pr:": errors.New("denied")}}
	s := NewShared(block("pr", "main"), f.options())
	if got := imports(t, s, "app"); got != "main:app" {
		t.Errorf("imports %s", got)
	}
	imports(t, s, "web", "base")
	if n := f.asked[ref("pr", "web")] + f.asked[ref("pr", "base")]; n != 0 {
		t.Errorf("asked %v", f.asked)
	}
	if len(f.said) != 1 || !strings.Contains(f.said[0], "r/c/pr is not read: denied") {
		t.Errorf("said %q", f.said)
	}
}

func TestARegistryThatHangsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeRegistry{hang: "r/c/"}
		s := NewShared(block("main"), f.options())
		var names []string
		for i := range 100 {
			names = append(names, fmt.Sprintf("t%d", i))
		}
		start := time.Now()
		if got := imports(t, s, names...); got != "" {
			t.Errorf("imports %s", got)
		}
		if waited := time.Since(start); waited > patience {
			t.Errorf("waited %v", waited)
		}
		if len(f.said) != 1 || !strings.Contains(f.said[0], "did not answer") {
			t.Errorf("said %q", f.said)
		}
	})
}

func TestTooLargeToRead(t *testing.T) {
	f := &fakeRegistry{has: map[string]int64{ref("main", "app"): MaxManifest + 1}}
	s := NewShared(block("main"), f.options())
	if got := imports(t, s, "app"); got != "" {
		t.Errorf("imports %s", got)
	}
	if len(f.said) != 1 || !strings.Contains(f.said[0], "is written in parts when") {
		t.Errorf("said %q", f.said)
	}
}

func TestExport(t *testing.T) {
	f := &fakeRegistry{}
	b := block("pr", "main")
	s := NewShared(b, f.options())
	e, ok := s.Export(Layers{Target: "app", Platform: "linux/arm64/v8"})
	if !ok || e.Type != "registry" || e.Attrs["ref"] != "r/c/pr:layers-app.linux-arm64-v8" || e.Attrs["mode"] != "max" || e.Attrs["image-manifest"] != "true" {
		t.Errorf("export %v %v", e, ok)
	}
	s.Exported(t.Context(), "x:1", ocispec.Descriptor{}, errors.New("denied"))
	s.Exported(t.Context(), "x:1", ocispec.Descriptor{}, nil)
	for i := range maxFails {
		if _, ok := s.Export(Layers{Target: "app", Platform: "linux/amd64"}); !ok {
			t.Errorf("no export after %d failures", i)
		}
		s.Exported(t.Context(), "x:1", ocispec.Descriptor{}, errors.New("denied"))
	}
	if _, ok := s.Export(Layers{Target: "app", Platform: "linux/amd64"}); ok {
		t.Error("it goes on after many failures")
	}
	if len(f.said) != 1+maxFails || !strings.Contains(f.said[maxFails], "no more are written") {
		t.Errorf("said %q", f.said)
	}
	b.Write = false
	if _, ok := NewShared(b, f.options()).Export(Layers{Target: "app", Platform: "linux/amd64"}); ok {
		t.Error("it writes without write")
	}
}
