package buildkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/lower"
)

// published is a base that is pushed, and targets on it; what is in the file of app
// decides which of its steps have to run.
func published(l *lab, app string) []*config.Target {
	l.write(map[string]string{
		"base/Dockerfile": "FROM busybox\nCOPY f /base\nENV P=1\nRUN cat /base > /b1\n", "base/f": strings.Repeat("base ", 1000),
		"app/Dockerfile": "FROM base\nCOPY f /app\nRUN cat /app /b1 > /a1\nCMD [\"cat\", \"/a1\"]\n", "app/f": app,
		"top/Dockerfile": "FROM app\nRUN cat /a1 /b1 > /t1\n",
		"cut/Dockerfile": "FROM scratch\nCOPY --from=base /b1 /c1\n",
	})
	// with these, steps that run again make the same layers
	push := func(name string) []config.Output {
		return []config.Output{{Type: "registry", Attrs: map[string]string{"name": l.mirror.Host + "/shop/" + name + ":1", "rewrite-timestamp": "true"}}}
	}
	epoch := map[string]string{"SOURCE_DATE_EPOCH": "1700000000"}
	on := func(name string) map[string]string { return map[string]string{name: "target:" + name} }
	return []*config.Target{
		{Name: "base", Context: "base", Args: epoch, Outputs: push("base")},
		{Name: "app", Context: "app", Args: epoch, Contexts: on("base"), Needs: []graph.ID{"base"}, Outputs: push("app")},
		{Name: "top", Context: "top", Args: epoch, Contexts: on("app"), Needs: []graph.ID{"app"}, Outputs: push("top")},
		{Name: "cut", Context: "cut", Args: epoch, Contexts: on("base"), Needs: []graph.ID{"base"}, Outputs: push("cut")},
	}
}

// pick are the targets called names.
func pick(targets []*config.Target, names ...string) []*config.Target {
	return slices.DeleteFunc(slices.Clone(targets), func(t *config.Target) bool { return !slices.Contains(names, t.Name) })
}

// take solves the targets called solve, with images in the place of others: references
// by target.
func (l *lab) take(targets []*config.Target, images map[string]string, solve ...string) (map[string]executor.TargetResult, *Builder, error) {
	l.t.Helper()
	b := l.builder()
	b.Lowerer = lower.NewLowerer(l.t.Context(), targets, nil, b.Lower)
	solved := pick(targets, solve...)
	if err := b.Prepare(l.t.Context(), solved); err != nil {
		return nil, b, err
	}
	var list []lower.StandIn
	for target, ref := range images {
		r, err := b.Lowerer.Result(l.t.Context(), target)
		if err != nil {
			l.t.Fatal(err)
		}
		list = append(list, lower.StandIn{Result: r, Ref: ref})
	}
	in, err := lower.NewStandIns(l.t.Context(), list)
	if err != nil {
		l.t.Fatal(err)
	}
	b.TakeImages(in)
	var nodes []graph.Node
	for _, t := range solved {
		node := graph.Node{ID: graph.ID(t.Name)}
		for _, n := range t.Needs {
			if slices.Contains(solve, string(n)) {
				node.Needs = append(node.Needs, n)
			}
		}
		nodes = append(nodes, node)
	}
	return l.solve(b, nodes)
}

func (l *lab) mustTake(targets []*config.Target, images map[string]string, solve ...string) (map[string]executor.TargetResult, *Builder) {
	l.t.Helper()
	res, b, err := l.take(targets, images, solve...)
	if err != nil {
		for name, r := range res {
			l.t.Logf("%s: %s %v", name, r.State, r.Err)
		}
		l.t.Fatal(err)
	}
	return res, b
}

// image is an image of the lab's registry: its layers and its config.
func (l *lab) image(name string) (layers []string, conf *v1.ConfigFile) {
	l.t.Helper()
	img, err := l.mirror.Image(l.t.Context(), name)
	if err != nil {
		l.t.Fatal(err)
	}
	m, err := img.Manifest()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range m.Layers {
		layers = append(layers, d.Digest.String())
	}
	if conf, err = img.ConfigFile(); err != nil {
		l.t.Fatal(err)
	}
	return layers, conf
}

