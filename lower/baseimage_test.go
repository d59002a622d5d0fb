package lower

import (
	"context"
	"fmt"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// imageRegistry has one digest for all images, layers and a variable in all.
type imageRegistry struct{ digest, layers, env string }

func (r imageRegistry) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	d := digest.FromString(r.digest)
	config := fmt.Sprintf(`{"os":"linux","architecture":"amd64","config":{"Cmd":["scan"],"Env":["A=%s"]},"rootfs":{"type":"layers","diff_ids":[%s]}}`, r.env, r.layers)
	return ref + "@" + d.String(), d, []byte(config), nil
}

// What is made of a base image is another when its files or its config are, not
// when its name or its index has another digest.
func TestShapeLooksIntoBaseImages(t *testing.T) {
	layer := func(s string) string { return fmt.Sprintf("%q", digest.FromString(s)) }
	was := imageRegistry{"index 1", layer("1"), "1"}
	index, files, env, none := was, was, was, was
	index.digest = "index 2"
	files.digest, files.layers = "index 2", layer("2")
	env.digest, env.env = "index 2", "2"
	none.digest, none.layers = "index 2", ""
	inline := "FROM base\nRUN test\n"
	const from, copied = "FROM alpine\nRUN make\n", "FROM scratch\nCOPY --from=alpine /a /a\n"
	for _, c := range []struct {
		name       string
		dockerfile string
		now        imageRegistry
		attest     bool
		same       bool
	}{
		{"another index", from, index, false, true},
		{"another index that is copied from", copied, index, false, true},
		{"other files", from, files, false, false},
		{"other files to copy", copied, files, false, false},
		{"another variable", from, env, false, false},
		{"another variable of what is only copied from", copied, env, false, true},
		{"layers are not told", copied, none, false, false},
		{"a statement that has the digest", from, index, true, false},
	} {
		shape := func(r imageRegistry) (string, string) {
			target := &config.Target{Name: "base", Context: "."}
			child := &config.Target{Name: "app", Context: ".", DockerfileInline: &inline, Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}}
			if c.attest {
				target.Attest = []config.Attest{{Type: "sbom"}}
				child.Attest = target.Attest
			}
			opts := Options{Dir: tree(t, map[string]string{"Dockerfile": c.dockerfile}), Resolver: r, RunID: "run"}
			l := NewLowerer(t.Context(), []*config.Target{target, child}, nil, opts)
			b, err := l.Brief("base")
			if err != nil {
				t.Fatal(err)
			}
			above, err := l.Brief("app")
			if err != nil {
				t.Fatal(err)
			}
			return b.Shape, above.Shape
		}
		was1, was2 := shape(was)
		now1, now2 := shape(c.now)
		if (was1 == now1) != c.same || (was2 == now2) != c.same {
			t.Errorf("%s: the shape is the same: %v, that of a child: %v, want %v", c.name, was1 == now1, was2 == now2, c.same)
		}
	}
}
