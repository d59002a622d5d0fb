package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-build/strata/internal/testkit"
)

// Where a script's commands find its registry, and its environment as it was
// at the start.
type (
	registryKey struct{}
	environKey  struct{}
)

func TestScripts(t *testing.T) {
	strata, err := testkit.BuildStrata(t.TempDir(), race)
	if err != nil {
		t.Fatal(err)
	}
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	mirror := newMirror(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			home, err := testkit.NewHome(strata, mirror)
			if err != nil {
				return err
			}
			registry := testkit.StartRegistry()
			env.Defer(func() {
				if err := errors.Join(home.Close(), registry.Close()); err != nil {
					env.T().Log(err)
					env.T().FailNow()
				}
			})
			env.Values[registryKey{}] = registry
			env.Vars = append(env.Vars, home.Vars()...)
			env.Setenv("REGISTRY_HOST", registry.Host)
			env.Setenv("BIN", filepath.Dir(strata))
			env.Setenv("EXAMPLES", filepath.Join(root, "examples"))
			env.Setenv("GOROOT", goroot(t))
			env.Setenv("PATH", filepath.Dir(strata)+string(filepath.ListSeparator)+env.Getenv("PATH"))
			env.Values[environKey{}] = env.Vars
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"get":      get,
			"image":    image,
			"login":    login,
			"port":     port,
			"post":     post,
			"registry": registry,
			"sent":     sent,
			"signal":   signal,
		},
	})
}

// newMirror starts the registry that stands in for docker.io.
func newMirror(t *testing.T) *testkit.Registry {
	t.Helper()
	mirror := testkit.NewRegistry(t)
	for name, image := range map[string]func() (v1.Image, error){
		"library/python:3.8-alpine": testkit.Python,
		"library/busybox:latest":    testkit.Busybox,
		"library/alpine:latest":     testkit.Busybox,
	} {
		img, err := image()
		if err != nil {
			t.Fatal(err)
		}
		if err := mirror.Push(context.Background(), name, img); err != nil {
			t.Fatal(err)
		}
	}
	return mirror
}

// goroot asks the go command, because a trimmed test does not know.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(fmt.Errorf("asking go for GOROOT: %w", err))
	}
	return strings.TrimSpace(string(out))
}