// started are the steps, of whichever target, that have run in b, and what files
// the engine was sent.
func started(b *Builder) (steps, sent []string) {
	seen := map[*tracked]bool{}
	for _, k := range b.tracker.steps {
		if seen[k] || k.state == "" || k.state == executor.Cached {
			continue
		}
		seen[k] = true
		switch {
		case strings.HasPrefix(k.step.Name, "load build context"):
			sent = append(sent, k.targets[0])
		case !k.source:
			steps = append(steps, k.step.Name)
		}
	}
	slices.Sort(steps)
	return steps, sent
}

// A base that is in a registry is neither built nor are its files sent, wherever
// something stands on it that is solved.
func TestAnImageInThePlaceOfAParent(t *testing.T) {
	first := newLab(t)
	all := published(first, "one")
	res, _ := first.must(pick(all, "base")...)
	base := map[string]string{"base": first.mirror.Host + "/shop/base@" + res["base"].Digest}
	baseLayers, _ := first.image("shop/base:1")

	t.Run("child", func(t *testing.T) {
		l := newLabOn(t, first.mirror)
		l.mirror.Forget()
		res, b := l.mustTake(published(l, "two"), base, "app")
		steps, sent := started(b)
		if want := []string{"COPY f /app", "RUN cat /app /b1 > /a1"}; !slices.Equal(steps, want) || !slices.Equal(sent, []string{"app"}) {
			t.Errorf("ran %q and sent the files of %q, want %q", steps, sent, want)
		}
		if r := res["app"]; r.Steps != 2 || r.Ran != 2 || r.State != executor.Built {
			t.Errorf("result is %+v", r)
		}
		if n := l.mirror.Count("^GET /v2/library/busybox/blobs/.*") - 1; n > 0 { // its config is read to lower base
			t.Errorf("%d blobs of the base's base were fetched", n)
		}
		for _, layer := range baseLayers {
			if n := l.mirror.Count("^GET /v2/shop/base/blobs/" + layer); n != 1 {
				t.Errorf("layer %s was fetched %d times", layer, n)
			}
		}
		if got := b.TookImages("app"); len(got) != 1 || got["base"] != base["base"] {
			t.Errorf("took %v", got)
		}
		layers, got := l.image("shop/app:1")
		if len(layers) != len(baseLayers)+2 || !slices.Equal(layers[:len(baseLayers)], baseLayers) {
			t.Errorf("layers are %v, want those of base first: %v", layers, baseLayers)
		}
		// the same on the engine that has made the base, from its steps
		first.must(published(first, "two")[:2]...)
		steps2, want := first.image("shop/app:1")
		if !slices.Equal(steps2, layers) {
			t.Errorf("from the steps of base the layers are %v, from its image %v", steps2, layers)
		}
		if g, w := plainConfig(t, got), plainConfig(t, want); g != w {
			t.Errorf("the config is\n%s\nfrom the steps of base\n%s", g, w)
		}
		rows := recordOf(b, "app").Images[0].Layers
		var lines []string
		for _, r := range rows {
			if !r.Empty && (r.Digest == "" || r.Size <= 0) {
				t.Errorf("nothing is known of layer %+v", r)
			}
			lines = append(lines, string(r.State)+" "+r.CreatedBy)
		}
		if want := "base ADD busybox.tar / # stand-in; base CMD [\"/bin/sh\"]; base COPY f /base; base ENV P=1; base RUN cat /base > /b1; " +
			"built COPY f /app; built RUN cat /app /b1 > /a1; config CMD [\"cat\", \"/a1\"]"; strings.Join(lines, "; ") != want {
			t.Errorf("history is %s\nwant %s", strings.Join(lines, "; "), want)
		}
		if w := l.warnings(); len(w) > 0 {
			t.Errorf("warnings: %q", w)
		}
		again, b := l.mustTake(published(l, "two"), base, "app")
		if steps, _ := started(b); again["app"].Ran != 0 || len(steps) > 0 || again["app"].Digest != res["app"].Digest {
			t.Errorf("again: ran %q, %+v", steps, again["app"])
		}
	})

	t.Run("grandchild and what copies of it", func(t *testing.T) {
		l := newLabOn(t, first.mirror)
		res, b := l.mustTake(published(l, "three"), base, "app", "top", "cut")
		steps, sent := started(b)
		want := []string{"COPY --from=base /b1 /c1", "COPY f /app", "RUN cat /a1 /b1 > /t1", "RUN cat /app /b1 > /a1"}
		if !slices.Equal(steps, want) || !slices.Equal(sent, []string{"app"}) {
			t.Errorf("ran %q and sent the files of %q, want %q", steps, sent, want)
		}
		if got := ran(res); got != "app 2 cut 1 top 1" {
			t.Errorf("ran %s", got)
		}
		app, _ := l.image("shop/app:1")
		top, _ := l.image("shop/top:1")
		if len(top) != len(app)+1 || !slices.Equal(top[:len(app)], app) {
			t.Errorf("top's layers are %v, app's %v", top, app)
		}
		// only the grandchild is solved: what is between is found again
		_, b = l.mustTake(published(l, "three"), base, "top")
		if steps, _ := started(b); len(steps) > 0 {
			t.Errorf("the grandchild alone ran %q", steps)
		}
	})

	t.Run("not exported as an image", func(t *testing.T) {
		l := newLabOn(t, first.mirror)
		targets := published(l, "four")
		targets[1].Outputs = []config.Output{{Type: "local", Dest: "out"}}
		_, b := l.mustTake(targets, base, "app")
		if got, err := os.ReadFile(filepath.Join(l.dir, "out/a1")); err != nil || string(got) != "four"+strings.Repeat("base ", 1000) {
			t.Errorf("the file has %.30q, %v", got, err)
		}
		img := recordOf(b, "app").Images[0]
		if img.SizeKind != "disk" || img.Size <= 0 {
			t.Errorf("size is %d %s", img.Size, img.SizeKind)
		}
	})

	t.Run("a program that fails is not tried on the steps", func(t *testing.T) {
		l := newLabOn(t, first.mirror)
		targets := published(l, "five")
		l.write(map[string]string{"app/Dockerfile": "FROM base\nRUN echo once && exit 3\n"})
		res, b, err := l.take(targets, base, "app")
		if f := res["app"].Failure; err == nil || f == nil || f.Message != "exit status 3" || f.Step.Place != "app/Dockerfile:2" || string(f.Log) != "once\n" {
			t.Errorf("failure is %+v, %v", f, err)
		}
		if steps, _ := started(b); len(steps) != 1 || len(l.warnings()) > 0 {
			t.Errorf("ran %q, warnings %q", steps, l.warnings())
		}
		l.write(map[string]string{"app/Dockerfile": "FROM base\nCOPY --from=base /nope /\n"})
		if _, b, err = l.take(targets, base, "app"); err == nil || len(l.warnings()) > 0 {
			t.Errorf("a file that is missing: %v, warnings %q", err, l.warnings())
		}
	})
}

