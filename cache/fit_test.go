package cache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
)

// A memoryStore is one repository, in memory. It notes what it is asked, and
// fails where it is told to.
type memoryStore struct {
	mu        sync.Mutex
	manifests map[string]registry.Manifest // by tag and digest
	blobs     map[string][]byte
	asked     []string
	said      []string
	fail      map[string]error // by the question
}

func newMemoryStore() *memoryStore {
	return &memoryStore{manifests: map[string]registry.Manifest{}, blobs: map[string][]byte{}, fail: map[string]error{}}
}

func (m *memoryStore) shared(limit int64) *Shared {
	return NewShared(block("main"), SharedOptions{
		Open: func(string) (Store, error) { return m, nil }, Limit: limit,
		Warn: func(text string) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.said = append(m.said, text)
		},
	})
}

func (m *memoryStore) ask(op, what string) error {
	m.asked = append(m.asked, op+" "+what)
	return m.fail[op]
}

func (m *memoryStore) Head(_ context.Context, id string) (registry.Manifest, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.ask("head", id)
	had, ok := m.manifests[id]
	had.Raw = nil
	return had, ok && err == nil, err
}

func (m *memoryStore) Manifest(_ context.Context, id string) (registry.Manifest, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.ask("manifest", id)
	had, ok := m.manifests[id]
	return had, ok && err == nil, err
}

func (m *memoryStore) ReadBlob(_ context.Context, dgst string, limit int64) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	err := m.ask("blob", dgst)
	had, ok := m.blobs[dgst]
	if err == nil && int64(len(had)) > limit {
		err = errors.New("too large")
	}
	return had, ok && err == nil, err
}

func (m *memoryStore) WriteBlob(_ context.Context, data []byte) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := digest.FromBytes(data).String()
	err := m.ask("write", d)
	if err == nil {
		m.blobs[d] = bytes.Clone(data)
	}
	return d, err
}

func (m *memoryStore) PutManifest(_ context.Context, id, mediaType string, raw []byte) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := digest.FromBytes(raw).String()
	op := "put"
	if !strings.Contains(id, ":") {
		op = "tag"
		for _, part := range partsOf(raw) {
			if _, ok := m.manifests[part]; !ok {
				return "", fmt.Errorf("the index names %s, which is not there", part)
			}
		}
	}
	if err := m.ask(op, id); err != nil {
		return "", err
	}
	kept := registry.Manifest{Digest: d, MediaType: mediaType, Size: int64(len(raw)), Raw: bytes.Clone(raw)}
	m.manifests[id], m.manifests[d] = kept, kept
	return d, nil
}

// partsOf are the digests that an index names.
func partsOf(raw []byte) (out []string) {
	var index ocispec.Index
	_ = json.Unmarshal(raw, &index)
	for _, d := range index.Manifests {
		out = append(out, d.Digest.String())
	}
	return out
}

