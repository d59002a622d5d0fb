package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// F03, F12, T17: each engine that is not to be had is named with the cause and
// a way out, at once.
func TestFault_F03_Unreachable(t *testing.T) {
	closed := closedPort(t)
	strange := strangeServer(t)
	missing := filepath.Join(t.TempDir(), "missing.sock")
	tests := []struct {
		name string
		opts Options
		want []string // parts of the message
	}{
		{"no address", Options{Address: "docker-desktop"}, []string{`"docker-desktop"`, "no engine address", "use embedded"}},
		{"unknown scheme", Options{Address: "http://x"}, []string{"http://x", "unknown scheme http://", "tcp://"}},
		{"bad url", Options{Address: "tcp://%zz"}, []string{"%zz", "check the address"}},
		{"no socket", Options{Address: "unix://" + missing}, []string{missing, "no such file", "is buildkitd running"}},
		{"refused", Options{Address: "tcp://" + closed}, []string{closed, "connection refused"}},
		{"no host", Options{Address: "tcp://nohost.invalid:1", InsecureTCP: true}, []string{"nohost.invalid", "no such host"}},
		{"no port", Options{Address: "tcp://127.0.0.1"}, []string{"the port is missing", "tcp://127.0.0.1:1234"}},
		{"no TLS", Options{Address: "tcp://192.0.2.1:1234"}, []string{"192.0.2.1:1234", "without TLS", "--insecure-engine"}},
		{"password", Options{Address: "tcp://u:secret@192.0.2.1:1"}, []string{"u:xxxxx@192.0.2.1"}},
		{"TLS on a socket", Options{Address: "unix:///x", TLS: TLS{CA: "ca.pem"}}, []string{"not tcp://"}},
		{"half a pair", Options{Address: "tcp://127.0.0.1:1", TLS: TLS{Cert: "c.pem"}}, []string{"certificate and its key"}},
		{"no CA file", Options{Address: "tcp://127.0.0.1:1", TLS: TLS{CA: "/nonexistent.pem"}}, []string{"/nonexistent.pem"}},
		{"no BuildKit", Options{Address: "tcp://" + strange}, []string{strange}},
		{"unknown CA", Options{Address: "tcp://" + tlsServer(t), TLS: TLS{ServerName: "localhost"}}, []string{"certificate signed by unknown authority"}},
		{"no context", Options{Address: "docker:nowhere"}, []string{"docker:nowhere", "docker context ls"}},
		{"no docker", Options{Address: "docker:unix://" + missing}, []string{missing, "is the Docker Engine running"}},
		{"no container", Options{Address: "docker-container://nowhere"}, []string{"docker-container://nowhere", "docker ps"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.opts.LookupEnv = envOf(map[string]string{"HOME": t.TempDir()})
			start := time.Now()
			_, err := Open(testContext(t), test.opts)
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) {
				t.Fatalf("got %v, want an UnreachableError", err)
			}
			message := err.Error() + "\n" + unreachable.Hint
			for _, part := range test.want {
				if !strings.Contains(message, part) {
					t.Errorf("the message is\n%s\nwant %q in it", message, part)
				}
			}
			for _, noise := range []string{"rpc error", "desc =", "secret", "failed to list"} {
				if strings.Contains(message, noise) {
					t.Errorf("the message is\n%s\nwant no %q in it", message, noise)
				}
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// closedPort is a loopback address that refuses.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}

// serveConns handles connections to a listener until the test ends.
func serveConns(t *testing.T, l net.Listener, handle func(net.Conn)) string {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			handle(conn)
		}
	}()
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// strangeServer answers, but is no BuildKit.
func strangeServer(t *testing.T) string {
	return serveConns(t, listen(t), func(conn net.Conn) {
		fmt.Fprint(conn, "220 mail.example.com ESMTP\r\n")
		conn.Close()
	})
}

// tlsServer has a certificate that nobody trusts.
func tlsServer(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(listen(t), &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}})
	return serveConns(t, l, func(conn net.Conn) {
		conn.(*tls.Conn).Handshake() // fails: the client hangs up
		conn.Close()
	})
}

// F04: an engine that accepts and never answers is waited for no longer than
// the caller wants.
func TestFault_F04_SilentAtOpening(t *testing.T) {
	conns := make(chan net.Conn, 16)
	t.Cleanup(func() { // after the server's, which writes to it
		close(conns)
		for conn := range conns {
			conn.Close()
		}
	})
	addr := serveConns(t, listen(t), func(conn net.Conn) { conns <- conn })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, Options{Address: "tcp://" + addr}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the caller's deadline", err)
	}
}

