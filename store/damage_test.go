package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/store"
)

// An index that is cut short at any byte costs at most the last change, and no
// image.
func TestIndexCutShort(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s, warnings := openQuiet(t, dir)
	first := put(t, s, image(t, "amd64", 1), store.Meta{}, "a:1")
	last := put(t, s, image(t, "amd64", 1), store.Meta{}, "last")
	index := filepath.Join(dir, "index.json")
	whole := must(os.ReadFile(index))
	for n := range len(whole) {
		if err := os.WriteFile(index, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		*warnings = nil
		list, err := s.List(t.Context())
		if err != nil {
			t.Fatalf("cut at %d: %v", n, err)
		}
		if len(list) != 2 || list[0].Digest != first || len(list[0].Tags) != 1 || list[1].Digest != last {
			t.Fatalf("cut at %d: got %+v", n, list)
		}
		if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "index.json") {
			t.Fatalf("cut at %d: warnings %q", n, *warnings)
		}
		if got := must(os.ReadFile(index)); len(got) != n {
			t.Fatalf("cut at %d: listing wrote", n)
		}
	}
	// The next change mends it and keeps the damaged file.
	put(t, s, image(t, "amd64", 1), store.Meta{}, "next")
	want := whole[:len(whole)-1]
	if got := must(os.ReadFile(index + ".bad")); !reflect.DeepEqual(got, want) {
		t.Errorf("kept %d bytes, want %d", len(got), len(want))
	}
	*warnings = nil
	if list, err := s.List(t.Context()); err != nil || len(list) != 3 || len(*warnings) != 0 {
		t.Errorf("got %+v, %v, %q", list, err, *warnings)
	}
}

