package buildkit

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	"go.uber.org/goleak"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// TestMain is the tests, or the engine that they started by this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "engine" && os.Args[2] == "serve" {
		os.Exit(serve(os.Args[3:]))
	}
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

func serve(args []string) int {
	var opts engine.ServeOptions
	flags := flag.NewFlagSet("engine serve", flag.ExitOnError)
	opts.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := engine.Serve(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A lab is an engine of the test's own, with a mirror of docker.io that has
// busybox, and a directory to build in.
type lab struct {
	policy   *spb.Policy // of all that is built
	t        *testing.T
	dir      string
	engine   *engine.Engine
	settings registry.Settings
	mirror   *testkit.Registry

	mu     sync.Mutex
	events []executor.Event

	kept   *store.Store
	cache  *config.CacheBlock // nil is none
	limit  int64              // of a manifest of the cache, 0 is BuildKit's
	remote bool               // do as if the engine were a buildkitd of somebody else's
}

func newLab(t *testing.T) *lab {
	t.Helper()
	return newLabOn(t, testkit.NewRegistry(t))
}

// newLabOn is a lab with an engine of its own and a mirror that others have too.
func newLabOn(t *testing.T, mirror *testkit.Registry) *lab {
	t.Helper()
	l := &lab{t: t, dir: t.TempDir(), mirror: mirror}
	box, err := testkit.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.mirror.Push(t.Context(), "library/busybox:latest", box); err != nil {
		t.Fatal(err)
	}
	settings, err := registry.LoadSettings(filepath.Join(l.dir, "none.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if l.settings, err = settings.WithFlags([]string{"docker.io=" + l.mirror.URL()}, nil); err != nil {
		t.Fatal(err)
	}
	var regs map[string]resolverconfig.RegistryConfig = l.settings.Configs()
	opts := engine.Options{Address: "embedded", Dir: filepath.Join(t.TempDir(), "engine"), Registries: regs, LookupEnv: os.LookupEnv}
	if l.engine, err = engine.Open(t.Context(), opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.engine.Close()
		if err := engine.Stop(context.Background(), opts, true); err != nil {
			t.Error(err)
		}
	})
	return l
}

// write makes files below the lab's directory.
func (l *lab) write(files map[string]string) {
	l.t.Helper()
	for name, text := range files {
		name = filepath.Join(l.dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			l.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			l.t.Fatal(err)
		}
	}
}

// builder is a Builder for this lab.
func (l *lab) builder() *Builder {
	keys := registry.NewKeychain(os.LookupEnv)
	res := registry.NewResolver(l.settings, keys)
	l.t.Cleanup(res.Close)
	kept, err := store.Open(filepath.Join(l.dir, ".kept"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { kept.Close() })
	l.kept = kept
	b := &Builder{
		Keep:         keeper{kept},
		SourcePolicy: l.policy,
		Client:       l.engine.Client(), Address: l.engine.Name(), LookupEnv: os.LookupEnv, Stdout: os.Stdout, Layers: !l.remote,
		Lower: lower.Options{Dir: l.dir, RunID: fmt.Sprint(time.Now().UnixNano()), Resolver: res},
		Emit: func(e executor.Event) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.events = append(l.events, e)
		},
	}
	for _, w := range l.engine.Workers() {
		b.Lower.Workers = append(b.Lower.Workers, gwclient.WorkerInfo{ID: w.ID, Platforms: w.Platforms})
	}
	if l.cache != nil {
		b.Cache = l.shared(b)
	}
	return b
}

// A keeper keeps images as the command does.
type keeper struct{ store *store.Store }

func (k keeper) Content() content.Store { return k.store.Content() }

func (k keeper) Tag(ctx context.Context, desc ocispec.Descriptor, tags []string, target string) error {
	return k.store.Tag(ctx, desc, tags, store.Meta{Target: target})
}

func TestImagesAreKeptUnderTheirTags(t *testing.T) {
	l := newLab(t)
	target := &config.Target{Name: "x", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo x > /x\n"), Tags: []string{"app:1", "app:2"}}
	res, _ := l.must(target)
	for _, tag := range target.Tags {
		img, err := l.kept.Resolve(t.Context(), tag)
		if err != nil || img.Digest.String() != res["x"].Digest || img.Size <= 0 {
			t.Errorf("%s: %+v, %v", tag, img, err)
		}
	}
	if problems, err := l.kept.Check(t.Context(), "app:1"); err != nil || len(problems) > 0 {
		t.Errorf("check: %v, %v", problems, err)
	}
	before := l.mirror.Count("GET .*/blobs/")
	l.must(target)
	if n := l.mirror.Count("GET .*/blobs/") - before; n > 1 { // the image config is read to plan
		t.Errorf("the second build fetched %d blobs", n)
	}
	status, out := l.run("app:1", "cat", "/x")
	if status != 0 || out != "x\n" {
		t.Errorf("run: status %d, output %q", status, out)
	}
	if status, _ := l.run("app:1", "sh", "-c", "exit 7"); status != 7 {
		t.Errorf("run: status %d, want 7", status)
	}
}

// run runs a kept image.
func (l *lab) run(ref string, args ...string) (int, string) {
	l.t.Helper()
	img, err := l.kept.Resolve(l.t.Context(), ref)
	if err != nil {
		l.t.Fatal(err)
	}
	var out bytes.Buffer
	status, err := RunProcess(l.t.Context(), l.engine.Client(), Process{
		Image: ref, Digest: img.Digest, Content: l.kept.Content(), Args: args, Stdout: keepOpen{&out}, Stderr: keepOpen{&out},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return status, out.String()
}

// build builds targets, given needs first, and returns results by name.
func (l *lab) build(targets ...*config.Target) (map[string]executor.TargetResult, *Builder, error) {
	l.t.Helper()
	b := l.builder()
	if err := b.Prepare(l.t.Context(), targets); err != nil {
		return nil, b, err
	}
	var nodes []graph.Node
	for _, t := range targets {
		nodes = append(nodes, graph.Node{ID: graph.ID(t.Name), Needs: t.Needs})
	}
	return l.solve(b, nodes)
}

// solve runs a graph of targets for which b is prepared, and returns results by name.
func (l *lab) solve(b *Builder, nodes []graph.Node) (map[string]executor.TargetResult, *Builder, error) {
	l.t.Helper()
	g, err := graph.New(nodes)
	if err != nil {
		l.t.Fatal(err)
	}
	results, err := executor.Run(l.t.Context(), g, b, executor.Options{KeepGoing: true}, b.Emit)
	byName := map[string]executor.TargetResult{}
	for _, r := range results {
		byName[r.Target] = r
	}
	return byName, b, err
}

func (l *lab) must(targets ...*config.Target) (map[string]executor.TargetResult, *Builder) {
	l.t.Helper()
	res, b, err := l.build(targets...)
	if err != nil {
		for name, r := range res {
			l.t.Logf("%s: %s %v", name, r.State, r.Err)
		}
		l.t.Fatal(err)
	}
	return res, b
}

// peer builds the same with BuildKit's own front end, in the engine.
func (l *lab) peer(dir string, attrs map[string]string, attach ...session.Attachable) string {
	l.t.Helper()
	f, err := fsutil.NewFS(filepath.Join(l.dir, dir))
	if err != nil {
		l.t.Fatal(err)
	}
	resp, err := l.engine.Client().Solve(l.t.Context(), nil, client.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs,
		LocalMounts: map[string]fsutil.FS{"context": f, "dockerfile": f},
		Session:     attach,
		Exports:     []client.ExportEntry{{Type: client.ExporterImage, Attrs: map[string]string{}}},
	}, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.ExporterResponse["containerimage.digest"]
}

// recordOf is the record of a target; an empty one if there is none.
func recordOf(b *Builder, target string) *history.Record {
	if rec, ok := b.Record(target); ok {
		return rec
	}
	return &history.Record{Images: make([]history.Image, 1)}
}

func archive(name string) []config.Output {
	return []config.Output{{Type: "oci", Dest: name + ".tar"}}
}

func TestDigestsEqualBuildKitsOwnFrontEnd(t *testing.T) {
	l := newLab(t)
	scripts := map[string]string{
		"plain":    "FROM busybox\nRUN echo hi > /hi\nCOPY f /f\nCMD [\"cat\",\"/f\"]\n",
		"scratch":  "FROM scratch\nCOPY --chmod=4755 f /f\nENTRYPOINT [\"/f\"]\n",
		"stages":   "ARG V=busybox\nFROM $V AS a\nARG X=1\nWORKDIR /w\nRUN echo $X > x\nFROM a AS b\nUSER 12:34\nENV A=1 B=\"two words\"\nFROM scratch\nCOPY --from=a /w/x /x\nCOPY --link --from=b --chown=5:6 /w /w\nLABEL l=\"$X\"\n",
		"heredoc":  "FROM busybox\nRUN <<EOF\necho one > /1\necho two > /2\nEOF\nCOPY <<X /etc/x\nbody $HOME\nX\nHEALTHCHECK --interval=3s CMD true\nSTOPSIGNAL 9\nSHELL [\"/bin/sh\",\"-ec\"]\nVOLUME /v\nEXPOSE 80/udp 81\nONBUILD RUN true\n",
		"mounts":   "FROM busybox\nRUN --mount=type=cache,target=/c --mount=type=bind,source=f,target=/b --mount=type=tmpfs,target=/t cat /b > /b2; touch /c/x\nRUN --network=none ls / > /ls\nADD d.tar /unpacked/\n",
		"ignored":  "FROM scratch\nCOPY . /all\n",
		"syntax":   "# syntax=docker/dockerfile:1\n# check=skip=all\nFROM busybox\nCOPY --exclude=*.tar . /x\n",
		"escape":   "# escape=`\nFROM busybox\nRUN echo a `\n  b > /ab\n",
		"platform": "FROM --platform=$BUILDPLATFORM busybox AS x\nARG TARGETARCH\nRUN echo $TARGETARCH > /arch\nFROM busybox\nCOPY --from=x /arch /\n",
	}
	for name, text := range scripts {
		// the peer would pull the front end that a syntax line names
		peer := strings.TrimPrefix(text, "# syntax=docker/dockerfile:1\n")
		l.write(map[string]string{name + "/peer.Dockerfile": peer})
		l.write(map[string]string{
			name + "/Dockerfile": text, name + "/f": "content", name + "/sub/g": "g", name + "/no/h": "h",
			name + "/.dockerignore": "no\n*Dockerfile\n", name + "/d.tar": "not a tar",
		})
		t.Run(name, func(t *testing.T) {
			res, _ := l.must(&config.Target{Name: name, Context: name, Args: map[string]string{"X": "7"}, Labels: map[string]string{"a": "b"}, Outputs: archive(name)})
			want := l.peer(name, map[string]string{"filename": "peer.Dockerfile", "build-arg:X": "7", "label:a": "b"})
			if got := res[name].Digest; got != want || want == "" {
				t.Errorf("digest is %s, BuildKit's own front end gives %s", got, want)
			}
		})
	}
}

func TestChildOnParentEqualsOneDockerfile(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{
		"one/Dockerfile": "FROM busybox AS base\nRUN echo base > /base\nENV P=1\nLABEL x=y\nFROM base\nRUN cat /base > /copy\nCOPY f /f\n", "one/f": "f",
		"base/Dockerfile": "FROM busybox AS base\nRUN echo base > /base\nENV P=1\nLABEL x=y\n",
		"app/Dockerfile":  "FROM base\nRUN cat /base > /copy\nCOPY f /f\n", "app/f": "f",
	})
	res, b := l.must(
		&config.Target{Name: "base", Context: "base", Outputs: archive("base")},
		&config.Target{Name: "app", Context: "app", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}, Outputs: archive("app")},
	)
	if want := l.peer("one", nil); res["app"].Digest != want {
		t.Errorf("digest is %s, one Dockerfile gives %s", res["app"].Digest, want)
	}
	var lines []string
	for _, row := range recordOf(b, "app").Images[0].Layers {
		lines = append(lines, fmt.Sprintf("%d %s %s %v", row.Step, row.State, row.CreatedBy, row.SharedWith))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"0 base RUN echo base > /base [base]", "1 built RUN cat /base > /copy []", "2 built COPY f /f []",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("history lacks %q:\n%s", want, got)
		}
	}
	if res["base"].Ran != 1 || res["app"].Ran != 2 {
		t.Errorf("base ran %d steps and app %d, want 1 and 2", res["base"].Ran, res["app"].Ran)
	}
}

func TestSecondBuildRunsNothing(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\nRUN date > /date\n", "f": "f"})
	target := &config.Target{Name: "x", Context: ".", Outputs: []config.Output{{Type: "cacheonly"}}}
	first, b := l.must(target)
	if r := first["x"]; r.State != executor.Built || r.Ran != 2 || r.Steps != 3 {
		t.Errorf("first: %+v", r)
	}
	img := recordOf(b, "x").Images[0]
	if img.SizeKind != "disk" || img.Size <= 0 {
		t.Errorf("cacheonly has size %d %s", img.Size, img.SizeKind)
	}
	l.remote = true
	_, b = l.must(&config.Target{Name: "y", Context: ".", DockerfileInline: ptr("FROM busybox\nCOPY f /f\nRUN echo other > /other\n"), Outputs: target.Outputs})
	if img := recordOf(b, "y").Images[0]; img.SizeKind != "disk" || img.Size <= 0 {
		t.Errorf("cacheonly on a remote engine has size %d %s", img.Size, img.SizeKind)
	}
	second, _ := l.must(target)
	if r := second["x"]; r.State != executor.Cached || r.Ran != 0 {
		t.Errorf("second: %+v", r)
	}
}

func TestFailureNamesStepPlaceAndLog(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{"Dockerfile": "FROM busybox\n\nRUN echo before && echo bad >&2 && exit 3\n"})
	none := []config.Output{{Type: "cacheonly"}}
	res, _, err := l.build(
		&config.Target{Name: "x", Context: ".", Outputs: none},
		&config.Target{Name: "child", Context: ".", Outputs: none, DockerfileInline: ptr("FROM x\nRUN true\n"), Contexts: map[string]string{"x": "target:x"}, Needs: []graph.ID{"x"}},
		&config.Target{Name: "other", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN true\n"), Outputs: []config.Output{{Type: "cacheonly"}}},
	)
	if err == nil {
		t.Fatal("no error")
	}
	if res["child"].State != executor.Skipped || res["child"].Blame != "x" || res["other"].State != executor.Built {
		t.Errorf("child %+v, other %+v", res["child"], res["other"])
	}
	f := res["x"].Failure
	if f == nil {
		t.Fatalf("error is %#v", res["x"].Err)
	}
	if f.Message != "exit status 3" || f.Step.Place != "Dockerfile:3" || f.Step.Number != 2 || !strings.Contains(string(f.Log), "before\n") || !strings.Contains(string(f.Log), "bad\n") {
		t.Errorf("failure is %+v, log %q", f, f.Log)
	}
	if len(f.Excerpt) != 3 || !f.Excerpt[2].Guilty || f.Excerpt[2].Number != 3 {
		t.Errorf("excerpt is %+v", f.Excerpt)
	}
}

func ptr[T any](v T) *T { return &v }

func TestOutputs(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{"Dockerfile": "FROM scratch\nCOPY f /f\n", "f": "f"})
	push := l.mirror.URL()[len("http://"):] + "/out:1"
	out := func(kind, dest string) config.Output { return config.Output{Type: kind, Dest: dest} }
	res, _ := l.must(&config.Target{Name: "x", Context: ".", Tags: []string{push}, Outputs: []config.Output{
		out("oci", "a/x.oci.tar"), out("docker", "a/x.docker.tar"), out("tar", "x.tar"), out("local", "dir"), {Type: "registry"}, out("cacheonly", ""),
	}})
	for _, f := range []string{"a/x.oci.tar", "a/x.docker.tar", "x.tar", "dir/f"} {
		if fi, err := os.Stat(filepath.Join(l.dir, f)); err != nil || fi.Size() == 0 {
			t.Errorf("%s: %v", f, err)
		}
	}
	left, _ := filepath.Glob(filepath.Join(l.dir, "*", ".*-*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	img, err := l.mirror.Image(t.Context(), "out:1")
	if err != nil {
		t.Fatal(err)
	}
	if d, _ := img.Digest(); d.String() != res["x"].Digest {
		t.Errorf("pushed %s, reported %s", d, res["x"].Digest)
	}
}

func TestSecretsArePerTarget(t *testing.T) {
	l := newLab(t)
	script := "FROM busybox\nRUN --mount=type=secret,id=token,required=true cat /run/secrets/token | wc -c > /n\n"
	l.write(map[string]string{"secret.txt": "hush-hush"})
	res, _, _ := l.build(
		&config.Target{Name: "has", Context: ".", DockerfileInline: &script, Secrets: []config.Secret{{ID: "token", Source: "secret.txt"}}, Outputs: []config.Output{{Type: "local", Dest: "out"}}},
		&config.Target{Name: "hasnot", Context: ".", DockerfileInline: ptr(strings.Replace(script, "> /n", "> /m", 1)), Outputs: []config.Output{{Type: "cacheonly"}}},
	)
	if res["has"].State != executor.Built {
		t.Errorf("has: %+v", res["has"])
	}
	if n, _ := os.ReadFile(filepath.Join(l.dir, "out/n")); strings.TrimSpace(string(n)) != "9" {
		t.Errorf("the step read %q bytes", n)
	}
	if res["hasnot"].State != executor.Failed || !strings.Contains(fmt.Sprint(res["hasnot"].Err), "token") {
		t.Errorf("hasnot: %+v", res["hasnot"])
	}
}

func TestProvenanceHasArguments(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{
		"base/Dockerfile": "FROM busybox\nRUN echo base > /base\n",
		"app/Dockerfile":  "# syntax=docker/dockerfile:1\nFROM base\nARG V\nRUN echo $V > /v\n",
	})
	res, b := l.must(
		&config.Target{Name: "base", Context: "base", Outputs: archive("base")},
		&config.Target{
			Name: "app", Context: "app", Args: map[string]string{"V": "visible-argument"}, Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"},
			Attest:  []config.Attest{{Type: "provenance", Attrs: map[string]string{"mode": "max"}}},
			Tags:    []string{l.mirror.URL()[len("http://"):] + "/app:1"},
			Outputs: []config.Output{{Type: "registry"}},
		},
	)
	if res["app"].State != executor.Built {
		t.Fatalf("app: %+v", res["app"])
	}
	if n := len(recordOf(b, "app").Images); n != 1 {
		t.Errorf("%d images in the record", n)
	}
	row := recordOf(b, "app").Images[0].Layers
	last := row[len(row)-1]
	if last.State != "built" || last.Digest == "" || last.Place != "app/Dockerfile:4" {
		t.Errorf("last layer is %+v", last)
	}
	statement := l.attestations("app:1")
	for _, want := range []string{"slsa", "visible-argument", "docker.io/library/busybox"} {
		if !strings.Contains(statement, want) {
			t.Errorf("the attestation lacks %q: %.300s", want, statement)
		}
	}
}

// attestations is the text of all attestations pushed with an image.
func (l *lab) attestations(image string) string {
	l.t.Helper()
	ref, err := name.ParseReference(l.mirror.Host+"/"+image, name.Insecure)
	if err != nil {
		l.t.Fatal(err)
	}
	index, err := remote.Index(ref)
	if err != nil {
		l.t.Fatal(err)
	}
	list, err := index.IndexManifest()
	if err != nil {
		l.t.Fatal(err)
	}
	var out strings.Builder
	for _, m := range list.Manifests {
		if m.Platform == nil || m.Platform.OS != "unknown" {
			continue
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			l.t.Fatal(err)
		}
		layers, err := img.Layers()
		if err != nil {
			l.t.Fatal(err)
		}
		for _, layer := range layers {
			r, err := layer.Compressed() // in-toto statements are not compressed
			if err != nil {
				l.t.Fatal(err)
			}
			b, err := io.ReadAll(r)
			if err := errors.Join(err, r.Close()); err != nil {
				l.t.Fatal(err)
			}
			out.Write(b)
		}
	}
	return out.String()
}

func TestBaseIsResolvedOnceAndExportsDoNotWaitForDescendants(t *testing.T) {
	l := newLab(t)
	var targets []*config.Target
	for i := range 12 {
		targets = append(targets, &config.Target{
			Name: fmt.Sprint("t", i), Context: ".", DockerfileInline: ptr(fmt.Sprintf("FROM busybox\nENV I=%d\n", i)), Outputs: []config.Output{{Type: "cacheonly"}},
		})
	}
	targets = append(targets,
		&config.Target{Name: "base", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo base\n"), Outputs: archive("base")},
		&config.Target{Name: "slow", Context: ".", DockerfileInline: ptr("FROM base\nRUN while ! test -e /tmp/x; do sleep 1; touch /tmp/x; done\n"),
			Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}, Outputs: archive("slow")},
	)
	l.must(targets...)
	// one request for the tag when lowering; the engine then asks by digest
	if n := l.mirror.Count("/manifests/latest"); n != 1 {
		t.Errorf("the tag was asked for %d times: %v", n, l.mirror.Requests())
	}
	var done []string
	for _, e := range l.events {
		if d, ok := e.(executor.TargetDone); ok && (d.Target == "base" || d.Target == "slow") {
			done = append(done, d.Target)
		}
	}
	if strings.Join(done, " ") != "base slow" {
		t.Errorf("done in order %v", done)
	}
}
