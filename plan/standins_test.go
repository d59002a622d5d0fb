package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/containerd/platforms"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// A choice is a Chooser with what it is told, and what it has asked for.
type choice struct {
	t       *testing.T
	targets []*config.Target
	plan    *Plan
	index   *fakeIndex
	shared  []string          // targets that the shared layer cache has
	images  map[string]*Image // what a registry has, if it is not what was made
	mu      sync.Mutex
	asked   []string
}

// newChoice is "low <- base <- app <- top", with base also below side; all were made
// by engine "one", and what is named in solve is solved by "two".
func newChoice(t *testing.T, solve ...string) *choice {
	c := &choice{t: t, plan: &Plan{}, index: &fakeIndex{details: map[string]index.Detail{}}, images: map[string]*Image{}}
	add := func(name, script string, needs ...string) {
		target := &config.Target{Name: name, Context: ".", DockerfileInline: &script, Contexts: map[string]string{}}
		planned := &Target{Name: name, Action: Reuse, Needs: needs}
		for _, n := range needs {
			target.Contexts[n] = "target:" + n
			target.Needs = append(target.Needs, graph.ID(n))
		}
		if slices.Contains(solve, name) {
			planned.Action = Solve
		} else {
			planned.Entry = &index.Entry{Target: name, Digest: madeDigest(name), Engine: "one"}
			c.index.details[name] = index.Detail{Inputs: []index.Input{{Kind: KindKey, Name: "k", Value: "10s"}, {Kind: KindBase, Name: "b"}}}
		}
		c.targets, c.plan.Targets = append(c.targets, target), append(c.plan.Targets, planned)
	}
	add("low", "FROM scratch\nCOPY low /low\n")
	add("base", "FROM low\nCOPY base /base\nENV A=1\nCOPY base2 /base2\n", "low")
	add("app", "FROM base\nCOPY app /app\n", "base")
	add("top", "FROM app\nCOPY top /top\n", "app")
	add("side", "FROM scratch\nCOPY --from=base /base /side\n", "base")
	return c
}

func madeDigest(name string) string { return "sha256:" + fmt.Sprintf("%064x", name) }

// last notes that name was made before by the engine that solves now, on images, and
// with needs that are the same as now if they are "same".
func (c *choice) last(name string, images map[string]string, needs string) {
	t := c.plan.Target(name)
	t.Last = &index.Entry{Target: name, Engine: "two", Images: images}
	var was []index.Input
	for _, n := range t.Needs {
		t.Inputs = append(t.Inputs, index.Input{Kind: KindParent, Name: n, Value: "same"})
		was = append(was, index.Input{Kind: KindParent, Name: n, Value: needs})
	}
	c.index.details[name] = index.Detail{Inputs: was}
}

// spare makes targets such that nobody was asked about.
func (c *choice) spare(names ...string) {
	c.index.entries = map[index.Fingerprint]index.Entry{}
	for _, name := range names {
		t := c.plan.Target(name)
		t.Fingerprint, t.Spared = index.Fingerprint(name), true
		c.index.entries[t.Fingerprint] = *t.Entry
		t.Entry = nil
	}
}

func (c *choice) entry(name string) *index.Entry { return c.plan.Target(name).Entry }

func (c *choice) target(name string) *config.Target {
	for _, t := range c.targets {
		if t.Name == name {
			return t
		}
	}
	c.t.Fatalf("no target %s", name)
	return nil
}