// write stores c under the tag of target as BuildKit does.
func (m *memoryStore) write(t *testing.T, target string, c layerCache) (ref string, written ocispec.Descriptor) {
	t.Helper()
	manifest, config, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	ref = ref1(target)
	_, tag := cutRef(ref)
	if _, err := m.WriteBlob(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := m.PutManifest(t.Context(), tag, ocispec.MediaTypeImageManifest, manifest); err != nil {
		t.Fatal(err)
	}
	m.asked = nil
	return ref, ocispec.Descriptor{Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}
}

func ref1(target string) string { return ref("main", target) }

// questions are what was asked, without names: "head manifest".
func (m *memoryStore) questions() string {
	var out []string
	for _, q := range m.asked {
		op, _, _ := strings.Cut(q, " ")
		out = append(out, op)
	}
	m.asked = nil
	slices.Sort(out) // parts are written at once
	return strings.Join(out, " ")
}

func (m *memoryStore) imports(t *testing.T, s *Shared, targets ...string) []client.CacheOptionsEntry {
	t.Helper()
	var layers []Layers
	for _, name := range targets {
		layers = append(layers, Layers{Target: name, Platform: "linux/amd64"})
	}
	return s.Imports(t.Context(), layers)
}

// What is small costs one request when it is written and one when it is read;
// what is not is read as parts.
func TestWrittenInPartsAndRead(t *testing.T) {
	m := newMemoryStore()
	small, smallWritten := m.write(t, "small", services(2, 2).layerCache)
	large, largeWritten := m.write(t, "large", services(40, 5).layerCache)
	const limit = 45_000
	s := m.shared(limit)
	s.Exported(t.Context(), small, smallWritten, nil)
	if got := m.questions(); got != "manifest" {
		t.Errorf("for a small one: %s", got)
	}
	s.Exported(t.Context(), large, largeWritten, nil)
	parts := len(partsOf(m.manifests["layers-large.linux-amd64"].Raw))
	want := "blob manifest" + strings.Repeat(" put", parts) + " tag" + strings.Repeat(" write", parts)
	if got := m.questions(); got != want || parts < 2 {
		t.Errorf("for %d parts: %s", parts, got)
	}
	if got := m.imports(t, m.shared(limit), "small"); m.questions() != "head" || len(got) != 1 {
		t.Errorf("small: %v", got)
	}
	got := m.imports(t, m.shared(limit), "large")
	if q := m.questions(); q != "head manifest" {
		t.Errorf("reading parts took %s", q)
	}
	for i, e := range got {
		name, d, _ := strings.Cut(e.Attrs["ref"], "@")
		part, ok := m.manifests[d]
		if name != large || !ok || part.Size > limit {
			t.Errorf("part %d: %v", i, e)
		}
	}
	if len(got) != parts || len(m.said) > 0 {
		t.Errorf("%d of %d parts, said %q", len(got), parts, m.said)
	}
}

// A cache in parts counts as one; all parts together are not more than a solve
// can make use of; one that breaks a solve is read no more.
func TestPartsAreFewAndBreakTogether(t *testing.T) {
	m := newMemoryStore()
	var names []string
	for i := range 10 {
		name := fmt.Sprint("t", i)
		g := services(20, 4)
		g.record(name, -1) // another digest
		ref, written := m.write(t, name, g.layerCache)
		m.shared(18_000).Exported(t.Context(), ref, written, nil)
		names = append(names, name)
	}
	s := m.shared(18_000)
	got := m.imports(t, s, names...)
	caches := map[string]int{}
	for _, e := range got {
		name, _, _ := strings.Cut(e.Attrs["ref"], "@")
		caches[name]++
	}
	if len(got) > maxRead || len(caches) > maxImports || len(caches) < 2 {
		t.Errorf("%d parts of %d caches", len(got), len(caches))
	}
	first := m.imports(t, s, "t0")
	if len(first) < 2 {
		t.Fatalf("%d parts", len(first))
	}
	s.Broken(first[1:2])
	if again := m.imports(t, s, "t0"); len(again) > 0 {
		t.Errorf("after one part broke a solve: %v", again)
	}
	if len(m.said) > 0 {
		t.Errorf("said %q", m.said)
	}
}

// Whatever is wrong with an index is told, and costs only that cache.
func TestDamagedIndexes(t *testing.T) {
	manifest := func(change func(d *ocispec.Descriptor)) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1}
		change(&d)
		return d
	}
	index := func(parts ...ocispec.Descriptor) []byte {
		raw, err := partsIndex(parts)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	fine := manifest(func(*ocispec.Descriptor) {})
	many := slices.Repeat([]ocispec.Descriptor{fine}, maxParts+1)
	for _, tt := range []struct {
		name, says string
		raw        []byte
		imports    int
	}{
		{"fine", "", index(fine), 1},
		{"the same twice", "", index(fine, fine), 1},
		{"none", "has 0 parts", index(), 0},
		{"too many", "has 17 parts", index(many...), 0},
		{"no JSON", "its index", []byte("{"), 0},
		{"another type", `of the type "text/plain"`, index(manifest(func(d *ocispec.Descriptor) { d.MediaType = "text/plain" })), 0},
		{"no digest", `the digest "x"`, index(manifest(func(d *ocispec.Descriptor) { d.Digest = "x" })), 0},
		{"large", "too large", index(manifest(func(d *ocispec.Descriptor) { d.Size = MaxManifest + 1 })), 0},
		{"somebody else's", "", []byte(`{"schemaVersion":2,"manifests":[]}`), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemoryStore()
			kept := registry.Manifest{Digest: digest.FromBytes(tt.raw).String(), MediaType: ocispec.MediaTypeImageIndex, Size: int64(len(tt.raw)), Raw: tt.raw}
			m.manifests["layers-app.linux-amd64"], m.manifests[kept.Digest] = kept, kept
			m.write(t, "web", services(1, 1).layerCache)
			s := m.shared(0)
			got := m.imports(t, s, "app", "web")
			if len(got) != tt.imports+1 {
				t.Errorf("imports %v", got)
			}
			if said := strings.Join(m.said, "\n"); !strings.Contains(said, tt.says) || (said == "") != (tt.says == "") {
				t.Errorf("said %q, want %q", said, tt.says)
			}
		})
	}
	t.Run("the registry fails", func(t *testing.T) {
		m := newMemoryStore()
		m.manifests["layers-app.linux-amd64"] = registry.Manifest{Digest: digest.FromString("x").String(), MediaType: ocispec.MediaTypeImageIndex}
		m.fail["manifest"] = errors.New("down")
		if got := m.imports(t, m.shared(0), "app"); len(got) > 0 || len(m.said) != 1 || !strings.Contains(m.said[0], "r/c/main is not read: down") {
			t.Errorf("imports %v, said %q", got, m.said)
		}
	})
	t.Run("gone", func(t *testing.T) {
		m := newMemoryStore()
		m.manifests["layers-app.linux-amd64"] = registry.Manifest{Digest: digest.FromString("x").String(), MediaType: ocispec.MediaTypeImageIndex}
		if got := m.imports(t, m.shared(0), "app"); len(got) > 0 || len(m.said) != 1 || !strings.Contains(m.said[0], "gone") {
			t.Errorf("imports %v, said %q", got, m.said)
		}
	})
}

// What goes wrong when parts are written is told, and the tag still names what
// it did.
func TestPartsThatCannotBeWritten(t *testing.T) {
	for op, says := range map[string]string{
		"manifest": "may be too large to be read: denied", "blob": "denied", "write": "denied", "put": "denied", "tag": "denied",
	} {
		m := newMemoryStore()
		ref, written := m.write(t, "app", services(40, 5).layerCache)
		m.fail[op] = errors.New("denied")
		m.shared(45_000).Exported(t.Context(), ref, written, nil)
		if len(m.said) != 1 || !strings.Contains(m.said[0], says) {
			t.Errorf("%s: said %q", op, m.said)
		}
		if got := m.manifests["layers-app.linux-amd64"].Digest; got != written.Digest.String() {
			t.Errorf("%s: the tag names %s", op, got)
		}
	}
	m := newMemoryStore()
	ref, written := m.write(t, "app", services(3, 3).layerCache)
	m.shared(300).Exported(t.Context(), ref, written, nil)
	if len(m.said) != 1 || !strings.Contains(m.said[0], "the results of 12 steps are not in it; split the target") {
		t.Errorf("said %q", m.said)
	}
}
