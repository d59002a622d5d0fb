package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// A fakeDocker is the API of a Docker Engine whose BuildKit is an embedded
// engine.
type fakeDocker struct {
	t      *testing.T
	api    string
	engine *Engine
	socket string // of the engine
	answer string // to an upload

	mu     sync.Mutex
	loaded []byte
	tubes  sync.WaitGroup
}

// serve listens on a unix socket until the test ends, and returns the host.
func (f *fakeDocker) serve() string {
	path := filepath.Join(f.t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		f.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/_ping", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Api-Version", f.api)
		w.Header().Set("Ostype", "linux")
	})
	mux.HandleFunc("POST /grpc", func(w http.ResponseWriter, r *http.Request) {
		f.tunnel(w, r, dialer(f.socket))
	})
	mux.HandleFunc("POST /session", func(w http.ResponseWriter, r *http.Request) {
		f.tunnel(w, r, func(context.Context, string) (net.Conn, error) {
			meta := make(map[string][]string)
			for name, values := range r.Header {
				if strings.HasPrefix(name, "X-Docker-") {
					meta[strings.ToLower(name)] = values
				}
			}
			return f.engine.Client().Dialer()(f.t.Context(), "h2c", meta)
		})
	})
	mux.HandleFunc("POST /{version}/images/load", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			f.t.Error(err)
		}
		f.mu.Lock()
		f.loaded = text
		f.mu.Unlock()
		fmt.Fprint(w, f.answer)
	})
	s := httptest.NewUnstartedServer(mux)
	if err := s.Listener.Close(); err != nil {
		f.t.Fatal(err)
	}
	s.Listener = l
	s.Start()
	f.t.Cleanup(func() {
		s.Close()
		f.tubes.Wait()
	})
	return "unix://" + path
}

// tunnel gives the connection to BuildKit, as dockerd does.
func (f *fakeDocker) tunnel(w http.ResponseWriter, r *http.Request, dial func(context.Context, string) (net.Conn, error)) {
	if r.Header.Get("Upgrade") != "h2c" {
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return
	}
	inner, err := dial(r.Context(), "")
	if err != nil {
		f.t.Error(err)
		return
	}
	outer, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		f.t.Error(err)
		return
	}
	fmt.Fprint(outer, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
	f.tubes.Go(func() {
		io.Copy(inner, buffered)
		inner.Close()
	})
	f.tubes.Go(func() {
		io.Copy(outer, inner)
		outer.Close()
	})
}

func TestDockerSolvesAndLoads(t *testing.T) {
	embedded := embeddedOptions(t)
	f := &fakeDocker{t: t, api: "1.52", engine: mustOpen(t, embedded), answer: `{"stream":"Loaded"}`}
	f.socket = mustStatus(t, embedded).Socket
	host := f.serve()
	opts := Options{LookupEnv: envOf(map[string]string{"DOCKER_HOST": host})}
	e := mustOpen(t, opts)
	if e.Kind() != KindDocker || e.Name() != "docker ("+host+")" {
		t.Errorf("got kind %q, name %q", e.Kind(), e.Name())
	}
	if out, err := solve(testContext(t), t, e, "echo in docker"); err != nil || out != "in docker\n" {
		t.Errorf("the step printed %q: %v", out, err)
	}
	if !e.Docker().ContainerdStore {
		t.Error("a worker with a snapshotter counts as one with a graph driver")
	}
	if err := e.Docker().Load(testContext(t), strings.NewReader("archive")); err != nil || string(f.loaded) != "archive" {
		t.Errorf("loaded %q: %v", f.loaded, err)
	}
	f.answer = `{"stream":"..."}` + "\n" + `{"error":"no space left"}`
	if err := e.Docker().Load(testContext(t), strings.NewReader("archive")); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a failed upload says %v", err)
	}
}

