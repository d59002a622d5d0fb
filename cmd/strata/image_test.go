package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/store"
)

// A world is a user's home with a store, and what commands say in it.
type world struct {
	t   *testing.T
	dir string
}

// newWorld makes a home, and a directory to be in.
func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	for name, value := range map[string]string{
		"HOME": dir, "STRATA_STORE": filepath.Join(dir, "store"), "XDG_STATE_HOME": filepath.Join(dir, "state"),
		"DOCKER_CONFIG": filepath.Join(dir, "docker"), "XDG_CONFIG_HOME": "", "STRATA_REGISTRIES": "", "STRATA_ENGINE": "",
	} {
		t.Setenv(name, value)
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	return &world{t, dir}
}

// strata runs a command as main does and wants it to end with status.
func (w *world) strata(status int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	return w.strataWith(nil, status, args...)
}

func (w *world) strataWith(input []byte, status int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	var files [3]*os.File
	for i := range files {
		f, err := os.CreateTemp(w.dir, "stream")
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		files[i] = f
	}
	if _, err := files[0].WriteAt(input, 0); err != nil {
		w.t.Fatal(err)
	}
	got := run(args, streams{in: files[0], out: files[1], err: files[2]})
	var texts [3]string
	for i, f := range files {
		data, err := os.ReadFile(f.Name())
		if err != nil {
			w.t.Fatal(err)
		}
		texts[i] = string(data)
	}
	if got != status {
		w.t.Fatalf("strata %q ended with %d, want %d\n%s%s", args, got, status, texts[1], texts[2])
	}
	return texts[1], texts[2]
}

// wants checks that text has a match of each pattern, and none of those that
// begin with "!".
func (w *world) wants(text string, patterns ...string) {
	w.t.Helper()
	for _, p := range patterns {
		p, absent := strings.CutPrefix(p, "!")
		if regexp.MustCompile("(?m)"+p).MatchString(text) == absent {
			w.t.Errorf("match of %q: want %t in\n%s", p, !absent, text)
		}
	}
}

// keep stores a small image, of two platforms if arch says so.
func (w *world) keep(meta store.Meta, archs string, tags ...string) digest.Digest {
	w.t.Helper()
	s, err := store.Open(filepath.Join(w.dir, "store"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer s.Close()
	var images []v1.Image
	for arch := range strings.FieldsSeq(archs) {
		images = append(images, smallImage(w.t, arch))
	}
	desc := exportImage(w.t, s.Content(), images[0])
	if len(images) > 1 {
		idx := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, img := range images {
			exportImage(w.t, s.Content(), img)
			cf, _ := img.ConfigFile()
			idx = mutate.AppendManifests(idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: cf.Architecture}}})
		}
		desc = writeBlob(w.t, s.Content(), idx)
	}
	if err := s.Tag(context.Background(), desc, tags, meta); err != nil {
		w.t.Fatal(err)
	}
	return desc.Digest
}

func smallImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	layer, err := random.Layer(512, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	created := v1.Time{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	img, err := mutate.Append(mutate.MediaType(empty.Image, types.OCIManifestSchema1),
		mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "COPY " + arch + " / # buildkit", Created: created}},
		mutate.Addendum{History: v1.History{CreatedBy: "CMD [\"" + arch + "\"]", EmptyLayer: true, Created: created}})
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	return img
}

func exportImage(t *testing.T, c content.Store, img v1.Image) ocispec.Descriptor {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		desc, err := partial.Descriptor(l)
		if err != nil {
			t.Fatal(err)
		}
		rc, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(rc)
		if err != nil {
			t.Fatal(err)
		}
		rc.Close()
		write(t, c, *desc, data)
	}
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	write(t, c, m.Config, config)
	return writeBlob(t, c, img)
}

func writeBlob(t *testing.T, c content.Store, what interface {
	partial.Describable
	RawManifest() ([]byte, error)
}) ocispec.Descriptor {
	t.Helper()
	desc, err := partial.Descriptor(what)
	if err != nil {
		t.Fatal(err)
	}
	data, err := what.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, c, *desc, data)
}