// No flipped byte of the index breaks a command, and none deletes a blob that
// an image needs.
func TestIndexFlipped(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s, _ := openQuiet(t, dir)
	put(t, s, image(t, "amd64", 1), store.Meta{}, "app")
	s.Close()
	index := filepath.Join(dir, "index.json")
	whole := must(os.ReadFile(index))
	for i := range whole {
		flipped := append([]byte{}, whole...)
		flipped[i] ^= 0x01
		if err := os.WriteFile(index, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(t.Context()); err != nil {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	for _, data := range [][]byte{nil, make([]byte, 4096), []byte("null"), []byte("[]"), []byte(`{"schemaVersion": 99}`), []byte(`{"schemaVersion":2,"manifests":[{"digest":"sha256:x"}]}`)} {
		if err := os.WriteFile(index, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%.20q: got %v, %v", data, list, err)
		}
		if freed, err := s.Prune(t.Context()); err != nil || freed != 0 {
			t.Errorf("%.20q: freed %d, %v", data, freed, err)
		}
	}
}

// Without any index the images are found by their blobs, under no name.
func TestIndexesLost(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s, _ := openQuiet(t, dir)
	multi := put(t, s, attested(t, "amd64", "arm64"), store.Meta{}, "app")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "index.json"), []byte("x"), 0o600), os.RemoveAll(filepath.Join(dir, ".index.old"))); err != nil {
		t.Fatal(err)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Digest != multi || len(list[0].Tags) != 0 {
		t.Fatalf("got %+v, %v", list, err)
	}
	if _, err := s.Index(t.Context(), multi.Encoded()[:12]); err != nil {
		t.Errorf("reading it: %v", err)
	}
}

func TestCheckFindsDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s := open(t, dir)
	img := image(t, "amd64", 2)
	idx := attested(t, "amd64")
	put(t, s, img, store.Meta{}, "img")
	put(t, s, idx, store.Meta{}, "idx")
	layer := digest.Digest(must(must(img.Layers())[1].Digest()).String())
	config := digest.Digest(must(img.ConfigName()).String())
	manifest := digest.Digest(must(img.Digest()).String())
	root := digest.Digest(must(idx.Digest()).String())
	damage := map[string]func(path string) error{
		"is missing": os.Remove,
		"bytes instead of": func(path string) error {
			return os.Truncate(path, 3)
		},
		"has the content of": func(path string) error {
			data := must(os.ReadFile(path))
			_, _ = rand.Read(data)
			return os.WriteFile(path, data, 0o600)
		},
	}
	for _, b := range []struct {
		ref, what string
		blob      digest.Digest
	}{{"img", "layer", layer}, {"img", "config", config}, {"img", "manifest", manifest}, {"idx", "index", root}} {
		path := blobPath(dir, b.blob)
		whole := must(os.ReadFile(path))
		for want, spoil := range damage {
			if err := errors.Join(os.Chmod(path, 0o600), spoil(path)); err != nil {
				t.Fatal(err)
			}
			problems, err := s.Check(t.Context(), b.ref)
			if err != nil || len(problems) == 0 {
				t.Fatalf("%s %s: got %v, %v", b.what, want, problems, err)
			}
			p := problems[0]
			if p.Digest != b.blob || p.What != b.what || !strings.Contains(p.Detail, want) {
				t.Errorf("%s %s: got %+v", b.what, want, p)
			}
			if list, err := s.List(t.Context()); err != nil || len(list) != 2 {
				t.Errorf("%s %s: listing says %v, %v", b.what, want, list, err)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, ref := range []string{"img", "idx"} {
		if problems, err := s.Check(t.Context(), ref); err != nil || len(problems) != 0 {
			t.Errorf("%s: got %v, %v", ref, problems, err)
		}
	}
}

// A layer that is whole, but not the one that the config was made for.
func TestCheckComparesDiffIDs(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, wrongDiffID(t), store.Meta{}, "swapped")
	problems, err := s.Check(t.Context(), "swapped")
	if err != nil || len(problems) != 1 || problems[0].What != "layer" || !strings.Contains(problems[0].Detail, "unpacks to sha256:") {
		t.Errorf("got %v, %v", problems, err)
	}
	put(t, s, notCompressed(t), store.Meta{}, "garbage")
	problems, err = s.Check(t.Context(), "garbage")
	if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Detail, "unpack") {
		t.Errorf("got %v, %v", problems, err)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := s.Check(ctx, "a"); err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
}

// A damaged image keeps all blobs from being collected until it is removed.
func TestPruneIsCarefulWithDamage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s, warnings := openQuiet(t, dir)
	idx := attested(t, "amd64")
	put(t, s, idx, store.Meta{}, "broken")
	s.Close()
	child := digest.Digest(must(idx.IndexManifest()).Manifests[0].Digest.String())
	if err := os.Remove(blobPath(dir, child)); err != nil {
		t.Fatal(err)
	}
	if freed, err := s.Prune(t.Context()); err != nil || freed != 0 || len(*warnings) != 1 {
		t.Errorf("freed %d, %v, %q", freed, err, *warnings)
	}
	if img, err := s.Resolve(t.Context(), "broken"); err != nil || !strings.Contains(img.Problem, child.String()) {
		t.Errorf("got %+v, %v", img, err)
	}
	if _, err := s.Remove(t.Context(), []string{"broken"}); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(blobPath(dir, digest.Digest(must(idx.Digest()).String()))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// wrongDiffID is an image whose config was made for another layer.
func wrongDiffID(t *testing.T) v1.Image {
	t.Helper()
	img := image(t, "amd64", 1)
	cf := must(img.ConfigFile()).DeepCopy()
	cf.RootFS.DiffIDs = must(image(t, "amd64", 1).ConfigFile()).RootFS.DiffIDs
	return must(mutate.ConfigFile(img, cf))
}

// notCompressed is an image with a layer that begins as gzip and is none.
func notCompressed(t *testing.T) v1.Image {
	t.Helper()
	layer := static.NewLayer([]byte("\x1f\x8b\x08 this is no gzip"), types.OCILayer)
	return must(mutate.AppendLayers(image(t, "amd64", 0), layer))
}

// On a full disk a change fails, and what was there before stays as it was.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	small := t.TempDir()
	if err := syscall.Mount("tmpfs", small, "tmpfs", 0, "size=128k,nr_inodes=200"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(small, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	dir := filepath.Join(small, "images")
	s := open(t, dir)
	defer s.Close()
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
	before := listNames(t, s)

	full := filepath.Join(small, "filler")
	f := must(os.Create(full))
	_, err := f.Write(make([]byte, 1<<20))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	data := make([]byte, 64<<10)
	desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	if err := content.WriteBlob(t.Context(), s.Content(), "r", bytes.NewReader(data), desc); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("writing a blob: got %v", err)
	}
	img := must(s.Resolve(t.Context(), "a"))
	if err := s.Tag(t.Context(), img.Desc, []string{"b"}, store.Meta{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("tagging: got %v", err)
	}
	if got := listNames(t, s); !reflect.DeepEqual(got, before) {
		t.Errorf("got %v, want %v", got, before)
	}
	if err := os.Remove(full); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), img.Desc, []string{"b"}, store.Meta{}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
