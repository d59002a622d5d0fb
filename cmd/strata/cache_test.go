package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

// cacheCmds are the script commands for the index:
//
//	built TARGET SEED             keeps an entry in the index of the script's home
//	built TARGET SEED REPOSITORY [KEY]  keeps it in a registry, signed for scope main
//	keypair PRIVATE PUBLIC   writes two files of a new ed25519 key
//	freeport NAME                 sets NAME to a loopback port that nobody listens at
//	answers URL                   waits until there is an answer
func cacheCmds() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"built": built, "keypair": keyPair, "freeport": freePort, "answers": answers,
	}
}

func built(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 4 {
		ts.Fatalf("usage: built TARGET SEED [REPOSITORY [KEY]]")
	}
	target, seed := args[0], args[1]
	sum := sha256.Sum256([]byte(seed))
	e := index.Entry{
		Fingerprint: index.Fingerprint(hex.EncodeToString(sum[:])), Project: "shop", Target: target,
		Platforms: []string{"linux/amd64"}, Digest: index.DigestOf([]byte(seed)),
		MediaType: "application/vnd.oci.image.index.v1+json", Size: 856,
		Tags: []string{"shop/" + target + ":1"}, Branch: "main", Built: time.Now().Add(-3 * time.Hour).UTC().Truncate(time.Second),
	}
	if target == "docs" {
		e.Built = e.Built.Add(time.Hour) // the latest, by the clock too
		e.Digest, e.MediaType, e.Size, e.Tags = "", "", 0, nil
		e.Outputs = []index.Output{{Type: "local", Dest: "out/docs", Digest: index.DigestOf([]byte("docs")), Stat: "1"}}
	}
	d := &index.Detail{Inputs: []index.Input{{Kind: "arg", Name: "SEED", Value: seed, Place: "build.hcl:3"}}}
	lookup := func(k string) (string, bool) { v := ts.Getenv(k); return v, v != "" }
	if len(args) == 2 {
		l := index.OpenLocal(index.DefaultDir(lookup), index.LocalOptions{Warn: func(err error) { ts.Fatalf("%v", err) }})
		ts.Check(l.Put(context.Background(), e, d, []byte("a listing")))
		ts.Check(l.Close())
		return
	}
	opts := index.RemoteOptions{
		Scopes: []index.Scope{{Name: "main", Repository: args[2]}}, Write: true,
		Warn: func(err error) { ts.Fatalf("%v", err) },
	}
	if len(args) == 4 {
		var err error
		opts.Sign, err = index.ReadSigningKey(ts.MkAbs(args[3]), lookup)
		ts.Check(err)
	}
	c := registry.NewClient(registry.Settings{}, registry.NewKeychain(lookup))
	defer c.Close()
	r, err := index.NewRemote(c, opts)
	ts.Check(err)
	r.Put(context.Background(), e, d, []byte("a listing"))
	r.Flush(context.Background())
}

func keyPair(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: keypair PRIVATE PUBLIC")
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	publicDER, err := x509.MarshalPKIXPublicKey(public)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: privateDER}, {Type: "PUBLIC KEY", Bytes: publicDER}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}

func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: answers URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, args[0], nil)
		ts.Check(err)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			ts.Check(resp.Body.Close())
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s does not answer: %v", args[0], err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The JSON of every cache command fits the schema in the documentation.
func TestCacheJSONFitsItsSchema(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/cache.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("cache.schema.json", parsedJSON(t, string(text))); err != nil {
		t.Fatal(err)
	}
	fits := func(name, out string) {
		t.Helper()
		schema, err := c.Compile("cache.schema.json#/$defs/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(parsedJSON(t, out)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		if err := schema.Validate(parsedJSON(t, `{"schema":1,"place":"x","unknown":true}`)); err == nil {
			t.Errorf("the schema of %s takes anything", name)
		}
	}
	home, reg := t.TempDir(), testkit.NewRegistry(t)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("strata", append([]string{"cache"}, args...)...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home)
		out, err := cmd.Output()
		if err != nil && !strings.Contains(string(out), "problems") {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	repository := reg.Host + "/shop/cache"
	damage := fillIndexes(t, filepath.Join(home, "strata", "index"), repository)
	for _, where := range [][]string{{"--json"}, {"--json", "--repository", repository}} {
		for _, command := range []string{"ls", "du", "verify"} {
			fits(command, run(append([]string{command}, where...)...))
		}
		damage()
		fits("verify", run(append([]string{"verify"}, where...)...)) // with problems
		fits("prune", run(append([]string{"prune", "--all"}, where...)...))
		fits("ls", run(append([]string{"ls"}, where...)...)) // of nothing
	}
	fits("serve", servedJSON(t, home))
}

// fillIndexes puts an entry with every field into an index here and one in a
// registry. damage removes the blobs of the first.
func fillIndexes(t *testing.T, dir, repository string) (damage func()) {
	t.Helper()
	e := index.Entry{
		Fingerprint: index.Fingerprint(strings.Repeat("0123456789abcdef", 4)), Project: "shop", Target: "api",
		Platforms: []string{"linux/amd64"}, Digest: index.DigestOf([]byte("api")), MediaType: "a/b", Size: 856,
		Tags: []string{"shop/api:1"}, Repositories: []string{"registry.example.com/shop/api"},
		Outputs: []index.Output{{Type: "oci", Dest: "out.tar", Digest: index.DigestOf([]byte("out")), Stat: "1"}},
		Built:   time.Now(), Duration: time.Second, Run: "r1", Revision: "abc", Branch: "main",
	}
	warn := func(err error) { t.Error(err) }
	l := index.OpenLocal(dir, index.LocalOptions{Warn: warn})
	if err := l.Put(t.Context(), e, &index.Detail{}, []byte("listing")); err != nil {
		t.Fatal(err)
	}
	none := func(string) (string, bool) { return "", false }
	c := registry.NewClient(registry.Settings{}, registry.NewKeychain(none))
	t.Cleanup(c.Close)
	r, err := index.NewRemote(c, index.RemoteOptions{Scopes: []index.Scope{{Name: "main", Repository: repository}}, Write: true, Warn: warn})
	if err != nil {
		t.Fatal(err)
	}
	r.Put(t.Context(), e, &index.Detail{}, []byte("listing"))
	r.Flush(t.Context())
	return func() {
		if err := os.RemoveAll(filepath.Join(dir, "blobs")); err != nil {
			t.Error(err)
		}
	}
}

// servedJSON is what cache serve --json prints.
func servedJSON(t *testing.T, home string) string {
	t.Helper()
	cmd := exec.Command("strata", "cache", "serve", "--addr", "127.0.0.1:0", "--json", "--root", filepath.Join(home, "root"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var answer json.RawMessage
	decodeErr := json.NewDecoder(out).Decode(&answer)
	if err := errors.Join(decodeErr, cmd.Process.Signal(os.Interrupt), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// The documentation names every field of the JSON forms.
func TestCacheIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/reference/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Type{
		reflect.TypeFor[index.Entry](), reflect.TypeFor[index.Output](), reflect.TypeFor[index.Usage](),
		reflect.TypeFor[index.ProjectUsage](), reflect.TypeFor[index.Problem](), reflect.TypeFor[index.Pruned](),
	} {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if !strings.Contains(string(text), "| `"+name+"` |") {
				t.Errorf("docs/reference/cache.md does not say what %q is", name)
			}
		}
	}
}
