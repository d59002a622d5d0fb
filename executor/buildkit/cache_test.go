package buildkit

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

// shared is the cache of the lab's block.
func (l *lab) shared(b *Builder) *cache.Shared {
	c := registry.NewClient(l.settings, registry.NewKeychain(os.LookupEnv))
	l.t.Cleanup(c.Close)
	probe := func(ctx context.Context, ref string) (cache.Found, bool, error) {
		desc, ok, err := c.Head(ctx, ref)
		return cache.Found{Digest: digest.Digest(desc.Digest.String()), Size: desc.Size}, ok, err
	}
	return cache.NewShared(l.cache, probe, func(text string) { b.Emit(executor.Warning{Text: text}) })
}

// warnings are the texts of all warnings so far.
func (l *lab) warnings() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for _, e := range l.events {
		if w, ok := e.(executor.Warning); ok {
			out = append(out, w.Text)
		}
	}
	return out
}

// fresh is another machine: an engine that has nothing, and the same registry.
func (l *lab) fresh(scopes ...string) *lab {
	l.t.Helper()
	n := newLabOn(l.t, l.mirror)
	n.cache = cacheIn(l.mirror, scopes...)
	return n
}

func cacheIn(reg *testkit.Registry, scopes ...string) *config.CacheBlock {
	c := &config.CacheBlock{Repository: reg.Host + "/shop/cache", Write: true, Mode: "max"}
	for _, s := range scopes {
		c.Scopes = append(c.Scopes, config.CacheScope{Name: s})
	}
	return c
}

// tower is a base and two targets on it; what is in their files decides which
// steps have to run.
func tower(l *lab, base, app string) []*config.Target {
	l.write(map[string]string{
		"base/Dockerfile": "FROM busybox\nCOPY f /base\nRUN cat /base > /b1\nRUN cat /b1 > /b2\n", "base/f": base,
		"app/Dockerfile": "FROM base\nCOPY f /app\nRUN cat /app /b2 > /a1\n", "app/f": app,
		"web/Dockerfile": "FROM base\nCOPY f /web\nRUN cat /web /b2 > /w1\n", "web/f": "web",
	})
	on := map[string]string{"base": "target:base"}
	// with these, steps that run again make the same layers
	out := []config.Output{{Type: "image", Attrs: map[string]string{"rewrite-timestamp": "true"}}}
	epoch := map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}
	return []*config.Target{
		{Name: "base", Context: "base", Args: epoch, Implicit: true},
		{Name: "app", Context: "app", Args: epoch, Contexts: on, Needs: []graph.ID{"base"}, Tags: []string{"app:1"}, Outputs: out},
		{Name: "web", Context: "web", Args: epoch, Contexts: on, Needs: []graph.ID{"base"}, Tags: []string{"web:1"}, Outputs: out},
	}
}

