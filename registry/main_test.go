package registry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"go.uber.org/goleak"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testkit.IgnoreRegistry()) }

// noKeys is a keychain without credentials.
func noKeys(t *testing.T) *registry.Keychain {
	return registry.NewKeychain(env(map[string]string{"DOCKER_CONFIG": t.TempDir()}))
}

// keysOf is a keychain with an account for each host, "user:password".
func keysOf(t *testing.T, accounts map[string]string) *registry.Keychain {
	t.Helper()
	var auths []string
	for host, account := range accounts {
		auths = append(auths, fmt.Sprintf("%q: {\"auth\": %q}", host, base64.StdEncoding.EncodeToString([]byte(account))))
	}
	dir := t.TempDir()
	write(t, dir, "config.json", `{"auths": {`+strings.Join(auths, ",")+`}}`)
	return registry.NewKeychain(env(map[string]string{"DOCKER_CONFIG": dir}))
}

// newClient returns a client that does not dawdle and ends with the test.
func newClient(t *testing.T, s registry.Settings, keys *registry.Keychain, opts ...registry.ClientOption) *registry.Client {
	t.Helper()
	c := registry.NewClient(s, keys, append([]registry.ClientOption{registry.WithFirstWait(time.Millisecond)}, opts...)...)
	t.Cleanup(c.Close)
	return c
}

func newResolver(t *testing.T, s registry.Settings, keys *registry.Keychain) *registry.Resolver {
	t.Helper()
	r := registry.NewResolver(s, keys, registry.WithFirstWait(time.Millisecond))
	t.Cleanup(r.Close)
	return r
}

func withFlags(t *testing.T, mirrors, plain []string) registry.Settings {
	t.Helper()
	s, err := registry.Settings{}.WithFlags(mirrors, plain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func loadSettings(t *testing.T, toml string) registry.Settings {
	t.Helper()
	s, err := registry.LoadSettings(write(t, t.TempDir(), "registries.toml", toml))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// linuxImage is a small image for a platform, which its config names.
func linuxImage(t *testing.T, arch string) v1.Image {
	t.Helper()
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", arch
	if img, err = mutate.ConfigFile(img, cf); err != nil {
		t.Fatal(err)
	}
	return img
}

// front puts a server before a registry: handle may answer itself or pass on.
// It listens at addr, an address of loopback with port 0, by TLS if cert is set.
func front(t *testing.T, addr string, cert *tls.Certificate, handle func(pass http.Handler) http.Handler, behind *testkit.Registry) string {
	t.Helper()
	var pass http.Handler = http.NotFoundHandler()
	if behind != nil {
		to, err := url.Parse(behind.URL())
		if err != nil {
			t.Fatal(err)
		}
		rt := &http.Transport{}
		t.Cleanup(rt.CloseIdleConnections)
		pass = &httputil.ReverseProxy{Transport: rt, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.SetURL(to)
			r.Out.Host = r.In.Host
		}}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(handle(pass))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Listener.Close()
	srv.Listener = l
	if cert != nil {
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{*cert}}
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return l.Addr().String()
}

// A testCA signs certificates.
type testCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newCA(t *testing.T) *testCA {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testCA{cert, key}
}

func (ca *testCA) writeTo(t *testing.T, path string) {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// sign makes a certificate for ip that ends at the given time.
func (ca *testCA) sign(t *testing.T, ip string, ends time.Time) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ip},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends,
		IPAddresses: []net.IP{net.ParseIP(ip)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
