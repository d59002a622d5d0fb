package policy

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/sirupsen/logrus"
)

// A world has the files that policies read, and answers what BuildKit would.
type world struct {
	files  map[string][]byte
	image  *gwpb.ResolveSourceImageResponse
	git    *gwpb.ResolveSourceGitResponse
	http   *gwpb.ResolveSourceHTTPResponse
	asked  []string // what was asked back, one word a question
	env    Env
	locals func(string) []string
	engine Engine
	level  logrus.Level
	said   []string
}

// newWorld has the files of a txtar archive.
func newWorld(archive string) *world {
	w := &world{files: map[string][]byte{}, level: logrus.InfoLevel}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		w.files[f.Name] = f.Data
	}
	return w
}

func (w *world) read(_ context.Context, name string) ([]byte, error) {
	data, ok := w.files[path.Clean(name)]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return data, nil
}

// load loads policies, each the files of one word.
func (w *world) load(t *testing.T, policies ...string) (*Set, error) {
	t.Helper()
	var list []Policy
	for _, names := range policies {
		p := newPolicy()
		p.Level = w.level
		for _, name := range strings.Split(names, "+") {
			p.Files = append(p.Files, File{Name: name})
		}
		list = append(list, *p)
	}
	return Load(t.Context(), list, Options{
		Read: w.read, Env: w.env, Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"}, Locals: w.locals, Engine: w.engine,
		Log: func(s string) { w.said = append(w.said, s) },
	})
}

// ask asks as BuildKit does, until there is a decision.
func (w *world) ask(t *testing.T, s *Set, source string) (*policysession.DecisionResponse, error) {
	t.Helper()
	op := &pb.SourceOp{Identifier: source}
	req := &policysession.CheckPolicyRequest{
		Platform: &pb.Platform{OS: "linux", Architecture: "amd64"}, Source: &gwpb.ResolveSourceMetaResponse{Source: op},
	}
	for range 10 {
		d, more, err := s.Check(t.Context(), req)
		if err != nil || more == nil {
			return d, err
		}
		if more.Source != op {
			t.Fatal("it asks about another source")
		}
		req.Source = w.answer(more)
	}
	t.Fatalf("no decision after %v", w.asked)
	return nil, nil
}

// answer tells what is asked for and nothing else.
func (w *world) answer(req *gwpb.ResolveSourceMetaRequest) *gwpb.ResolveSourceMetaResponse {
	out := &gwpb.ResolveSourceMetaResponse{Source: req.Source}
	var words []string
	if req.Image != nil {
		out.Image = &gwpb.ResolveSourceImageResponse{Digest: w.image.Digest}
		if !req.Image.NoConfig {
			words = append(words, "config")
			out.Image.Config = w.image.Config
		}
		if req.Image.AttestationChain {
			words = append(words, "attestations")
			out.Image.AttestationChain = w.image.AttestationChain
		}
	}
	if req.Git != nil {
		words = append(words, "git")
		out.Git = &gwpb.ResolveSourceGitResponse{Checksum: w.git.Checksum, Ref: w.git.Ref, CommitChecksum: w.git.CommitChecksum}
		if req.Git.ReturnObject {
			words = append(words, "objects")
			out.Git.CommitObject, out.Git.TagObject = w.git.CommitObject, w.git.TagObject
		}
	}
	if strings.HasPrefix(req.Source.Identifier, "http") {
		words = append(words, "sum")
		out.HTTP = &gwpb.ResolveSourceHTTPResponse{Checksum: w.http.Checksum}
		if req.HTTP != nil {
			words = append(words, "suffix")
			out.HTTP.ChecksumResponse = &gwpb.ChecksumResponse{
				Digest: w.http.ChecksumResponse.Digest, Suffix: req.HTTP.ChecksumRequest.Suffix,
			}
		}
	}
	w.asked = append(w.asked, strings.Join(words, "+"))
	return out
}

