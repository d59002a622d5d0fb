package store_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

func TestDefaultDir(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string
	}{
		"named":        {map[string]string{"STRATA_STORE": "/s", "HOME": "/h"}, "/s"},
		"xdg":          {map[string]string{"XDG_DATA_HOME": "/d", "HOME": "/h"}, "/d/strata/images"},
		"relative xdg": {map[string]string{"XDG_DATA_HOME": "d", "HOME": "/h"}, "/h/.local/share/strata/images"},
		"home":         {map[string]string{"HOME": "/h"}, "/h/.local/share/strata/images"},
		"nothing":      {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := store.DefaultDir(func(k string) (string, bool) { v, ok := tt.env[k]; return v, ok })
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	shared := filepath.Join(dir, "shared")
	for _, d := range []string{precious, shared} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	link, file := filepath.Join(dir, "link"), filepath.Join(dir, "file")
	if err := errors.Join(os.Symlink(precious, link), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		link:   "is a symbolic link",
		file:   "is not a directory",
		shared: "can be written to by others",
	} {
		_, err := store.Open(dir)
		var de *store.DirError
		if !errors.As(err, &de) || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", dir, err, want)
		}
	}
	if _, err := store.Open(""); err == nil {
		t.Error("a store nowhere was opened")
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(dir, "foreign")
		if err := errors.Join(os.Mkdir(foreign, 0o700), os.Chown(foreign, 12345, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(foreign); err == nil || !strings.Contains(err.Error(), "belongs to user 12345") {
			t.Errorf("got %v", err)
		}
	}
	// A directory that becomes a link later is refused too.
	late := filepath.Join(dir, "late")
	s := open(t, late)
	if err := os.Symlink(precious, late); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Content().Writer(t.Context(), content.WithRef("x")); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	if got := files(t, precious); got != "" {
		t.Errorf("written through the link: %s", got)
	}
}

// Each file of the store is replaced by a link; what it leads to stays as it is.
func TestSymlinkedFilesAreNotFollowed(t *testing.T) {
	for _, name := range []string{"index.json", ".lock", ".lease", ".index.old", "oci-layout"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "images")
			s, _ := openQuiet(t, dir)
			put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
			s.Close()
			bashrc := filepath.Join(t.TempDir(), ".bashrc")
			path := filepath.Join(dir, name)
			if err := os.WriteFile(bashrc, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(path)
			if err := os.Symlink(bashrc, path); err != nil {
				t.Fatal(err)
			}
			desc := export(t, discard(t), image(t, "amd64", 1))
			_ = s.Tag(t.Context(), desc, []string{"b"}, store.Meta{})
			_, _ = s.Remove(t.Context(), []string{"a"})
			_, _ = s.List(t.Context())
			if got, err := os.ReadFile(bashrc); err != nil || string(got) != "precious" {
				t.Errorf("the file behind the link is %q, %v", got, err)
			}
		})
	}
}

// discard is the content of a store of its own.
func discard(t *testing.T) content.Store {
	return open(t, filepath.Join(t.TempDir(), "other")).Content()
}

func TestNothingIsWrittenWithoutNeed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s := open(t, dir)
	ctx := t.Context()
	if list, err := s.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("got %v, %v", list, err)
	}
	_, err := s.Resolve(ctx, "a")
	var nf *store.NotFoundError
	if !errors.As(err, &nf) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Remove(ctx, []string{"a"}); !errors.As(err, &nf) {
		t.Errorf("got %v", err)
	}
	if err := s.Save(ctx, []string{"a"}, store.OCI, "", &bytes.Buffer{}); !errors.As(err, &nf) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Prune(ctx); err != nil {
		t.Error(err)
	}
	_ = s.Content()
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory was made: %v", err)
	}
}

func TestTagAndList(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	multi := put(t, s, attested(t, "amd64", "arm64"), store.Meta{Target: "app", Project: "/p", Created: at}, "shop/app:dev", "app", "app:latest")
	single := put(t, s, image(t, "amd64", 1), store.Meta{Target: "tool", Project: "/p", Created: at})
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Fatalf("got %+v", list)
	}
	for i := range list {
		if list[i].Size < 1000 {
			t.Errorf("%s has %d bytes", list[i].Name(), list[i].Size)
		}
		list[i].Size, list[i].Desc = 0, ocispec.Descriptor{}
	}
	want := []store.Image{
		{Tags: []string{"docker.io/library/app:latest", "docker.io/shop/app:dev"}, Digest: multi, MediaType: ocispec.MediaTypeImageIndex, Platforms: []string{"linux/amd64", "linux/arm64"}, Created: at, Target: "app", Project: "/p"},
		{Tags: []string{}, Digest: single, MediaType: ocispec.MediaTypeImageManifest, Platforms: []string{"linux/amd64"}, Created: at, Target: "tool", Project: "/p"},
	}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("got  %+v\nwant %+v", list, want)
	}
}

