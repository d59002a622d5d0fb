package index_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
)

func keyPair(t *testing.T) (ed25519.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return public, private
}

func noEnv(string) (string, bool) { return "", false }

// T11: an entry that is not signed by a trusted key, for this very place, is
// ignored with one warning, from the snapshot and by its tag.
func TestThreat_T11_signatures(t *testing.T) {
	trusted, key := keyPair(t)
	_, stranger := keyPair(t)
	signedBy := func(k ed25519.PrivateKey, scope string) func(*index.RemoteOptions) {
		return func(o *index.RemoteOptions) { o.Sign, o.Scopes[0].Name = k, scope }
	}
	for name, tc := range map[string]struct {
		publish func(*index.RemoteOptions)
		spoil   func(t *testing.T, reg *testkit.Registry)
		want    string // of the warning; "" if the entry counts
	}{
		"signed":             {signedBy(key, "main"), nil, ""},
		"unsigned":           {signedBy(nil, "main"), nil, "is not signed"},
		"by a stranger":      {signedBy(stranger, "main"), nil, "a key that is not trusted"},
		"for another scope":  {signedBy(key, "pr-7"), nil, "signature is wrong"},
		"from another place": {signedBy(key, "main"), func(t *testing.T, reg *testkit.Registry) { replay(t, reg, "shop/elsewhere", "shop/main") }, "signature is wrong"},
	} {
		for _, load := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				reg := testkit.NewRegistry(t)
				repo := reg.Host + "/shop/main"
				from := repo
				if tc.spoil != nil {
					from = reg.Host + "/shop/elsewhere"
				}
				publish(t, from, 3, tc.publish)
				if tc.spoil != nil {
					tc.spoil(t, reg)
				}
				m := fresh(t, []string{repo}, func(o *index.RemoteOptions) {
					o.Scopes[0].Keys = []ed25519.PublicKey{must2(keyPair(t)), trusted}
					if name == "for another scope" {
						o.Scopes[0].Name = "main"
					}
				})
				if load {
					m.Load(t.Context())
				}
				got := m.GetAll(t.Context(), []index.Fingerprint{fp("t0"), fp("t1"), fp("t2")})
				if tc.want == "" {
					if quiet(t, m); len(got) != 3 {
						t.Errorf("%d of 3 were found", len(got))
					}
					return
				}
				if len(got) > 0 {
					t.Errorf("%v is believed", got)
				}
				if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], tc.want) {
					t.Errorf("warnings %q, want one with %q", w, tc.want)
				}
				m = fresh(t, []string{repo}, nil) // without keys everything counts
				if got := m.GetAll(t.Context(), []index.Fingerprint{fp("t0")}); len(got) != 1 {
					t.Error("without keys the entry is not found")
				}
			})
		}
	}
}

func must2[A, B any](a A, _ B) A { return a }

// replay copies all tags of one repository to another, as somebody does who may
// write there and has no key.
func replay(t *testing.T, reg *testkit.Registry, from, to string) {
	t.Helper()
	c := client(t)
	src, dst := must(c.Repository(reg.Host+"/"+from)), must(c.Repository(reg.Host+"/"+to))
	for _, tag := range must(src.Tags(t.Context())) {
		m, found, err := src.Manifest(t.Context(), tag)
		if err != nil || !found {
			t.Fatal(tag, found, err)
		}
		if err := c.Retag(t.Context(), reg.Host+"/"+from+"@"+m.Digest, reg.Host+"/"+to+":"+tag); err != nil {
			t.Fatal(err)
		}
		if got := must2(must3(dst.Manifest(t.Context(), tag))); got.Digest != m.Digest {
			t.Fatalf("%s was not replayed", tag)
		}
	}
}

func must3[A, B any](a A, b B, err error) (A, B) {
	if err != nil {
		panic(err)
	}
	return a, b
}

func TestKeys(t *testing.T) {
	public, private := keyPair(t)
	privatePEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(private))})
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public))})
	other := must2(keyPair(t))
	two := append(publicPEM, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(other))})...)
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	ecPrivate := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(ec))})
	ecPublic := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(&ec.PublicKey))})
	b64 := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b) + "\n") }

	for name, data := range map[string][]byte{
		"PEM": privatePEM, "seed": private.Seed(), "whole": private,
		"base64 seed": b64(private.Seed()), "base64 whole": b64(private),
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := index.ReadSigningKey(path, noEnv); err != nil || !got.Equal(private) {
			t.Errorf("%s: %v", name, err)
		}
		env := func(k string) (string, bool) { return string(data), k == "KEY" }
		if got, err := index.ReadSigningKey("env://KEY", env); err != nil || !got.Equal(private) {
			t.Errorf("%s from the environment: %v", name, err)
		}
	}
	for want, data := range map[string][]byte{
		"neither PEM nor a raw ed25519 key": []byte("hello"),
		"openssl genpkey":                   ecPrivate,
		"not an unencrypted PKCS #8 key":    publicPEM,
		"do not belong together":            append(private.Seed(), make([]byte, 32)...),
	} {
		env := func(string) (string, bool) { return string(data), true }
		if _, err := index.ReadSigningKey("env://KEY", env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	for name, tc := range map[string]struct {
		data []byte
		n    int
	}{"PEM": {publicPEM, 1}, "two": {two, 2}, "raw": {public, 1}, "base64": {b64(public), 1}} {
		env := func(string) (string, bool) { return string(tc.data), true }
		if got, err := index.ReadPublicKeys("env://KEY", env); err != nil || len(got) != tc.n || !got[0].Equal(public) {
			t.Errorf("%s: %v %v", name, got, err)
		}
	}
	for want, data := range map[string][]byte{
		"neither PEM nor a raw ed25519 key": []byte("hello"),
		"only ed25519 keys":                 ecPublic,
		"is not a public key":               privatePEM,
	} {
		env := func(string) (string, bool) { return string(data), true }
		if _, err := index.ReadPublicKeys("env://KEY", env); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := index.ReadSigningKey("env://KEY", noEnv); err == nil || !strings.Contains(err.Error(), "KEY is not set") {
		t.Error(err)
	}
	if _, err := index.ReadPublicKeys("/nowhere", noEnv); err == nil {
		t.Error("a file that is not there was read")
	}
}
