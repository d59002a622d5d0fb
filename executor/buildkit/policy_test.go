package buildkit

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	spb "github.com/moby/buildkit/sourcepolicy/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/internal/testkit"
)

func rule(action spb.PolicyAction, from, to string) *spb.Policy {
	r := &spb.Rule{Action: action, Selector: &spb.Selector{Identifier: from}}
	if to != "" {
		r.Updates = &spb.Update{Identifier: to}
	}
	return &spb.Policy{Version: 1, Rules: []*spb.Rule{r}}
}

// TestSourcePolicy builds on a base that only the policy knows, and what is built
// on that; then what the policy denies.
func TestSourcePolicy(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{
		"base/Dockerfile": "# syntax=docker/dockerfile:1\nFROM nowhere:1\nRUN echo base > /base\n",
		"app/Dockerfile":  "FROM base\nRUN cat /base\n",
		"own/Dockerfile":  "FROM busybox\nRUN true\n",
	})
	base := &config.Target{Name: "base", Context: "base", Outputs: archive("base")}
	app := &config.Target{Name: "app", Context: "app", Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"}, Outputs: archive("app")}
	own := &config.Target{Name: "own", Context: "own", Outputs: archive("own")}

	l.policy = rule(spb.PolicyAction_CONVERT, "docker-image://docker.io/library/nowhere:1", "docker-image://docker.io/library/busybox:latest")
	if res, _ := l.must(base, app); res["app"].Digest == "" {
		t.Error("nothing was built")
	}
	l.policy = rule(spb.PolicyAction_DENY, "docker-image://docker.io/library/busybox:latest", "")
	res, _, err := l.build(own)
	if err == nil || res["own"].Err == nil || !strings.Contains(res["own"].Err.Error(), "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY") {
		t.Errorf("got %v, %v", err, res["own"].Err)
	}
	l.policy = nil
	l.must(own)
}

