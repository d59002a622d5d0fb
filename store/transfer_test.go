package store_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

func client(t *testing.T) *registry.Client {
	t.Helper()
	keys := registry.NewKeychain(func(k string) (string, bool) {
		if k == "DOCKER_CONFIG" {
			return t.TempDir(), true
		}
		return "", false
	})
	c := registry.NewClient(registry.Settings{}, keys)
	t.Cleanup(c.Close)
	return c
}

// kinds are images of every make.
func kinds(t *testing.T) map[string]describable {
	nested := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: attested(t, "amd64")})
	return map[string]describable{
		"single":   image(t, "amd64", 2),
		"attested": attested(t, "amd64", "arm64"),
		"schema2":  schema2(t),
		"nested":   nested,
		"no-layer": image(t, "amd64", 0),
	}
}

// Whatever the make, what a registry has afterwards is what was stored.
func TestPushByteForByte(t *testing.T) {
	reg := testkit.NewRegistry(t)
	s := open(t, filepath.Join(t.TempDir(), "images"))
	to := client(t)
	for kind, what := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			want := put(t, s, what, store.Meta{}, kind)
			var sent atomic.Int64
			got, err := s.Push(t.Context(), kind, reg.Host+"/"+kind+":1", to, func(done, total int64) {
				sent.Store(done)
				if done > total {
					t.Errorf("%d of %d bytes sent", done, total)
				}
			})
			if err != nil || got != want {
				t.Fatalf("got %s, %v; want %s", got, err, want)
			}
			if sent.Load() == 0 && kind != "no-layer" {
				t.Error("no progress was told")
			}
			desc, err := remote.Get(must(name.ParseReference(reg.Host+"/"+kind+":1")), to.Options(t.Context())...)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(desc.Manifest, must(what.RawManifest())) || string(desc.MediaType) != string(must(what.MediaType())) {
				t.Errorf("the registry has %s %s", desc.MediaType, desc.Manifest)
			}
			checkRemote(t, desc, what)
		})
	}
}

// checkRemote reads every blob of an image in a registry.
func checkRemote(t *testing.T, desc *remote.Descriptor, what describable) {
	t.Helper()
	if _, ok := what.(v1.Image); ok {
		readImage(t, must(desc.Image()))
		return
	}
	idx := must(desc.ImageIndex())
	for _, m := range must(idx.IndexManifest()).Manifests {
		if m.MediaType.IsImage() {
			readImage(t, must(idx.Image(m.Digest)))
		}
	}
}

// readImage reads all of an image; its parts check their own digests.
func readImage(t *testing.T, img v1.Image) {
	t.Helper()
	if _, err := img.RawConfigFile(); err != nil {
		t.Error(err)
	}
	for _, l := range must(img.Layers()) {
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, rc); err != nil {
			t.Error(err)
		}
		rc.Close()
	}
}

func TestPushSendsOnlyWhatIsMissing(t *testing.T) {
	reg := testkit.NewRegistry(t)
	s := open(t, filepath.Join(t.TempDir(), "images"))
	to := client(t)
	base := image(t, "amd64", 3)
	put(t, s, base, store.Meta{}, "base")
	top := must(mutate.AppendLayers(base, must(image(t, "amd64", 1).Layers())...))
	put(t, s, top, store.Meta{}, "top")
	if _, err := s.Push(t.Context(), "base", reg.Host+"/app:1", to, nil); err != nil {
		t.Fatal(err)
	}
	reg.Forget()
	if _, err := s.Push(t.Context(), "top", reg.Host+"/app:2", to, nil); err != nil {
		t.Fatal(err)
	}
	if n := reg.Count("PUT .*/blobs/"); n != 2 { // a layer and a config
		t.Errorf("%d blobs were sent: %q", n, reg.Requests())
	}
	reg.Forget()
	if _, err := s.Push(t.Context(), "top", reg.Host+"/app:2", to, nil); err != nil {
		t.Fatal(err)
	}
	if n := reg.Count("^(PUT|PATCH|POST)"); n != 0 {
		t.Errorf("pushing again sent %q", reg.Requests())
	}
}