func TestTagMoves(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a:1", "a:2")
	second := put(t, s, image(t, "amd64", 1), store.Meta{}, "a:2", "a:3")
	third := put(t, s, image(t, "amd64", 1), store.Meta{}, "a:1") // the first loses its last tag
	names := listNames(t, s)
	want := map[string]digest.Digest{
		"docker.io/library/a:1": third, "docker.io/library/a:2": second, "docker.io/library/a:3": second,
	}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestTargetsWithoutTags(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	put(t, s, image(t, "amd64", 1), store.Meta{Target: "app", Project: "/p"})
	other := put(t, s, image(t, "amd64", 1), store.Meta{Target: "app", Project: "/q"})
	again := put(t, s, image(t, "amd64", 1), store.Meta{Target: "app", Project: "/p"})
	want := map[string]digest.Digest{"app /p": again, "app /q": other}
	if got := listNames(t, s); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// listNames maps each name in the store to its image.
func listNames(t testing.TB, s *store.Store) map[string]digest.Digest {
	t.Helper()
	list, err := s.List(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]digest.Digest{}
	for _, img := range list {
		if img.Problem != "" {
			t.Errorf("%s: %s", img.Name(), img.Problem)
		}
		for _, tag := range img.Tags {
			names[tag] = img.Digest
		}
		if len(img.Tags) == 0 {
			names[img.Target+" "+img.Project] = img.Digest
		}
	}
	return names
}

func TestTagWantsTheWholeImage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s := open(t, dir)
	img := image(t, "amd64", 2)
	desc := export(t, s.Content(), img)
	layer := digest.Digest(must(must(img.Layers())[1].Digest()).String())
	if err := os.Remove(blobPath(dir, layer)); err != nil {
		t.Fatal(err)
	}
	err := s.Tag(t.Context(), desc, []string{"a"}, store.Meta{})
	if err == nil || !strings.Contains(err.Error(), "blob "+layer.String()+" is missing") {
		t.Errorf("got %v", err)
	}
	if got := listNames(t, s); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestTagRefusesBadNames(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	desc := export(t, s.Content(), image(t, "amd64", 1))
	for _, tag := range []string{"UPPER", "a b", "", "a@" + desc.Digest.String()} {
		err := s.Tag(t.Context(), desc, []string{"fine", tag}, store.Meta{})
		var re *registry.ReferenceError
		if !errors.As(err, &re) || re.Ref != tag {
			t.Errorf("%q: got %v", tag, err)
		}
	}
	if got := listNames(t, s); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestResolve(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "images"))
	app := put(t, s, image(t, "amd64", 1), store.Meta{Target: "backend", Project: "/p"}, "app", "localhost:5000/app:2")
	one := put(t, s, image(t, "amd64", 1), store.Meta{Target: "twice", Project: "/p"})
	put(t, s, image(t, "amd64", 1), store.Meta{Target: "twice", Project: "/q"})
	for _, ref := range []string{
		"app", "app:latest", "library/app", "docker.io/library/app", "localhost:5000/app:2", "backend",
		app.String(), app.Encoded(), app.Encoded()[:12], "sha256:" + app.Encoded()[:8], "app@" + app.String(),
	} {
		img, err := s.Resolve(t.Context(), ref)
		if err != nil || img.Digest != app || img.Size == 0 {
			t.Errorf("%s: got %s, %v", ref, img.Digest, err)
		}
	}
	if img, err := s.Resolve(t.Context(), one.Encoded()[:16]); err != nil || img.Digest != one {
		t.Errorf("got %v, %v", img, err)
	}
	_, err := s.Resolve(t.Context(), "twice")
	var amb *store.AmbiguousError
	if !errors.As(err, &amb) || len(amb.Images) != 2 {
		t.Errorf("got %v", err)
	}
	for ref, similar := range map[string]string{
		"ap": "app", "bakend": "backend", "app:lates": "app", "something/else:entirely": "", "": "",
		app.Encoded()[:3]: "", "app@sha256:" + strings.Repeat("0", 64): "",
	} {
		_, err := s.Resolve(t.Context(), ref)
		var nf *store.NotFoundError
		random := ref == app.Encoded()[:3] // may be like "app"
		if !errors.As(err, &nf) || (nf.Similar != similar && ref != "app:lates" && !random) {
			t.Errorf("%q: got %v, want similar %q", ref, err, similar)
		}
	}
}

func TestRemove(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s := open(t, dir)
	shared := image(t, "amd64", 3)
	put(t, s, shared, store.Meta{}, "a:1", "a:2")
	put(t, s, attested(t, "amd64"), store.Meta{}, "b")
	s.Close()

	freed, err := s.Remove(t.Context(), []string{"a:1"})
	if err != nil || freed != 0 {
		t.Errorf("untagging freed %d, %v", freed, err)
	}
	before := files(t, dir)
	if _, err := s.Remove(t.Context(), []string{"b", "none", "nope"}); err == nil || strings.Count(err.Error(), "no image") != 2 {
		t.Errorf("got %v", err)
	}
	if after := files(t, dir); after != before {
		t.Errorf("a failed removal changed\n%s to\n%s", before, after)
	}
	size := must(s.Resolve(t.Context(), "b")).Size
	if freed, err = s.Remove(t.Context(), []string{"b"}); err != nil || freed != size {
		t.Errorf("freed %d, %v; want %d", freed, err, size)
	}
	if problems, err := s.Check(t.Context(), "a:2"); err != nil || len(problems) != 0 {
		t.Errorf("the other image has %v, %v", problems, err)
	}
	if _, err := s.Remove(t.Context(), []string{"a:2"}); err != nil {
		t.Error(err)
	}
	if left := files(t, filepath.Join(dir, "blobs")); left != "" {
		t.Errorf("blobs are left: %s", left)
	}
}

// What a running export has written, or found to be there already, is not
// deleted under its hands.
func TestRemoveSparesARunningExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	builder := open(t, dir)
	old, fresh := image(t, "amd64", 1), image(t, "amd64", 1)
	put(t, builder, old, store.Meta{}, "a")
	if err := builder.Close(); err != nil {
		t.Fatal(err)
	}

	descOld := export(t, builder.Content(), old) // all is there: nothing travels
	descFresh := export(t, builder.Content(), fresh)
	other, warnings := openQuiet(t, dir)
	freed, err := other.Remove(t.Context(), []string{"a"})
	if err != nil || freed != 0 || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "an export is running") {
		t.Errorf("freed %d, %v, %q", freed, err, *warnings)
	}
	if err := builder.Tag(t.Context(), descOld, []string{"b"}, store.Meta{}); err != nil {
		t.Error(err)
	}
	if err := builder.Close(); err != nil {
		t.Fatal(err)
	}
	if freed, err := other.Prune(t.Context()); err != nil || freed == 0 {
		t.Errorf("freed %d, %v", freed, err) // fresh never got a name
	}
	if problems, err := other.Check(t.Context(), "b"); err != nil || len(problems) != 0 {
		t.Errorf("got %v, %v", problems, err)
	}
	if err := other.Tag(t.Context(), descFresh, []string{"c"}, store.Meta{}); err == nil {
		t.Error("an image without blobs got a name")
	}
}