// plainConfig is a config without times.
func plainConfig(t *testing.T, c *v1.ConfigFile) string {
	t.Helper()
	c = c.DeepCopy()
	c.Created = v1.Time{}
	for i := range c.History {
		c.History[i].Created = v1.Time{}
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever becomes of the image: the build does not fail, and makes the same.
func TestImageFaults(t *testing.T) {
	first := newLab(t)
	res, _ := first.must(published(first, "one")...)
	ref := first.mirror.Host + "/shop/base@" + res["base"].Digest
	layers, _ := first.image("shop/base:1")
	blobs := "^GET /v2/shop/base/blobs/(" + strings.Join(layers, "|") + ")"
	flip := testkit.Fault{Match: regexp.MustCompile(blobs), Handler: func(w http.ResponseWriter, r *http.Request) {
		first.mirror.Handler().ServeHTTP(&flipped{ResponseWriter: w}, r)
	}}
	for _, tt := range []struct {
		name  string
		fault testkit.Fault
	}{
		{"it is gone", testkit.Status("^(GET|HEAD) /v2/shop/base/", 0, 404)},
		{"it wants a login", testkit.Status("^(GET|HEAD) /v2/shop/base/", 0, 401)},
		{"the registry breaks the connection", testkit.Fault{Match: regexp.MustCompile("^(GET|HEAD) /v2/shop/base/")}},
		{"its config is gone", testkit.Status("^(GET|HEAD) /v2/shop/base/blobs/", 0, 404)},
		{"its manifest is damaged", testkit.Flip("^GET /v2/shop/base/manifests/", 0, 100)},
		{"its layers are gone", testkit.Status(blobs, 0, 404)},
		{"its layers are damaged", flip},
		{"its layers are cut", testkit.Truncate(blobs, 0, 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLabOn(t, first.mirror)
			first.mirror.Inject(tt.fault)
			defer first.mirror.Heal()
			got, b := l.mustTake(published(l, "one"), map[string]string{"base": ref}, "app", "top")
			for _, name := range []string{"app", "top"} {
				if got[name].Digest != res[name].Digest {
					t.Errorf("%s: digest %s, want %s", name, got[name].Digest, res[name].Digest)
				}
				if took := b.TookImages(name); len(took) > 0 {
					t.Errorf("%s took %v", name, took)
				}
			}
			if w := l.warnings(); len(w) == 0 || !strings.Contains(w[0], ref) || !strings.Contains(w[0], "base") {
				t.Errorf("warnings: %q", w)
			}
			if steps, _ := started(b); !slices.Contains(steps, "RUN cat /base > /b1") {
				t.Errorf("ran %q", steps)
			}
		})
	}

	// What the image has nothing to do with fails once.
	t.Run("the push is refused", func(t *testing.T) {
		l := newLabOn(t, first.mirror)
		first.mirror.Inject(testkit.Status("^(POST|PUT|PATCH) /v2/shop/app/", 0, 403))
		defer first.mirror.Heal()
		_, b, err := l.take(published(l, "two"), map[string]string{"base": ref}, "app")
		if err == nil {
			t.Fatal("no error")
		}
		if steps, _ := started(b); slices.Contains(steps, "RUN cat /base > /b1") || len(l.warnings()) > 0 {
			t.Errorf("ran %q, warnings %q", steps, l.warnings())
		}
	})
}

func TestImagesOfSeveralPlatforms(t *testing.T) {
	first := newLab(t)
	both := []string{"linux/amd64", "linux/riscv64"}
	targets := func(l *lab) []*config.Target {
		l.write(map[string]string{"base/f": "base", "app/f": "app"})
		return []*config.Target{
			{Name: "base", Context: "base", Platforms: both, Outputs: []config.Output{{Type: "registry"}}, Tags: []string{l.mirror.Host + "/shop/base:1"},
				DockerfileInline: ptr("FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM scratch\nCOPY --from=build /arch /arch\n")},
			{Name: "app", Context: "app", Platforms: both, Outputs: []config.Output{{Type: "local", Dest: "out"}}, Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"},
				DockerfileInline: ptr("FROM base\nCOPY --link f /f\n")},
		}
	}
	res, _ := first.must(targets(first)[0])
	l := newLabOn(t, first.mirror)
	_, b := l.mustTake(targets(l), map[string]string{"base": first.mirror.Host + "/shop/base@" + res["base"].Digest}, "app")
	if steps, _ := started(b); len(steps) == 0 || slices.ContainsFunc(steps, func(s string) bool { return !strings.HasSuffix(s, "COPY --link f /f") }) {
		t.Errorf("ran %q", steps)
	}
	for _, arch := range []string{"amd64", "riscv64"} {
		got, err := os.ReadFile(filepath.Join(l.dir, "out", "linux_"+arch, "arch"))
		if err != nil || strings.TrimSpace(string(got)) != arch {
			t.Errorf("%s: %q, %v", arch, got, err)
		}
	}
}

// The layer cache of what was made on an image is kept apart from that of what was
// made on steps, and serves who takes the image too.
func TestSharedCacheOnAnImage(t *testing.T) {
	first := newLab(t)
	res, _ := first.must(pick(published(first, "one"), "base")...)
	base := map[string]string{"base": first.mirror.Host + "/shop/base@" + res["base"].Digest}
	second := first.fresh("main")
	second.mustTake(published(second, "one"), base, "app")
	tags := func(kind string) int {
		return first.mirror.Count(fmt.Sprintf("^PUT /v2/shop/cache/main/manifests/%s-app.linux-%s$", kind, runtime.GOARCH))
	}
	if tags("images") != 1 || tags("layers") != 0 {
		t.Errorf("wrote %d caches on images and %d on steps, want 1 and 0: %q", tags("images"), tags("layers"), second.warnings())
	}
	third := first.fresh("main")
	targets := published(third, "one")
	third.write(map[string]string{"app/Dockerfile": "FROM base\nCOPY f /app\nRUN cat /app /b1 > /a1\nRUN cat /a1 > /a2\n"})
	got, b := third.mustTake(targets, base, "app")
	if steps, _ := started(b); !slices.Equal(steps, []string{"RUN cat /a1 > /a2"}) || got["app"].Ran != 1 {
		t.Errorf("ran %q, %q", steps, third.warnings())
	}
}
