package buildkit

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"crypto/ed25519"
	"crypto/rand"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/crypto/ssh/agent"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/internal/testkit"
)

// The scanner is a stand-in that speaks BuildKit's protocol for SBOM generators
// (docs/attestations/sbom-protocol.md in its repository).
func TestSBOM(t *testing.T) {
	l := newLab(t)
	box, err := testkit.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := box.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	scan := conf.DeepCopy().Config
	scan.Entrypoint = []string{"/bin/sh", "-c"}
	scan.Cmd = []string{`echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"name":"stand-in","files":"'"$(ls $BUILDKIT_SCAN_SOURCE | tr '\n' ' ')"'"}}' > $BUILDKIT_SCAN_DESTINATION/x.spdx.json`}
	scanner, err := mutate.Config(box, scan)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.mirror.Push(t.Context(), "scan/scanner:1", scanner); err != nil {
		t.Fatal(err)
	}
	res, _ := l.must(&config.Target{
		Name: "x", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo x > /found-by-the-scanner\n"),
		Attest:  []config.Attest{{Type: "sbom", Attrs: map[string]string{"generator": l.mirror.Host + "/scan/scanner:1"}}},
		Tags:    []string{l.mirror.Host + "/x:1"},
		Outputs: []config.Output{{Type: "registry"}},
	})
	if res["x"].State != executor.Built {
		t.Fatalf("%+v", res["x"])
	}
	if got := l.attestations("x:1"); !strings.Contains(got, "found-by-the-scanner") {
		t.Errorf("attestation is %.300s", got)
	}
}

func TestSSHAgentIsTheTargetsOwn(t *testing.T) {
	l := newLab(t)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ring := agent.NewKeyring()
	if err := ring.Add(agent.AddedKey{PrivateKey: key, Comment: "a key of the test"}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = agent.ServeAgent(ring, c) // ends with the connection
			}()
		}
	}()
	t.Setenv("SSH_AUTH_SOCK", sock)
	script := func(marker string) *string {
		return ptr("FROM busybox\nRUN --mount=type=ssh,required=true test -S $SSH_AUTH_SOCK && echo " + marker + " > /" + marker + "\n")
	}
	none := []config.Output{{Type: "cacheonly"}}
	res, _, _ := l.build(
		&config.Target{Name: "has", Context: ".", DockerfileInline: script("has"), SSH: []config.SSH{{ID: "default"}}, Outputs: none},
		&config.Target{Name: "hasnot", Context: ".", DockerfileInline: script("hasnot"), Outputs: none},
	)
	if res["has"].State != executor.Built {
		t.Errorf("has: %+v", res["has"])
	}
	if res["hasnot"].State != executor.Failed {
		t.Errorf("hasnot: %+v", res["hasnot"])
	}
}

func TestMissingSecretsAndAgentsAreToldBeforeTheStart(t *testing.T) {
	l := newLab(t)
	t.Setenv("SSH_AUTH_SOCK", "")
	if err := os.Mkdir(filepath.Join(l.dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "big"), make([]byte, 2<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	x := func(name string, change func(*config.Target)) *config.Target {
		c := &config.Target{Name: name, Context: ".", DockerfileInline: ptr("FROM scratch\nCOPY big /\n"), Outputs: []config.Output{{Type: "cacheonly"}}}
		change(c)
		return c
	}
	secret := func(s config.Secret) func(*config.Target) {
		return func(c *config.Target) { c.Secrets = []config.Secret{s} }
	}
	_, _, err := l.build(
		x("a", secret(config.Secret{ID: "s", Source: "nope"})),
		x("b", secret(config.Secret{ID: "s", Source: "dir"})),
		x("c", secret(config.Secret{ID: "s", Source: "big"})),
		x("d", secret(config.Secret{ID: "strata-no-such-variable"})),
		x("e", func(c *config.Target) { c.SSH = []config.SSH{{ID: "default"}} }),
		x("f", func(c *config.Target) { c.Outputs = []config.Output{{Type: "oci"}} }),
		x("g", func(c *config.Target) { c.Outputs = []config.Output{{Type: "registry"}} }),
		x("h", func(c *config.Target) { c.CacheFrom = []config.CacheRef{{Type: "registry"}} }),
		x("i", func(c *config.Target) { c.Tags = []string{"Bad Tag"} }),
	)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`target "a": secret: secret "s": there is no file "nope"`,
		`target "b": secret: secret "s": "dir" is not a regular file`,
		`target "c": secret: secret "s": "big" has 2097152 bytes`,
		`target "d": secret: secret "strata-no-such-variable": there is neither`,
		`target "e": ssh: ssh "default" needs an agent`,
		`target "f": output: an output of type oci needs dest=`,
		`target "g": output: there is nothing to push under`,
		`target "h": cache-from: a cache of type registry needs ref=`,
		`target "i": tags: the tag "Bad Tag" is no image name`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q:\n%v", want, err)
		}
	}
}
