package lower

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// A fakeRegistry answers every reference with the same image of two layers. It
// is asked by the goroutines of all stages.
type fakeRegistry struct{}

func (fakeRegistry) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	img := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	img.History = []ocispec.History{{CreatedBy: "ADD rootfs"}, {CreatedBy: "ENV A=1", EmptyLayer: true}, {CreatedBy: "RUN base"}}
	b, err := json.Marshal(img)
	return ref, digest.FromString(ref), b, err
}

// tree writes files and returns their directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func lowerOne(t *testing.T, dir string, target *config.Target, parents map[string]*Result) (*Result, error) {
	t.Helper()
	return Lower(context.Background(), target, parents, Options{Dir: dir, Resolver: fakeRegistry{}, RunID: "run"})
}

func describeHistory(p Platform) string {
	var b strings.Builder
	for _, e := range p.History {
		kind := "base"
		if e.Number > 0 {
			kind = fmt.Sprintf("%d line %d", e.Number, e.Line)
		}
		layer := "layer"
		if e.Empty {
			layer = "config"
		} else if e.Vertex == "" {
			layer = "layer of base"
		}
		fmt.Fprintf(&b, "%s: %s (%s)\n", kind, e.CreatedBy, layer)
	}
	return b.String()
}

func TestHistoryNamesEveryInstruction(t *testing.T) {
	dir := tree(t, map[string]string{
		"Dockerfile": "ARG BASE=python:3.8-alpine\nFROM golang AS build\nRUN make\nFROM $BASE AS first\nRUN pip install \\\n  flask\nENV B=2\nONBUILD RUN x\nFROM first\nCMD [\"python\",\"app.py\"]\nCOPY --link app.py /app.py\nCOPY --from=build /out /out\n",
		"app.py":     "print()",
	})
	r, err := lowerOne(t, dir, &config.Target{Name: "lab", Context: "."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `base: ADD rootfs (layer of base)
base: ENV A=1 (config)
base: RUN base (layer of base)
1 line 5: RUN pip install flask (layer)
2 line 7: ENV B=2 (config)
3 line 0: RUN /bin/sh -c x # buildkit (layer)
4 line 10: CMD ["python","app.py"] (config)
5 line 11: COPY --link app.py /app.py (layer)
6 line 12: COPY --from=build /out /out (layer)
`
	if got := describeHistory(r.Platforms[0]); got != want {
		t.Errorf("history is\n%swant\n%s", got, want)
	}
	if got := r.Platforms[0].Base; got != "python:3.8-alpine" {
		t.Errorf("base is %q", got)
	}
}

func TestParentIsBaseAndItsStepsAreItsOwn(t *testing.T) {
	dir := tree(t, map[string]string{
		"base/Dockerfile": "FROM scratch\nCOPY f /f\nLABEL a=b\n", "base/f": "x",
		"app/Dockerfile": "FROM base\nCOPY g /g\n", "app/g": "y",
	})
	base, err := lowerOne(t, dir, &config.Target{Name: "base", Context: "base"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	app, err := lowerOne(t, dir, &config.Target{
		Name: "app", Context: "app", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"},
	}, map[string]*Result{"base": base})
	if err != nil {
		t.Fatal(err)
	}
	p := app.Platforms[0]
	want := "base: COPY f /f # buildkit (layer)\nbase: LABEL a=b (config)\n1 line 2: COPY g /g (layer)\n"
	if got := describeHistory(p); got != want {
		t.Errorf("history is\n%swant\n%s", got, want)
	}
	if p.Base != "target:base" {
		t.Errorf("base is %q", p.Base)
	}
	own := map[digest.Digest]bool{}
	for _, s := range base.Platforms[0].Steps {
		own[s.Digest] = true
	}
	for _, s := range p.Steps {
		if own[s.Digest] {
			t.Errorf("step %q belongs to base and app", s.Name)
		}
	}
	all := app.index()
	for d := range own {
		if all[d].op == nil {
			t.Errorf("vertex %s of base has another digest in app", d)
			continue
		}
		if &all[d].op[0] != &base.index()[d].op[0] {
			t.Errorf("vertex %s of base is held twice", d)
		}
	}
}

// What a needed target is made of is held by its children's definitions, and a
// second time only for an engine's front end, which provenance asks.
func TestParentsAreHeldForTheEngineOnly(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM base\nENV A=1\n"})
	base, err := lowerOne(t, dir, &config.Target{Name: "base", Context: ".", DockerfileInline: new("FROM busybox\nRUN true\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	app := config.Target{Name: "app", Context: ".", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}}
	proven := app
	proven.Attest = []config.Attest{{Type: "provenance", Attrs: map[string]string{"mode": "min"}}}
	for want, target := range []*config.Target{&app, &proven} {
		r, err := lowerOne(t, dir, target, map[string]*Result{"base": base})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(r.Request.Inputs); n != want {
			t.Errorf("%d inputs are held, want %d", n, want)
		}
		if len(r.Platforms) != 1 || r.Platforms[0].Base != "target:base" {
			t.Errorf("stands on %+v", r.Platforms)
		}
	}
}

// The engine's front end is handed what a needed target is made of without its
// no-cache marks: its steps have run, and must not for every target that needs it.
func TestNeededTargetsAreNotBuiltAnewForTheEngine(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM base\nENV A=1\n"})
	base, err := lowerOne(t, dir, &config.Target{Name: "base", Context: ".", NoCache: true, DockerfileInline: new("FROM busybox\nRUN true\n")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	marks := func(metadata map[string]*pb.OpMetadata) (n int) {
		for _, md := range metadata {
			if md.IgnoreCache {
				n++
			}
		}
		return n
	}
	if marks(base.Platforms[0].Def.ToPB().Metadata) == 0 {
		t.Error("no step of base is marked")
	}
	app, err := Lower(t.Context(), &config.Target{
		Name: "app", Context: ".", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"},
	}, map[string]*Result{"base": base}, Options{Dir: dir, Resolver: fakeRegistry{}, RunID: "run", InEngine: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(app.Request.Inputs) != 1 {
		t.Fatalf("%d inputs are held, want 1", len(app.Request.Inputs))
	}
	for name, st := range app.Request.Inputs {
		def, err := st.Marshal(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := marks(def.ToPB().Metadata); n > 0 {
			t.Errorf("%d steps of %s are marked", n, name)
		}
	}
	if marks(base.Platforms[0].Def.ToPB().Metadata) == 0 {
		t.Error("base itself has lost its marks")
	}
}

func TestEqualSourcesAreOneVertex(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "x", "other/Dockerfile": "FROM scratch\nCOPY f /f\n"})
	a, err := lowerOne(t, dir, &config.Target{Name: "a", Context: "."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := lowerOne(t, dir, &config.Target{Name: "b", Context: ".", Dockerfile: "other/Dockerfile"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for d := range a.index() {
		if b.index()[d].op == nil {
			t.Errorf("vertex %s of a is not in b", d)
		}
	}
}

func TestPlaceOfMistakes(t *testing.T) {
	tests := []struct{ name, dockerfile, place, text string }{
		{"unknown instruction", "FROM scratch\nRUNN x\n", "Dockerfile:2", "unknown instruction"},
		{"bad copy source", "FROM scratch AS a\n\nCOPY --from=b@ /x /x\n", "Dockerfile:3", "invalid"},
		{"bad flag", "FROM scratch\nCOPY --nope f /f\n", "Dockerfile:2", "unknown flag"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, map[string]string{"Dockerfile": tt.dockerfile})
			_, err := lowerOne(t, dir, &config.Target{Name: "x", Context: "."}, nil)
			if err == nil {
				t.Fatal("no error")
			}
			se, ok := errors.AsType[*SourceError](err)
			if !ok || se.Place.String() != tt.place || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("error is %#v %v, want place %s and %q", err, err, tt.place, tt.text)
			}
		})
	}
}

func TestForeignFrontends(t *testing.T) {
	tests := []struct {
		syntax  string
		foreign bool
	}{
		{"docker/dockerfile:1", false}, {"docker/dockerfile:1.7", false}, {"docker.io/docker/dockerfile:1.20", false},
		{"docker/dockerfile", false}, {"docker/dockerfile:1.7-labs", true}, {"docker/dockerfile-upstream:master", true},
		{"docker/dockerfile:1@sha256:" + strings.Repeat("0", 64), true}, {"evil/x", true},
	}
	for _, tt := range tests {
		t.Run(tt.syntax, func(t *testing.T) {
			dir := tree(t, map[string]string{"Dockerfile": "# syntax=" + tt.syntax + "\nFROM scratch\nCOPY . /\n"})
			r, err := lowerOne(t, dir, &config.Target{Name: "x", Context: "."}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if (r.Foreign != "") != tt.foreign {
				t.Errorf("foreign is %q, want %v", r.Foreign, tt.foreign)
			}
		})
	}
}

func TestGitContextIsForeign(t *testing.T) {
	r, err := lowerOne(t, t.TempDir(), &config.Target{Name: "x", Context: "https://github.com/moby/buildkit.git#v0.34.2"}, nil)
	if err != nil || r.Foreign == "" {
		t.Errorf("foreign is %v, error %v", r, err)
	}
}

func TestMissingThingsAreBlamedOnAttributes(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n", "file": ""})
	tests := []struct {
		attr   string
		target config.Target
	}{
		{"context", config.Target{Context: "nope"}},
		{"context", config.Target{Context: "file"}},
		{"dockerfile", config.Target{Context: ".", Dockerfile: "Nope"}},
		{"contexts.c", config.Target{Context: ".", Contexts: map[string]string{"c": "nope"}}},
		{"platforms", config.Target{Context: ".", Platforms: []string{"a/b/c/d"}}},
		{"shm-size", config.Target{Context: ".", ShmSize: "x"}},
	}
	for _, tt := range tests {
		tt.target.Name = "x"
		_, err := lowerOne(t, dir, &tt.target, nil)
		te, ok := errors.AsType[*graph.TargetError](err)
		if !ok || te.Attr != tt.attr {
			t.Errorf("%+v: error %v, want one at %s", tt.target, err, tt.attr)
		}
	}
}

func TestOneStepNumberPerVertex(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM --platform=linux/amd64 golang AS build\nRUN make\nFROM scratch\nCOPY --from=build /x /x\n"})
	r, err := lowerOne(t, dir, &config.Target{Name: "x", Context: ".", Platforms: []string{"linux/amd64", "linux/arm64"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Platforms) != 2 || !r.Multi {
		t.Fatalf("%d platforms, multi %v", len(r.Platforms), r.Multi)
	}
	if got := r.StepCount(); got != 3 { // FROM and RUN on the build platform, COPY the same for both
		for _, p := range r.Platforms {
			t.Logf("%s: %+v", p.ID, p.Steps)
		}
		t.Errorf("%d steps, want 3", got)
	}
}

func TestDockerfilePlace(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/Dockerfile", "b/dockerfile", "a/x/Other", "Own"} {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte("FROM scratch\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	inline := "FROM scratch\n"
	for _, tt := range []struct {
		target       *config.Target
		here, remote string
		bad          bool
	}{
		{target: &config.Target{Context: "a"}, here: "a/Dockerfile"},
		{target: &config.Target{Context: "b"}, here: "b/dockerfile"},
		{target: &config.Target{Context: "a", Dockerfile: "x/Other"}, here: "a/x/Other"},
		{target: &config.Target{Context: "a", Dockerfile: "cwd://Own"}, here: "Own"},
		{target: &config.Target{Context: "a", DockerfileInline: &inline}},
		{target: &config.Target{Context: "https://example.com/a.git"}, remote: "Dockerfile"},
		{target: &config.Target{Context: "https://example.com/a.git", Dockerfile: "x/Other"}, remote: "x/Other"},
		{target: &config.Target{Context: "https://example.com/a.git", Dockerfile: "cwd://Own"}, here: "Own"},
		{target: &config.Target{Context: "https://example.com/a.git", DockerfileInline: &inline}},
		{target: &config.Target{Context: "none"}, bad: true},
		{target: &config.Target{Context: "a", Dockerfile: "none"}, bad: true},
	} {
		here, remote, err := Dockerfile(tt.target, dir)
		if tt.here != "" {
			tt.here = filepath.Join(dir, tt.here)
		}
		if here != tt.here || remote != tt.remote || (err != nil) != tt.bad {
			t.Errorf("%s of %s: got %q, %q, %v", tt.target.Dockerfile, tt.target.Context, here, remote, err)
		}
	}
}

// TestLocalNames are those that docker buildx has, for a target that the engine
// reads and those it stands on, which were lowered here.
func TestLocalNames(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	copies := func(from string) *string { s := "FROM scratch\nCOPY --from=" + from + " . /\n"; return &s }
	opts := Options{Dir: dir, RunID: "run"}
	parent, err := Lower(t.Context(), &config.Target{
		Name: "p", Context: "b", Contexts: map[string]string{"assets": "a", "context": "a"}, DockerfileInline: copies("assets"),
	}, nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	child, err := Lower(t.Context(), &config.Target{
		Name: "c", Context: "a", Contexts: map[string]string{"p": "target:p", "own": "b"}, DockerfileInline: copies("p"),
	}, map[string]*Result{"p": parent}, opts)
	if err != nil {
		t.Fatal(err)
	}
	a, b := localName(filepath.Join(dir, "a")), localName(filepath.Join(dir, "b"))
	for name, want := range map[string]string{
		"context": "context", a: "_context assets", b: "context own", "other": "",
	} {
		if got := strings.Join(child.LocalNames(name), " "); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestNamedFrontends are known of targets too that are left to the engine for
// another reason, because somebody has to grant them.
func TestNamedFrontends(t *testing.T) {
	dir := t.TempDir()
	own, builtin := "# syntax=example.com/own\nFROM scratch\n", "# syntax=docker/dockerfile:1\nFROM scratch\n"
	far := &config.Target{Name: "far", Context: "https://example.com/a.git"}
	stands := func(name, text string) *config.Target {
		return &config.Target{Name: name, Context: ".", DockerfileInline: &text, Needs: []graph.ID{"far"}, Contexts: map[string]string{"far": "target:far"}}
	}
	for target, want := range map[*config.Target]string{
		{Name: "x", Context: ".", DockerfileInline: &own}:                                                                    "example.com/own",
		{Name: "x", Context: ".", DockerfileInline: &builtin}:                                                                "",
		{Name: "x", Context: ".", DockerfileInline: &builtin, Args: map[string]string{"BUILDKIT_SYNTAX": "example.com/arg"}}: "example.com/arg",
		{Name: "x", Context: "https://example.com/a.git", DockerfileInline: &own}:                                            "example.com/own",
		{Name: "x", Context: "https://example.com/a.git", Args: map[string]string{"BUILDKIT_SYNTAX": "example.com/arg"}}:     "example.com/arg",
		stands("x", own):     "example.com/own",
		stands("x", builtin): "",
	} {
		for _, reason := range []string{"", "a policy"} {
			l := NewLowerer(t.Context(), []*config.Target{far, target}, nil, Options{
				Dir: dir, RunID: "run", Foreign: func(*config.Target) string { return reason },
			})
			b, err := l.Brief("x")
			if err != nil || b.Frontend != want {
				t.Errorf("%+v, %q: got %+v, %v", target, reason, b, err)
			}
		}
	}
}
