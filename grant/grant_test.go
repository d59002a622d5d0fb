package grant

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/config"
)

// layout makes <tmp>/w/app (the checkout), <tmp>/w/app-secret beside it, and
// links inside the checkout that lead out of it.
func layout(t *testing.T) (checkout, outside string) {
	t.Helper()
	root := t.TempDir()
	checkout, outside = filepath.Join(root, "w", "app"), filepath.Join(root, "w", "app-secret")
	for _, d := range []string{filepath.Join(checkout, "sub"), outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"out": outside, "chain": "out", "dangling": filepath.Join(outside, "nothing"), "in": "sub"}
	for name, to := range links {
		if err := os.Symlink(to, filepath.Join(checkout, name)); err != nil {
			t.Fatal(err)
		}
	}
	return checkout, outside
}

func TestThreat_T01_PathsOutsideTheCheckout(t *testing.T) {
	checkout, outside := layout(t)
	tests := []struct {
		path string
		ok   bool
	}{
		{".", true}, {"sub", true}, {"in", true}, {"in/new", true}, {"sub/../sub", true}, {"not/there/yet", true}, {checkout, true},
		{"..", false}, {"../app-secret", false}, {"../app/../app-secret", false}, {outside, false}, {"out", false}, {"chain", false},
		{"chain/x/y", false}, {"dangling", true}, {"/", false}, {"/proc/self/environ", false}, {"/dev/zero", false},
	}
	places := map[string]func(p string) config.Target{
		"context":    func(p string) config.Target { return config.Target{Context: p} },
		"contexts.c": func(p string) config.Target { return config.Target{Context: ".", Contexts: map[string]string{"c": p}} },
		"dockerfile": func(p string) config.Target { return config.Target{Context: ".", Dockerfile: p} },
		"secret": func(p string) config.Target {
			return config.Target{Context: ".", Secrets: []config.Secret{{ID: "s", Source: p}}}
		},
		"ssh": func(p string) config.Target {
			return config.Target{Context: ".", SSH: []config.SSH{{ID: "k", Paths: []string{p}}}}
		},
		"output": func(p string) config.Target {
			return config.Target{Context: ".", Outputs: []config.Output{{Type: "local", Dest: p}}}
		},
		"cache-to": func(p string) config.Target {
			return config.Target{Context: ".", CacheTo: []config.CacheRef{{Type: "local", Attrs: map[string]string{"dest": p}}}}
		},
	}
	g, err := Parse(checkout, nil)
	if err != nil {
		t.Fatal(err)
	}
	for attr, make := range places {
		for _, tt := range tests {
			target := make(tt.path)
			target.Name = "x"
			err := g.Check(checkout, []*config.Target{&target})
			want := tt.ok
			if tt.path == "dangling" { // stays inside by name; what it points to does not exist to be read
				continue
			}
			if (err == nil) != want {
				t.Errorf("%s = %q: %v, want ok %v", attr, tt.path, err, want)
			}
			d, ok := errors.AsType[*DeniedError](err)
			if !want && (!ok || !slices.ContainsFunc(d.Requests, func(r Request) bool { return r.Attr == attr })) {
				t.Errorf("%s = %q: error %v does not name the attribute", attr, tt.path, err)
			}
		}
	}
}

func TestWhatIsDeniedCanBeGrantedAsSuggested(t *testing.T) {
	checkout, outside := layout(t)
	target := &config.Target{
		Name: "x", Context: outside, Network: "host", SSH: []config.SSH{{ID: "default"}},
		Outputs: []config.Output{{Type: "local", Dest: filepath.Join(outside, "new dir"), Attrs: map[string]string{"mode": "delete"}}},
	}
	g, err := Parse(checkout, nil)
	if err != nil {
		t.Fatal(err)
	}
	denied, ok := errors.AsType[*DeniedError](g.Check(checkout, []*config.Target{target}))
	if !ok || len(denied.Requests) != 6 { // context, its Dockerfile, ssh, output twice, network
		t.Fatalf("denied is %v", denied)
	}
	g, err = Parse(checkout, denied.Allows())
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Check(checkout, []*config.Target{target}); err != nil {
		t.Error(err)
	}
}

// A Dockerfile here for a context elsewhere is read here.
func TestDockerfileOfARemoteContext(t *testing.T) {
	checkout, outside := layout(t)
	g, err := Parse(checkout, nil)
	if err != nil {
		t.Fatal(err)
	}
	for file, ok := range map[string]bool{
		"": true, "sub/Dockerfile": true, "../Dockerfile": true, // in the repository
		"cwd://Dockerfile": true, filepath.Join(checkout, "Dockerfile"): true, filepath.Join(outside, "Dockerfile"): false, "cwd://../Dockerfile": false,
	} {
		target := &config.Target{Name: "x", Context: "https://host/shop.git#main", Dockerfile: file}
		if err := g.Check(checkout, []*config.Target{target}); (err == nil) != ok {
			t.Errorf("%q: %v, want ok %v", file, err, ok)
		}
	}
}

func TestBadAllow(t *testing.T) {
	for _, a := range []string{"", "fs", "fs.read=", "root", "network", "buildx.local.delete=true"} {
		if _, err := Parse(".", []string{a}); err == nil || !strings.Contains(err.Error(), "--allow") {
			t.Errorf("%q: error %v", a, err)
		}
	}
}

func TestThreat_T05_ForeignFrontends(t *testing.T) {
	g, err := Parse(".", []string{"frontend=good/front:1"})
	if err != nil {
		t.Fatal(err)
	}
	for image, ok := range map[string]bool{
		"docker/dockerfile:1.7-labs": true, "docker.io/docker/dockerfile-upstream:master": true, "docker/dockerfile@sha256:00": true, "good/front:1": true,
		"evil/x": false, "docker/dockerfile/x": false, "localhost:5000/docker/dockerfile:1": false, "good/front:2": false, "docker/dockerfilex": false,
	} {
		if err := g.Frontend("x", image); (err == nil) != ok {
			t.Errorf("%s: %v, want ok %v", image, err, ok)
		}
	}
}

func TestEnv(t *testing.T) {
	g, err := Parse(".", []string{"env=TOKEN", "env=HOME"})
	if err != nil || !slices.Equal(g.Env(), []string{"TOKEN", "HOME"}) {
		t.Errorf("got %v, %v", g.Env(), err)
	}
	for _, bad := range []string{"env", "env="} {
		if _, err := Parse(".", []string{bad}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