func write(t *testing.T, c content.Store, d v1.Descriptor, data []byte) ocispec.Descriptor {
	t.Helper()
	desc := ocispec.Descriptor{MediaType: string(d.MediaType), Digest: digest.Digest(d.Digest.String()), Size: d.Size}
	if err := content.WriteBlob(context.Background(), c, d.Digest.String(), bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	return desc
}

func TestImages(t *testing.T) {
	w := newWorld(t)
	out, notes := w.strata(0, "images")
	w.wants(notes, "^no image; strata build")
	if out != "" {
		t.Errorf("an empty store lists %q", out)
	}
	out, _ = w.strata(0, "images", "--json")
	w.wants(out, `"images": \[\]`)
	d := w.keep(store.Meta{Target: "api", Created: time.Now().Add(-time.Hour)}, "amd64 arm64", "shop/api:dev", "shop/api:1")
	w.keep(store.Meta{Target: "tools", Project: "/p"}, "amd64")
	out, _ = w.strata(0, "images")
	w.wants(out, `^NAME +PLATFORMS +DIGEST +SIZE +KEPT +TARGET`,
		`^shop/api:1 +linux/amd64 linux/arm64 +`+d.String()[:16]+`.* kB +1 hour ago +api$`, `^shop/api:dev `, `^tools +linux/amd64 `)
	out, _ = w.strata(0, "images", "shop/*", "nothing")
	w.wants(out, `^shop/api:dev `, `!tools`)
	out, _ = w.strata(0, "images", "--json", "*:dev", "shop/api")
	var listed struct {
		Schema int
		Images []struct {
			Tags, Platforms []string
			Digest          digest.Digest
			Size            int64
		}
	}
	if err := json.Unmarshal([]byte(out), &listed); err != nil {
		t.Fatal(err)
	}
	if listed.Schema != 1 || len(listed.Images) != 1 || listed.Images[0].Digest != d || len(listed.Images[0].Tags) != 2 || listed.Images[0].Size == 0 {
		t.Errorf("got %+v", listed)
	}
	_, errs := w.strata(2, "images", "[")
	w.wants(errs, `pattern "\[": syntax error`)
}

func TestImageCheck(t *testing.T) {
	w := newWorld(t)
	d := w.keep(store.Meta{}, "amd64", "good")
	bad := w.keep(store.Meta{}, "amd64", "bad")
	out, _ := w.strata(0, "image", "check")
	w.wants(out, `^bad:latest +ok$`, `^good:latest +ok$`)
	if err := os.Remove(filepath.Join(w.dir, "store", "blobs", "sha256", bad.Encoded())); err != nil {
		t.Fatal(err)
	}
	out, errs := w.strata(6, "image", "check")
	w.wants(out, `^bad:latest +damaged +manifest sha256:.* is missing$`, `^good:latest +ok$`)
	w.wants(errs, `^Error: 1 image damaged$`)
	out, _ = w.strata(0, "images")
	w.wants(out, `^bad:latest .*damaged: strata image check bad:latest$`)
	out, _ = w.strata(0, "image", "check", "--json", d.Encoded()[:10])
	w.wants(out, `"problems": \[\]`, `"schema": 1`)
	_, errs = w.strata(2, "image", "check", "god")
	w.wants(errs, `no image "god" in the image store; did you mean "good"\?`)
}

func TestImagePush(t *testing.T) {
	w := newWorld(t)
	reg := testkit.NewRegistry(t)
	d := w.keep(store.Meta{Target: "api"}, "amd64 arm64", "app", reg.Host+"/app:own")
	out, errs := w.strata(0, "image", "push", "app", reg.Host+"/app:1", reg.Host+"/app:2")
	w.wants(errs, "(?m)^pushing "+reg.Host+"/app:1: (.*) of ")
	want := fmt.Sprintf("%[1]s/app:1@%[2]s\n%[1]s/app:2@%[2]s\n", reg.Host, d)
	if out != want {
		t.Errorf("got %q, want %q", out, want)
	}
	out, _ = w.strata(0, "image", "push", reg.Host+"/app:own")
	if out != reg.Host+"/app:own@"+d.String()+"\n" {
		t.Errorf("got %q", out)
	}
	out, errs = w.strata(7, "image", "push", "app", reg.Host+"/app:3", "127.0.0.1:1/app:3")
	w.wants(out, "^"+reg.Host+"/app:3@sha256:")
	w.wants(errs, "nothing listens at 127.0.0.1:1")
	_, errs = w.strata(5, "image", "push", "app", "127.0.0.1:1/app:3")
	w.wants(errs, "^Error: pushing 127.0.0.1:1/app:3: nothing listens", "^  Check that the registry runs")
	reg.Forget()
	_, errs = w.strata(2, "image", "push", "app", reg.Host+"/app:4", "BAD:REF", "x:y:z")
	w.wants(errs, `image reference "BAD:REF"`, `image reference "x:y:z"`)
	if got := reg.Requests(); len(got) != 0 {
		t.Errorf("something was sent before all names were read: %q", got)
	}
	reg.RequireLogin("ann", "s3cret")
	_, errs = w.strata(5, "image", "push", "app", reg.Host+"/app:5")
	w.wants(errs, "wants a login", "docker login "+reg.Host, "!s3cret")
	w.keep(store.Meta{Target: "untagged"}, "amd64")
	_, errs = w.strata(2, "image", "push", "untagged")
	w.wants(errs, "has no tag: say where to push it")
}

func TestImageSaveAndLoad(t *testing.T) {
	w := newWorld(t)
	d := w.keep(store.Meta{}, "amd64 arm64", "app:1")
	archive, _ := w.strata(0, "image", "save", "app:1")
	w.strata(0, "image", "save", "app:1", "-o", "app.tar")
	data, err := os.ReadFile("app.tar")
	if err != nil || string(data) != archive {
		t.Errorf("the file and standard output differ: %v", err)
	}
	w.strata(0, "image", "save", "app:1", "--format", "docker", "--platform", "linux/arm64", "-o", "docker.tar")
	out, _ := w.strata(0, "history", "docker.tar")
	w.wants(out, `linux/arm64`, `COPY arm64 /`)

	if out, _ := w.strata(0, "image", "rm", d.Encoded()); out != d.Encoded()+"\n" {
		t.Errorf("got %q", out)
	}
	if out, _ := w.strata(0, "image", "load", "app.tar"); out != "app:1\n" {
		t.Errorf("got %q", out)
	}
	w.strata(0, "image", "rm", "app:1")
	if out, _ := w.strataWith([]byte(archive), 0, "image", "load"); out != "app:1\n" {
		t.Errorf("got %q", out)
	}
	out, _ = w.strata(0, "image", "check")
	w.wants(out, `^app:1 +ok$`)

	_, errs := w.strata(2, "image", "save", "none", "-o", "none.tar")
	w.wants(errs, `no image "none"`)
	_, errs = w.strata(2, "image", "save", "app:1", "--format", "docker", "--platform", "linux/s390x", "-o", "none.tar")
	w.wants(errs, `has no image for linux/s390x; it has linux/amd64, linux/arm64`)
	w.strata(2, "image", "save", "app:1", "--format", "zip")
	w.strata(2, "image", "save", "app:1", "--platform", "linux/amd64")
	w.strata(6, "image", "save", "app:1", "-o", "no/such/dir.tar")
	left, err := os.ReadDir(".")
	if err != nil || len(left) != 2 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	_, errs = w.strata(6, "image", "load", "nosuch.tar")
	w.wants(errs, "nosuch.tar")
	_, errs = w.strataWith([]byte("no archive"), 6, "image", "load")
	w.wants(errs, "archive")
	w.strata(2, "image", "load", "--docker")
	_, errs = w.strata(2, "image", "load", "--docker", "none")
	w.wants(errs, `no image "none"`)
	t.Setenv("DOCKER_HOST", "unix://"+w.dir+"/nosuch.sock")
	_, errs = w.strata(4, "image", "load", "--docker", "app:1")
	w.wants(errs, "nosuch.sock")
}

func TestImageRmTagPrune(t *testing.T) {
	w := newWorld(t)
	w.keep(store.Meta{}, "amd64", "a")
	w.keep(store.Meta{}, "amd64", "b")
	w.strata(0, "image", "tag", "a", "c", "registry.example.org/c:1")
	out, _ := w.strata(0, "images")
	w.wants(out, `^a:latest`, `^c:latest`, `^registry.example.org/c:1`)
	w.strata(0, "image", "tag", "b", "a")
	_, notes := w.strata(0, "image", "rm", "c", "registry.example.org/c:1")
	w.wants(notes, `^freed [1-9]`)
	out, _ = w.strata(0, "image", "check")
	w.wants(out, `^a:latest +ok`, `!c:latest`)
	w.keep(store.Meta{}, "amd64", "a", "b")
	out, _ = w.strata(0, "image", "prune")
	w.wants(out, `^freed [1-9].* B$|^freed [1-9].* kB$`)
	out, _ = w.strata(0, "image", "prune")
	w.wants(out, `^freed 0 B$`)
	_, errs := w.strata(2, "image", "rm", "a", "zzzz")
	w.wants(errs, `no image "zzzz"`)
	_, errs = w.strata(2, "image", "tag", "a", "BAD")
	w.wants(errs, `image reference "BAD"`)
	out, _ = w.strata(0, "images")
	w.wants(out, `^a:latest`)
	w.strata(2, "image", "rm")
}

func TestImageInspect(t *testing.T) {
	w := newWorld(t)
	d := w.keep(store.Meta{Target: "api"}, "amd64 arm64", "app")
	raw, _ := w.strata(0, "image", "inspect", "--raw", "app")
	if got := digest.FromString(raw); got != d {
		t.Errorf("the raw index has digest %s, want %s", got, d)
	}
	out, _ := w.strata(0, "image", "inspect", "app")
	var got struct {
		Schema    int
		Digest    digest.Digest
		Manifests []struct {
			Platform, Digest string
			Manifest         ocispec.Manifest
			Config           ocispec.Image
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.Schema != 1 || got.Digest != d || len(got.Manifests) != 2 || got.Manifests[1].Platform != "linux/arm64" ||
		got.Manifests[1].Config.Architecture != "arm64" || len(got.Manifests[1].Manifest.Layers) != 1 {
		t.Errorf("got %+v", got)
	}
	w.strata(2, "image", "inspect", "none")
}

func TestHistory(t *testing.T) {
	w := newWorld(t)
	reg := testkit.NewRegistry(t)
	d := w.keep(store.Meta{Target: "kept"}, "amd64 arm64", "app")
	out, _ := w.strata(0, "history", "app")
	w.wants(out, `linux/amd64 · sha256:`, `linux/arm64 · sha256:`, `2 +CMD \["arm64"\]`, `1 +COPY arm64 / +\d+ B`)
	out, _ = w.strata(0, "history", "app", "--platform", "linux/amd64")
	w.wants(out, `linux/amd64`, `!arm64`)
	out, _ = w.strata(0, "history", "kept", "--format", "{{.Digest}}")
	if out != d.String()+"\n" {
		t.Errorf("got %q", out)
	}
	w.strata(0, "image", "push", "app", reg.Host+"/app:1")
	out, _ = w.strata(0, "history", "--platform", "all", "--format", "json", reg.Host+"/app:1")
	var rec history.Record
	if err := json.Unmarshal([]byte(out), &rec); err != nil || rec.Digest != d.String() || len(rec.Images) != 2 || rec.Ref != reg.Host+"/app:1" {
		t.Errorf("got %+v, %v", rec, err)
	}
	w.strata(0, "image", "save", "app", "-o", "app.tar")
	out, _ = w.strata(0, "history", "app.tar", "--platform", "linux/arm64", "--no-trunc")
	w.wants(out, `COPY arm64 /`)

	_, errs := w.strata(2, "history", "app", "--platform", "linux/s390x")
	w.wants(errs, `there is no image for linux/s390x; there is one for linux/amd64, linux/arm64`)
	_, errs = w.strata(2, "history", "app", "--platform", "a/b/c/d/e")
	w.wants(errs, `"a/b/c/d/e" is not a platform`)
	_, errs = w.strata(2, "history", "UPPER")
	w.wants(errs, `image reference "UPPER"`)
	_, errs = w.strata(5, "history", "127.0.0.1:1/x")
	w.wants(errs, "nothing listens at 127.0.0.1:1")
	_, errs = w.strata(6, "history", "nosuch.tar")
	w.wants(errs, "nosuch.tar")
	w.strata(2, "history")
}

// A target is shown as it was built last, and one that was not is not looked
// for in a registry.
func TestHistoryOfTargets(t *testing.T) {
	w := newWorld(t)
	mirror := testkit.NewRegistry(t)
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	rec := history.Record{
		Schema: history.Schema, Target: "app", Run: "12", BuiltAt: time.Now(),
		Images: []history.Image{
			{Platform: "linux/amd64", SizeKind: "disk", Layers: []history.Layer{{Step: 1, CreatedBy: "RUN amd", Size: 7, State: history.Built, Place: "build.hcl:3"}}},
			{Platform: "linux/arm64", SizeKind: "disk", Layers: []history.Layer{{Step: 1, CreatedBy: "RUN arm", Size: 7, State: history.Built}}},
		},
	}
	if err := history.OpenRecords(filepath.Join(w.dir, "state", "strata", "records"), func(err error) { t.Error(err) }).Save(dir, rec); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("build.hcl", []byte("target \"app\" {}\ntarget \"web\" {}\ntarget \"kept\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.keep(store.Meta{Target: "kept"}, "amd64")
	out, _ := w.strata(0, "history", "app")
	w.wants(out, `^app · linux/amd64`, `^app · linux/arm64`, `by run 12`, `1 +RUN amd .* built .*build.hcl:3`)
	out, _ = w.strata(0, "history", "app", "--platform", "linux/arm64")
	w.wants(out, `RUN arm`, `!RUN amd`)
	w.strata(2, "history", "app", "--platform", "linux/s390x")
	out, _ = w.strata(0, "history", "kept")
	w.wants(out, `COPY amd64 /`)
	_, errs := w.strata(2, "history", "web", "--registry-mirror", "docker.io="+mirror.URL())
	w.wants(errs, `target "web" has not been built here: strata build web`)
	if got := mirror.Requests(); len(got) != 0 {
		t.Errorf("a registry was asked for a target: %q", got)
	}
}
