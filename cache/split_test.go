package cache

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/cache/remotecache"
	cacheimport "github.com/moby/buildkit/cache/remotecache/v1"
	cacheimporttypes "github.com/moby/buildkit/cache/remotecache/v1/types"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/contentutil"
	digest "github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A graphOf makes a layer cache. Records are known by a name, which is that of
// a BuildKit operation with one output.
type graphOf struct {
	layerCache
	names []string // of the records
	texts []string // of the layers
}

func operation(name string) digest.Digest { return digest.FromString(name) }

// newGraph has the media types that BuildKit writes.
func newGraph() *graphOf {
	return &graphOf{layerCache: layerCache{manifest: ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
	}}}
}

// layer adds a layer on parent, which is -1 for none.
func (g *graphOf) layer(name string, parent int) int {
	g.texts = append(g.texts, "layer "+name)
	d := digest.FromString("layer " + name)
	g.config.Layers = append(g.config.Layers, cacheimporttypes.CacheLayer{Blob: d, ParentIndex: parent})
	g.manifest.Layers = append(g.manifest.Layers, ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageLayerGzip, Digest: d, Size: 100,
		Annotations: map[string]string{"containerd.io/uncompressed": digest.FromString(name).String()},
	})
	return len(g.config.Layers) - 1
}

// record adds a record on inputs, with the layer as its result unless that is -1.
func (g *graphOf) record(name string, layer int, inputs ...[]cacheimporttypes.CacheInput) int {
	r := cacheimporttypes.CacheRecord{Digest: digest.FromString(operation(name).String() + "@0"), Inputs: inputs}
	if layer != -1 {
		r.Results = []cacheimporttypes.CacheResult{{LayerIndex: layer, CreatedAt: time.Unix(1700000000, 5).UTC()}}
	}
	g.config.Records = append(g.config.Records, r)
	g.names = append(g.names, name)
	return len(g.config.Records) - 1
}

func on(records ...int) (links []cacheimporttypes.CacheInput) {
	for _, r := range records {
		links = append(links, cacheimporttypes.CacheInput{LinkIndex: r})
	}
	return links
}

// randomGraph has n records. Some hang on several others, in some way or another.
func randomGraph(r *rand.Rand, n int) *graphOf {
	g := newGraph()
	layers := []int{-1}
	for i := range n {
		layer := -1
		if r.IntN(3) > 0 {
			layer = g.layer(fmt.Sprint(i), layers[r.IntN(len(layers))])
			layers = append(layers, layer)
		}
		if i < 3 || r.IntN(6) == 0 {
			if r.IntN(5) > 0 {
				layer = -1 // roots seldom have one
			}
			g.record(fmt.Sprintf("root %d", i), layer)
			continue
		}
		inputs := make([][]cacheimporttypes.CacheInput, 1+r.IntN(3))
		for j := range inputs {
			for range 1 + r.IntN(2) {
				l := cacheimporttypes.CacheInput{LinkIndex: max(0, i-1-r.IntN(min(i, 12)))}
				if r.IntN(4) == 0 {
					l.Selector = fmt.Sprintf("/path/%d", r.IntN(3))
				}
				if !slices.Contains(inputs[j], l) {
					inputs[j] = append(inputs[j], l)
				}
			}
		}
		g.record(fmt.Sprintf("step %d", i), layer, inputs...)
	}
	return g
}

// managers are what BuildKit makes of caches, each on its own.
func managers(t *testing.T, caches []layerCache) solver.CacheManager {
	t.Helper()
	var all []solver.CacheManager
	for i, c := range caches {
		provider := cacheimport.DescriptorProvider{}
		for _, l := range c.manifest.Layers {
			provider[l.Digest] = cacheimport.DescriptorProviderPair{Descriptor: l, Provider: contentutil.NewBuffer()}
		}
		_, config, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		chains := cacheimport.NewCacheChains()
		if err := cacheimport.Parse(config, provider, chains); err != nil {
			t.Fatalf("BuildKit does not read part %d: %v", i, err)
		}
		keys, results, err := cacheimport.NewCacheKeyStorage(chains, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, solver.NewCacheManager(t.Context(), fmt.Sprint(i), keys, results))
	}
	return solver.NewCombinedCacheManager(all, nil)
}

