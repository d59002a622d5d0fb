package graph

import (
	"slices"
	"time"
)

// Remaining is, for every target, how long it takes from its start until the
// last target that needs it is done, if nothing ever waits for a free place: the
// weight of the heaviest path from it to a target that nobody needs, its own
// weight included. Negative weights count as zero.
func (g *Graph) Remaining(weight func(ID) time.Duration) map[ID]time.Duration {
	out := make(map[ID]time.Duration, len(g.order))
	for _, id := range slices.Backward(g.order) {
		var after time.Duration
		for _, b := range g.back[id] {
			after = max(after, out[b])
		}
		out[id] = max(weight(id), 0) + after
	}
	return out
}

// CriticalPath is the heaviest path through g, needs first, and its weight: no
// number of workers builds g in less time. Of equal paths it is the one whose
// targets come first in the order of g; it is empty for an empty graph.
func (g *Graph) CriticalPath(weight func(ID) time.Duration) ([]ID, time.Duration) {
	left := g.Remaining(weight)
	heaviest := func(ids []ID) (ID, bool) {
		if len(ids) == 0 {
			return "", false
		}
		best := ids[0]
		for _, id := range ids[1:] {
			if left[id] > left[best] {
				best = id
			}
		}
		return best, true
	}
	var path []ID
	id, ok := heaviest(g.order)
	for ok {
		path = append(path, id)
		id, ok = heaviest(g.back[id])
	}
	if len(path) == 0 {
		return nil, 0
	}
	return path, left[path[0]]
}
