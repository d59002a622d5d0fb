package buildkit

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"google.golang.org/protobuf/proto"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
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
	for text, rules := range map[string]int{"": 0, "0": 0, "maybe": 0, "1": 3, "true": 3} {
		got, err := SourcePolicy(env("BUILDX_DEFAULT_POLICY", text))
		if err != nil || len(got.GetRules()) != rules {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
}

func TestSignedImages(t *testing.T) {
	for ref, want := range map[string]bool{
		"docker/dockerfile:1": true, "docker/dockerfile:1.21": true, "docker/dockerfile:1.21.0-labs": true, "docker/dockerfile:2": true,
		"docker/dockerfile:latest": true, "docker/dockerfile:labs": true, "docker/dockerfile-upstream:master": true,
		"docker/buildkit-syft-scanner:latest": true, "docker/buildkit-syft-scanner:1.10": true,
		"docker/dockerfile:1.20": false, "docker/dockerfile:1.3-labs": false, "docker/dockerfile:1@sha256:00": false,
		"docker/buildkit-syft-scanner:1.9": false, "docker/buildkit-syft-scanner:stable-1": false, "library/busybox:latest": false,
	} {
		denied := false
		for _, r := range signedImages() {
			denied = denied || regexp.MustCompile(r.Selector.Identifier).MatchString("docker-image://docker.io/"+ref)
		}
		if denied != want {
			t.Errorf("%s: denied is %v", ref, denied)
		}
	}
}

// TestPoliciesInRegoAreRefused and never left out in silence.
func TestPoliciesInRegoAreRefused(t *testing.T) {
	l := newLab(t)
	l.write(map[string]string{
		"a/Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
		"b/Dockerfile": "FROM scratch\nCOPY Dockerfile /\n", "b/Dockerfile.rego": "package docker\n",
	})
	off := config.Policy{Disabled: true}
	for _, tt := range []struct {
		context string
		policy  []config.Policy
		want    string
	}{
		{"a", nil, ""},
		{"a", []config.Policy{{Files: []string{"p.rego"}}}, "p.rego"},
		{"a", []config.Policy{off}, ""},
		{"b", nil, "Dockerfile.rego"},
		{"b", []config.Policy{off}, ""},
	} {
		target := &config.Target{Name: "t", Context: tt.context, Policy: tt.policy}
		err := l.builder().Prepare(t.Context(), []*config.Target{target})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %v: got %v", tt.context, tt.policy, err)
		}
	}
}

func TestPolicyOfATarget(t *testing.T) {
	for _, tt := range []struct {
		policy []config.Policy
		want   string // in the error, "" if there is none
	}{
		{nil, ""},
		{[]config.Policy{{Disabled: true}}, ""},
		{[]config.Policy{{Files: []string{"a.rego"}}}, "Rego"},
		{[]config.Policy{{Files: []string{"a.rego"}}, {Disabled: true}}, "cannot be combined"},
		{[]config.Policy{{Disabled: true}, {Reset: true}}, "cannot be combined"},
		{[]config.Policy{{Disabled: true, Reset: true}}, "cannot be combined"},
	} {
		err := checkPolicy(&config.Target{Name: "app", Policy: tt.policy})
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", tt.policy, err, tt.want)
		}
	}
}
