package lower

import (
	"slices"

	"github.com/moby/buildkit/solver/pb"
)

// distinct leaves out repeated places. The front end appends those of a vertex
// once for every input that holds it, so they would double with each level of
// targets that share their parents, until no message can take them.
func distinct(all *pb.Locations) *pb.Locations {
	out := &pb.Locations{}
	for _, l := range all.Locations {
		if !slices.ContainsFunc(out.Locations, l.EqualVT) {
			out.Locations = append(out.Locations, l)
		}
	}
	return out
}