// choose is what stands in for which target, and which images were asked for.
func (c *choice) choose() (took, asked string) {
	c.t.Helper()
	l := lower.NewLowerer(c.t.Context(), c.targets, nil, lower.Options{Dir: c.t.TempDir(), RunID: "run"})
	chooser := &Chooser{
		Plan: c.plan, Lowerer: l, Index: c.index, Engine: "two",
		Shared: func(_ context.Context, target string) bool { return slices.Contains(c.shared, target) },
		Image: func(ctx context.Context, target string, e index.Entry) *Image {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.asked = append(c.asked, target)
			if img, ok := c.images[target]; ok {
				return img
			}
			r, err := l.Result(ctx, target)
			if err != nil {
				c.t.Error(err)
			}
			img := &Image{Ref: "r.example/" + target + "@" + e.Digest}
			for _, p := range r.Platforms {
				one := ImagePlatform{Platform: p.Platform}
				for _, h := range p.History {
					one.Lines = append(one.Lines, ImageLine{Empty: h.Empty, Size: 1000})
				}
				img.Platforms = append(img.Platforms, one)
			}
			return img
		},
	}
	s, err := chooser.Choose(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	images := s.Images()
	for target, ref := range images {
		if ref != "r.example/"+target+"@"+madeDigest(target) {
			c.t.Errorf("%s is taken as %s", target, ref)
		}
	}
	slices.Sort(c.asked)
	return strings.Join(slices.Sorted(maps.Keys(images)), " "), strings.Join(c.asked, " ")
}

func TestChoose(t *testing.T) {
	proven := []config.Attest{{Type: "provenance", Attrs: map[string]string{"mode": "min"}}}
	fewer := &Image{Ref: "r.example/base@" + madeDigest("base"), Platforms: []ImagePlatform{{Platform: platforms.DefaultSpec(), Lines: []ImageLine{{}, {}, {}}}}}
	other := &Image{Ref: "r.example/base@" + madeDigest("base"), Platforms: []ImagePlatform{{Platform: platforms.DefaultSpec(), Lines: []ImageLine{{}, {}, {}, {}}}}}
	for _, tt := range []struct {
		name        string
		solve       string
		change      func(*choice)
		took, asked string
	}{
		{"the nearest is taken, and what is below it needs no one", "top", nil, "app", "app"},
		{"two that are solved need the same", "app top side", nil, "base", "base"},
		{"what is beside it too", "top side", nil, "app base", "app base"},
		{"nothing is solved", "", nil, "", ""},
		{"what is solved needs nothing", "low", nil, "", ""},
		{"one that this engine has made", "app", func(c *choice) { c.entry("base").Engine = "two" }, "", ""},
		{"one of which it is not known who has made it", "app", func(c *choice) { c.entry("base").Engine = "" }, "", ""},
		{"no image was made", "app", func(c *choice) { c.entry("base").Digest = "" }, "low", "low"},
		{"its steps are quick; those of what it needs are not", "app", func(c *choice) {
			c.index.details["base"] = index.Detail{Inputs: []index.Input{{Kind: KindKey, Value: "1us"}}}
		}, "low", "base low"},
		{"all steps are quick", "app", func(c *choice) {
			for _, name := range []string{"low", "base"} {
				c.index.details[name] = index.Detail{Inputs: []index.Input{{Kind: KindKey, Value: "1us"}}}
			}
		}, "", "base low"},
		{"times are not known", "app", func(c *choice) { clear(c.index.details) }, "base", "base"},
		{"its layers are in the shared cache", "app", func(c *choice) { c.shared = []string{"base"} }, "", ""},
		{"those of what it stands on are", "app", func(c *choice) { c.shared = []string{"low"} }, "base", "base"},
		{"those of what is solved are", "app", func(c *choice) { c.shared = []string{"app"} }, "", ""},
		{"they are, but what is solved uses no cache", "app", func(c *choice) {
			c.shared, c.target("app").NoCache = []string{"base"}, true
		}, "base", "base"},
		{"what is solved has a cache of its own", "app", func(c *choice) {
			c.target("app").CacheFrom = []config.CacheRef{{Type: "registry", Attrs: map[string]string{"ref": "x"}}}
		}, "", ""},
		{"what is solved writes a cache of its own", "app", func(c *choice) { c.target("app").CacheTo = []config.CacheRef{{Type: "inline"}} }, "", ""},
		{"what is solved is read by the engine", "app", func(c *choice) { c.target("app").Attest = proven }, "", ""},
		{"one of two that are solved is", "app side", func(c *choice) { c.target("side").Attest = proven }, "", ""},
		{"it has provenance", "app", func(c *choice) { c.target("base").Attest = proven }, "low", "low"},
		{"the registry does not have it", "app", func(c *choice) { c.images["base"] = nil }, "low", "base low"},
		{"the image has other layers", "app", func(c *choice) { c.images["base"] = fewer }, "low", "base low"},
		{"the image has layers elsewhere", "app", func(c *choice) { c.images["base"] = other }, "low", "base low"},
		{"another target that is solved makes the same", "app side", func(c *choice) {
			c.target("side").DockerfileInline = c.target("base").DockerfileInline
			c.target("side").Contexts, c.target("side").Needs = c.target("base").Contexts, c.target("base").Needs
			c.plan.Target("side").Needs = []string{"low"}
		}, "low", "low"},
		{"it is needed for order only", "side", func(c *choice) { c.target("side").DockerfileInline = ptrTo("FROM scratch\nCOPY side /side\n") }, "", ""},
		{"what is between was made here on its steps", "top", func(c *choice) { c.entry("app").Engine = "two" }, "", ""},
		{"what is between was made here on its image", "top", func(c *choice) {
			c.entry("app").Engine, c.entry("app").Images = "two", map[string]string{"base": "elsewhere/base@" + madeDigest("base")}
		}, "base", "base"},
		{"the same, though this engine has the steps by now", "top", func(c *choice) {
			c.entry("app").Engine, c.entry("app").Images = "two", map[string]string{"base": "elsewhere/base@" + madeDigest("base")}
			c.entry("base").Engine = "two"
			c.shared = []string{"base"}
		}, "base", "base"},
		{"what is between was made here on another image", "top", func(c *choice) {
			c.entry("app").Engine, c.entry("app").Images = "two", map[string]string{"base": "elsewhere/base@" + madeDigest("old")}
		}, "base", "base"},
		{"what is solved was made here on its steps", "app", func(c *choice) { c.last("app", nil, "same") }, "", ""},
		{"what is solved was made here on its image", "app", func(c *choice) {
			c.last("app", map[string]string{"base": "elsewhere/base@" + madeDigest("base")}, "same")
			c.shared = []string{"base"}
		}, "base", "base"},
		{"what is solved was made here on it as it was before", "app", func(c *choice) { c.last("app", nil, "other") }, "base", "base"},
		{"what is solved was made elsewhere on its steps", "app", func(c *choice) {
			c.last("app", nil, "same")
			c.plan.Target("app").Last.Engine = "three"
		}, "base", "base"},
		{"nobody was asked about what is below; its nearest is not to be had", "top", func(c *choice) {
			c.spare("base", "low")
			c.images["app"] = nil
		}, "base", "app base"},
		{"nobody was asked about what is below, and it is not needed", "top", func(c *choice) { c.spare("base", "low") }, "app", "app"},
		{"what is below and nobody was asked about was made here", "top", func(c *choice) {
			c.entry("base").Engine = "two"
			c.spare("base", "low")
			c.images["app"] = nil
		}, "", "app"},
		{"what is below would have to be made", "top", func(c *choice) {
			c.spare("base", "low")
			c.plan.Target("base").Spared = false
			c.images["app"] = nil
		}, "low", "app low"},
		{"there is no record of what is below", "top", func(c *choice) {
			c.spare("base", "low")
			clear(c.index.entries)
			c.images["app"] = nil
		}, "", "app"},
		{"what is between was made nobody knows where", "top", func(c *choice) { c.entry("app").Engine = "" }, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChoice(t, strings.Fields(tt.solve)...)
			if tt.change != nil {
				tt.change(c)
			}
			if took, asked := c.choose(); took != tt.took || asked != tt.asked {
				t.Errorf("took %q, having asked for %q; want %q and %q", took, asked, tt.took, tt.asked)
			}
		})
	}
}

func ptrTo(s string) *string { return &s }
