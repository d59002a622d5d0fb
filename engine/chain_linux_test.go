package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/labels"
	"github.com/moby/buildkit/cache"
	"github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/progress"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// books stands in for BuildKit's records: it counts what is made and asked for.
type books struct {
	cache.Accessor
	layers          map[string][]digest.Digest // of a record
	made, got, used int
	held            int // references that nobody released
}

func (b *books) Get(_ context.Context, id string, _ progress.Controller, opts ...cache.RefOption) (cache.ImmutableRef, error) {
	b.got++
	if _, ok := b.layers[id]; !ok {
		return nil, errors.New("no such record")
	}
	if !slices.Contains(opts, cache.RefOption(cache.NoUpdateLastUsed)) {
		b.used++
	}
	b.held++
	return &bookRef{b: b, id: id}, nil
}

func (b *books) GetByBlob(_ context.Context, desc ocispec.Descriptor, parent cache.ImmutableRef, _ ...cache.RefOption) (cache.ImmutableRef, error) {
	b.made++
	b.held++
	id := fmt.Sprint("record ", b.made)
	var below []digest.Digest
	if parent != nil {
		below = b.layers[parent.ID()]
	}
	b.layers[id] = append(slices.Clone(below), desc.Digest)
	return &bookRef{b: b, id: id}, nil
}

type bookRef struct {
	cache.ImmutableRef
	b  *books
	id string
}

func (r *bookRef) ID() string { return r.id }

func (r *bookRef) Release(context.Context) error { r.b.held--; return nil }

// pulled is a provider that has every layer but those in gone.
type pulled struct {
	content.Provider
	gone digest.Digest
	at   session.Group // layers are pulled at once
}

func (p pulled) Info(_ context.Context, d digest.Digest) (content.Info, error) {
	if d == p.gone {
		return content.Info{}, errors.New("gone")
	}
	return content.Info{Digest: d}, nil
}

func (p pulled) UnlazySession(ocispec.Descriptor) session.Group { return p.at }

// chainOf is a result with n layers, of a cache.
func chainOf(n int, source string) *solver.Remote {
	r := &solver.Remote{Provider: pulled{}}
	for i := range n {
		d := digest.FromString(fmt.Sprint("layer ", i))
		r.Descriptors = append(r.Descriptors, ocispec.Descriptor{Digest: d, Annotations: map[string]string{
			labels.LabelUncompressed: digest.FromString(fmt.Sprint("diff ", i)).String(),
			annotationSource:         source,
		}})
	}
	return r
}

func newBooks(t *testing.T) (*books, *chains) {
	t.Helper()
	b := &books{layers: map[string][]digest.Digest{}}
	c, err := newChains(b)
	if err != nil {
		t.Fatal(err)
	}
	return b, c
}

// take loads remote, looks at what was got, and releases it.
func (b *books) take(t *testing.T, c *chains, remote *solver.Remote) {
	t.Helper()
	ref, err := c.load(t.Context(), remote)
	if err != nil {
		t.Fatal(err)
	}
	var want []digest.Digest
	for _, d := range remote.Descriptors {
		want = append(want, d.Digest)
	}
	if got := b.layers[ref.ID()]; !slices.Equal(got, want) {
		t.Errorf("%d layers make the record of %v", len(want), got)
	}
	_ = ref.Release(t.Context())
}

// BuildKit takes a step with all below it: n targets on one another, each with
// a step, make n records, not n*n*n/6.
func TestALayerIsMadeARecordOnce(t *testing.T) {
	b, c := newBooks(t)
	const targets = 60
	for target := 1; target <= targets; target++ {
		for n := target; n > 0; n-- {
			b.take(t, c, chainOf(n, fmt.Sprintf("r.test/cache:t%d@%s", target, digest.FromString("cache"))))
		}
	}
	if b.made != targets {
		t.Errorf("made %d records of %d layers", b.made, targets)
	}
	if want := targets*(targets+1)/2 - 1; b.got != want {
		t.Errorf("asked for %d records, want %d: one for each step of each target", b.got, want)
	}
	if b.used != 0 {
		t.Errorf("noted %d times that a record was used, within a minute", b.used)
	}
	if b.held != 0 {
		t.Errorf("%d references are still held", b.held)
	}
}

