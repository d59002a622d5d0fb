package cache

import (
	"encoding/json"
	"maps"
	"slices"

	cacheimporttypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// sizes are the bytes that things take in JSON, the comma behind them included.
type sizes struct {
	bare    []int // of records without results
	results []int // more for the results of a record
	layers  []int // in a config
	blobs   map[digest.Digest]int
	// what a manifest and a config take besides
	manifest, config int
}

// measure weighs all of s.
func (s *splitter) measure() (sizes, error) {
	manifest, config, err := layerCache{manifest: s.base}.encode()
	if err != nil {
		return sizes{}, err
	}
	m := sizes{
		blobs: map[digest.Digest]int{},
		// the size of the config is a longer number then
		manifest: len(manifest) + len(`1000000`), config: len(config) + len(`{"layers":[],"records":[]}`),
	}
	mark := jsonSize(cacheimporttypes.CacheInput{Selector: marker(s.name, s.parts), LinkIndex: len(s.records)})
	for r, rec := range s.records {
		bare := jsonSize(cacheimporttypes.CacheRecord{Digest: rec.Digest, Inputs: rec.Inputs})
		if s.isMarked(r) {
			bare += mark
		}
		rec.Digest, rec.Inputs = "", nil
		m.bare, m.results = append(m.bare, bare), append(m.results, jsonSize(rec))
	}
	for _, l := range s.layers {
		m.layers = append(m.layers, jsonSize(l))
	}
	for d, b := range s.blobs {
		m.blobs[d] = jsonSize(b)
	}
	return m, nil
}

// jsonSize is what v takes. What cannot be written is told by encode.
func jsonSize(v any) int {
	data, _ := json.Marshal(v)
	return len(data) + 1
}

// encode returns the manifest and the config of c as they are stored.
func (c layerCache) encode() (manifest, config []byte, err error) {
	if config, err = json.Marshal(c.config); err != nil {
		return nil, nil, err
	}
	m := c.manifest
	m.Config = ocispec.Descriptor{
		MediaType: cacheimporttypes.CacheConfigMediaTypeV0, Digest: digest.FromBytes(config), Size: int64(len(config)),
	}
	manifest, err = json.Marshal(m)
	return manifest, config, err
}

// A part is what of a cache lies in one part.
type part struct {
	records          map[int]bool // true: with results
	layers           map[int]bool
	blobs            map[digest.Digest]bool
	manifest, config int // bytes at most
}

func newPart(manifest, config int) *part {
	return &part{map[int]bool{}, map[int]bool{}, map[digest.Digest]bool{}, manifest, config}
}

// place puts record r with its results, and all that leads to it, in the last of
// parts or in a new one. It returns nil if it fits in neither.
func (s *splitter) place(parts []*part, r int) []*part {
	if s.deep(r) {
		return nil
	}
	if n := len(parts); n > 0 && s.add(parts[n-1], r) {
		return parts
	}
	if len(parts) == s.parts {
		return nil
	}
	if p := newPart(s.sizes.manifest, s.sizes.config); s.add(p, r) {
		return append(parts, p)
	}
	s.tooDeep[r] = true
	return nil
}

// deep reports whether r hangs on a record that was found not to fit in a part,
// so that it need not be tried.
func (s *splitter) deep(r int) bool {
	for _, links := range s.records[r].Inputs {
		for _, l := range links {
			if s.tooDeep[l.LinkIndex] {
				s.tooDeep[r] = true
			}
		}
	}
	return s.tooDeep[r]
}

// add puts record r with its results in p if all it needs fits too.
func (s *splitter) add(p *part, r int) bool {
	more := newPart(0, 0)
	s.addRecord(p, more, r, true)
	for todo := []int{r}; len(todo) > 0; {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, links := range s.records[at].Inputs {
			for _, l := range links {
				_, had := p.records[l.LinkIndex]
				if _, has := more.records[l.LinkIndex]; had || has {
					continue
				}
				// BuildKit knows roots by themselves, so none can be marked
				s.addRecord(p, more, l.LinkIndex, s.isRoot(l.LinkIndex))
				todo = append(todo, l.LinkIndex)
			}
		}
		if p.config+more.config > s.limit || p.manifest+more.manifest > s.limit {
			return false
		}
	}
	maps.Copy(p.records, more.records)
	maps.Copy(p.layers, more.layers)
	maps.Copy(p.blobs, more.blobs)
	p.manifest += more.manifest
	p.config += more.config
	return true
}

// addRecord adds r to more, and the layers of its results that p lacks.
func (s *splitter) addRecord(p, more *part, r int, results bool) {
	if _, ok := p.records[r]; !ok {
		more.config += s.sizes.bare[r]
	}
	more.records[r] = results
	if !results {
		return
	}
	more.config += s.sizes.results[r]
	for _, l := range topLayers(s.records[r]) {
		for l != -1 && !p.layers[l] && !more.layers[l] {
			more.layers[l] = true
			more.config += s.sizes.layers[l]
			blob := s.layers[l].Blob
			if !p.blobs[blob] && !more.blobs[blob] {
				more.blobs[blob] = true
				more.manifest += s.sizes.blobs[blob]
			}
			l = s.layers[l].ParentIndex
		}
	}
}

// cut makes the part p, with mark.
func (s *splitter) cut(p *part, mark string) layerCache {
	out := layerCache{manifest: s.base}
	layers, listed := numbered(p.layers), map[digest.Digest]bool{}
	for _, l := range slices.Sorted(maps.Keys(p.layers)) {
		layer := s.layers[l]
		if layer.ParentIndex != -1 {
			layer.ParentIndex = layers[layer.ParentIndex]
		}
		out.config.Layers = append(out.config.Layers, layer)
		if blob, ok := s.blobs[layer.Blob]; ok && !listed[layer.Blob] {
			listed[layer.Blob] = true
			out.manifest.Layers = append(out.manifest.Layers, blob)
		}
	}
	records := numbered(p.records)
	for _, r := range slices.Sorted(maps.Keys(p.records)) {
		out.config.Records = append(out.config.Records, s.cutRecord(r, p.records[r], records, layers, mark))
	}
	return out
}

// cutRecord is record r with the numbers of a part.
func (s *splitter) cutRecord(r int, results bool, records, layers map[int]int, mark string) cacheimporttypes.CacheRecord {
	out := cacheimporttypes.CacheRecord{Digest: s.records[r].Digest}
	for _, links := range s.records[r].Inputs {
		var renumbered []cacheimporttypes.CacheInput
		for _, l := range links {
			renumbered = append(renumbered, cacheimporttypes.CacheInput{Selector: l.Selector, LinkIndex: records[l.LinkIndex]})
		}
		out.Inputs = append(out.Inputs, renumbered)
	}
	if s.isMarked(r) {
		out.Inputs[0] = append(out.Inputs[0], cacheimporttypes.CacheInput{Selector: mark, LinkIndex: out.Inputs[0][0].LinkIndex})
	}
	if !results {
		return out
	}
	for _, res := range s.records[r].Results {
		res.LayerIndex = layers[res.LayerIndex]
		out.Results = append(out.Results, res)
	}
	for _, res := range s.records[r].ChainedResults {
		indexes := make([]int, len(res.LayerIndexes))
		for i, l := range res.LayerIndexes {
			indexes[i] = layers[l]
		}
		res.LayerIndexes = indexes
		out.ChainedResults = append(out.ChainedResults, res)
	}
	return out
}

// numbered gives the keys of m new numbers, in their order.
func numbered[V any](m map[int]V) map[int]int {
	out := make(map[int]int, len(m))
	for i, k := range slices.Sorted(maps.Keys(m)) {
		out[k] = i
	}
	return out
}
