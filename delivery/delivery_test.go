package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// A fakeRegistry has digests by reference and notes what is tagged.
type fakeRegistry struct {
	digests map[string]string
	asked   []string
	fail    error
}

func (r *fakeRegistry) HeadDigest(_ context.Context, ref string) (registry.Manifest, bool, error) {
	r.asked = append(r.asked, ref)
	d, ok := r.digests[ref]
	return registry.Manifest{Digest: d}, ok, r.fail
}

func (r *fakeRegistry) Retag(_ context.Context, from, to string) error {
	_, r.digests[to], _ = strings.Cut(from, "@")
	return nil
}

const one, two = "sha256:1111", "sha256:2222"

func states(s plan.State) string {
	return map[plan.State]string{plan.Missing: "missing", plan.Elsewhere: "elsewhere", plan.There: "there"}[s]
}

// TestRegistry has a target with two tags, and an entry of the image one that was
// pushed to r/app and r/old.
func TestRegistry(t *testing.T) {
	for _, tt := range []struct{ name, has, want string }{
		{"there", "r/app:1=" + one + " r/app:2=" + one, "there"},
		{"one tag moved", "r/app:1=" + two + " r/app:2=" + one + " r/app@" + one + "=" + one, "elsewhere"},
		{"tags gone", "r/app@" + one + "=" + one, "elsewhere"},
		{"in another repository", "r/old@" + one + "=" + one, "elsewhere"},
		{"in a repository that nobody told of", "r/else@" + one + "=" + one, "missing"},
		{"gone", "r/app:1=" + two + " r/app:2=" + two, "missing"},
		{"half there, image gone", "r/app:1=" + one + " r/app:2=" + two, "missing"},
		{"the manifest answers with another digest", "r/app@" + one + "=" + two, "missing"},
		{"nothing", "", "missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &fakeRegistry{digests: map[string]string{}}
			for _, word := range strings.Fields(tt.has) {
				i := strings.LastIndex(word, "=")
				r.digests[word[:i]] = word[i+1:]
			}
			target := &config.Target{Name: "app", Tags: []string{"r/app:1", "r/app:2"}, Outputs: []config.Output{{Type: "registry"}}}
			p := &Places{Registry: r}
			entry := index.Entry{Digest: one, Repositories: []string{"r/app", "r/old"}}
			got, reasons, err := p.Check(t.Context(), target, entry)
			if err != nil {
				t.Fatal(err)
			}
			if states(got) != tt.want || (tt.want == "there") != (len(reasons) == 0) {
				t.Errorf("it is %s because of %v, want %s", states(got), reasons, tt.want)
			}
			if tt.want != "elsewhere" {
				return
			}
			if _, err := p.Retag(t.Context(), target, entry); err != nil {
				t.Fatal(err)
			}
			if got, reasons, _ := p.Check(t.Context(), target, entry); got != plan.There {
				t.Errorf("after the tags were moved it is %s because of %v", states(got), reasons)
			}
		})
	}
}

// TestPushedByDigest has an image that is pushed without a tag: none is looked for,
// and none is made.
func TestPushedByDigest(t *testing.T) {
	const ref = "docker.io/r/app@" + one
	target := &config.Target{Name: "app", Tags: []string{"r/app:1"}, Outputs: []config.Output{
		{Type: "image", Attrs: map[string]string{"push": "true", "push-by-digest": "true", "name": "r/app"}}, {Type: "registry"},
	}}
	r := &fakeRegistry{digests: map[string]string{ref: one, "r/app:1": two}}
	p := &Places{Registry: r}
	entry := index.Entry{Digest: one, Repositories: []string{"docker.io/r/app"}}
	if s, reasons, err := p.Check(t.Context(), target, entry); err != nil || s != plan.Elsewhere {
		t.Fatalf("with the tag elsewhere it is %s because of %v, %v", states(s), reasons, err)
	}
	if _, err := p.Retag(t.Context(), target, entry); err != nil {
		t.Fatal(err)
	}
	if len(r.digests) != 2 || r.digests["r/app:1"] != one {
		t.Errorf("the registry has %v", r.digests)
	}
	if s, reasons, err := p.Check(t.Context(), target, entry); err != nil || s != plan.There {
		t.Errorf("it is %s because of %v, %v", states(s), reasons, err)
	}
	delete(r.digests, ref)
	if s, reasons, err := p.Check(t.Context(), target, entry); err != nil || s != plan.Missing || reasons[0].Path != ref {
		t.Errorf("without the image it is %s because of %v, %v", states(s), reasons, err)
	}
}