func TestARecordThatWasPrunedIsMadeAgain(t *testing.T) {
	b, c := newBooks(t)
	b.take(t, c, chainOf(5, "r.test/cache:layers"))
	for id, layers := range b.layers {
		if len(layers) > 3 {
			delete(b.layers, id)
		}
	}
	b.take(t, c, chainOf(5, "r.test/cache:layers"))
	if b.made != 5+2 {
		t.Errorf("made %d records, want 5 and then the 2 that were pruned", b.made)
	}
	if b.held != 0 {
		t.Errorf("%d references are still held", b.held)
	}
}

func TestChainsDoNotMeet(t *testing.T) {
	b, c := newBooks(t)
	b.take(t, c, chainOf(3, "r.test/cache:layers"))
	b.take(t, c, chainOf(3, "r.test/other:layers")) // a registry is told another source
	other := chainOf(3, "r.test/cache:layers")
	other.Descriptors[1].Annotations[labels.LabelUncompressed] = digest.FromString("other").String()
	b.take(t, c, other)
	if b.made != 3+3+2 {
		t.Errorf("made %d records, want 8", b.made)
	}
}

func TestThatARecordIsUsedIsNotedOnceAMinute(t *testing.T) {
	b, c := newBooks(t)
	at := time.Unix(1700000000, 0)
	c.now = func() time.Time { return at }
	for range 4 {
		b.take(t, c, chainOf(3, "r.test/cache:layers"))
		at = at.Add(touchEvery / 2)
	}
	if b.used != 1 {
		t.Errorf("noted %d times, want once", b.used)
	}
}

func TestALayerThatIsGoneMakesNoRecord(t *testing.T) {
	b, c := newBooks(t)
	remote := chainOf(3, "r.test/cache:layers")
	remote.Provider = pulled{gone: remote.Descriptors[2].Digest}
	if _, err := c.load(t.Context(), remote); err == nil {
		t.Error("loaded a layer that is gone")
	}
	if b.made != 2 || b.held != 0 {
		t.Errorf("made %d records, %d references are held", b.made, b.held)
	}
}

func TestLayersThatArePulledAtOnceAreLeftToBuildKit(t *testing.T) {
	if !fit(chainOf(1, "r.test/cache:layers")) {
		t.Error("layers of a registry do not fit")
	}
	remote := chainOf(2, "r.test/cache:layers")
	remote.Provider = pulled{at: session.NewGroup("s")}
	if fit(remote) || fit(&solver.Remote{Provider: pulled{}}) {
		t.Error("layers of a directory, or none, fit")
	}
}

// A packedRef has blobs, or not, and counts how often it is asked.
type packedRef struct {
	cache.ImmutableRef
	below []ocispec.Descriptor
	asked *int
}

func (r packedRef) GetRemotes(context.Context, bool, config.RefConfig, bool, session.Group) ([]*solver.Remote, error) {
	*r.asked++
	if r.below == nil {
		return nil, errors.New("not packed")
	}
	return []*solver.Remote{{Descriptors: r.below}}, nil
}

func TestBlobsOfAChainAreAskedForOnce(t *testing.T) {
	descs := chainOf(60, "r.test/cache:layers").Descriptors
	for _, packed := range []int{0, 58, 60} { // layers that have a blob, from the lowest
		asked := 0
		var list cache.RefList
		for n := range descs {
			r := packedRef{asked: &asked}
			if n < packed {
				r.below = descs[:n+1]
			}
			list = append(list, r)
		}
		for n, d := range packedLayers(t.Context(), list) {
			if n < packed && d.Digest != descs[n].Digest || n >= packed && d.Digest != "" {
				t.Errorf("with %d blobs, that of layer %d is %q", packed, n, d.Digest)
			}
		}
		if want := min(60-packed+1, 60); asked != want {
			t.Errorf("asked %d times with %d blobs, want %d", asked, packed, want)
		}
	}
}

func TestBlobsOfAMergedChain(t *testing.T) {
	descs := chainOf(4, "r.test/cache:layers").Descriptors
	asked := 0
	list := cache.RefList{
		packedRef{asked: &asked, below: descs[:1]}, packedRef{asked: &asked, below: descs[:2]},
		packedRef{asked: &asked, below: descs[2:3]}, packedRef{asked: &asked, below: descs[2:4]}, // stand on nothing
	}
	for n, d := range packedLayers(t.Context(), list) {
		if d.Digest != descs[n].Digest {
			t.Errorf("the blob of layer %d is %q", n, d.Digest)
		}
	}
}