// The address comes from the option, else from the environment.
func TestAddressFromEnvironment(t *testing.T) {
	tests := []struct {
		name, option string
		env          map[string]string
		want         string
	}{
		{"option", "unix:///a", map[string]string{"STRATA_ENGINE": "unix:///b", "BUILDKIT_HOST": "unix:///c"}, "unix:///a"},
		{"ours", "", map[string]string{"STRATA_ENGINE": "unix:///b", "BUILDKIT_HOST": "unix:///c"}, "unix:///b"},
		{"BuildKit's", "", map[string]string{"BUILDKIT_HOST": "unix:///c"}, "unix:///c"},
		{"none", "", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := Options{Address: test.option, LookupEnv: envOf(test.env)}.withDefaults()
			if opts.Address != test.want {
				t.Errorf("got %q, want %q", opts.Address, test.want)
			}
		})
	}
}

func TestStateDir(t *testing.T) {
	tests := []struct {
		name, option string
		env          map[string]string
		want         string
	}{
		{"option", "/a", map[string]string{"STRATA_ENGINE_DIR": "/b", "XDG_DATA_HOME": "/c", "HOME": "/d"}, "/a"},
		{"ours", "", map[string]string{"STRATA_ENGINE_DIR": "/b", "XDG_DATA_HOME": "/c", "HOME": "/d"}, "/b"},
		{"data", "", map[string]string{"XDG_DATA_HOME": "/c", "HOME": "/d"}, "/c/strata/engine"},
		{"relative data", "", map[string]string{"XDG_DATA_HOME": "c", "HOME": "/d"}, "/d/.local/share/strata/engine"},
		{"home", "", map[string]string{"HOME": "/d"}, "/d/.local/share/strata/engine"},
		{"nothing", "", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := stateDir(Options{Dir: test.option, LookupEnv: envOf(test.env)})
			if got != test.want || (err == nil) == (test.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, test.want)
			}
		})
	}
	var homeless *UnreachableError
	_, err := Open(testContext(t), Options{Address: "embedded", LookupEnv: envOf(nil)})
	if !errors.As(err, &homeless) || !strings.Contains(homeless.Hint, "set HOME") {
		t.Errorf("without HOME: %v", err)
	}
}

func TestFindRuntime(t *testing.T) {
	const good = "case $1 in --version) echo runc version 1.4;; run) echo --keep;; esac"
	const old = "case $1 in --version) echo crun version 1.8.1;; run) echo --bundle;; esac"
	const sick = "echo cannot run >&2; exit 3"
	tests := []struct {
		name     string
		programs map[string]string // on PATH
		named    string
		want     string // base name, or part of the message
		fails    bool
	}{
		{name: "first wins", programs: map[string]string{"buildkit-runc": good, "runc": good, "crun": good}, want: "buildkit-runc"},
		{name: "old is passed over", programs: map[string]string{"runc": old, "crun": good}, want: "crun"},
		{name: "named", programs: map[string]string{"runc": old, "mine": good}, named: "mine", want: "mine"},
		{name: "named is missing", programs: map[string]string{"runc": good}, named: "mine", want: `no OCI runtime "`, fails: true},
		{name: "named is old", programs: map[string]string{"mine": old}, named: "mine", want: `crun version 1.8.1) is too old: it has no "run --keep"`, fails: true},
		{name: "named is sick", programs: map[string]string{"mine": sick}, named: "mine", want: "does not run: exit status 3", fails: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, script := range test.programs {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			opts := Options{LookupEnv: envOf(map[string]string{"PATH": "." + string(os.PathListSeparator) + dir})}
			if test.named != "" {
				opts.Runtime = filepath.Join(dir, test.named)
			}
			got, err := findRuntime(testContext(t), opts)
			if !test.fails {
				if err != nil || got != filepath.Join(dir, test.want) {
					t.Errorf("got %q, %v, want %s", got, err, test.want)
				}
				return
			}
			var lack *RuntimeError
			if !errors.As(err, &lack) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want a RuntimeError with %q", err, test.want)
			}
		})
	}
}

// A runtime in the folder one happens to work in is not taken.
func TestLookRuntimeIgnoresRelativePath(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("runc", []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := lookRuntime("runc", []string{".", ""}); err == nil {
		t.Errorf("found %s", got)
	}
}
