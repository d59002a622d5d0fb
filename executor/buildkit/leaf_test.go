package buildkit

import (
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// leafOn is a target on a parent of two stages on a grandparent; what is in the
// leaf's file decides whether its steps have to run.
func leafOn(l *lab, leaf string) []*config.Target {
	l.write(map[string]string{
		"low/Dockerfile":  "FROM busybox\nCOPY f /low\nRUN cat /low > /l\n",
		"low/f":           "low",
		"mid/Dockerfile":  "FROM low AS make\nCOPY f /source\nRUN cat /source > /made\nFROM low\nCOPY --from=make /made /made\n",
		"mid/f":           "mid",
		"leaf/Dockerfile": "FROM mid\nCOPY f /leaf\nRUN cat /leaf /made /l > /all\n",
		"leaf/f":          leaf,
	})
	out := []config.Output{{Type: "image"}}
	return []*config.Target{
		{Name: "low", Context: "low", Implicit: true},
		{Name: "mid", Context: "mid", Contexts: map[string]string{"low": "target:low"}, Needs: []graph.ID{"low"}, Implicit: true},
		{Name: "leaf", Context: "leaf", Contexts: map[string]string{"mid": "target:mid"}, Needs: []graph.ID{"mid"}, Tags: []string{"leaf:1"}, Outputs: out},
	}
}

var blobRequest = regexp.MustCompile(`^GET /v2/shop/cache/main/blobs/(sha256:[0-9a-f]{64})`)

// On a machine that has nothing, a change of the leaf runs the leaf's steps, and
// fetches the layers that they stand on: none of a stage whose result is in a
// layer already. The parents go into the leaf's solve and are not solved.
func TestOnlyALeafChangedOnAFreshMachine(t *testing.T) {
	first := newLab(t)
	first.cache = cacheIn(first.mirror, "main")
	if res, _ := first.must(leafOn(first, "one")...); ran(res) != "leaf 2 low 2 mid 3" {
		t.Fatalf("first: %s", ran(res))
	}
	layers := map[string]bool{} // those in some cache
	for _, target := range []string{"low", "mid", "leaf"} {
		img, err := first.mirror.Image(t.Context(), "shop/cache/main:layers-"+target+".linux-"+runtime.GOARCH)
		if err != nil {
			t.Fatal(err)
		}
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range m.Layers {
			layers[d.Digest.String()] = true
		}
	}

	l := first.fresh("main")
	first.mirror.Forget()
	targets := leafOn(l, "two")
	b := l.builder()
	b.Lowerer = lower.NewLowerer(t.Context(), targets, nil, b.Lower)
	if err := b.Prepare(t.Context(), targets[2:]); err != nil {
		t.Fatal(err)
	}
	g, err := graph.New([]graph.Node{{ID: "leaf"}})
	if err != nil {
		t.Fatal(err)
	}
	res, err := executor.Run(t.Context(), g, b, executor.Options{}, b.Emit)
	if err != nil || len(res) != 1 || res[0].Ran != 2 {
		t.Fatalf("built %+v: %v", res, err)
	}
	var names []string
	for _, k := range b.tracker.steps {
		if k.state == executor.Built && !k.source && strings.Contains(k.step.Name, " ") && !strings.HasPrefix(k.step.Name, "load ") {
			names = append(names, k.step.Name)
		}
	}
	slices.Sort(names)
	if want := []string{"COPY f /leaf", "RUN cat /leaf /made /l > /all"}; !slices.Equal(names, want) {
		t.Errorf("ran %q, want %q", names, want)
	}
	var needed []string // of the image that was made
	for _, row := range recordOf(b, "leaf").Images[0].Layers {
		if row.Digest != "" {
			needed = append(needed, row.Digest)
		}
	}
	pulled := 0
	for _, req := range first.mirror.Requests() {
		m := blobRequest.FindStringSubmatch(req)
		if m == nil || !layers[m[1]] {
			continue
		}
		pulled++
		if !slices.Contains(needed, m[1]) {
			t.Errorf("fetched %s, which is no layer of the image %v", m[1], needed)
		}
	}
	if want := 4; pulled != want { // busybox, low's two and mid's one
		t.Errorf("fetched %d layers, want %d\n%s", pulled, want, strings.Join(first.mirror.Requests(), "\n"))
	}
}