// found lists which records of g have a result that cm finds as a solve does:
// from the roots up, by the keys of all inputs.
func (g *graphOf) found(t *testing.T, cm solver.CacheManager) (out []string) {
	t.Helper()
	keys := make([][]*solver.CacheKey, len(g.names))
	done := make([]bool, len(g.names))
	var of func(r int) []*solver.CacheKey
	query := func(r, input int, deps []solver.CacheKeyWithSelector) map[string]*solver.CacheKey {
		list, err := cm.Query(deps, solver.Index(input), operation(g.names[r]), 0)
		if err != nil {
			t.Fatal(err)
		}
		byID := map[string]*solver.CacheKey{}
		for _, k := range list {
			byID[k.ID] = k
		}
		return byID
	}
	of = func(r int) []*solver.CacheKey {
		if done[r] {
			return keys[r]
		}
		done[r] = true
		var all map[string]*solver.CacheKey
		inputs := g.config.Records[r].Inputs
		if len(inputs) == 0 {
			all = query(r, 0, nil)
		}
		for i, links := range inputs {
			byID := map[string]*solver.CacheKey{}
			for _, l := range links {
				for _, k := range of(l.LinkIndex) {
					dep := solver.CacheKeyWithSelector{Selector: digest.Digest(l.Selector), CacheKey: solver.ExportableCacheKey{CacheKey: k}}
					maps.Copy(byID, query(r, i, []solver.CacheKeyWithSelector{dep}))
				}
			}
			if i == 0 {
				all = byID
			} else {
				maps.DeleteFunc(all, func(id string, _ *solver.CacheKey) bool { return byID[id] == nil })
			}
		}
		keys[r] = slices.Collect(maps.Values(all))
		return keys[r]
	}
	for r, name := range g.names {
		for _, k := range of(r) {
			records, err := cm.Records(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			if len(records) > 0 && records[0].ID == g.resultID(r) {
				out = append(out, name)
				break
			}
		}
	}
	return out
}

// resultID is what BuildKit calls the result of a record.
func (g *graphOf) resultID(r int) string {
	var chain []digest.Digest
	if res := g.config.Records[r].Results; len(res) > 0 {
		for l := res[0].LayerIndex; l != -1; l = g.config.Layers[l].ParentIndex {
			chain = append(chain, g.config.Layers[l].Blob)
		}
	}
	slices.Reverse(chain)
	h := digest.Canonical.Digester()
	for _, d := range chain {
		h.Hash().Write([]byte(d))
	}
	return h.Digest().String()
}

// withResults lists the records that have one.
func (g *graphOf) withResults() (out []string) {
	for i, r := range g.config.Records {
		if len(r.Results) > 0 {
			out = append(out, g.names[i])
		}
	}
	return out
}

// The results of all parts are those of the whole, each is found by the same
// keys, and every part is below the limit and whole in itself, for BuildKit.
func TestSplitIsTheSameCacheInParts(t *testing.T) {
	split := 0
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := randomGraph(r, 40+r.IntN(60))
		o := splitting{limit: 7000 + r.IntN(6000), parts: 1000, name: "r/c:t"}
		parts, left, err := o.split(g.layerCache)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if len(parts) > 1 && left == 0 {
			split++
		}
		for i, p := range parts {
			manifest, config, err := p.encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(manifest) > o.limit || len(config) > o.limit {
				t.Errorf("seed %d: part %d has a manifest of %d and a config of %d bytes; the limit is %d", seed, i, len(manifest), len(config), o.limit)
			}
			if own := g.found(t, managers(t, parts[i:i+1])); len(own) == 0 {
				t.Errorf("seed %d: nothing is found in part %d alone", seed, i)
			}
		}
		want := g.withResults()
		for range 3 { // BuildKit's order is another each time
			got := g.found(t, managers(t, parts))
			if len(got)+left != len(want) {
				t.Errorf("seed %d: %d results are found in %d parts, and %d left out, of %d", seed, len(got), len(parts), left, len(want))
				break
			}
		}
		again, _, err := o.split(g.layerCache)
		if err != nil || !slices.EqualFunc(parts, again, sameBytes) {
			t.Errorf("seed %d: it is split another way the second time: %v", seed, err)
		}
	}
	if split < 20 {
		t.Errorf("only %d graphs were split whole", split)
	}
}

func sameBytes(a, b layerCache) bool {
	am, ac, _ := a.encode()
	bm, bc, _ := b.encode()
	return bytes.Equal(am, bm) && bytes.Equal(ac, bc)
}

