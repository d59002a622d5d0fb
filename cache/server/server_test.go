package server_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
	"golang.org/x/crypto/bcrypt"

	"github.com/strata-build/strata/cache/server"
	"github.com/strata-build/strata/internal/testkit"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // as the command does
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

// start serves until stop is called, or the test ends.
func start(t *testing.T, opts server.Options) (s *server.Server, stop func()) {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	s, err := server.Listen(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// A client that leaves no connection behind.
func options(t *testing.T, conf *tls.Config, more ...remote.Option) []remote.Option {
	t.Helper()
	rt := &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}
	return append(more, remote.WithTransport(rt), remote.WithContext(t.Context()), remote.WithRetryStatusCodes())
}

func image(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(512, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func reference(t *testing.T, s *server.Server, image string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(s.Host() + "/" + image)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestServeKeepsImages(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "root")
	img := image(t)
	s, stop := start(t, server.Options{Root: root})
	if err := remote.Write(reference(t, s, "shop/api:1"), img, options(t, nil)...); err != nil {
		t.Fatal(err)
	}
	stop()
	fi, err := os.Stat(root)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v %v", fi.Mode(), err)
	}
	s, _ = start(t, server.Options{Root: root, ReadOnly: true})
	got, err := remote.Image(reference(t, s, "shop/api:1"), options(t, nil)...)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := digest(t, img), digest(t, got); a != b {
		t.Errorf("got %s, want %s", b, a)
	}
	if err := remote.Write(reference(t, s, "shop/api:2"), image(t), options(t, nil)...); err == nil {
		t.Error("a registry that is read-only was written")
	}
	if err := remote.Delete(reference(t, s, "shop/api@"+digest(t, img)), options(t, nil)...); err == nil {
		t.Error("a registry that is read-only has deleted")
	}
}

func digest(t *testing.T, img v1.Image) string {
	t.Helper()
	h, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return h.String()
}

func TestServeAsksForALogin(t *testing.T) {
	dir := t.TempDir()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	accounts := write(t, dir, "accounts", "# the team\n\nann:"+string(hash)+"\n")
	s, _ := start(t, server.Options{Root: filepath.Join(dir, "root"), Htpasswd: accounts})
	img := image(t)
	if err := remote.Write(reference(t, s, "a:1"), img, options(t, nil)...); err == nil {
		t.Error("nobody was let in")
	}
	for password, want := range map[string]bool{"wrong": false, "secret": true} {
		auth := remote.WithAuth(&authn.Basic{Username: "ann", Password: password})
		if err := remote.Write(reference(t, s, "a:1"), img, options(t, nil, auth)...); (err == nil) != want {
			t.Errorf("password %q: %v", password, err)
		}
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// certificate makes a certificate for 127.0.0.1 and returns its files.
func certificate(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	cert = write(t, dir, "cert.pem", string(certPEM))
	key = write(t, dir, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return cert, key, pool
}

func TestServeSpeaksTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key, pool := certificate(t, dir)
	s, _ := start(t, server.Options{Addr: "0.0.0.0:0", Root: filepath.Join(dir, "root"), CertFile: cert, KeyFile: key})
	_, port, err := net.SplitHostPort(s.Host())
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference("127.0.0.1:" + port + "/a:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, image(t), options(t, &tls.Config{RootCAs: pool})...); err != nil {
		t.Error(err)
	}
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Error(s.URL())
	}
}

// A web page whose name leads to loopback is not answered.
func TestThreat_T18_names(t *testing.T) {
	s, _ := start(t, server.Options{Root: t.TempDir()})
	for host, want := range map[string]int{
		"":                       http.StatusOK,
		"localhost":              http.StatusOK,
		"localhost:5000":         http.StatusOK,
		"registry.localhost":     http.StatusOK,
		"127.0.0.1":              http.StatusOK,
		"127.9.9.9:1":            http.StatusOK,
		"[::1]:5000":             http.StatusOK,
		"evil.example.com":       http.StatusForbidden,
		"evil.example.com:5000":  http.StatusForbidden,
		"127.0.0.1.example.com":  http.StatusForbidden,
		"localhost.example.com":  http.StatusForbidden,
		"localhost@example.com":  http.StatusForbidden,
		"0.0.0.0":                http.StatusForbidden,
		"192.168.0.1":            http.StatusForbidden,
		"127.0.0.1:80:evil":      http.StatusForbidden,
		"notlocalhost":           http.StatusForbidden,
		"registry.localhost.com": http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host, req.Close = host, true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want && !(want == http.StatusForbidden && resp.StatusCode == http.StatusBadRequest) {
			t.Errorf("host %q: %d, want %d", host, resp.StatusCode, want)
		}
	}
}

func TestListenRefuses(t *testing.T) {
	dir := t.TempDir()
	busy, _ := start(t, server.Options{Root: filepath.Join(dir, "busy")})
	sha := write(t, dir, "sha", "ann:{SHA}xyz\n")
	empty := write(t, dir, "empty", "# nobody\n")
	cert, key, _ := certificate(t, dir)
	for want, opts := range map[string]server.Options{
		"write host:port":          {Addr: "5000", Root: dir},
		"is not loopback":          {Addr: "0.0.0.0:5000", Root: dir},
		`":5000" is not loopback`:  {Addr: ":5000", Root: dir},
		"given together":           {Addr: "127.0.0.1:0", Root: dir, CertFile: cert},
		"no directory":             {Addr: "127.0.0.1:0"},
		"sha:1: not an account":    {Addr: "127.0.0.1:0", Root: dir, Htpasswd: sha},
		"holds no account":         {Addr: "127.0.0.1:0", Root: dir, Htpasswd: empty},
		"no such file":             {Addr: "127.0.0.1:0", Root: dir, Htpasswd: filepath.Join(dir, "none")},
		"cert.pem:":                {Addr: "127.0.0.1:0", Root: dir, CertFile: cert, KeyFile: sha},
		"address already in use":   {Addr: busy.Host(), Root: dir},
		"in use by another server": {Addr: "127.0.0.1:0", Root: filepath.Join(dir, "busy"), Collect: true},
		"not a directory":          {Addr: "127.0.0.1:0", Root: key},
	} {
		s, err := server.Listen(t.Context(), opts)
		if err == nil {
			s.Close()
			t.Errorf("%+v was taken", opts)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q, want %q", err, want)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a file of accounts was made")
	}
}

// Collecting deletes what no tag leads to, and nothing of what one does.
func TestCollect(t *testing.T) {
	root := t.TempDir()
	s, stop := start(t, server.Options{Root: root, Collect: true}) // of nothing
	first, second := image(t), image(t)
	idx, err := random.Index(256, 2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range []v1.Image{first, second} { // the tag moves
		if err := remote.Write(reference(t, s, "shop/api:1"), img, options(t, nil)...); err != nil {
			t.Fatal(err)
		}
	}
	if err := remote.WriteIndex(reference(t, s, "shop/api:all"), idx, options(t, nil)...); err != nil {
		t.Fatal(err)
	}
	stop()
	before := size(t, root)
	s, _ = start(t, server.Options{Root: root, Collect: true})
	if after := size(t, root); after >= before {
		t.Errorf("%d bytes before, %d after", before, after)
	}
	if _, err := remote.Head(reference(t, s, "shop/api@"+digest(t, first)), options(t, nil)...); err == nil {
		t.Error("what no tag leads to is still there")
	}
	got, err := remote.Image(reference(t, s, "shop/api:1"), options(t, nil)...)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, got)
	all, err := remote.Index(reference(t, s, "shop/api:all"), options(t, nil)...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := all.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Manifests {
		img, err := all.Image(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, img)
	}
}

func readAll(t *testing.T, img v1.Image) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		rc, err := l.Compressed()
		if err != nil {
			t.Error(err)
			continue
		}
		if _, err := io.Copy(io.Discard, rc); err != nil {
			t.Error(err)
		}
		rc.Close()
	}
}

func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		n += fi.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestLog(t *testing.T) {
	var log bytes.Buffer
	s, stop := start(t, server.Options{Root: t.TempDir(), Log: &log})
	for _, path := range []string{"/v2/", "/v2/a/manifests/1%0Aevil"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	stop()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], " GET /v2/ 200 2 ") || !strings.Contains(lines[1], " GET /v2/a/manifests/1%0Aevil 404 ") {
		t.Errorf("log:\n%s", &log)
	}
}