func imageFacts(t *testing.T, config ocispec.ImageConfig) *gwpb.ResolveSourceImageResponse {
	t.Helper()
	data, err := json.Marshal(ocispec.Image{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	return &gwpb.ResolveSourceImageResponse{
		Digest: digest.FromString("index").String(), Config: data,
		AttestationChain: &gwpb.AttestationChain{Root: digest.FromString("index").String()},
	}
}

const busybox = "docker-image://docker.io/library/busybox:1"

// TestDecisions asks rules about sources. A case is a rule body for allow, or whole
// modules if it says package.
func TestDecisions(t *testing.T) {
	sum := digest.FromString("index").String()
	for _, tt := range []struct {
		name, rule, source string
		want               string // "allow", "deny", "deny: message", "error: text" or "pin DIGEST"
		asked              string
	}{
		{name: "all", rule: "true", source: busybox, want: "allow"},
		{name: "no decision", rule: "package docker\nallow := true\n", source: busybox, want: "error: p.rego: it gives no decision"},
		{name: "decision of a kind", rule: "package docker\ndecision := true\n", source: busybox, want: "error: not an object"},
		{name: "allow of a kind", rule: "package docker\ndecision := {\"allow\": \"yes\"}\n", source: busybox, want: "error: not true or false"},
		{name: "allow left out", rule: "package docker\ndecision := {}\n", source: busybox, want: "deny"},
		{name: "message", rule: "package docker\ndecision := {\"allow\": false, \"deny_msg\": [\"no\", 1]}\n", source: busybox, want: "deny: no"},
		{name: "older spelling", rule: "package docker\nimport rego.v1\ndefault allow = false\nallow if input.image\ndecision := {\"allow\": allow}\n", source: busybox, want: "allow"},
		{name: "host", rule: `input.image.host == "docker.io"`, source: busybox, want: "allow"},
		{name: "repo", rule: `input.image.repo == "busybox"`, source: busybox, want: "allow"},
		{name: "full repo", rule: `input.image.fullRepo == "docker.io/library/busybox"`, source: busybox, want: "allow"},
		{name: "tag", rule: `input.image.tag == "2"`, source: busybox, want: "deny"},
		{name: "platform", rule: `input.image.platform == "linux/amd64"; input.image.os == "linux"; input.image.arch == "amd64"`, source: busybox, want: "allow"},
		{name: "by tag", rule: "input.image.isCanonical", source: busybox, want: "deny"},
		{name: "by digest", rule: "input.image.isCanonical; not input.image.tag", source: "docker-image://docker.io/library/busybox@" + sum, want: "allow"},
		{name: "own checksum", rule: `input.image.checksum == "` + sum + `"`, source: "docker-image://docker.io/library/busybox@" + sum, want: "allow"},
		{name: "checksum", rule: `input.image.checksum == "` + sum + `"`, source: busybox, want: "allow", asked: "config"},
		{name: "label", rule: `input.image.labels.team == "a"`, source: busybox, want: "allow", asked: "config"},
		{name: "other label", rule: `input.image.labels.team == "b"`, source: busybox, want: "deny", asked: "config"},
		{name: "no label", rule: `not input.image.labels.missing`, source: busybox, want: "allow", asked: "config"},
		{name: "by a function", rule: "package docker\nours(image) if image.labels.team == \"a\"\ndefault allow := false\nallow if ours(input.image)\ndecision := {\"allow\": allow}\n", source: busybox, want: "allow", asked: "config"},
		{name: "in a set", rule: "package docker\ndeny contains msg if {\n some l, v in input.image.labels\n msg := sprintf(\"%s=%s\", [l, v])\n}\ndecision := {\"allow\": count(deny) == 0, \"deny_msg\": [m | some m in deny]}\n", source: busybox, want: "deny: team=a", asked: "config"},
		{name: "user", rule: `input.image.user == "7"; input.image.workingDir == "/w"; "A=b" in input.image.env; input.image.volumes == ["/v"]`, source: busybox, want: "allow", asked: "config"},
		{name: "decided without", rule: `input.image.repo == "alpine"; input.image.labels.team == "a"`, source: busybox, want: "deny"},
		{name: "provenance", rule: "input.image.hasProvenance", source: busybox, want: "deny", asked: "attestations"},
		{name: "signature", rule: `docker_github_builder(input.image, "a/b")`, source: busybox, want: "deny", asked: "attestations"},
		{name: "label and provenance", rule: `input.image.labels.team == "a"; not input.image.hasProvenance`, source: busybox, want: "allow", asked: "config+attestations"},
		{name: "pin", rule: `pin_image(input.image, "` + sum + `")`, source: busybox, want: "pin " + sum},
		{name: "pinned already", rule: `pin_image(input.image, "` + sum + `")`, source: busybox + "@" + sum, want: "allow"},
		{name: "pin twice", rule: `pin_image(input.image, "` + sum + `"); pin_image(input.image, "` + digest.FromString("x").String() + `")`, source: busybox, want: "error: several digests"},
		{name: "pin of nothing", rule: `pin_image(input.image, "x")`, source: busybox, want: "deny"},
		{name: "pin of another", rule: `pin_image({}, "` + sum + `")`, source: busybox, want: "deny"},
		{name: "local", rule: `input.local.name == "context"`, source: "local://context", want: "allow"},
		{name: "local by another", rule: `input.local.name == "context"`, source: "local://other", want: "deny"},
		{name: "http", rule: `input.http.schema == "https"; input.http.host == "example.com"; input.http.path == "/a/b"; input.http.query.q == ["1"]; not input.http.hasAuth`, source: "https://EXAMPLE.com.:443/a/b?q=1", want: "allow"},
		{name: "http port", rule: `input.http.host == "[::1]:8080"`, source: "http://[0:0::1]:8080/", want: "allow"},
		{name: "http checksum", rule: `input.http.checksum == "sha256:aa"`, source: "https://example.com/a", want: "allow", asked: "sum"},
		{name: "git", rule: `input.git.host == "example.com"; input.git.remote == "https://example.com/a.git"; input.git.branch == "main"; input.git.subDir == "d"`, source: "git://example.com/a.git#refs/heads/main:d", want: "allow"},
		{name: "git tag", rule: `input.git.tagName == "v1"; not input.git.branch`, source: "git://example.com/a.git#refs/tags/v1", want: "allow"},
		{name: "git commit", rule: `input.git.isCommitRef; input.git.commitChecksum == "` + strings.Repeat("a", 40) + `"`, source: "git://example.com/a.git#" + strings.Repeat("a", 40), want: "allow"},
		{name: "git resolved", rule: `input.git.branch == "main"; input.git.checksum == "` + strings.Repeat("b", 40) + `"`, source: "git://example.com/a.git#main", want: "allow", asked: "git"},
		{name: "other kinds", rule: "true", source: "oci-layout://x", want: "error: can not judge sources of the kind oci-layout"},
		{name: "env", rule: `input.env.args.A == "1"; input.env.labels.l == "2"; input.env.target == "s"; input.env.filename == "Dockerfile"; input.env.depth == 0`, source: busybox, want: "allow"},
		{name: "json", rule: `input.image.repo in load_json("d/list.json").images`, source: busybox, want: "allow"},
		{name: "missing json", rule: `load_json("missing.json")`, source: busybox, want: "deny"},
		{name: "broken json", rule: `load_json("p.rego")`, source: busybox, want: "deny"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld("-- d/list.json --\n{\"images\": [\"busybox\"]}\n")
			if !strings.HasPrefix(tt.rule, "package") {
				tt.rule = "package docker\n\ndefault allow := false\n\nallow if {\n" + strings.ReplaceAll(tt.rule, "; ", "\n") + "\n}\n\ndecision := {\"allow\": allow}\n"
			}
			w.files["p.rego"] = []byte(tt.rule)
			w.env = Env{Args: map[string]string{"A": "1"}, Labels: map[string]string{"l": "2"}, Target: "s", Filename: "Dockerfile"}
			w.image = imageFacts(t, ocispec.ImageConfig{
				Labels: map[string]string{"team": "a"}, User: "7", WorkingDir: "/w", Env: []string{"A=b"}, Volumes: map[string]struct{}{"/v": {}},
			})
			w.git = &gwpb.ResolveSourceGitResponse{Ref: "refs/heads/main", Checksum: strings.Repeat("b", 40)}
			w.http = &gwpb.ResolveSourceHTTPResponse{Checksum: "sha256:aa"}
			s, err := w.load(t, "p.rego")
			if err != nil {
				t.Fatal(err)
			}
			d, err := w.ask(t, s, tt.source)
			check(t, d, err, tt.want)
			if got := strings.Join(w.asked, " "); got != tt.asked {
				t.Errorf("asked for %q, want %q", got, tt.asked)
			}
			if strings.HasPrefix(tt.want, "deny") != (s.Denied(tt.source) != nil) {
				t.Errorf("denials: %v", s.Denials())
			}
		})
	}
}

func check(t *testing.T, d *policysession.DecisionResponse, err error, want string) {
	t.Helper()
	got := ""
	switch {
	case err != nil:
		got = "error: " + err.Error()
		if text, ok := strings.CutPrefix(want, "error: "); ok && strings.Contains(got, text) {
			return
		}
	case d.Action == spb.PolicyAction_ALLOW:
		got = "allow"
	case d.Action == spb.PolicyAction_CONVERT:
		got = "pin " + d.Update.Attrs["image.checksum"]
		if !strings.HasSuffix(d.Update.Identifier, "@"+d.Update.Attrs["image.checksum"]) {
			t.Errorf("converted to %s", d.Update)
		}
	default:
		got = "deny"
		for _, m := range d.DenyMessages {
			got += ": " + m.Message
		}
	}
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestMistakes are told with file, line and column when policies are loaded.
func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		name, files string
		want        []string
	}{
		{"syntax", "-- p.rego --\npackage docker\n\nallow if {\n  input.image ==\n}\n", []string{"p.rego:5:1: unexpected }"}},
		{"empty", "-- p.rego --\n", []string{"p.rego:1:1: empty module"}},
		{"unknown function", "-- p.rego --\npackage docker\nallow if http.send({})\n", []string{"p.rego:2:10: undefined function http.send"}},
		{"unknown variable", "-- p.rego --\npackage docker\nallow if x\ndecision := {}\n", []string{"p.rego:2:10: var x is unsafe"}},
		{"two", "-- p.rego --\npackage docker\nallow if x\nother if y\n", []string{"p.rego:2:10", "p.rego:3:10"}},
		{"missing", "", []string{`there is no policy file "p.rego"`, "cwd://"}},
		{"missing import", "-- p.rego --\npackage docker\nimport data.lib.a\ndecision := {\"allow\": a.ok}\n", []string{"p.rego:2:8: import of data.lib.a: lib/a.rego: there is no such file"}},
		{"mistake in an import", "-- p.rego --\npackage docker\nimport data.lib.a\ndecision := {\"allow\": a.ok}\n-- lib/a.rego --\npackage x\nok if {\n", []string{"lib/a.rego:"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newWorld(tt.files).load(t, "p.rego")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
			if e, ok := errors.AsType[*Error](err); ok == strings.HasPrefix(tt.name, "missing") && tt.name == "missing" {
				t.Errorf("got %#v", e)
			}
		})
	}
}