// TestRegistryIsAskedOncePerTag counts requests when all is there.
func TestRegistryIsAskedOncePerTag(t *testing.T) {
	r := &fakeRegistry{digests: map[string]string{}}
	var tags []string
	for i := range 20 {
		tags = append(tags, fmt.Sprintf("r/app:%d", i))
		r.digests[tags[i]] = one
	}
	p := &Places{Registry: r}
	target := &config.Target{Name: "app", Tags: tags, Outputs: []config.Output{{Type: "image", Attrs: map[string]string{"push": "true"}}}}
	if s, _, err := p.Check(t.Context(), target, index.Entry{Digest: one}); err != nil || s != plan.There {
		t.Fatalf("it is %s, %v", states(s), err)
	}
	if len(r.asked) != 20 {
		t.Errorf("%d requests for 20 tags: %v", len(r.asked), r.asked)
	}
}

// TestRegistryThatRefusesIsAnError does not take a refusal for a missing image.
func TestRegistryThatRefusesIsAnError(t *testing.T) {
	refused := errors.New("refused")
	p := &Places{Registry: &fakeRegistry{fail: refused}}
	target := &config.Target{Name: "app", Tags: []string{"r/app:1"}, Outputs: []config.Output{{Type: "registry"}}}
	if _, _, err := p.Check(t.Context(), target, index.Entry{Digest: one}); !errors.Is(err, refused) {
		t.Errorf("the error is %v", err)
	}
}

// made says what a build wrote to directories.
type made []string

func (m made) Written(string, config.Output) []string { return m }
func (made) Response(string) map[string]string        { return nil }

// TestWritten writes an archive and a directory, then changes one thing.
func TestWritten(t *testing.T) {
	for _, tt := range []struct {
		name string
		edit func(dir string) error
		want string
	}{
		{"nothing", func(string) error { return nil }, "there"},
		{"times", func(dir string) error {
			return os.Chtimes(filepath.Join(dir, "a.tar"), time.Unix(1, 0), time.Unix(1, 0))
		}, "there"},
		{"written again", func(dir string) error { return rewrite(dir, "a.tar", "archive") }, "there"},
		{"a file beside", func(dir string) error { return rewrite(dir, "out/beside", "x") }, "there"},
		{"archive removed", func(dir string) error { return os.Remove(filepath.Join(dir, "a.tar")) }, "missing"},
		{"archive changed", func(dir string) error { return rewrite(dir, "a.tar", "Archive") }, "missing"},
		{"archive is a directory", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "a.tar")), os.Mkdir(filepath.Join(dir, "a.tar"), 0o755))
		}, "missing"},
		{"directory removed", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "out")) }, "missing"},
		{"file of it removed", func(dir string) error { return os.Remove(filepath.Join(dir, "out/sub/f")) }, "missing"},
		{"file of it changed", func(dir string) error { return rewrite(dir, "out/sub/f", "F") }, "missing"},
		{"mode of it changed", func(dir string) error { return os.Chmod(filepath.Join(dir, "out/sub/f"), 0o600) }, "missing"},
		{"link of it changed", func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "out/l")), os.Symlink("else", filepath.Join(dir, "out/l")))
		}, "missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			err := errors.Join(os.MkdirAll(filepath.Join(dir, "out/sub"), 0o755), os.Symlink("sub", filepath.Join(dir, "out/l")),
				rewrite(dir, "a.tar", "archive"), rewrite(dir, "out/sub/f", "f"))
			if err != nil {
				t.Fatal(err)
			}
			blobs := map[string][]byte{}
			p := &Places{Dir: dir, Blob: func(_ context.Context, _ index.Entry, d string) ([]byte, bool) { b, ok := blobs[d]; return b, ok }}
			target := &config.Target{Name: "app", Outputs: []config.Output{{Type: "oci", Dest: "a.tar"}, {Type: "local", Dest: "out"}}}
			outputs, kept, err := p.Record(t.Context(), target, made{"l", "sub/f"})
			if err != nil {
				t.Fatal(err)
			}
			for _, b := range kept {
				blobs[index.DigestOf(b)] = b
			}
			if err := tt.edit(dir); err != nil {
				t.Fatal(err)
			}
			got, reasons, err := p.Check(t.Context(), target, index.Entry{Outputs: outputs})
			if err != nil {
				t.Fatal(err)
			}
			if states(got) != tt.want || (tt.want == "there") != (len(reasons) == 0) {
				t.Errorf("it is %s because of %v, want %s", states(got), reasons, tt.want)
			}
			clear(blobs)
			if got, _, _ := p.Check(t.Context(), target, index.Entry{Outputs: outputs}); got != plan.Missing {
				t.Errorf("without what was kept it is %s", states(got))
			}
		})
	}
}

