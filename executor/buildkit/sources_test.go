package buildkit

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
)

// gitServer serves a repository with the files at git://127.0.0.1:PORT/repo.
func gitServer(t *testing.T, files map[string]string) string {
	t.Helper()
	base := t.TempDir()
	repo := filepath.Join(base, "repo")
	for name, text := range files {
		name = filepath.Join(repo, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = repo
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	free.Close()
	daemon := exec.Command("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", fmt.Sprintf("--port=%d", port), "--base-path="+base, base)
	daemon.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // git runs it as a child of its own
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-daemon.Process.Pid, syscall.SIGKILL)
		_ = daemon.Wait()
	})
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(10 * time.Second); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "git://" + addr + "/repo"
		}
		if time.Now().After(deadline) {
			t.Fatal("git daemon does not answer")
		}
	}
}

func TestGitContextAndWhatStandsOnIt(t *testing.T) {
	l := newLab(t)
	url := gitServer(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\nENV FROM_GIT=yes\n", "f": "from git\n"})
	out := []config.Output{{Type: "local", Dest: "out"}}
	res, b := l.must(
		&config.Target{Name: "repo", Context: url, Outputs: archive("repo")},
		&config.Target{Name: "child", Context: ".", Contexts: map[string]string{"repo": "target:repo"}, Needs: []graph.ID{"repo"}, Outputs: out,
			DockerfileInline: ptr("FROM repo\nRUN echo $FROM_GIT >> /f\n")},
		&config.Target{Name: "grandchild", Context: ".", Contexts: map[string]string{"child": "target:child"}, Needs: []graph.ID{"child"}, Outputs: archive("grandchild"),
			DockerfileInline: ptr("FROM child\nRUN echo third >> /f\n")},
	)
	got, err := os.ReadFile(filepath.Join(l.dir, "out/f"))
	if err != nil || string(got) != "from git\nyes\n" {
		t.Errorf("child has %q, %v", got, err)
	}
	if b.Lowered("repo").Foreign == "" || res["grandchild"].State != executor.Built {
		t.Errorf("repo foreign %q, grandchild %+v", b.Lowered("repo").Foreign, res["grandchild"])
	}
	if rows := recordOf(b, "repo").Images[0].Layers; len(rows) == 0 {
		t.Error("a target lowered by the engine has no history")
	}
}

func TestHTTPContext(t *testing.T) {
	l := newLab(t)
	tarball := func(files map[string]string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for name, text := range files {
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	archived := tarball(map[string]string{"Dockerfile": "FROM scratch\nCOPY f /g\n", "f": "from http"})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archived) }))
	defer srv.Close()
	l.must(&config.Target{Name: "x", Context: srv.URL + "/ctx.tar", Outputs: []config.Output{{Type: "local", Dest: "out"}}})
	if got, err := os.ReadFile(filepath.Join(l.dir, "out/g")); err != nil || string(got) != "from http" {
		t.Errorf("got %q, %v", got, err)
	}
	// A policy in the archive binds as one that is here does.
	archived = tarball(map[string]string{"Dockerfile": "FROM scratch\n", "Dockerfile.rego": rego("input.image")})
	res, _, err := l.build(&config.Target{Name: "x", Context: srv.URL + "/other.tar", Outputs: []config.Output{{Type: "local", Dest: "out"}}})
	if err == nil || !strings.Contains(res["x"].Err.Error(), "/other.tar is denied by Dockerfile.rego") {
		t.Errorf("got %v", res["x"].Err)
	}
}

// TestPolicyInRepository is found there, with what it imports.
func TestPolicyInRepository(t *testing.T) {
	l := newLab(t)
	url := gitServer(t, map[string]string{
		"Dockerfile":      "FROM busybox\n",
		"Dockerfile.rego": "package docker\nimport data.lib.names\ndefault ok := false\nok if not input.image\nok if input.image.repo in names.good\ndecision := {\"allow\": ok}\n",
		"lib/names.rego":  "package names\ngood := {\"alpine\"}\n",
		"all.rego":        "package docker\ndecision := {\"allow\": true}\n",
	})
	target := &config.Target{Name: "x", Context: url, Outputs: archive("x")}
	res, _, err := l.build(target)
	if err == nil || !strings.Contains(res["x"].Err.Error(), "busybox:latest is denied by Dockerfile.rego") {
		t.Errorf("got %v", res["x"].Err)
	}
	target.Policy = []config.Policy{{Reset: true, Files: []string{"all.rego"}}}
	l.must(target)
	target.Policy = []config.Policy{{Reset: true, Files: []string{"none.rego"}}}
	if res, _, err = l.build(target); err == nil || !strings.Contains(res["x"].Err.Error(), `there is no policy file "none.rego"`) {
		t.Errorf("got %v", res["x"].Err)
	}
}

