package buildkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/internal/testkit"
)

// parents is how many targets that of crowd stands on.
const parents = 12

// crowd is a target that copies from many others of three steps each. What is in
// files decides which of them run.
func crowd(l *lab, files func(parent int) string) []*config.Target {
	epoch := map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}
	all := &config.Target{
		Name: "all", Context: "all", Args: epoch, Contexts: map[string]string{}, Tags: []string{"all:1"},
		// with this, steps that run again make the same layers
		Outputs: []config.Output{{Type: "image", Attrs: map[string]string{"rewrite-timestamp": "true"}}},
	}
	var targets []*config.Target
	text := "FROM busybox\n"
	for i := range parents {
		name := fmt.Sprintf("p%d", i)
		l.write(map[string]string{
			name + "/Dockerfile": "FROM busybox\nCOPY f /f\nRUN cat /f > /g\nRUN cat /g > /" + name + "\n", name + "/f": name + files(i),
		})
		targets = append(targets, &config.Target{Name: name, Context: name, Args: epoch, Implicit: true})
		all.Contexts[name] = "target:" + name
		all.Needs = append(all.Needs, graph.ID(name))
		text += "COPY --from=" + name + " /" + name + " /" + name + "\n"
	}
	l.write(map[string]string{"all/Dockerfile": text + "RUN cat /p0 /p11 > /all\n"})
	return append(targets, all)
}

func same(int) string { return "one" }

// steps is how many steps ran in all, and of the target all.
func steps(l *lab, files func(int) string) (digest string, total, own int) {
	l.t.Helper()
	res, _ := l.must(crowd(l, files)...)
	for _, r := range res {
		total += r.Ran
	}
	return res["all"].Digest, total, res["all"].Ran
}

// partsOf are the parts of the cache of all.
func partsOf(t *testing.T, reg *testkit.Registry) []ocispec.Descriptor {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, reg.URL()+"/v2/shop/cache/main/manifests/layers-all.linux-"+runtime.GOARCH, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageIndex)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var index ocispec.Index
	if err := json.NewDecoder(resp.Body).Decode(&index); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || len(index.Manifests) < 2 {
		t.Fatalf("%s with %d parts", resp.Status, len(index.Manifests))
	}
	return index.Manifests
}

func TestSharedCacheInParts(t *testing.T) {
	first := newLab(t)
	first.cache, first.limit = cacheIn(first.mirror, "main"), 13_000
	want, total, own := steps(first, same)
	if total != parents*3+parents+1 || own != parents+1 {
		t.Fatalf("first: %d steps, %d of them of all", total, own)
	}
	parts := partsOf(t, first.mirror)
	for pattern, n := range map[string]int{
		"^GET /v2/shop/cache/main/manifests/sha256:": parents + 1,               // one for each cache that was written
		"^GET /v2/shop/cache/main/blobs/":            1,                         // the config that is too large
		"^PUT /v2/shop/cache/main/manifests/sha256:": len(parts),                //
		"^PUT /v2/shop/cache/main/manifests/layers-": parents + 2,               // that of all twice
		"^HEAD /v2/shop/cache/main/manifests/layers": parents + 1 + parents + 1, // here, and by the engine before it writes
	} {
		if got := first.mirror.Count(pattern); got != n {
			t.Errorf("%d requests of %s, want %d", got, pattern, n)
		}
	}
	fresh := func(t *testing.T) *lab {
		l := first.fresh("main")
		l.t = t
		first.mirror.Forget()
		return l
	}
	quiet := func(l *lab) {
		l.t.Helper()
		if w := l.warnings(); len(w) > 0 {
			l.t.Errorf("warnings: %q", w)
		}
	}

	t.Run("nothing runs again", func(t *testing.T) {
		l := fresh(t)
		l.cache.Write = false
		if got, total, _ := steps(l, same); total != 0 || got != want {
			t.Errorf("%d steps ran, digest %s, want %s", total, got, want)
		}
		for pattern, n := range map[string]int{
			"^HEAD /v2/shop/cache/main/manifests/layers-": parents + 1,
			"^GET /v2/shop/cache/main/manifests/":         parents + 1 + len(parts), // the caches of parents, the index and its parts
		} {
			if got := first.mirror.Count(pattern); got != n {
				t.Errorf("%d requests of %s, want %d", got, pattern, n)
			}
		}
		quiet(l)
	})

	t.Run("the parts alone will do", func(t *testing.T) {
		l := fresh(t)
		l.cache.Write = false
		first.mirror.Inject(testkit.Status("^HEAD /v2/shop/cache/main/manifests/layers-p", 0, http.StatusNotFound))
		defer first.mirror.Heal()
		// each parent reads its own cache only
		if got, total, own := steps(l, same); total != parents*3 || own != 0 || got != want {
			t.Errorf("%d steps ran, %d of them of all, digest %s, want %s", total, own, got, want)
		}
		quiet(l)
	})

	t.Run("only what changed runs", func(t *testing.T) {
		l := fresh(t)
		l.cache.Write = false
		changed := func(i int) string { return map[bool]string{true: "two", false: "one"}[i == 7] }
		if _, total, own := steps(l, changed); total != 3+parents-7+1 || own != parents-7+1 {
			t.Errorf("%d steps ran, %d of all", total, own)
		}
		quiet(l)
	})

	for name, fault := range map[string]testkit.Fault{
		"a part is gone":        testkit.Status("^GET /v2/shop/cache/main/manifests/"+parts[1].Digest.String(), 0, 404),
		"the index is gone":     testkit.Status("^GET /v2/shop/cache/main/manifests/sha256", 0, 404),
		"configs of parts gone": testkit.Status("^GET /v2/shop/cache/main/blobs/", 0, 404),
		"a part is damaged":     {Match: regexp.MustCompile("^GET /v2/shop/cache/main/manifests/" + parts[0].Digest.String()), Handler: flip(first.mirror)},
		"the index is damaged":  {Match: regexp.MustCompile("^GET /v2/shop/cache/main/manifests/sha256"), Times: 1, Handler: flip(first.mirror)},
	} {
		t.Run(name, func(t *testing.T) {
			l := fresh(t)
			l.cache.Write = false
			first.mirror.Inject(fault)
			defer first.mirror.Heal()
			if got, _, _ := steps(l, same); got != want {
				t.Errorf("digest %s, want %s", got, want)
			}
			if w := strings.Join(l.warnings(), "\n"); !strings.Contains(w, "is not read") {
				t.Errorf("warnings: %q", w)
			}
		})
	}

	t.Run("written again after a change", func(t *testing.T) {
		changed := func(i int) string { return map[bool]string{true: "three", false: "one"}[i >= 10] }
		want, _, _ := steps(fresh(t), changed)
		if n := len(partsOf(t, first.mirror)); n > len(parts)+2 {
			t.Errorf("%d parts, were %d", n, len(parts))
		}
		l := fresh(t)
		if got, total, _ := steps(l, changed); total != 0 || got != want {
			t.Errorf("%d steps ran, digest %s, want %s", total, got, want)
		}
		quiet(l)
	})
}

// flip answers as reg does, with one bit wrong.
func flip(reg *testkit.Registry) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		reg.Handler().ServeHTTP(&flipped{ResponseWriter: w}, r)
	}
}