// TestSeveralPolicies have to allow a source all of them; files of one policy are
// one set of rules.
func TestSeveralPolicies(t *testing.T) {
	w := newWorld(`
-- all.rego --
package docker
decision := {"allow": true}
-- none.rego --
package docker
decision := {"allow": false, "deny_msg": ["none"]}
-- first.rego --
package docker
decision := {"allow": ok}
-- second.rego --
package docker
import data.lib.names as n
default ok := false
ok if input.image.repo in n.good
-- lib/names.rego --
package whatever
import data.lib.more
good := {"busybox"} | more.good
-- lib/more.rego --
package lib.more
good := {"alpine"}
`)
	for _, tt := range []struct {
		policies, source, want string
	}{
		{"all.rego", busybox, "allow"},
		{"all.rego all.rego", busybox, "allow"},
		{"all.rego none.rego", busybox, "deny: none"},
		{"none.rego all.rego", busybox, "deny: none"},
		{"first.rego+second.rego", busybox, "allow"},
		{"first.rego+second.rego", "docker-image://docker.io/library/alpine:1", "allow"},
		{"first.rego+second.rego", "docker-image://docker.io/library/debian:1", "deny"},
	} {
		s, err := w.load(t, strings.Fields(tt.policies)...)
		if err != nil {
			t.Fatal(err)
		}
		d, err := w.ask(t, s, tt.source)
		check(t, d, err, tt.want)
	}
}