// A stage on the build platform needs no emulation; a RUN on another does, and
// the mistake is told before anything starts.
func TestPlatforms(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{
		"cross/Dockerfile": "FROM --platform=$BUILDPLATFORM busybox AS build\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM scratch\nCOPY --from=build /arch /arch\n",
		"run/Dockerfile":   "FROM scratch AS x\nCOPY Dockerfile /\nFROM scratch\nCOPY --from=x / /\nRUN [\"/true\"]\n",
	})
	both := []string{"linux/amd64", "linux/riscv64"}
	res, b := l.must(&config.Target{Name: "cross", Context: "cross", Platforms: both, Outputs: archive("cross")})
	if n := len(recordOf(b, "cross").Images); n != 2 || res["cross"].Digest == "" {
		t.Errorf("%d images, %+v", n, res["cross"])
	}
	for _, img := range recordOf(b, "cross").Images {
		if img.Digest == "" || img.Size <= 0 || len(img.Layers) != 1 || img.Layers[0].Digest == "" {
			t.Errorf("%s: %+v", img.Platform, img)
		}
	}
	_, _, err := l.build(&config.Target{Name: "run", Context: "run", Platforms: both, Outputs: archive("run")})
	if err == nil || !strings.Contains(err.Error(), "run/Dockerfile:5") || !strings.Contains(err.Error(), "linux/riscv64") {
		t.Errorf("error is %v", err)
	}
	// a parent of several platforms gives each child its own
	res, _ = l.must(
		&config.Target{Name: "cross", Context: "cross", Platforms: both, Outputs: archive("cross")},
		&config.Target{Name: "child", Context: ".", Platforms: both, DockerfileInline: ptr("FROM cross\nCOPY --link run/Dockerfile /x\n"),
			Contexts: map[string]string{"cross": "target:cross"}, Needs: []graph.ID{"cross"}, Outputs: []config.Output{{Type: "local", Dest: "both"}}},
	)
	for _, arch := range []string{"amd64", "riscv64"} {
		got, err := os.ReadFile(filepath.Join(l.dir, "both", "linux_"+arch, "arch"))
		if err != nil || strings.TrimSpace(string(got)) != arch {
			t.Errorf("%s: %q, %v (%+v)", arch, got, err, res["child"])
		}
	}
}

func TestRegistryCacheSavesTheWork(t *testing.T) {
	script := ptr("FROM busybox\nRUN date > /date\nRUN date > /date2\n")
	first := newLab(t)
	ref := first.mirror.Host + "/cache:x"
	target := &config.Target{
		Name: "x", Context: ".", DockerfileInline: script, Outputs: []config.Output{{Type: "cacheonly"}},
		CacheTo:   []config.CacheRef{{Type: "registry", Attrs: map[string]string{"ref": ref, "mode": "max"}}},
		CacheFrom: []config.CacheRef{{Type: "registry", Attrs: map[string]string{"ref": ref}}},
	}
	res, _ := first.must(target)
	if res["x"].Ran != 2 {
		t.Fatalf("first: %+v", res["x"])
	}
	second := newLab(t)
	target.CacheTo = nil
	second.settings = first.settings
	res, _ = second.must(target)
	if res["x"].Ran != 0 || res["x"].State != executor.Cached {
		t.Errorf("an engine that knows nothing ran %d steps", res["x"].Ran)
	}
}

func TestOCILayoutContext(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{"Dockerfile": "FROM scratch\nCOPY Dockerfile /first\nENV A=b\n"})
	l.must(&config.Target{Name: "x", Context: ".", Outputs: []config.Output{{Type: "oci", Dest: "layout", Attrs: map[string]string{"tar": "false"}}}})
	res, b := l.must(&config.Target{Name: "y", Context: ".", Contexts: map[string]string{"base": "oci-layout://layout"}, DockerfileInline: ptr("FROM base\nCOPY Dockerfile /second\n"), Outputs: archive("y")})
	if res["y"].State != executor.Built {
		t.Errorf("%+v", res["y"])
	}
	if rows := recordOf(b, "y").Images[0].Layers; len(rows) != 3 || rows[0].State != "base" || rows[2].Step != 1 {
		t.Errorf("history is %+v", rows)
	}
}
