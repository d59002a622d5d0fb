package plan

import (
	"time"

	"github.com/strata-build/strata/cache/index"
)

// fetchRate is how many compressed bytes of an image an engine is taken to fetch
// and unpack in a second: less than a registry nearby gives, more than one across
// the world. It only weighs images against steps, whose times are as rough.
const fetchRate = 16 << 20

// A Parent is what is known of a needed target that is not solved, when the
// engine is about to solve what stands on it. Its steps are part of that, and run
// again if the engine does not have them; an image of a registry can stand in for
// them.
type Parent struct {
	Entry  index.Entry // the success that it is not solved for
	Engine string      // that solves what stands on it

	// Refused says that something which stands on it has to have its steps.
	Refused bool
	// Steps says that this engine has made something on its steps, and Image
	// that it has on its image: steps of that are found again only on the same.
	Steps, Image bool
	// Shared says that the shared layer cache has steps of it.
	Shared bool

	Took  time.Duration // its own steps when they ran, one after another; 0 if unknown
	Bytes int64         // compressed, of the layers that these have made
}

// TakeImage reports whether the image is taken and not the steps: if the engine
// does not have the steps and fetching their layers is expected to take less time
// than running them. What is unknown speaks for the steps where it may be that the
// engine has them, and for the image where it may be that they take long.
func (p Parent) TakeImage() bool {
	switch {
	case p.Refused, p.Steps:
		return false
	case p.Image:
		return true
	case p.Entry.Engine == "", p.Entry.Engine == p.Engine, p.Shared:
		return false
	}
	return p.Took == 0 || time.Duration(float64(p.Bytes)/fetchRate*float64(time.Second)) < p.Took
}
