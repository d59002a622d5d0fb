package cache

import (
	"errors"
	"fmt"
	"strings"

	cacheimporttypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// This file splits a layer cache that is too large for BuildKit into parts that
// are not. It is a pure function; parts.go says how parts are kept.
//
// A layer cache is a graph of records. A record is what a step is known by: a
// digest and, for each input of the step, records of which any one will do. It
// may have results, chains of layers. BuildKit finds a record only through those
// it hangs on, so a part holds for each of its results also the records below
// it, but of these not the results, which are in the part of their own.

// A layerCache is a layer cache as BuildKit writes it.
type layerCache struct {
	manifest ocispec.Manifest // its layers are those of config
	config   cacheimporttypes.CacheConfig
}

// A splitting says how to split.
type splitting struct {
	limit int    // bytes of a manifest, and of a config
	parts int    // at most
	name  string // of the cache, for markers
}

// split returns the parts of c and how many records have results that are in
// none, because what they need does not fit in one or there would be too many
// parts. The same c is split the same way.
//
// Records are taken in an order in which those come first that others hang on,
// and fill one part after the other, so that what stands together lies together.
// Every part is below the limit, so their sum is below their number times the
// limit; a part has at least one result.
func (o splitting) split(c layerCache) (parts []layerCache, left int, err error) {
	s, err := newSplitter(c, o)
	if err != nil {
		return nil, 0, err
	}
	order, err := s.order()
	if err != nil {
		return nil, 0, err
	}
	var packed []*part
	for _, r := range order {
		if !s.hasResults(r) {
			continue
		}
		if next := s.place(packed, r); next != nil {
			packed = next
		} else {
			left++
		}
	}
	for i, p := range packed {
		parts = append(parts, s.cut(p, marker(o.name, i)))
	}
	return parts, left, nil
}

// markerPrefix starts the selector of a link that marks a record as one of a
// part. BuildKit takes records of two caches for one if all that they hang on is
// the same, and forgets one of them (Query in solver/combinedcache.go of 0.34),
// which may be the one that has the result. So those that hang on nothing but
// roots have a link more, to a root they have already, that no step ever asks
// for. That makes them others, and all that hang on them.
const markerPrefix = "strata-part:"

func marker(name string, i int) string {
	return fmt.Sprintf("%s%s-%d", markerPrefix, digest.FromString(name).Encoded()[:16], i)
}

// unmarked is records without the markers of parts that they were read from.
func unmarked(records []cacheimporttypes.CacheRecord) []cacheimporttypes.CacheRecord {
	out := make([]cacheimporttypes.CacheRecord, len(records))
	for i, r := range records {
		inputs := make([][]cacheimporttypes.CacheInput, len(r.Inputs))
		for j, links := range r.Inputs {
			for _, l := range links {
				if !strings.HasPrefix(l.Selector, markerPrefix) {
					inputs[j] = append(inputs[j], l)
				}
			}
			if len(inputs[j]) == 0 {
				inputs[j] = links
			}
		}
		r.Inputs = inputs
		out[i] = r
	}
	return out
}

// A splitter is a cache with the sizes of all it consists of. Numbers only
// become smaller in a part, so no size is larger there.
type splitter struct {
	splitting
	records []cacheimporttypes.CacheRecord
	layers  []cacheimporttypes.CacheLayer
	base    ocispec.Manifest // without layers
	blobs   map[digest.Digest]ocispec.Descriptor
	sizes   sizes
	tooDeep map[int]bool // records that need more than fits in a part
}

func newSplitter(c layerCache, o splitting) (*splitter, error) {
	s := &splitter{
		splitting: o, records: unmarked(c.config.Records), layers: c.config.Layers,
		base: c.manifest, blobs: map[digest.Digest]ocispec.Descriptor{}, tooDeep: map[int]bool{},
	}
	s.base.Layers = nil
	for _, d := range c.manifest.Layers {
		s.blobs[d.Digest] = d
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	var err error
	s.sizes, err = s.measure()
	return s, err
}

// check reports what BuildKit would not take, but for loops of records.
func (s *splitter) check() error {
	layer := func(i int) error {
		for steps := 0; i != -1; steps++ {
			if i < 0 || i >= len(s.layers) {
				return fmt.Errorf("there is no layer %d", i)
			}
			if steps > len(s.layers) {
				return errors.New("a layer is below itself")
			}
			i = s.layers[i].ParentIndex
		}
		return nil
	}
	for i, r := range s.records {
		for _, links := range r.Inputs {
			if len(links) == 0 {
				return fmt.Errorf("record %d has an input of nothing", i)
			}
			for _, l := range links {
				if l.LinkIndex < 0 || l.LinkIndex >= len(s.records) {
					return fmt.Errorf("there is no record %d", l.LinkIndex)
				}
			}
		}
		for _, l := range topLayers(r) {
			if l == -1 {
				return fmt.Errorf("record %d has a result without a layer", i)
			}
			if err := layer(l); err != nil {
				return err
			}
		}
	}
	return nil
}

// topLayers are the layers that the results of r name.
func topLayers(r cacheimporttypes.CacheRecord) []int {
	var out []int
	for _, res := range r.Results {
		out = append(out, res.LayerIndex)
	}
	for _, res := range r.ChainedResults {
		out = append(out, res.LayerIndexes...)
	}
	return out
}

func (s *splitter) isRoot(r int) bool { return len(s.records[r].Inputs) == 0 }

func (s *splitter) hasResults(r int) bool {
	return len(s.records[r].Results)+len(s.records[r].ChainedResults) > 0
}

// isMarked reports whether a record gets a marker: it hangs on roots alone.
func (s *splitter) isMarked(r int) bool {
	for _, links := range s.records[r].Inputs {
		for _, l := range links {
			if !s.isRoot(l.LinkIndex) {
				return false
			}
		}
	}
	return !s.isRoot(r)
}

// order lists all records after those they hang on. Of a record's inputs the
// last comes first: the first is what the step changes, a chain that all of
// a stage hangs on.
func (s *splitter) order() ([]int, error) {
	type frame struct{ record, next int }
	const fresh, open, done = 0, 1, 2
	state := make([]int, len(s.records))
	below := make([][]int, len(s.records))
	above := make([]bool, len(s.records))
	for r := range s.records {
		inputs := s.records[r].Inputs
		for i := len(inputs) - 1; i >= 0; i-- {
			for _, l := range inputs[i] {
				below[r] = append(below[r], l.LinkIndex)
				above[l.LinkIndex] = true
			}
		}
	}
	var out []int
	for top := range s.records {
		if above[top] {
			continue
		}
		state[top] = open
		for stack := []frame{{record: top}}; len(stack) > 0; {
			at := &stack[len(stack)-1]
			if at.next == len(below[at.record]) {
				state[at.record] = done
				out = append(out, at.record)
				stack = stack[:len(stack)-1]
				continue
			}
			r := below[at.record][at.next]
			at.next++
			switch state[r] {
			case open:
				return nil, errLoop
			case fresh:
				state[r] = open
				stack = append(stack, frame{record: r})
			}
		}
	}
	if len(out) < len(s.records) { // nothing is above what is left
		return nil, errLoop
	}
	return out, nil
}

var errLoop = errors.New("a record hangs on itself")