func TestSourcePolicyIsRead(t *testing.T) {
	dir := t.TempDir()
	want := rule(spb.PolicyAction_DENY, "docker-image://docker.io/library/a:1", "")
	binary, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"json": []byte(`{"version":1,"rules":[{"action":1,"selector":{"identifier":"docker-image://docker.io/library/a:1"}}]}`),
		"pb":   binary, "broken": []byte("{"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(pairs ...string) func(string) (string, bool) {
		return func(name string) (string, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return pairs[i+1], true
				}
			}
			return "", false
		}
	}
	for _, name := range []string{"json", "pb"} {
		got, err := SourcePolicy(env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", filepath.Join(dir, name)))
		if err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"broken", "missing"} {
		if _, err := SourcePolicy(env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", filepath.Join(dir, name))); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for text, want := range map[string]bool{"": false, "0": false, "maybe": false, "1": true, "true": true} {
		if got := SignedImages(env("BUILDX_DEFAULT_POLICY", text)); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// rego is a policy that allows a source if the rules hold.
func rego(rules ...string) string {
	return "package docker\n\ndefault allow := false\n\nallow if {\n\t" + strings.Join(rules, "\n\t") +
		"\n}\n\nallow if input.local\n\ndecision := {\"allow\": allow, \"deny_msg\": [\"not by our rules\"]}\n"
}

// TestPolicies builds under policies beside the Dockerfile and in the build file.
func TestPolicies(t *testing.T) {
	l := newLab(t)
	on := true
	l.write(map[string]string{
		"plain/Dockerfile":     "FROM busybox\nRUN true\n",
		"good/Dockerfile":      "FROM busybox\nRUN true\n",
		"good/Dockerfile.rego": rego(`input.image.repo == "busybox"`),
		"bad/Dockerfile":       "FROM busybox\nRUN true\n",
		"bad/Dockerfile.rego":  rego(`input.image.repo == "alpine"`),
		"bad/lib/ok.rego":      "package lib.ok\nyes := true\n",
		"bad/yes.rego":         "package docker\nimport data.lib.ok\ndecision := {\"allow\": ok.yes}\n",
		"bad/no.rego":          "package docker\ndecision := {\"allow\": false}\n",
		"bad/broken.rego":      "package docker\ndecision := {\n",
		"cwd.rego":             rego(`input.image.repo == "debian"`),
	})
	files := func(names ...string) config.Policy { return config.Policy{Files: names} }
	for _, tt := range []struct {
		name, context string
		policy        []config.Policy
		prepare       string // what is wrong beforehand
		denied        string // what is wrong then
	}{
		{name: "none", context: "plain"},
		{name: "beside", context: "good"},
		{name: "beside denies", context: "bad", denied: "busybox:latest is denied by Dockerfile.rego: not by our rules"},
		{name: "off", context: "bad", policy: []config.Policy{{Disabled: true}}},
		{name: "off and more", context: "bad", policy: []config.Policy{{Disabled: true}, files("yes.rego")}, prepare: "can not be combined"},
		{name: "reset", context: "bad", policy: []config.Policy{{Reset: true}}},
		{name: "reset and another", context: "bad", policy: []config.Policy{{Reset: true, Files: []string{"yes.rego"}}}},
		{name: "reset and another that denies", context: "bad", policy: []config.Policy{{Reset: true, Files: []string{"no.rego"}}}, denied: "is denied by no.rego"},
		{name: "both", context: "good", policy: []config.Policy{files("cwd://cwd.rego")}, denied: "is denied by cwd://cwd.rego"},
		{name: "one that denies is enough", context: "bad", policy: []config.Policy{files("yes.rego")}, denied: "is denied by Dockerfile.rego"},
		{name: "strict", context: "good", policy: []config.Policy{{Strict: &on}}},
		{name: "missing", context: "plain", policy: []config.Policy{files("none.rego")}, prepare: `there is no policy file "none.rego"`},
		{name: "outside", context: "plain", policy: []config.Policy{files("../cwd.rego")}, prepare: "escapes"},
		{name: "broken", context: "bad", policy: []config.Policy{files("broken.rego")}, prepare: "broken.rego:3:1:"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := &config.Target{Name: "t", Context: tt.context, Policy: tt.policy, Outputs: archive("t")}
			res, _, err := l.build(target)
			if tt.prepare != "" {
				te, ok := errors.AsType[*graph.TargetError](err)
				if res != nil || !ok || te.Attr != "policy" || !strings.Contains(te.Error(), tt.prepare) {
					t.Errorf("got %v, want %q", err, tt.prepare)
				}
				return
			}
			if tt.denied == "" {
				if err != nil {
					t.Errorf("got %v: %v", err, res["t"].Err)
				}
				return
			}
			se, ok := errors.AsType[*StepError](res["t"].Err)
			if !ok || !se.Denied || se.Registry || !strings.Contains(se.Failure.Message, tt.denied) {
				t.Errorf("got %v, want %q", res["t"].Err, tt.denied)
			}
		})
	}
}

// TestPoliciesOverSources judges what only the engine knows of sources, and sources
// that are no images.
func TestPoliciesOverSources(t *testing.T) {
	l := newLab(t)
	web := httptest.NewServer(http.FileServerFS(fstest.MapFS{"a.txt": {Data: []byte("a\n")}}))
	defer web.Close()
	repo := gitServer(t, map[string]string{"f": "f\n"})
	box, err := testkit.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	hash, err := box.Digest()
	if err != nil {
		t.Fatal(err)
	}
	img := hash.String()
	for _, tt := range []struct {
		name, dockerfile string
		rules            string
		contexts         map[string]string
		platforms        []string
		want             string // "" is allowed
	}{
		{name: "digest", dockerfile: "FROM busybox\n", rules: `input.image.checksum == "` + img + `"`},
		{name: "other digest", dockerfile: "FROM busybox\n", rules: `input.image.checksum == "sha256:00"`, want: "busybox:latest is denied"},
		{name: "a tag is no digest", dockerfile: "FROM busybox\n", rules: "input.image.isCanonical", want: "busybox:latest is denied"},
		{name: "by digest", dockerfile: "FROM busybox@" + img + "\n", rules: "input.image.isCanonical"},
		{name: "environment", dockerfile: "FROM busybox\n", rules: `some e in input.image.env; startswith(e, "PATH=")`},
		{name: "label", dockerfile: "FROM busybox\n", rules: `input.image.labels.nobody == "x"`, want: "busybox:latest is denied"},
		{name: "platform", dockerfile: "FROM busybox\n", rules: `input.image.os == "plan9"`, want: "busybox:latest is denied"},
		{name: "no provenance", dockerfile: "FROM busybox\n", rules: "not input.image.hasProvenance"},
		{name: "provenance", dockerfile: "FROM busybox\n", rules: `input.image.labels.x == "y"; input.image.provenance.buildType`, want: "busybox:latest is denied"},
		{name: "signature", dockerfile: "FROM busybox\n", rules: `docker_github_builder(input.image, "a/b")`, want: "busybox:latest is denied"},
		{name: "pin", dockerfile: "FROM busybox\n", rules: `pin_image(input.image, "` + img + `")`},
		{name: "pin to nothing", dockerfile: "FROM busybox\n", rules: `pin_image(input.image, "sha256:` + strings.Repeat("0", 64) + `")`, want: "not found"},
		{name: "named image", dockerfile: "FROM scratch\nCOPY --from=box /bin/busybox /\n", contexts: map[string]string{"box": "docker-image://busybox"}, rules: `input.image.repo == "alpine"`, want: "busybox:latest is denied"},
		{name: "http", dockerfile: "FROM scratch\nADD " + web.URL + "/a.txt /\n", rules: `input.http.url == "` + web.URL + `/a.txt"`},
		{name: "http denied", dockerfile: "FROM scratch\nADD " + web.URL + "/a.txt /\n", rules: `input.http.schema == "https"`, want: "/a.txt is denied"},
		{name: "http checksum", dockerfile: "FROM scratch\nADD " + web.URL + "/a.txt /\n", rules: `input.http.checksum == "sha256:` + digest.FromString("a\n").Encoded() + `"`},
		{name: "git", dockerfile: "FROM scratch\nADD " + repo + "#main /\n", rules: `input.git.branch == "main"; input.git.commit.author.name == "t"`},
		{name: "git denied", dockerfile: "FROM scratch\nADD " + repo + "#main /\n", rules: `input.git.host == "github.com"`, want: "is denied"},
		{name: "unsigned commit", dockerfile: "FROM scratch\nADD " + repo + "#main /\n", rules: `verify_git_signature(input.git.commit, "key.asc")`, want: "verify_git_signature: reading key.asc"},
		{name: "local", dockerfile: "FROM scratch\nCOPY --from=dir . /\n", contexts: map[string]string{"dir": "assets"}, rules: `input.image; input.local.name == "dir"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := strings.ReplaceAll(tt.name, " ", "-")
			l.write(map[string]string{
				name + "/Dockerfile": tt.dockerfile, name + "/Dockerfile.rego": rego(strings.Split(tt.rules, "; ")...), "assets/x": "x\n",
			})
			target := &config.Target{Name: "t", Context: name, Contexts: tt.contexts, Platforms: tt.platforms, Outputs: archive("t")}
			res, _, err := l.build(target)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v: %v", err, res["t"].Err)
				}
				return
			}
			if err == nil || !strings.Contains(res["t"].Err.Error(), tt.want) {
				t.Errorf("got %v, want %q", res["t"].Err, tt.want)
			}
		})
	}
}
