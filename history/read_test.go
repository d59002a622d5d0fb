package history_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// show writes a record on one line: platforms, and the steps of each.
func show(rec history.Record) string {
	var parts []string
	for _, img := range rec.Images {
		var steps []string
		for _, l := range img.Layers {
			steps = append(steps, l.CreatedBy)
		}
		parts = append(parts, img.Platform+": "+strings.Join(steps, ", "))
	}
	return strings.Join(parts, " | ")
}

// foreign is an architecture that this machine has not.
func foreign() string {
	if runtime.GOARCH == "s390x" {
		return "riscv64"
	}
	return "s390x"
}

func TestReadStore(t *testing.T) {
	s := newStore(t)
	single := built(t, "amd64", "COPY a /", "-CMD x")
	put(t, s, single, store.Meta{Target: "app"}, "shop/app:dev", "app")
	put(t, s, index(t, built(t, "amd64", "RUN amd"), built(t, "arm64", "RUN arm")), store.Meta{}, "multi")
	where := history.Sources{Store: s}
	tests := []struct{ ref, platform, want string }{
		{"app", "", "linux/amd64: COPY a /, CMD x"},
		{"shop/app:dev", "", "linux/amd64: COPY a /, CMD x"},
		{must(single.Digest()).String(), "", "linux/amd64: COPY a /, CMD x"},
		{must(single.Digest()).Hex[:12], "all", "linux/amd64: COPY a /, CMD x"},
		{"multi", "", "linux/amd64: RUN amd | linux/arm64: RUN arm"},
		{"multi", "all", "linux/amd64: RUN amd | linux/arm64: RUN arm"},
		{"multi", "linux/arm64", "linux/arm64: RUN arm"},
		{"multi", "linux/aarch64", "linux/arm64: RUN arm"},
	}
	for _, tt := range tests {
		rec, err := history.Read(t.Context(), where, tt.ref, tt.platform)
		if err != nil || show(rec) != tt.want || rec.Schema != history.Schema {
			t.Errorf("%s %s: got %q, %v; want %q", tt.ref, tt.platform, show(rec), err, tt.want)
		}
	}
	rec, err := history.Read(t.Context(), where, "app", "")
	if err != nil || rec.Ref != "app:latest" || len(rec.Tags) != 2 || rec.Digest != must(single.Digest()).String() {
		t.Errorf("got %+v, %v", rec, err)
	}
	_, err = history.Read(t.Context(), where, "multi", "linux/s390x")
	var pe *history.PlatformError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "there is one for linux/amd64, linux/arm64") {
		t.Errorf("got %v", err)
	}
	if _, err = history.Read(t.Context(), where, "multi", "no/such/platform/at/all"); err == nil {
		t.Error("a senseless platform was understood")
	}
	var nf *store.NotFoundError
	if _, err = history.Read(t.Context(), where, "ap", ""); !errors.As(err, &nf) || nf.Similar != "app" {
		t.Errorf("got %v", err)
	}
}

func TestReadRegistry(t *testing.T) {
	reg := testkit.NewRegistry(t)
	c := client(t, "docker.io="+reg.URL())
	push(t, c, reg.Host+"/library/python:3.8", index(t, built(t, foreign(), "RUN other"), built(t, runtime.GOARCH, "RUN mine", "-CMD python3")))
	push(t, c, reg.Host+"/other:1", index(t, built(t, foreign(), "RUN other")))
	mine := "linux/" + runtime.GOARCH + ": RUN mine, CMD python3"
	where := history.Sources{Store: newStore(t), Registry: c}
	tests := []struct{ ref, platform, want string }{
		{"python:3.8", "", mine},
		{"docker://python:3.8", "", mine},
		{reg.Host + "/library/python:3.8", "", mine},
		{"python:3.8", "linux/" + foreign(), "linux/" + foreign() + ": RUN other"},
		{"python:3.8", "all", "linux/" + foreign() + ": RUN other | " + mine},
		{reg.Host + "/other:1", "", "linux/" + foreign() + ": RUN other"},
	}
	for _, tt := range tests {
		rec, err := history.Read(t.Context(), where, tt.ref, tt.platform)
		if err != nil || show(rec) != tt.want {
			t.Errorf("%s %s: got %q, %v; want %q", tt.ref, tt.platform, show(rec), err, tt.want)
		}
	}
	// The store is asked first, and docker:// passes it over.
	put(t, where.Store, built(t, "amd64", "RUN stored"), store.Meta{}, "python:3.8")
	if rec, err := history.Read(t.Context(), where, "python:3.8", ""); err != nil || show(rec) != "linux/amd64: RUN stored" {
		t.Errorf("got %q, %v", show(rec), err)
	}
	if rec, err := history.Read(t.Context(), where, "docker://python:3.8", ""); err != nil || show(rec) != mine {
		t.Errorf("got %q, %v", show(rec), err)
	}
	// A name like one in the store is told of; a digest is not looked for.
	_, err := history.Read(t.Context(), where, reg.Host+"/library/python:3.9", "")
	var e *registry.Error
	if !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
	put(t, where.Store, built(t, "amd64", "RUN stored"), store.Meta{}, reg.Host+"/mine:1")
	_, err = history.Read(t.Context(), where, reg.Host+"/mine:2", "")
	if !errors.As(err, &e) || !strings.Contains(e.Hint, `In the image store there is "`+reg.Host+`/mine:1"`) {
		t.Errorf("got %v, hint %q", err, e.Hint)
	}
	reg.Forget()
	var nf *store.NotFoundError
	if _, err := history.Read(t.Context(), where, "sha256:"+strings.Repeat("ab", 32), ""); !errors.As(err, &nf) || len(reg.Requests()) != 0 {
		t.Errorf("got %v after %q", err, reg.Requests())
	}
	if _, err := history.Read(t.Context(), where, "UPPER", ""); err == nil {
		t.Error("a bad reference was read")
	}
}

