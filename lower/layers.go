package lower

import (
	"strings"

	digest "github.com/opencontainers/go-digest"
)

// layerKeys are keys of the layers of r's images, in the order of the entries of
// history that have one, platform after platform. Equal keys of targets of one
// project are one layer, in this run and in others.
func (r *Result) layerKeys() ([]string, error) {
	s := newShaper(r)
	s.byDir = true
	var out []string
	for _, p := range r.Platforms {
		if _, err := s.definition(p.Def); err != nil {
			return nil, err
		}
		for _, e := range p.History {
			if e.Layer == "" {
				continue
			}
			vertex, rest, _ := strings.Cut(e.Layer, "#") // rest numbers the layers of a base
			out = append(out, s.done[string(digest.Digest(vertex))][:16]+rest)
		}
	}
	return out, nil
}
