package cache

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/cache/server"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/registry"
)

// serve serves a registry until stop is called, or the test ends.
func serve(t *testing.T, opts server.Options) (host string, stop func()) {
	t.Helper()
	logrus.SetOutput(io.Discard)
	opts.Addr = "127.0.0.1:0"
	s, err := server.Listen(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s.Host(), stop
}

// A lent cache is one in a registry.
type lent struct {
	client *registry.Client
	repo   *registry.Repository
	shared *Shared
}

func lend(t *testing.T, host string) lent {
	t.Helper()
	c := registry.NewClient(registry.Settings{}, registry.NewKeychain(func(string) (string, bool) { return "", false }))
	t.Cleanup(c.Close)
	b := &config.CacheBlock{Repository: host + "/shop/cache", Scopes: []config.CacheScope{{Name: "main"}}}
	repo, err := c.Repository(b.Repository + "/main")
	if err != nil {
		t.Fatal(err)
	}
	return lent{c, repo, NewShared(b, SharedOptions{
		Open: func(name string) (Store, error) { return c.Repository(name) }, Limit: 8000,
		Warn: func(text string) { t.Error(text) },
	})}
}

// write stores g as the layers of app and has it split.
func (l lent) write(t *testing.T, g *graphOf) ocispec.Descriptor {
	t.Helper()
	for _, text := range g.texts {
		if _, err := l.repo.WriteBlob(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	desc, err := writePart(t.Context(), l.repo, g.layerCache)
	if err != nil {
		t.Fatal(err)
	}
	l.shared.Exported(t.Context(), l.repo.Name()+":"+Layers{Target: "app", Platform: "linux/amd64"}.tag(), desc, nil)
	return desc
}

// whole counts the imports of which manifest, config and layers are there.
func (l lent) whole(t *testing.T, imports []client.CacheOptionsEntry) (n int) {
	t.Helper()
	for _, e := range imports {
		_, d, _ := strings.Cut(e.Attrs["ref"], "@")
		c, small, err := l.shared.read(t.Context(), l.repo, ocispec.Descriptor{Digest: digest.Digest(d)})
		if err != nil || !small {
			t.Errorf("%s: small %v, %v", d, small, err)
		}
		for _, b := range append(c.manifest.Layers, c.manifest.Config) {
			if there, err := l.repo.HasBlob(t.Context(), b.Digest.String()); err != nil || !there {
				t.Errorf("blob %s is not there: %v", b.Digest, err)
			}
		}
		n++
	}
	return n
}

// To a registry parts are what the platforms of an image are: they stay when it
// collects its garbage, and what they took the place of goes. What looks after
// the index of what was built leaves them alone.
func TestPartsInARegistry(t *testing.T) {
	root := t.TempDir()
	host, stop := serve(t, server.Options{Root: root})
	l := lend(t, host)
	g := services(10, 3)
	before := l.write(t, g)
	stop()

	host, _ = serve(t, server.Options{Root: root, Collect: true})
	l = lend(t, host)
	looked, err := index.OpenRepository(l.client, l.repo.Name())
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := looked.Verify(t.Context(), index.Scope{}); err != nil || len(problems) > 0 {
		t.Errorf("problems %v: %v", problems, err)
	}
	if usage, err := looked.Usage(t.Context()); err != nil || usage.Entries > 0 {
		t.Errorf("usage %+v: %v", usage, err)
	}
	if done, err := looked.Prune(t.Context(), index.Policy{}, true); err != nil || done.Entries > 0 {
		t.Errorf("pruned %+v: %v", done, err)
	}
	imports := l.shared.Imports(t.Context(), []Layers{{Target: "app", Platform: "linux/amd64"}})
	if n := l.whole(t, imports); n < 2 || n != len(imports) {
		t.Errorf("%d of %d parts are whole", n, len(imports))
	}
	if _, found, err := l.repo.Manifest(t.Context(), before.Digest.String()); found || err != nil {
		t.Errorf("what the parts took the place of: found %v, %v", found, err)
	}
}