// A cache that was read from parts and written again has their markers. They
// are of no use in the next parts, and would become more and more.
func TestSplitForgetsOldMarkers(t *testing.T) {
	g := randomGraph(rand.New(rand.NewPCG(7, 7)), 60)
	want, _, err := splitting{4000, 1000, "r/c:t"}.split(g.layerCache)
	if err != nil {
		t.Fatal(err)
	}
	marked := *g
	marked.config.Records = nil
	for _, r := range g.config.Records {
		r.Inputs = slices.Clone(r.Inputs)
		for i, links := range r.Inputs {
			r.Inputs[i] = append(slices.Clone(links), cacheimporttypes.CacheInput{Selector: marker("r/c:t", i), LinkIndex: links[0].LinkIndex})
		}
		marked.config.Records = append(marked.config.Records, r)
	}
	got, _, err := splitting{4000, 1000, "r/c:t"}.split(marked.layerCache)
	if err != nil || !slices.EqualFunc(got, want, sameBytes) {
		t.Errorf("%d parts, want the %d of the cache without markers: %v", len(got), len(want), err)
	}
}

// services is a cache as that of a target which copies from n others of steps
// steps each.
func services(n, steps int) *graphOf {
	g := newGraph()
	base := g.record("base", -1)
	at, atLayer := base, -1
	for i := range n {
		name := fmt.Sprintf("service %d", i)
		below, layer := base, -1
		for j := range steps {
			layer = g.layer(fmt.Sprintf("%s.%d", name, j), layer)
			below = g.record(fmt.Sprintf("%s.%d", name, j), layer, on(below))
		}
		atLayer = g.layer("copy "+name, atLayer)
		files := g.record("files of "+name, -1)
		from := append(on(files), cacheimporttypes.CacheInput{LinkIndex: below, Selector: "/bin/" + name})
		at = g.record("copy "+name, atLayer, on(at), from)
	}
	return g
}

// totals are the bytes of all manifests and configs.
func totals(t *testing.T, caches ...layerCache) (manifests, configs int) {
	t.Helper()
	for _, c := range caches {
		manifest, config, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		manifests, configs = manifests+len(manifest), configs+len(config)
	}
	return manifests, configs
}

// What a step needs is in the same part where that can be, so that a few parts
// do.
func TestPartsOfATargetOnManyOthers(t *testing.T) {
	g := services(300, 15)
	wholeManifest, wholeConfig := totals(t, g.layerCache)
	parts, left, err := splitting{MaxManifest, maxParts, "r/c:t"}.split(g.layerCache)
	if err != nil || left > 0 {
		t.Fatalf("%d left out: %v", left, err)
	}
	manifests, configs := totals(t, parts...)
	t.Logf("%d parts: manifests %d of %d bytes, configs %d of %d", len(parts), manifests, wholeManifest, configs, wholeConfig)
	if len(parts) > 4 || manifests > wholeManifest*3/2 || configs > wholeConfig*2 {
		t.Errorf("%d parts with %d bytes of manifests and %d of configs, for %d and %d", len(parts), manifests, configs, wholeManifest, wholeConfig)
	}
	if got, want := g.found(t, managers(t, parts)), g.withResults(); !slices.Equal(got, want) {
		t.Errorf("%d of %d results are found", len(got), len(want))
	}
}

func TestWhatFitsNowhereIsLeftOut(t *testing.T) {
	g := newGraph()
	at, layer := g.record("base", -1), -1
	for i := range 100 {
		layer = g.layer(fmt.Sprint(i), layer)
		at = g.record(fmt.Sprint("step ", i), layer, on(at))
	}
	for _, o := range []splitting{{6000, 1000, "x"}, {6000, 1, "x"}, {100, 1000, "x"}} {
		parts, left, err := o.split(g.layerCache)
		if err != nil || left == 0 || len(parts) > o.parts {
			t.Errorf("%+v: %d parts, %d left out: %v", o, len(parts), left, err)
		}
		if got := g.found(t, managers(t, parts)); len(got) != 100-left {
			t.Errorf("%+v: %d found, %d left out", o, len(got), left)
		}
	}
}

