package store_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/store"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // as the command does
	if dir := os.Getenv("STRATA_STORE_TEST_WRITER"); dir != "" {
		writeForEver(dir)
		return
	}
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

// open opens the store in dir and closes it with the test. Warnings fail the
// test.
func open(t testing.TB, dir string) *store.Store {
	t.Helper()
	s, err := store.Open(dir, store.WithWarn(func(err error) { t.Errorf("warning: %v", err) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// openQuiet is open for a damaged store; warnings are collected.
func openQuiet(t testing.TB, dir string) (*store.Store, *[]string) {
	t.Helper()
	warnings := new([]string)
	s, err := store.Open(dir, store.WithWarn(func(err error) { *warnings = append(*warnings, err.Error()) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, warnings
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// image makes an image for a platform.
func image(t testing.TB, arch string, layers int64) v1.Image {
	t.Helper()
	img := must(random.Image(512, layers))
	cf := must(img.ConfigFile()).DeepCopy()
	cf.OS, cf.Architecture = "linux", arch
	return mutate.MediaType(must(mutate.ConfigFile(img, cf)), types.OCIManifestSchema1)
}

// attested makes an index as BuildKit does: an image for each architecture, and
// an attestation of each.
func attested(t testing.TB, archs ...string) v1.ImageIndex {
	t.Helper()
	idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range archs {
		img := image(t, arch, 2)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        img,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
		statement := static.NewLayer([]byte(`{"_type":"https://in-toto.io/Statement/v0.1","arch":"`+arch+`"}`), "application/vnd.in-toto+json")
		proof := mutate.MediaType(must(mutate.AppendLayers(empty.Image, statement)), types.OCIManifestSchema1)
		proof = mutate.ConfigMediaType(proof, types.OCIConfigJSON)
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add: proof,
			Descriptor: v1.Descriptor{
				Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"},
				Annotations: map[string]string{
					"vnd.docker.reference.type":   "attestation-manifest",
					"vnd.docker.reference.digest": must(img.Digest()).String(),
				},
			},
		})
	}
	return idx
}

// schema2 makes an index of Docker's older media types.
func schema2(t testing.TB) v1.ImageIndex {
	t.Helper()
	img := mutate.ConfigMediaType(mutate.MediaType(image(t, "amd64", 2), types.DockerManifestSchema2), types.DockerConfigJSON)
	return mutate.IndexMediaType(mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add:        img,
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}},
	}), types.DockerManifestList)
}

// describable is an image or an index.
type describable interface {
	partial.Describable
	RawManifest() ([]byte, error)
}

// export writes what as an exporter does and returns its descriptor.
func export(t testing.TB, c content.Store, what describable) ocispec.Descriptor {
	t.Helper()
	switch what := what.(type) {
	case v1.ImageIndex:
		for _, m := range must(what.IndexManifest()).Manifests {
			if m.MediaType.IsIndex() {
				export(t, c, must(what.ImageIndex(m.Digest)))
			} else {
				export(t, c, must(what.Image(m.Digest)))
			}
		}
	case v1.Image:
		for _, l := range must(what.Layers()) {
			rc := must(l.Compressed())
			blob(t, c, must(partial.Descriptor(l)), must(io.ReadAll(rc)))
			rc.Close()
		}
		blob(t, c, &must(what.Manifest()).Config, must(what.RawConfigFile()))
	}
	desc := must(partial.Descriptor(what))
	blob(t, c, desc, must(what.RawManifest()))
	return ocispec.Descriptor{MediaType: string(desc.MediaType), Digest: digest.Digest(desc.Digest.String()), Size: desc.Size}
}

func blob(t testing.TB, c content.Store, d *v1.Descriptor, data []byte) {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
	if err := content.WriteBlob(context.Background(), c, "ref-"+d.Digest.String(), bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
}

// put stores what under tags.
func put(t testing.TB, s *store.Store, what describable, meta store.Meta, tags ...string) digest.Digest {
	t.Helper()
	desc := export(t, s.Content(), what)
	if err := s.Tag(context.Background(), desc, tags, meta); err != nil {
		t.Fatal(err)
	}
	return desc.Digest
}

// files lists what is in dir, "" if it is not there.
func files(t testing.TB, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func blobPath(dir string, d digest.Digest) string {
	return filepath.Join(dir, "blobs", string(d.Algorithm()), d.Encoded())
}