func TestReadArchives(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t)
	img := built(t, "amd64", "COPY a /", "-CMD x")
	put(t, s, img, store.Meta{}, "app:1")
	put(t, s, index(t, built(t, "amd64", "RUN amd"), built(t, "arm64", "RUN arm")), store.Meta{}, "multi:2")
	archive := func(format store.Format, refs ...string) []byte {
		var buf bytes.Buffer
		if err := s.Save(t.Context(), refs, format, "linux/amd64", &buf); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	var old bytes.Buffer
	if err := tarball.Write(must(name.ParseReference("old/app:7")), img, &old); err != nil {
		t.Fatal(err)
	}
	ocidir := filepath.Join(dir, "layout")
	p := must(layout.Write(ocidir, empty.Index))
	if err := errors.Join(
		p.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v1"})),
		p.AppendIndex(index(t, built(t, "amd64", "RUN amd")), layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": "v2"}))); err != nil {
		t.Fatal(err)
	}
	one := save(t, filepath.Join(dir, "one.tar"), archive(store.OCI, "app:1"))
	zip := save(t, filepath.Join(dir, "one.tar.gz"), zipped(t, archive(store.OCI, "app:1")))
	two := save(t, filepath.Join(dir, "two.tar"), archive(store.OCI, "app:1", "multi:2"))
	docker := save(t, filepath.Join(dir, "docker.tar"), archive(store.Docker, "app:1"))
	oldTar := save(t, filepath.Join(dir, "old.tar"), old.Bytes())
	oldZip := save(t, filepath.Join(dir, "old.tar.gz"), zipped(t, old.Bytes()))

	app := "linux/amd64: COPY a /, CMD x"
	tests := []struct{ ref, platform, want string }{
		{one, "", app},
		{zip, "", app},
		{one + ":app:1", "", app},
		{one + ":docker.io/library/app:1", "", app},
		{two + ":app:1", "", app},
		{two + ":multi:2", "all", "linux/amd64: RUN amd | linux/arm64: RUN arm"},
		{docker, "", app},
		{oldTar, "", app},
		{oldZip, "", app},
		{oldZip, "linux/amd64", app},
		{oldTar + ":old/app:7", "", app},
		{ocidir + ":v1", "", app},
		{ocidir + "@" + must(img.Digest()).String(), "", app},
		{"oci-layout://" + ocidir + ":v1", "", app},
		{"oci-layout://" + ocidir + ":v2", "all", "linux/amd64: RUN amd"},
	}
	where := history.Sources{Store: s}
	for _, tt := range tests {
		rec, err := history.Read(t.Context(), where, tt.ref, tt.platform)
		if err != nil || show(rec) != tt.want {
			t.Errorf("%s %s: got %q, %v; want %q", tt.ref, tt.platform, show(rec), err, tt.want)
		}
		if err == nil && rec.Images[0].Size == 0 {
			t.Errorf("%s has no size", tt.ref)
		}
	}
	missing := map[string]string{
		two:                                   "there are several images",
		two + ":nope":                         `there is no image "nope"`,
		ocidir:                                "there are several images in " + ocidir + "; name one of v1, v2",
		ocidir + ":v3":                        `there is no image "v3" in ` + ocidir + "; it has v1, v2",
		oldTar + ":other":                     `there is no image "other"; there are`,
		dir:                                   "no OCI layout",
		"./no/such.tar":                       "image archive ./no/such.tar",
		"no/such.tar.gz":                      "image archive no/such.tar.gz",
		"oci-layout:///no/such":               "OCI layout /no/such",
		save(t, dir+"/text", []byte("hello")): "reading archive",
		save(t, dir+"/empty", nil):            "reading archive",
		save(t, dir+"/short", archive(store.OCI, "app:1")[:3000]): "",
	}
	for ref, want := range missing {
		_, err := history.Read(t.Context(), where, ref, "")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", ref, err, want)
		}
	}
	if _, err := history.Read(t.Context(), where, oldTar, "linux/arm64"); err == nil || !strings.Contains(err.Error(), "there is one for linux/amd64") {
		t.Errorf("got %v", err)
	}
}

func zipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// An archive of docker save before Docker 25 has layers unpacked, and links for
// those that come twice.
func TestReadUnpackedDockerArchive(t *testing.T) {
	config := must(json.Marshal(v1.ConfigFile{
		OS: "linux", Architecture: "amd64",
		RootFS:  v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{hash("a"), hash("b")}},
		History: []v1.History{{CreatedBy: "one"}, {CreatedBy: "two"}},
	}))
	path := save(t, filepath.Join(t.TempDir(), "x.tar"), tarOf(t,
		tar.Header{Name: "aaa/layer.tar", Typeflag: tar.TypeReg}, strings.Repeat("x", 1234),
		tar.Header{Name: "bbb/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../aaa/layer.tar"}, "",
		tar.Header{Name: "cfg.json", Typeflag: tar.TypeReg}, string(config),
		tar.Header{Name: "manifest.json", Typeflag: tar.TypeReg}, `[{"Config":"cfg.json","RepoTags":null,"Layers":["aaa/layer.tar","bbb/layer.tar"]}]`,
	))
	rec, err := history.Read(t.Context(), history.Sources{}, path, "")
	if err != nil || show(rec) != "linux/amd64: one, two" {
		t.Fatalf("got %q, %v", show(rec), err)
	}
	img := rec.Images[0]
	if img.SizeKind != "disk" || img.Size != 2*1234 || img.Layers[1].Digest != hash("b").String() || rec.Digest != "" {
		t.Errorf("got %+v", rec)
	}
}

func hash(s string) v1.Hash {
	h, _, _ := v1.SHA256(strings.NewReader(s))
	return h
}

// tarOf makes an archive of headers and contents in turn.
func tarOf(t *testing.T, entries ...any) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for i := 0; i < len(entries); i += 2 {
		h, data := entries[i].(tar.Header), entries[i+1].(string)
		h.Mode, h.Size = 0o600, int64(len(data))
		if err := w.WriteHeader(&h); err != nil {
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

// What was put under a digest that is not its own is not believed.
func TestReadChecksDigests(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	img := built(t, "amd64", "RUN true")
	p := must(layout.Write(dir, empty.Index))
	if err := p.AppendImage(img); err != nil {
		t.Fatal(err)
	}
	for what, h := range map[string]v1.Hash{"manifest": must(img.Digest()), "config": must(img.ConfigName())} {
		path := filepath.Join(dir, "blobs", h.Algorithm, h.Hex)
		whole := must(os.ReadFile(path))
		save(t, path, bytes.Replace(whole, []byte("linux"), []byte("lunix"), 1))
		if what == "manifest" {
			save(t, path, append(whole, ' '))
		}
		_, err := history.Read(t.Context(), history.Sources{}, dir, "")
		if err == nil || !strings.Contains(err.Error(), "has the content of") {
			t.Errorf("%s: got %v", what, err)
		}
		save(t, path, whole)
	}
	if err := os.Remove(filepath.Join(dir, "blobs", "sha256", must(img.ConfigName()).Hex)); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Read(t.Context(), history.Sources{}, dir, ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

func TestReadBounds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "layout")
	idx := index(t, built(t, "amd64", "RUN true"))
	for range 6 {
		idx = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: idx})
	}
	p := must(layout.Write(dir, empty.Index))
	if err := p.AppendIndex(idx); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Read(t.Context(), history.Sources{}, dir, ""); err == nil || !strings.Contains(err.Error(), "nested deeper than 4") {
		t.Errorf("got %v", err)
	}
	huge := filepath.Join(t.TempDir(), "huge")
	if err := os.Mkdir(huge, 0o700); err != nil {
		t.Fatal(err)
	}
	save(t, filepath.Join(huge, "oci-layout"), []byte(`{}`))
	f := must(os.Create(filepath.Join(huge, "index.json")))
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := history.Read(t.Context(), history.Sources{}, huge, ""); err == nil || !strings.Contains(err.Error(), "larger than any real one") {
		t.Errorf("got %v", err)
	}
}

func TestReadEndsWithItsContext(t *testing.T) {
	reg := testkit.NewRegistry(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := history.Read(ctx, history.Sources{Registry: client(t)}, fmt.Sprintf("%s/app:1", reg.Host), "")
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
