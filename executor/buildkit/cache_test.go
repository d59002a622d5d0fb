package buildkit

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

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
	return cache.NewShared(l.cache, cache.SharedOptions{
		Open:  func(repository string) (cache.Store, error) { return c.Repository(repository) },
		Warn:  func(text string) { b.Emit(executor.Warning{Text: text}) },
		Limit: l.limit,
	})
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
	n.cache, n.limit = cacheIn(l.mirror, scopes...), l.limit
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

	t.Run("an engine that was pruned takes the layers again", func(t *testing.T) {
		l := first.fresh("feature/x", "main")
		l.t = t
		for range 2 {
			again, _ := l.must(tower(l, "one", "one")...)
			if got := ran(again); got != "app 0 base 0 web 0" {
				t.Errorf("ran %s", got)
			}
			if again["app"].Digest != res["app"].Digest {
				t.Errorf("digest %s, was %s", again["app"].Digest, res["app"].Digest)
			}
			if err := l.engine.Client().Prune(t.Context(), nil, client.PruneAll); err != nil {
				t.Fatal(err)
			}
		}
		if w := l.warnings(); len(w) > 0 {
			t.Errorf("warnings: %q", w)
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

// Each platform has a cache of its own; steps that must run whatever is in the
// cache run once, though the cache is written by a second solve; and provenance,
// which the engine's own front end makes, changes nothing of it.
func TestSharedCacheOfEveryKindOfTarget(t *testing.T) {
	l := newLab(t)
	l.cache = cacheIn(l.mirror, "main")
	l.write(map[string]string{"f": "content", "Dockerfile": "FROM busybox\nCOPY f /f\nRUN echo $RANDOM > /r\n"})
	other := "linux/arm64"
	if runtime.GOARCH == "arm64" {
		other = "linux/amd64"
	}
	for _, tt := range []struct {
		target *config.Target
		puts   []string
	}{
		{&config.Target{Name: "both", Context: ".", DockerfileInline: ptr("FROM scratch\nCOPY f /f\n"), Platforms: []string{"linux/" + runtime.GOARCH, other}}, []string{
			"layers-both.linux-amd64", "layers-both.linux-arm64",
		}},
		{&config.Target{Name: "anew", Context: ".", NoCache: true}, []string{"layers-anew.linux-" + runtime.GOARCH}},
		{&config.Target{Name: "proven", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo p > /p\nCOPY f /g\n"), Attest: []config.Attest{{Type: "provenance", Attrs: map[string]string{"mode": "min"}}}}, []string{
			"layers-proven.linux-" + runtime.GOARCH,
		}},
	} {
		t.Run(tt.target.Name, func(t *testing.T) {
			l.t = t
			l.mirror.Forget()
			l.must(tt.target)
			var got []string
			for _, req := range l.mirror.Requests() {
				if tag, ok := strings.CutPrefix(req, "PUT /v2/shop/cache/main/manifests/"); ok {
					got = append(got, tag)
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.puts) {
				t.Errorf("wrote %v, want %v", got, tt.puts)
			}
			if w := l.warnings(); len(w) > 0 {
				t.Errorf("warnings: %q", w)
			}
		})
	}
}

// Caches that somebody made to do harm: none fails the build, none takes long.
func TestCraftedCaches(t *testing.T) {
	l := newLab(t)
	l.cache = cacheIn(l.mirror, "main")
	l.cache.Write = false
	sum := "sha256:" + strings.Repeat("0", 64)
	deep := `{"records":[{"digest":"` + sum + `"}`
	for i := range 5000 {
		deep += fmt.Sprintf(`,{"digest":"%s","inputs":[[{"link":%d}]]}`, sum, i)
	}
	for name, text := range map[string]string{
		"empty":           "",
		"no JSON":         "\x00\x01",
		"another type":    `["x"]`,
		"null":            "null",
		"a loop":          `{"records":[{"digest":"` + sum + `","inputs":[[{"link":1}]]},{"digest":"` + sum + `","inputs":[[{"link":0}]]}]}`,
		"itself":          `{"layers":[{"blob":"` + sum + `","parent":0}],"records":[{"digest":"` + sum + `","layers":[{"layer":0}]}]}`,
		"out of range":    `{"layers":[{"blob":"` + sum + `","parent":7}],"records":[{"digest":"` + sum + `","inputs":[[{"link":99}]],"layers":[{"layer":-1}]}]}`,
		"unknown layers":  `{"layers":[{"blob":"` + sum + `","parent":-1}],"records":[{"digest":"` + sum + `","layers":[{"layer":0}]}]}`,
		"very deep":       deep + "]}",
		"more than a MiB": `{"records":[` + strings.Repeat(" ", cache.MaxManifest) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			l.t = t
			pushCache(t, l.mirror, "shop/cache/main", "layers-x.linux-"+runtime.GOARCH, text)
			res, _ := l.must(&config.Target{Name: "x", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo '" + name + "' > /x\n")})
			if res["x"].Ran != 1 {
				t.Errorf("%d steps ran", res["x"].Ran)
			}
		})
	}
	for _, want := range []string{"is not read: ", "split the target"} {
		if w := strings.Join(l.warnings(), "\n"); !strings.Contains(w, want) {
			t.Errorf("no warning says %q:\n%s", want, w)
		}
	}
}

// pushCache stores a cache manifest with text as its config.
func pushCache(t *testing.T, reg *testkit.Registry, repo, tag, text string) {
	t.Helper()
	put := func(method, path, kind string, body []byte) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", kind)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode >= 300 {
			t.Fatalf("%s %s: %s", method, path, resp.Status)
		}
		return resp
	}
	sum := digest.FromString(text)
	base := reg.URL() + "/v2/" + repo
	at := put(http.MethodPost, base+"/blobs/uploads/", "", nil).Header.Get("Location")
	put(http.MethodPut, at+"&digest="+sum.String(), "application/octet-stream", []byte(text))
	manifest := fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":%q,"size":%d},"layers":[]}`,
		ocispec.MediaTypeImageManifest, sum, len(text))
	put(http.MethodPut, base+"/manifests/"+tag, ocispec.MediaTypeImageManifest, []byte(manifest))
}