// TestWhatIsTold of an evaluation depends on the level.
func TestWhatIsTold(t *testing.T) {
	for level, want := range map[logrus.Level][]string{
		logrus.WarnLevel: nil,
		logrus.InfoLevel: {
			"checking policy for source " + busybox + " (linux/amd64)", "p.rego:3: see busybox",
			"policy decision for source " + busybox + " (linux/amd64): ALLOW",
		},
	} {
		w := newWorld("-- p.rego --\npackage docker\ndecision := {\"allow\": true} if {\n print(\"see\", input.image.repo)\n}\n")
		w.level = level
		s, err := w.load(t, "p.rego")
		if err != nil {
			t.Fatal(err)
		}
		if d, err := w.ask(t, s, busybox); err != nil || d.Action != spb.PolicyAction_ALLOW || !slices.Equal(w.said, want) {
			t.Errorf("%s: %v, %v, said %q", level, d, err, w.said)
		}
	}
	w := newWorld("-- p.rego --\npackage docker\ndecision := {\"allow\": true}\n")
	w.level = logrus.DebugLevel
	s, err := w.load(t, "p.rego")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask(t, s, busybox); err != nil || !strings.Contains(strings.Join(w.said, "\n"), `"fullRepo": "docker.io/library/busybox"`) {
		t.Errorf("%v, said %q", err, w.said)
	}
}

