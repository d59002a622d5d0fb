package lower

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// refOf is an image that could have been made of a target.
func refOf(target string) string {
	return "r.example/" + target + "@" + digest.FromString(target).String()
}

// standIns puts images in the place of results.
func standIns(t *testing.T, results ...*Result) *StandIns {
	t.Helper()
	var list []StandIn
	for _, r := range results {
		list = append(list, StandIn{r, refOf(r.Target)})
	}
	s, err := NewStandIns(context.Background(), list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put is Put, whose definitions are whole: inputs come before what uses them, and
// all is used.
func put(t *testing.T, s *StandIns, r *Result) (*Result, map[digest.Digest]digest.Digest, map[string]string) {
	t.Helper()
	sent, was, used, err := s.Put(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sent.Platforms {
		checkWhole(t, p.Def)
	}
	return sent, was, used
}

func checkWhole(t *testing.T, def *llb.Definition) {
	t.Helper()
	seen, open := map[string]bool{}, map[string]bool{}
	for i, op := range ops(t, def) {
		for _, in := range op.Inputs {
			if !seen[in.Digest] {
				t.Errorf("vertex %d needs %s, which does not come before it", i, in.Digest)
			}
			delete(open, in.Digest)
		}
		d := digest.FromBytes(def.Def[i])
		seen[d.String()], open[d.String()] = true, true
		if _, ok := def.Metadata[d]; !ok {
			t.Errorf("vertex %d has no metadata", i)
		}
	}
	if len(open) > 1 {
		t.Errorf("%d vertices are of no use", len(open)-1)
	}
	if len(def.Metadata) != len(seen) { // the front end may list one twice
		t.Errorf("metadata for %d of %d vertices", len(def.Metadata), len(seen))
	}
	if def.Source != nil {
		for d := range def.Source.Locations {
			if !seen[d] {
				t.Errorf("there is a place of %s and no such vertex", d)
			}
		}
	}
}

func ops(t *testing.T, def *llb.Definition) []*pb.Op {
	t.Helper()
	list, err := decode(def.Def)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// names are the vertices of a definition as people know them, without their stages.
func names(t *testing.T, def *llb.Definition) []string {
	t.Helper()
	v, err := newVertices(def)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, d := range v.order {
		name := v.description(d)["llb.customname"]
		if m := vertexName.FindStringSubmatch(name); m != nil {
			name = m[2]
		}
		out = append(out, name)
	}
	return out
}

// lowerAll lowers targets, needs first.
func lowerAll(t *testing.T, dir string, targets ...*config.Target) map[string]*Result {
	t.Helper()
	all := map[string]*Result{}
	for _, target := range targets {
		parents := map[string]*Result{}
		for name := range target.Contexts {
			target.Needs = append(target.Needs, graph.ID(name))
			parents[name] = all[name]
		}
		r, err := lowerOne(t, dir, target, parents)
		if err != nil {
			t.Fatal(err)
		}
		all[target.Name] = r
	}
	return all
}

// on is a target whose Dockerfile is text and that needs targets by their names.
func on(name, text string, needs ...string) *config.Target {
	contexts := map[string]string{}
	for _, n := range needs {
		contexts[n] = "target:" + n
	}
	return &config.Target{Name: name, Context: ".", DockerfileInline: &text, Contexts: contexts}
}

func TestAnImageStandsInForSteps(t *testing.T) {
	dir := tree(t, map[string]string{"f": "f"})
	all := lowerAll(t, dir,
		on("low", "FROM busybox\nRUN low\n"),
		on("base", "FROM low\nCOPY f /f\nRUN base\nENV A=1\n", "low"),
		on("app", "FROM base\nRUN app\n", "base"),
		on("top", "FROM app\nCOPY --from=base /f /g\nCOPY --from=low /f /h\n", "app", "base", "low"),
	)
	s := standIns(t, all["base"])
	image := "[internal] take base from r.example/base"

	sent, was, used := put(t, s, all["app"])
	if got := names(t, sent.Platforms[0].Def); !slices.Equal(got, []string{image, "RUN app"}) {
		t.Errorf("app is %q", got)
	}
	if !maps.Equal(used, map[string]string{"base": refOf("base")}) {
		t.Errorf("used %v", used)
	}
	first := ops(t, sent.Platforms[0].Def)[0]
	if src := first.GetSource(); src == nil || src.Identifier != "docker-image://"+refOf("base") || first.Platform.Architecture != all["base"].Platforms[0].Platform.Architecture {
		t.Errorf("the image is %v", first)
	}
	own := all["app"].Platforms[0].Steps[0].Digest
	if !slices.Contains(slices.Collect(maps.Values(was)), own) {
		t.Errorf("the step %s is not among those that were: %v", own, was)
	}
	if string(sent.Platforms[0].Config) != string(all["app"].Platforms[0].Config) || len(sent.Platforms[0].History) != len(all["app"].Platforms[0].History) {
		t.Error("config or history are others")
	}
	loc := sent.Platforms[0].Def.Source.Locations
	if v, err := newVertices(sent.Platforms[0].Def); err != nil || v.line(v.head) != 2 || len(loc) != 1 {
		t.Errorf("the step is at line %d, %d places: %v", v.line(v.head), len(loc), err)
	}

	// What top has of app is what app is made of; low is used by itself.
	sent, _, used = put(t, s, all["top"])
	got := names(t, sent.Platforms[0].Def)
	want := []string{image, "RUN app", "COPY --from=base /f /g", "FROM docker.io/library/busybox", "RUN low", "COPY --from=low /f /h"}
	slices.Sort(got)
	slices.Sort(want)
	if len(used) != 1 || len(got) != len(want) {
		t.Fatalf("top is %q with %v, want %q", got, used, want)
	}
	for i, g := range got {
		if !strings.HasPrefix(g, want[i]) {
			t.Errorf("top has %q, want %q", g, want[i])
		}
	}

	// A target that does not need it is left alone, and so is one without stand-ins.
	if sent, was, used := put(t, s, all["low"]); sent != all["low"] || len(was)+len(used) > 0 {
		t.Errorf("low is changed: %v %v", was, used)
	}
	var none *StandIns
	if sent, _, _ := put(t, none, all["app"]); sent != all["app"] {
		t.Error("nothing has changed app")
	}
}

func TestEachPlatformHasItsImage(t *testing.T) {
	dir := tree(t, map[string]string{"f": "f"})
	both := []string{"linux/amd64", "linux/arm64"}
	base, app := on("base", "FROM busybox\nRUN base\n"), on("app", "FROM base\nCOPY f /f\n", "base")
	base.Platforms, app.Platforms = both, both
	all := lowerAll(t, dir, base, app)
	sent, _, _ := put(t, standIns(t, all["base"]), all["app"])
	for i, p := range sent.Platforms {
		var got []string
		for _, op := range ops(t, p.Def) {
			if src := op.GetSource(); src != nil && strings.HasPrefix(src.Identifier, "docker-image://") {
				got = append(got, op.Platform.OS+"/"+op.Platform.Architecture)
			}
		}
		if !slices.Equal(got, both[i:i+1]) {
			t.Errorf("%s stands on images for %q", p.ID, got)
		}
	}
}

func TestWhatAnImageCanStandInFor(t *testing.T) {
	dir := tree(t, map[string]string{"f": "f"})
	proven := on("proven", "FROM busybox\nRUN x\n")
	proven.Attest = []config.Attest{{Type: "provenance", Attrs: map[string]string{"mode": "min"}}}
	all := lowerAll(t, dir, proven,
		on("steps", "FROM busybox\nRUN x\n"),
		on("config", "FROM busybox\nENV A=1\n"),
		on("nothing", "FROM scratch\nENV A=1\n"),
		on("foreign", "# syntax=example/x\nFROM busybox\nRUN x\n"),
	)
	for name, want := range map[string]bool{"steps": true, "config": false, "nothing": false, "proven": false, "foreign": false} {
		if got := all[name].Replaceable(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

// forest is random targets on each other.
func forest(r *rand.Rand, n int) []*config.Target {
	var out []*config.Target
	for i := range n {
		var needs []string
		any := func() string {
			if i == 0 || r.IntN(5) == 0 {
				return []string{"busybox", "golang"}[r.IntN(2)]
			}
			name := fmt.Sprint("t", r.IntN(i))
			if !slices.Contains(needs, name) {
				needs = append(needs, name)
			}
			return name
		}
		text := ""
		stages := 1 + r.IntN(2)
		for stage := range stages {
			from := any()
			if stage > 0 && r.IntN(2) == 0 {
				from = "s0"
			}
			text += fmt.Sprintf("FROM %s AS s%d\n", from, stage)
			for range r.IntN(4) {
				switch r.IntN(5) {
				case 0:
					text += fmt.Sprintf("RUN r%d\n", r.IntN(3)) // some are the same in several
				case 1:
					text += "COPY f /f\n"
				case 2:
					text += "COPY --link --from=" + any() + " /f /g\n"
				case 3:
					text += "RUN --mount=from=" + any() + ",target=/m r\n"
				case 4:
					text += "ENV A=1\n"
				}
			}
		}
		if stages > 1 {
			text += "COPY --from=s0 /f /s\n"
		}
		out = append(out, on(fmt.Sprint("t", i), text, needs...))
	}
	return out
}

// reachable are the vertices that def needs if what is at heads is not looked into.
func reachable(t *testing.T, def *llb.Definition, heads map[place]bool) map[digest.Digest]bool {
	byDigest := map[string]*pb.Op{}
	var last *pb.Op
	for i, op := range ops(t, def) {
		byDigest[digest.FromBytes(def.Def[i]).String()], last = op, op
	}
	out := map[digest.Digest]bool{}
	var visit func(op *pb.Op)
	visit = func(op *pb.Op) {
		for _, in := range op.Inputs {
			d := digest.Digest(in.Digest)
			if heads[place{in.Digest, in.Index}] || out[d] {
				continue
			}
			out[d] = true
			visit(byDigest[in.Digest])
		}
	}
	visit(last)
	return out
}

// TestStandInsInForests replaces random targets of random graphs. What is left is
// what is reachable around them; what several definitions share stays shared; and
// doing it again changes nothing.
func TestStandInsInForests(t *testing.T) {
	dir := tree(t, map[string]string{"f": "f"})
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		targets := forest(r, 3+r.IntN(8))
		all := lowerAll(t, dir, targets...)
		var chosen []*Result
		places, taken := map[place]bool{}, map[string]bool{}
		for _, target := range targets {
			res := all[target.Name]
			if !res.Replaceable() || r.IntN(3) > 0 {
				continue
			}
			chosen, taken[target.Name] = append(chosen, res), true
			at, _, _ := headOf(res.Platforms[0].Def)
			places[at] = true
		}
		s := standIns(t, chosen...)
		sent := map[string]*Result{}
		was := map[digest.Digest]digest.Digest{} // in all of them
		for _, target := range targets {
			if taken[target.Name] {
				continue
			}
			before := all[target.Name].Platforms[0].Def
			res, moved, used := put(t, s, all[target.Name])
			for now, old := range moved {
				if o, known := was[now]; known && o != old {
					t.Errorf("seed %d: %s was %s and %s", seed, now, old, o)
				}
				was[now] = old
			}
			sent[target.Name] = res
			left := map[digest.Digest]bool{}
			images := 0
			def := res.Platforms[0].Def
			for i, op := range ops(t, def) {
				d := digest.FromBytes(def.Def[i])
				if src := op.GetSource(); src != nil && strings.HasPrefix(src.Identifier, "docker-image://r.example/") {
					images++
					continue
				}
				if i < len(def.Def)-1 {
					if old, ok := moved[d]; ok {
						d = old
					}
					left[d] = true
				}
			}
			if want := reachable(t, before, places); !maps.Equal(left, want) {
				t.Errorf("seed %d: %s has %d vertices, want %d", seed, target.Name, len(left), len(want))
			}
			if images != len(used) {
				t.Errorf("seed %d: %s has %d images and used %v", seed, target.Name, images, used)
			}
			if again, moved, used := put(t, s, res); again != res || len(moved)+len(used) > 0 {
				t.Errorf("seed %d: %s is changed again: %v", seed, target.Name, moved)
			}
		}
		for _, child := range targets {
			for _, parent := range targets {
				if sent[child.Name] == nil || sent[parent.Name] == nil || child == parent {
					continue
				}
				heads, err := HeadsOf(map[string]*Result{parent.Name: all[parent.Name]})
				if err != nil {
					t.Fatal(err)
				}
				under, err := heads.Under(all[child.Name], s)
				if err != nil {
					t.Fatal(err)
				}
				if at, ok, _ := headOf(all[parent.Name].Platforms[0].Def); ok {
					cut := reachable(t, all[child.Name].Platforms[0].Def, places)
					if want := cut[digest.Digest(at.vertex)]; (len(under) == 1) != want {
						t.Errorf("seed %d: %s needs %s: %v, want %v", seed, child.Name, parent.Name, under, want)
					}
				}
				if len(under) == 0 {
					continue
				}
				have := sent[child.Name].index()
				for _, dt := range sent[parent.Name].Platforms[0].Def.Def[:len(sent[parent.Name].Platforms[0].Def.Def)-1] {
					if _, ok := have[digest.FromBytes(dt)]; !ok {
						t.Errorf("seed %d: %s has another vertex than %s for the same", seed, child.Name, parent.Name)
					}
				}
			}
		}
	}
}
