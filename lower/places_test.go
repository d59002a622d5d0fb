package lower

import (
	"fmt"
	"testing"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// TestLocationsInDiamonds lowers levels of two targets that both need both of
// the level before: there are 2^14 ways to the first step, which stands at one
// place.
func TestLocationsInDiamonds(t *testing.T) {
	const levels = 14
	dir := tree(t, map[string]string{"base/Dockerfile": "FROM scratch\nCOPY f /f\n", "base/f": "x"})
	base, err := lowerOne(t, dir, &config.Target{Name: "base", Context: "base"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	left, right := base, base
	for i := range levels {
		parents := map[string]*Result{"left": left, "right": right}
		lowered := func(name string) *Result {
			dockerfile := fmt.Sprintf("FROM left\nCOPY --from=right /f /%s%d\n", name, i)
			r, err := lowerOne(t, dir, &config.Target{
				Name: name, Context: "base", DockerfileInline: &dockerfile,
				Contexts: map[string]string{"left": "target:left", "right": "target:right"}, Needs: []graph.ID{"left", "right"},
			}, parents)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		left, right = lowered("l"), lowered("r")
	}
	def := left.Platforms[0].Def.ToPB()
	if want := 2*levels + 1; len(def.Def) < want {
		t.Fatalf("%d vertices, want at least %d", len(def.Def), want)
	}
	for vertex, all := range def.Source.Locations {
		if n := len(all.Locations); n > 1 {
			t.Errorf("%s stands at %d places", vertex, n)
		}
	}
}