// TestNotes say why a function gave nothing, with its place.
func TestNotes(t *testing.T) {
	w := newWorld("-- p.rego --\npackage docker\ndefault allow := false\nallow if load_json(\"x.json\").ok\ndecision := {\"allow\": allow}\n")
	s, err := w.load(t, "p.rego")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ask(t, s, busybox); err != nil {
		t.Fatal(err)
	}
	want := busybox + " is denied by p.rego: p.rego:3:10: load_json: reading x.json: file does not exist"
	if d := s.Denied(busybox); d == nil || d.Error() != want {
		t.Errorf("got %v, want %s", d, want)
	}
}

// TestLocalNames are those that the caller says; all of them count.
func TestLocalNames(t *testing.T) {
	w := newWorld("-- p.rego --\npackage docker\ndecision := {\"allow\": input.local.name != \"secret\"}\n")
	names := map[string][]string{"1": {"context", "assets"}, "2": {"context", "secret"}}
	w.locals = func(name string) []string { return names[name] }
	s, err := w.load(t, "p.rego")
	if err != nil {
		t.Fatal(err)
	}
	for source, want := range map[string]string{"local://1": "allow", "local://2": "deny", "local://3": "allow"} {
		d, err := w.ask(t, s, source)
		check(t, d, err, want)
	}
}

func TestProxy(t *testing.T) {
	for caps, want := range map[string]string{
		`{"exec.proxy": true}`: "true", `{"exec.proxy": false}`: "false", `{}`: "false",
		`{"other": true}`: `p.rego: caps in its decision has "other"`, `[]`: "not an object",
	} {
		w := newWorld("-- p.rego --\npackage docker\ncaps := " + caps + " if input.env.capsRequest\nelse := {}\ndecision := {\"allow\": true, \"caps\": caps}\n")
		s, err := w.load(t, "p.rego")
		if err != nil {
			t.Fatal(err)
		}
		on, err := s.Proxy(t.Context())
		if got := map[bool]string{true: "true", false: "false"}[on]; err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v", caps, on, err)
		}
		if want == "false" {
			d, err := w.ask(t, s, busybox)
			check(t, d, err, "allow")
		}
	}
}