func rewrite(dir, name, text string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
}

// kept puts an image under a tag into a new store.
func kept(t *testing.T, tag string) *store.Store {
	t.Helper()
	img, err := random.Image(100, 2)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(tag)
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	if err := tarball.Write(ref, img, &archive); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(filepath.Join(t.TempDir(), "images"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.LoadArchive(t.Context(), &archive); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	ctx := t.Context()
	for _, tt := range []struct {
		name string
		tags []string
		edit func(s *store.Store) error
		want string
	}{
		{"there", []string{"app:1"}, nil, "there"},
		{"another tag", []string{"app:1", "app:2"}, nil, "elsewhere"},
		{"tag removed", []string{"app:1"}, func(s *store.Store) error { _, err := s.Remove(ctx, []string{"app:1"}); return err }, "missing"},
		{"layer removed", []string{"app:1"}, func(s *store.Store) error {
			return onLayer(ctx, s, os.Remove)
		}, "missing"},
		{"layer cut", []string{"app:1"}, func(s *store.Store) error {
			return onLayer(ctx, s, func(file string) error { return errors.Join(os.Chmod(file, 0o600), os.Truncate(file, 3)) })
		}, "missing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := kept(t, "app:1")
			p := &Places{Store: s}
			have, err := s.Presence(ctx)
			if err != nil {
				t.Fatal(err)
			}
			whole := have.Tagged("app:1").String()
			if tt.edit != nil {
				if err := tt.edit(s); err != nil {
					t.Fatal(err)
				}
			}
			target := &config.Target{Name: "app", Tags: tt.tags}
			got, reasons, err := p.Check(ctx, target, index.Entry{Digest: whole})
			if err != nil {
				t.Fatal(err)
			}
			if states(got) != tt.want || (tt.want == "there") != (len(reasons) == 0) {
				t.Errorf("it is %s because of %v, want %s", states(got), reasons, tt.want)
			}
		})
	}
}

// onLayer does something to the file of an image's first layer.
func onLayer(ctx context.Context, s *store.Store, do func(file string) error) error {
	img, err := s.Image(ctx, "app:1")
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	d, err := layers[0].Digest()
	if err != nil {
		return err
	}
	return do(filepath.Join(s.Dir(), "blobs", d.Algorithm, d.Hex))
}

func TestWritesKnowsWhatARunWrites(t *testing.T) {
	p := &Places{Dir: "/p"}
	targets := []*config.Target{{Outputs: []config.Output{{Type: "oci", Dest: "out/a.tar"}, {Type: "local", Dest: "dist"}}}}
	for path, want := range map[string]bool{
		"/p/out/a.tar": true, "/p/out": true, "/p/out/.a.tar-123": true, "/p/dist/x": true, "/p/dist": true, "/p": true,
		"/p/out/b.tar": false, "/p/other": false, "/p/distance": false, "/q": false,
	} {
		if got := p.Writes(targets, path); got != want {
			t.Errorf("the run writes %s: %t, want %t", path, got, want)
		}
	}
}

// An image is looked for where the target says that it goes, whatever an entry
// tells of other places.
func TestPublished(t *testing.T) {
	push := []config.Output{{Type: "registry"}}
	for _, tt := range []struct {
		name   string
		target config.Target
		entry  index.Entry
		want   string
	}{
		{"pushed", config.Target{Tags: []string{"r.example/a:1", "r.example/a:2", "r.example/b:1"}, Outputs: push}, index.Entry{Digest: "sha256:d"}, "r.example/a@sha256:d r.example/b@sha256:d"},
		{"pushed elsewhere as well", config.Target{Tags: []string{"r.example/a:1"}, Outputs: push}, index.Entry{Digest: "sha256:d", Repositories: []string{"evil.example/a", "r.example/a"}}, "r.example/a@sha256:d"},
		{"pushed at another time", config.Target{Tags: []string{"r.example/a:1", "kept:1"}}, index.Entry{Digest: "sha256:d", Repositories: []string{"r.example/a"}}, "r.example/a@sha256:d"},
		{"never pushed", config.Target{Tags: []string{"r.example/a:1"}}, index.Entry{Digest: "sha256:d"}, ""},
		{"no image", config.Target{Tags: []string{"r.example/a:1"}, Outputs: push}, index.Entry{}, ""},
	} {
		if got := strings.Join((&Places{}).Published(&tt.target, tt.entry), " "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