func TestPushFails(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
	lose := testkit.Fault{Match: regexp.MustCompile("PUT .*/manifests/"), Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusCreated) // taken, and lost
	}}
	lie := testkit.Fault{Match: regexp.MustCompile("HEAD .*/manifests/1"), Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Content-Length", "2")
		w.Header().Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
	}}
	for want, fault := range map[string]testkit.Fault{
		"reading back":          lose,
		"took sha256:":          lie,
		"answers 403: it wants": testkit.Status("POST .*/uploads/", 0, http.StatusForbidden),
	} {
		t.Run(want, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			reg.Inject(fault)
			_, err := s.Push(t.Context(), "a", reg.Host+"/a:1", client(t), nil)
			var e *registry.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), want) || e.Hint == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	var re *registry.ReferenceError
	if _, err := s.Push(t.Context(), "a", "UPPER", client(t), nil); !errors.As(err, &re) {
		t.Errorf("got %v", err)
	}
	var nf *store.NotFoundError
	if _, err := s.Push(t.Context(), "b", "b", client(t), nil); !errors.As(err, &nf) {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Push(ctx, "a", "127.0.0.1:1/a:1", client(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A push that fails at first is finished in the end.
func TestPushRetries(t *testing.T) {
	reg := testkit.NewRegistry(t)
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
	reg.Inject(
		testkit.Status("PATCH .*/uploads/", 1, http.StatusServiceUnavailable),
		testkit.Status("PUT .*/manifests/", 1, http.StatusBadGateway),
	)
	if _, err := s.Push(t.Context(), "a", reg.Host+"/a:1", client(t), nil); err != nil {
		t.Error(err)
	}
}

// An archive holds what was stored, and another store has it afterwards.
func TestSaveAndLoad(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	for kind, what := range kinds(t) {
		for _, zip := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, compressed %t", kind, zip), func(t *testing.T) {
				want := put(t, s, what, store.Meta{}, kind, "also/"+kind+":2")
				var buf bytes.Buffer
				if err := s.Save(t.Context(), []string{want.String()}, store.OCI, "", &buf); err != nil {
					t.Fatal(err)
				}
				other := open(t, filepath.Join(t.TempDir(), "other"))
				var in io.Reader = &buf
				if zip {
					in = gzipped(t, &buf)
				}
				loaded, err := other.LoadArchive(t.Context(), in)
				if err != nil || len(loaded) != 1 || loaded[0].Digest != want || len(loaded[0].Tags) != 2 {
					t.Fatalf("got %+v, %v", loaded, err)
				}
				if problems, err := other.Check(t.Context(), kind); err != nil || len(problems) != 0 {
					t.Errorf("got %v, %v", problems, err)
				}
				if err := other.Close(); err != nil {
					t.Fatal(err)
				}
				if freed, err := other.Prune(t.Context()); err != nil || freed != 0 {
					t.Errorf("the archive left %d bytes that are no image, %v", freed, err)
				}
			})
		}
	}
}

func gzipped(t *testing.T, r io.Reader) io.Reader {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := io.Copy(w, r); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buf
}