func TestSplitRefusesWhatBuildKitDoes(t *testing.T) {
	one := func(change func(g *graphOf)) layerCache {
		g := newGraph()
		root := g.record("root", -1)
		g.record("step", g.layer("a", -1), on(root))
		change(g)
		return g.layerCache
	}
	for want, c := range map[string]layerCache{
		"":                        one(func(*graphOf) {}),
		"hangs on itself":         one(func(g *graphOf) { g.config.Records[0].Inputs = append(g.config.Records[0].Inputs, on(1)) }),
		"no record 9":             one(func(g *graphOf) { g.config.Records[1].Inputs[0][0].LinkIndex = 9 }),
		"no record -1":            one(func(g *graphOf) { g.config.Records[1].Inputs[0][0].LinkIndex = -1 }),
		"an input of nothing":     one(func(g *graphOf) { g.config.Records[1].Inputs[0] = nil }),
		"no layer 9":              one(func(g *graphOf) { g.config.Records[1].Results[0].LayerIndex = 9 }),
		"no layer 7":              one(func(g *graphOf) { g.config.Layers[0].ParentIndex = 7 }),
		"a layer is below itself": one(func(g *graphOf) { g.config.Layers[0].ParentIndex = 0 }),
		"without a layer":         one(func(g *graphOf) { g.config.Records[1].Results[0].LayerIndex = -1 }),
	} {
		_, _, err := splitting{10000, 10, "x"}.split(c)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// Results that are lists of layers keep all of them.
func TestSplitKeepsChains(t *testing.T) {
	g := newGraph()
	a, b := g.layer("a", -1), g.layer("b", -1)
	root := g.record("root", -1)
	r := g.record("step", -1, on(root))
	g.config.Records[r].ChainedResults = []cacheimporttypes.ChainedResult{{LayerIndexes: []int{b, a}}}
	parts, left, err := splitting{10000, 10, "x"}.split(g.layerCache)
	if err != nil || left > 0 || len(parts) != 1 {
		t.Fatalf("%d parts, %d left out: %v", len(parts), left, err)
	}
	got := parts[0].config.Records[r].ChainedResults
	if len(got) != 1 || !slices.Equal(got[0].LayerIndexes, []int{b, a}) || len(parts[0].manifest.Layers) != 2 {
		t.Errorf("%+v", parts[0])
	}
}

// store puts blobs where an importer of BuildKit finds them.
func store(t *testing.T, blobs contentutil.Buffer, mediaType string, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(t.Context(), blobs, desc.Digest.String(), bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

// MaxManifest is what BuildKit says it is: it refuses one byte more, and takes
// the parts. To a reader that does not know what an index of parts is, it is a
// cache with nothing in it.
func TestBuildKitReadsThePartsOfWhatItRefuses(t *testing.T) {
	blobs := contentutil.NewBuffer()
	read := func(desc ocispec.Descriptor) error {
		_, err := remotecache.NewImporter(blobs).Resolve(t.Context(), desc, "x", nil)
		return err
	}
	put := func(c layerCache) ocispec.Descriptor {
		manifest, config, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		store(t, blobs, cacheimporttypes.CacheConfigMediaTypeV0, config)
		return store(t, blobs, ocispec.MediaTypeImageManifest, manifest)
	}
	for _, size := range []int{MaxManifest, MaxManifest + 1} {
		text := `{"records":[` + strings.Repeat(" ", size-len(`{"records":[]}`)) + `]}`
		config := store(t, blobs, cacheimporttypes.CacheConfigMediaTypeV0, []byte(text))
		data, err := json.Marshal(ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: []ocispec.Descriptor{}})
		if err != nil {
			t.Fatal(err)
		}
		err = read(store(t, blobs, ocispec.MediaTypeImageManifest, data))
		if tooLarge := size > MaxManifest; (err != nil) != tooLarge || tooLarge && !strings.Contains(err.Error(), "too large") {
			t.Errorf("a config of %d bytes: %v", size, err)
		}
	}
	g := services(300, 12)
	if err := read(put(g.layerCache)); err == nil {
		t.Error("BuildKit reads the whole")
	}
	parts, _, err := splitting{MaxManifest, maxParts, "x"}.split(g.layerCache)
	if err != nil {
		t.Fatal(err)
	}
	var descs []ocispec.Descriptor
	for i, p := range parts {
		descs = append(descs, put(p))
		if err := read(descs[i]); err != nil {
			t.Errorf("part %d: %v", i, err)
		}
	}
	index, err := partsIndex(descs)
	if err != nil {
		t.Fatal(err)
	}
	if err := read(store(t, blobs, ocispec.MediaTypeImageIndex, index)); err != nil {
		t.Errorf("the index: %v", err)
	}
}