// What a writer leaves that was killed is swept up.
func TestPruneSweeps(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s := open(t, dir)
	put(t, s, image(t, "amd64", 1), store.Meta{}, "a")
	w, err := s.Content().Writer(t.Context(), content.WithRef("half"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 12345)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := os.WriteFile(filepath.Join(dir, "1234567"), []byte("half an index"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if freed, err := s.Prune(t.Context()); err != nil || freed < 12345 {
		t.Errorf("freed %d, %v", freed, err)
	}
	if left := files(t, dir); strings.Contains(left, "ingest") || strings.Contains(left, "1234567") {
		t.Errorf("left: %s", left)
	}
	put(t, s, image(t, "amd64", 1), store.Meta{}, "b") // and the store goes on working
}

func TestContentWritesOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	s, warnings := openQuiet(t, dir)
	data := []byte("a blob")
	desc := ocispec.Descriptor{Digest: digest.FromBytes(data), Size: int64(len(data))}
	c := s.Content()
	if err := content.WriteBlob(t.Context(), c, "r", bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Writer(t.Context(), content.WithRef("r2"), content.WithDescriptor(desc)); !errdefs.IsAlreadyExists(err) {
		t.Errorf("got %v", err)
	}
	// A blob cut short is written anew.
	if err := errors.Join(os.Chmod(blobPath(dir, desc.Digest), 0o600), os.Truncate(blobPath(dir, desc.Digest), 2)); err != nil {
		t.Fatal(err)
	}
	if err := content.WriteBlob(t.Context(), c, "r", bytes.NewReader(data), desc); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(blobPath(dir, desc.Digest)); err != nil || !bytes.Equal(got, data) || len(*warnings) != 1 {
		t.Errorf("got %q, %v, warnings %q", got, err, *warnings)
	}
}

func TestContentStatuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	mine, other := open(t, dir).Content(), open(t, dir).Content()
	w, err := mine.Writer(t.Context(), content.WithRef("layer-1"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	st, err := mine.Status(t.Context(), "layer-1")
	if err != nil || st.Ref != "layer-1" || st.Offset != 3 {
		t.Errorf("got %+v, %v", st, err)
	}
	if st, err := w.Status(); err != nil || st.Ref != "layer-1" {
		t.Errorf("got %+v, %v", st, err)
	}
	for filter, want := range map[string]int{"ref==layer-1": 1, "ref==layer-2": 0, "": 1} {
		list, err := mine.ListStatuses(t.Context(), filter)
		if err != nil || len(list) != want || want == 1 && list[0].Ref != "layer-1" {
			t.Errorf("%q: got %+v, %v", filter, list, err)
		}
	}
	if list, err := other.ListStatuses(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("another process sees %+v, %v", list, err)
	}
	// Two processes may write one blob at once.
	w2, err := other.Writer(t.Context(), content.WithRef("layer-1"))
	if err != nil {
		t.Fatal(err)
	}
	w2.Close()
	if err := other.Abort(t.Context(), "layer-1"); err != nil {
		t.Error(err)
	}
	if _, err := mine.Status(t.Context(), "layer-1"); err != nil {
		t.Errorf("another's abort took ours: %v", err)
	}
}

func TestConcurrentWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	shared := image(t, "amd64", 3)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			s := open(t, dir)
			name := string(rune('a' + i))
			put(t, s, shared, store.Meta{Target: name}, "shared:"+name, "last")
			put(t, s, image(t, "amd64", 1), store.Meta{Target: name}, "own:"+name)
			s.Close()
			if i%4 == 0 {
				s2, _ := openQuiet(t, dir)
				if _, err := s2.Remove(context.Background(), []string{"own:" + name}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s := open(t, dir)
	names := listNames(t, s)
	if len(names) != 20+1+15 {
		t.Errorf("%d names: %v", len(names), names)
	}
	for name := range names {
		if problems, err := s.Check(t.Context(), name); err != nil || len(problems) != 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
}

// writeForEver is a process that stores one image after another.
func writeForEver(dir string) {
	t := &testing.B{}
	for i := 0; ; i++ {
		s := must(store.Open(dir))
		put(t, s, attested(t, "amd64"), store.Meta{}, "killed:"+os.Getenv("NAME"))
		s.Close()
		if i == 1 {
			os.Stdout.WriteString("x")
		}
	}
}

// Processes are killed while they write; what is left is whole.
func TestKilledWriters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "images")
	var procs []*exec.Cmd
	for i := range 8 {
		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), "STRATA_STORE_TEST_WRITER="+dir, "NAME="+string(rune('a'+i)))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		procs = append(procs, cmd)
	}
	for _, cmd := range procs {
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for _, cmd := range procs {
		_ = cmd.Wait()
	}
	s := open(t, dir)
	names := listNames(t, s)
	if len(names) != 8 {
		t.Errorf("got %v", names)
	}
	if _, err := s.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	for name := range names {
		if problems, err := s.Check(t.Context(), name); err != nil || len(problems) != 0 {
			t.Errorf("%s: %v, %v", name, problems, err)
		}
	}
	if left := files(t, filepath.Join(dir, "ingest")); left != "" {
		t.Errorf("left: %s", left)
	}
}