func TestSaveSeveral(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	base := image(t, "amd64", 2)
	put(t, s, base, store.Meta{}, "a:1", "a:2")
	put(t, s, must(mutate.AppendLayers(base, must(image(t, "amd64", 1).Layers())...)), store.Meta{}, "b")
	var buf, again bytes.Buffer
	for _, w := range []*bytes.Buffer{&buf, &again} {
		if err := s.Save(t.Context(), []string{"a:1", "b"}, store.OCI, "", w); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(buf.Bytes(), again.Bytes()) {
		t.Error("two archives of the same images differ")
	}
	other := open(t, filepath.Join(t.TempDir(), "other"))
	if _, err := other.LoadArchive(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	if names := listNames(t, other); len(names) != 2 || names["docker.io/library/a:1"] == "" {
		t.Errorf("got %v", names) // a:2 was not asked for
	}
	if err := s.Save(t.Context(), []string{"a:1", "c", "d"}, store.OCI, "", io.Discard); err == nil || strings.Count(err.Error(), "no image") != 2 {
		t.Errorf("got %v", err)
	}
}

// A docker archive is what docker load takes: manifest.json names config,
// layers and tags of one platform.
func TestSaveForDocker(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	idx := attested(t, "amd64", "arm64")
	put(t, s, idx, store.Meta{}, "app")
	want := must(idx.Image(must(idx.IndexManifest()).Manifests[2].Digest))
	var buf bytes.Buffer
	if err := s.Save(t.Context(), []string{"app"}, store.Docker, "linux/arm64", &buf); err != nil {
		t.Fatal(err)
	}
	tag := must(name.NewTag("app"))
	img, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil }, &tag)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := must(img.ConfigName()), must(want.ConfigName()); got != want {
		t.Errorf("config %s, want %s", got, want)
	}
	readImage(t, img)
	other := open(t, filepath.Join(t.TempDir(), "other"))
	loaded, err := other.LoadArchive(t.Context(), &buf)
	if err != nil || len(loaded) != 1 || loaded[0].Digest.String() != must(want.Digest()).String() || loaded[0].Name() != "app:latest" {
		t.Errorf("got %+v, %v", loaded, err)
	}
	err = s.Save(t.Context(), []string{"app"}, store.Docker, "linux/s390x", io.Discard)
	if err == nil || !strings.Contains(err.Error(), "app:latest has no image for linux/s390x; it has linux/amd64, linux/arm64") {
		t.Errorf("got %v", err)
	}
}

// Archives as docker save wrote them before it knew OCI.
func TestLoadOldDockerArchive(t *testing.T) {
	img := image(t, "amd64", 2)
	var buf bytes.Buffer
	if err := tarball.Write(must(name.ParseReference("old/app:7")), img, &buf); err != nil {
		t.Fatal(err)
	}
	s := open(t, filepath.Join(t.TempDir(), "images"))
	loaded, err := s.LoadArchive(t.Context(), gzipped(t, &buf))
	if err != nil || len(loaded) != 1 || loaded[0].Tags[0] != "docker.io/old/app:7" || loaded[0].Platforms[0] != "linux/amd64" {
		t.Fatalf("got %+v, %v", loaded, err)
	}
	if got := must(must(s.Image(t.Context(), "old/app:7")).ConfigName()); got != must(img.ConfigName()) {
		t.Errorf("config %s", got)
	}
	if problems, err := s.Check(t.Context(), "old/app:7"); err != nil || len(problems) != 0 {
		t.Errorf("got %v, %v", problems, err)
	}
}

func TestLoadRefuses(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 2), store.Meta{}, "a")
	var whole bytes.Buffer
	if err := s.Save(t.Context(), []string{"a"}, store.OCI, "", &whole); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		archive []byte
		want    string
	}{
		"nothing":      {nil, "archive"},
		"text":         {[]byte(strings.Repeat("no archive ", 200)), "archive"},
		"empty tar":    {tarOf(t, nil), "unrecognized image format"},
		"no image":     {tarOf(t, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{"schemaVersion":2,"manifests":[]}`}), "no image in the archive"},
		"no index":     {tarOf(t, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`}), "missing index.json"},
		"garbage":      {tarOf(t, map[string]string{"oci-layout": `{"imageLayoutVersion":"1.0.0"}`, "index.json": `{`}), "index of the archive"},
		"blob missing": {without(t, whole.Bytes()), "is missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			other := open(t, filepath.Join(t.TempDir(), "other"))
			_, err := other.LoadArchive(t.Context(), bytes.NewReader(tt.archive))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if names := listNames(t, other); len(names) != 0 {
				t.Errorf("got %v", names)
			}
		})
	}
}

func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// without drops the largest file of an archive, a layer.
func without(t *testing.T, archive []byte) []byte {
	t.Helper()
	files := map[string]string{}
	largest := ""
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		data := must(io.ReadAll(r))
		if h.Typeflag == tar.TypeReg {
			files[h.Name] = string(data)
		}
		if len(data) > len(files[largest]) && strings.HasPrefix(h.Name, "blobs/") && !json.Valid(data) {
			largest = h.Name
		}
	}
	delete(files, largest)
	return tarOf(t, files)
}