// ran is how many numbered steps of each target ran, "app 1 base 0".
func ran(results map[string]executor.TargetResult) string {
	var out []string
	for name, r := range results {
		out = append(out, fmt.Sprintf("%s %d", name, r.Ran))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestSharedCacheOnAFreshMachine(t *testing.T) {
	first := newLab(t)
	first.cache = cacheIn(first.mirror, "feature/x", "main")
	res, _ := first.must(tower(first, "one", "one")...)
	if got := ran(res); got != "app 2 base 3 web 2" {
		t.Fatalf("first: %s", got)
	}
	if w := first.warnings(); len(w) > 0 {
		t.Errorf("warnings: %q", w)
	}
	puts := func() int { return first.mirror.Count("^PUT /v2/shop/cache/.*/manifests/") }
	if n := puts(); n != 3 {
		t.Errorf("wrote %d caches, want one a target", n)
	}

	t.Run("nothing runs again and nothing is written", func(t *testing.T) {
		l := first.fresh("feature/x", "main")
		l.t = t
		before := puts()
		again, _ := l.must(tower(l, "one", "one")...)
		if got := ran(again); got != "app 0 base 0 web 0" {
			t.Errorf("ran %s", got)
		}
		for _, name := range []string{"app", "web"} {
			if again[name].Digest != res[name].Digest {
				t.Errorf("%s: digest %s, was %s", name, again[name].Digest, res[name].Digest)
			}
		}
		if n := puts() - before; n != 0 {
			t.Errorf("wrote %d caches", n)
		}
		if w := l.warnings(); len(w) > 0 {
			t.Errorf("warnings: %q", w)
		}
	})

	t.Run("requests", func(t *testing.T) {
		l := first.fresh("feature/x", "main")
		l.t = t
		first.mirror.Forget()
		l.must(tower(l, "one", "one")...)
		for pattern, want := range map[string]int{
			"^HEAD /v2/shop/cache/feature-x-.*/manifests/layers-": 3, // one a target
			"^HEAD /v2/shop/cache/main/manifests/layers-":         3,
			"^GET /v2/shop/cache/.*/manifests/":                   3, // one a reference that is there
		} {
			if n := first.mirror.Count(pattern); n != want {
				t.Errorf("%d requests of %s, want %d\n%s", n, pattern, want, strings.Join(first.mirror.Requests(), "\n"))
			}
		}
	})

	t.Run("only what changed runs", func(t *testing.T) {
		l := first.fresh("feature/x", "main")
		l.t = t
		before := puts()
		again, _ := l.must(tower(l, "one", "two")...)
		if got := ran(again); got != "app 2 base 0 web 0" {
			t.Errorf("ran %s", got)
		}
		if again["web"].Digest != res["web"].Digest || again["app"].Digest == res["app"].Digest {
			t.Errorf("digests %s and %s", again["web"].Digest, again["app"].Digest)
		}
		if n := puts() - before; n != 1 {
			t.Errorf("wrote %d caches, want that of app", n)
		}
	})

	t.Run("another scope reads and does not write what it reads", func(t *testing.T) {
		l := first.fresh("pr-7", "feature/x")
		l.t = t
		first.mirror.Forget()
		again, _ := l.must(tower(l, "one", "three")...)
		if got := ran(again); got != "app 2 base 0 web 0" {
			t.Errorf("ran %s", got)
		}
		if n := first.mirror.Count("^(PUT|POST|PATCH|DELETE) /v2/shop/cache/feature-x"); n != 0 {
			t.Errorf("%d writes to the scope that is only read", n)
		}
		if n := first.mirror.Count("^PUT /v2/shop/cache/pr-7/manifests/"); n != 1 {
			t.Errorf("%d writes to its own scope, want 1", n)
		}
	})

	t.Run("not allowed to write", func(t *testing.T) {
		l := first.fresh("feature/x")
		l.t = t
		first.mirror.Inject(testkit.Status("^(POST|PUT|PATCH) /v2/shop/cache/", 0, http.StatusForbidden))
		again, _ := l.must(tower(l, "four", "four")...)
		if got := ran(again); got != "app 2 base 3 web 2" {
			t.Errorf("ran %s", got)
		}
		w := l.warnings()
		if len(w) != 3 || !strings.Contains(w[0], "was not written") || !strings.Contains(w[2], "after 3 failures") {
			t.Errorf("warnings: %q", w)
		}
	})
}

// A flipped answer has one bit of its body wrong.
type flipped struct {
	http.ResponseWriter
	done bool
}

func (f *flipped) Write(p []byte) (int, error) {
	if !f.done && len(p) > 0 {
		f.done = true
		p = slices.Clone(p)
		p[len(p)/2] ^= 1
	}
	return f.ResponseWriter.Write(p)
}

// layerRequests matches the requests of layers that caches in main have.
func layerRequests(t *testing.T, reg *testkit.Registry) string {
	t.Helper()
	var digests []string
	for _, target := range []string{"base", "app", "web"} {
		img, err := reg.Image(t.Context(), "shop/cache/main:layers-"+target+".linux-"+runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range m.Layers {
			digests = append(digests, l.Digest.String())
		}
	}
	return "^GET /v2/shop/cache/main/blobs/(" + strings.Join(digests, "|") + ")"
}

// Whatever becomes of the cache: the build does not fail, and makes the same.
func TestCacheFaults(t *testing.T) {
	first := newLab(t)
	first.cache = cacheIn(first.mirror, "main")
	want, _ := first.must(tower(first, "one", "one")...)

	flip := func(pattern string) testkit.Fault {
		return testkit.Fault{Match: regexp.MustCompile(pattern), Handler: func(w http.ResponseWriter, r *http.Request) {
			first.mirror.Handler().ServeHTTP(&flipped{ResponseWriter: w}, r)
		}}
	}
	tests := []struct {
		name   string
		faults []testkit.Fault
		warns  string
	}{
		{"the registry is down when asked", []testkit.Fault{testkit.Status("^HEAD /v2/shop/cache/", 0, 500)}, "is not read"},
		{"manifests are gone", []testkit.Fault{testkit.Status("^GET /v2/shop/cache/.*/manifests/", 0, 404)}, "is not read"},
		{"manifests break the connection", []testkit.Fault{{Match: regexp.MustCompile("^GET /v2/shop/cache/.*/manifests/")}}, "is not read"},
		{"manifests are damaged", []testkit.Fault{flip("^GET /v2/shop/cache/.*/manifests/")}, "is not read"},
		{"all blobs are gone", []testkit.Fault{testkit.Status("^GET /v2/shop/cache/.*/blobs/", 0, 404)}, "is not read"},
		{"all blobs are damaged", []testkit.Fault{flip("^GET /v2/shop/cache/.*/blobs/")}, "is not read"},
		{"layers are gone", nil, "is built without them"},
		{"layers are damaged", nil, "is built without them"},
		{"the registry fails at the export", []testkit.Fault{testkit.Status("^(POST|PUT|PATCH) /v2/shop/cache/", 0, 500)}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := first.fresh("main")
			l.t = t
			faults := tt.faults
			switch tt.name {
			case "layers are gone":
				faults = []testkit.Fault{testkit.Status(layerRequests(t, first.mirror), 0, 404)}
			case "layers are damaged":
				faults = []testkit.Fault{flip(layerRequests(t, first.mirror))}
			}
			first.mirror.Heal()
			first.mirror.Inject(faults...)
			defer first.mirror.Heal()
			res, _ := l.must(tower(l, "one", "one")...)
			for _, name := range []string{"app", "web"} {
				if res[name].Digest != want[name].Digest {
					t.Errorf("%s: digest %s, want %s", name, res[name].Digest, want[name].Digest)
				}
			}
			if w := strings.Join(l.warnings(), "\n"); !strings.Contains(w, tt.warns) {
				t.Errorf("warnings: %q, want %q", w, tt.warns)
			}
		})
	}
}