// A Docker Engine that cannot be used is passed over: told of when the user may
// count on it, an error only when it was asked for, and never long to wait for.
func TestDockerIsPassedOver(t *testing.T) {
	old := (&fakeDocker{t: t, api: "1.41"}).serve()
	tests := []struct {
		name, host string
		notice     string
	}{
		{"too old", old, "too old: it speaks API 1.41"},
		{"no socket", "unix:///nonexistent/docker.sock", "no such file"},
		{"silent", "unix://" + silentSocket(t), "no answer within 300ms"},
	}
	embedded := embeddedOptions(t)
	if _, err := Start(testContext(t), embedded); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var notices []string
			opts := embedded
			opts.Address = ""
			opts.LookupEnv = envOf(map[string]string{"DOCKER_HOST": test.host, "PATH": os.Getenv("PATH")})
			opts.Notice = func(text string) { notices = append(notices, text) }
			start := time.Now()
			e := mustOpen(t, opts)
			if took := time.Since(start); took > socketPatience+time.Second {
				t.Errorf("it took %s", took)
			}
			if e.Kind() != KindEmbedded {
				t.Errorf("got %s", e.Name())
			}
			if len(notices) != 1 || !strings.Contains(notices[0], test.notice) || !strings.Contains(notices[0], test.host) {
				t.Errorf("got the notices %q, want one of %s: %s", notices, test.host, test.notice)
			}
		})
	}
	_, err := Open(testContext(t), Options{Address: "docker:" + old})
	var tooOld *dockerTooOldError
	if !errors.As(err, &tooOld) || !strings.Contains(err.Error(), "Docker Engine 23.0") {
		t.Errorf("asked for, the old one says %v", err)
	}
}

// silentSocket accepts and never answers.
func silentSocket(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "silent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path
}

func TestFindDocker(t *testing.T) {
	home := t.TempDir()
	write := func(path, text string) {
		t.Helper()
		path = filepath.Join(home, ".docker", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	meta := func(name string) string {
		return `{"Name":"` + name + `","Metadata":{},"Endpoints":{"docker":{"Host":"ssh://` + name + `"}}}`
	}
	// A context's folder is the SHA-256 of its name.
	for _, name := range []string{"chosen", "named"} {
		write("contexts/meta/"+digest.FromString(name).Encoded()+"/meta.json", meta(name))
	}
	write("config.json", `{"currentContext":"chosen"}`)

	tests := []struct {
		name, where string
		env         map[string]string
		want        string
		chosen      bool
	}{
		{"nothing", "", map[string]string{"DOCKER_CONFIG": t.TempDir()}, "unix:///var/run/docker.sock", false},
		{"current context", "", nil, "ssh://chosen", true},
		{"default context", "", map[string]string{"DOCKER_CONTEXT": "default"}, "unix:///var/run/docker.sock", false},
		{"context", "", map[string]string{"DOCKER_CONTEXT": "named"}, "ssh://named", true},
		{"host before context", "", map[string]string{"DOCKER_HOST": "tcp://h:1", "DOCKER_CONTEXT": "named"}, "tcp://h:1", true},
		{"asked for context", "named", map[string]string{"DOCKER_HOST": "tcp://h:1"}, "ssh://named", true},
		{"asked for host", "unix:///x", map[string]string{"DOCKER_HOST": "tcp://h:1"}, "unix:///x", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{"HOME": home}
			for name, value := range test.env {
				env[name] = value
			}
			place, err := findDocker(Options{LookupEnv: envOf(env)}, test.where)
			if err != nil || place.endpoint.Host != test.want || place.chosen != test.chosen {
				t.Errorf("got %s, chosen %t (%v), want %s, %t", place.endpoint.Host, place.chosen, err, test.want, test.chosen)
			}
		})
	}
	_, err := findDocker(Options{LookupEnv: envOf(map[string]string{"HOME": home, "DOCKER_HOST": "tcp://h:1", "DOCKER_TLS_VERIFY": "1"})}, "")
	if err == nil || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("without certificates: %v", err)
	}
}

// A caller's own deadline is the caller's, not a silent engine's.
func TestOpenReturnsTheCallersCause(t *testing.T) {
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Open(ctx, Options{Address: "docker:unix://" + silentSocket(t)}); !errors.Is(err, cause) {
		t.Errorf("got %v, want %v", err, cause)
	}
}
