package history_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // as the command does
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var day = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// built makes an image of steps: "text" is one with a layer, "-text" one
// without.
func built(t testing.TB, arch string, steps ...string) v1.Image {
	t.Helper()
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	for i, step := range steps {
		add := mutate.Addendum{History: v1.History{CreatedBy: strings.TrimPrefix(step, "-"), Created: v1.Time{Time: day.Add(time.Duration(i) * time.Hour)}}}
		if strings.HasPrefix(step, "-") {
			add.History.EmptyLayer = true
		} else {
			add.Layer = must(random.Layer(int64(100*(i+1)), types.OCILayer))
		}
		img = must(mutate.Append(img, add))
	}
	cf := must(img.ConfigFile()).DeepCopy()
	cf.OS, cf.Architecture, cf.Created = "linux", arch, v1.Time{Time: day}
	return must(mutate.ConfigFile(img, cf))
}

// index makes an index of images, each with an attestation.
func index(t testing.TB, images ...v1.Image) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range images {
		cf := must(img.ConfigFile())
		proof := must(mutate.AppendLayers(empty.Image, static.NewLayer([]byte(`{"of":"`+cf.Architecture+`"}`), "application/vnd.in-toto+json")))
		idx = mutate.AppendManifests(idx,
			mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: cf.OS, Architecture: cf.Architecture, Variant: cf.Variant}}},
			mutate.IndexAddendum{Add: mutate.MediaType(proof, types.OCIManifestSchema1), Descriptor: v1.Descriptor{
				Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
			}})
	}
	return idx
}

// describable is an image or an index.
type describable interface {
	partial.Describable
	RawManifest() ([]byte, error)
}

func newStore(t testing.TB) *store.Store {
	t.Helper()
	s := must(store.Open(filepath.Join(t.TempDir(), "images"), store.WithWarn(func(err error) { t.Error(err) })))
	t.Cleanup(func() { s.Close() })
	return s
}

// put stores what under tags.
func put(t testing.TB, s *store.Store, what describable, meta store.Meta, tags ...string) {
	t.Helper()
	if err := s.Tag(context.Background(), export(t, s.Content(), what), tags, meta); err != nil {
		t.Fatal(err)
	}
}

func export(t testing.TB, c content.Store, what describable) ocispec.Descriptor {
	t.Helper()
	blob := func(d *v1.Descriptor, data []byte) ocispec.Descriptor {
		desc := ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
		if err := content.WriteBlob(context.Background(), c, d.Digest.String(), bytes.NewReader(data), desc); err != nil {
			t.Fatal(err)
		}
		return desc
	}
	switch what := what.(type) {
	case v1.ImageIndex:
		for _, m := range must(what.IndexManifest()).Manifests {
			export(t, c, must(what.Image(m.Digest)))
		}
	case v1.Image:
		for _, l := range must(what.Layers()) {
			rc := must(l.Compressed())
			blob(must(partial.Descriptor(l)), must(io.ReadAll(rc)))
			rc.Close()
		}
		blob(&must(what.Manifest()).Config, must(what.RawConfigFile()))
	}
	return blob(must(partial.Descriptor(what)), must(what.RawManifest()))
}

// push writes what into a registry.
func push(t testing.TB, c *registry.Client, ref string, what remote.Taggable) {
	t.Helper()
	if err := remote.Push(must(name.ParseReference(ref)), what, c.Options(context.Background())...); err != nil {
		t.Fatal(err)
	}
}

func client(t testing.TB, mirrors ...string) *registry.Client {
	t.Helper()
	dir := t.TempDir()
	keys := registry.NewKeychain(func(k string) (string, bool) { return dir, k == "DOCKER_CONFIG" })
	s, err := registry.Settings{}.WithFlags(mirrors, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := registry.NewClient(s, keys)
	t.Cleanup(c.Close)
	return c
}

func save(t testing.TB, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
