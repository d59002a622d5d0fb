package engine

import (
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/strata-build/strata/internal/testkit"
)

// pull solves an image and no more.
func pull(t *testing.T, e *Engine, ref string) error {
	t.Helper()
	ctx := testContext(t)
	def, err := llb.Image(ref, llb.ResolveModeForcePull).Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Client().Solve(ctx, def, client.SolveOpt{}, nil)
	return err
}

// A command's registry settings hold in an engine that runs already.
func TestSettingsAreFollowed(t *testing.T) {
	registry := testkit.NewRegistry(t)
	mirror := registry.Host
	image, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := registry.Push(t.Context(), "team/app:1", image); err != nil {
		t.Fatal(err)
	}

	opts := embeddedOptions(t)
	const wanted = "registry.invalid/team/app:1"
	without := mustOpen(t, opts)
	first := mustStatus(t, opts)
	if err := pull(t, without, wanted); err == nil {
		t.Fatal("the image was found without a mirror")
	}
	plain := true
	mirrored := opts
	mirrored.Registries = map[string]resolverconfig.RegistryConfig{
		"registry.invalid": {Mirrors: []string{mirror}},
		mirror:             {PlainHTTP: &plain},
	}
	if err := pull(t, mustOpen(t, mirrored), wanted); err != nil {
		t.Errorf("with the mirror: %v", err)
	}
	if err := pull(t, mustOpen(t, opts), wanted); err == nil {
		t.Error("the image was found after the mirror was taken away")
	}
	if last := mustStatus(t, opts); last.PID != first.PID {
		t.Errorf("process %d serves, want still %d", last.PID, first.PID)
	}
}

func TestWriteSettings(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	path := filepath.Join(dir, "settings.json")
	in := map[string]resolverconfig.RegistryConfig{"h": {
		RootCAs:  []string{"ca.pem"},
		KeyPairs: []resolverconfig.TLSKeyPair{{Key: "/k.pem", Certificate: "c.pem"}},
	}}
	if err := writeSettings(path, in); err != nil {
		t.Fatal(err)
	}
	want := resolverconfig.RegistryConfig{
		RootCAs:  []string{filepath.Join(dir, "ca.pem")},
		KeyPairs: []resolverconfig.TLSKeyPair{{Key: "/k.pem", Certificate: filepath.Join(dir, "c.pem")}},
	}
	if got, err := absoluteFiles(in["h"]); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeSettings(path, in); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) {
		t.Error("the same settings were written again")
	}

	// Commands at the same time leave one of their settings, whole.
	var g sync.WaitGroup
	for _, host := range []string{"a", "b", "c", "d"} {
		g.Go(func() {
			if err := writeSettings(path, map[string]resolverconfig.RegistryConfig{host: {}}); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if _, err := newRegistries(path); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newRegistries(path); err == nil {
		t.Error("half a file was taken for settings")
	}
}
