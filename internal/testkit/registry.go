package testkit

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // the storage of Registry
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

// A Registry is the distribution project's registry, in this process, on a
// loopback port, with its content in memory. It speaks plain HTTP.
type Registry struct {
	// Host is the address as it stands in an image reference: "127.0.0.1:40123".
	Host string

	app    *handlers.App
	server *httptest.Server

	mu       sync.Mutex
	conns    int
	requests []string
	faults   []Fault
	user     string
	password string
}

// A Fault answers requests in the place of the registry.
type Fault struct {
	// Match is matched against "METHOD /path", as in Requests.
	Match *regexp.Regexp
	// Skip is how many matching requests are let through first.
	Skip int
	// Times is how many requests are answered; after that the fault is gone.
	// 0 means all.
	Times int
	// Handler answers. nil breaks the connection.
	Handler http.HandlerFunc
	// Wrap, if set, answers with the help of the registry, instead of Handler.
	Wrap func(registry http.Handler) http.Handler
}

// Status is a fault that answers requests matching pattern with status.
func Status(pattern string, times, status int) Fault {
	return Fault{Match: regexp.MustCompile(pattern), Times: times, Handler: func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"errors":[{"code":"UNKNOWN","message":"a fault of the test"}]}`, status)
	}}
}

var quietLogs = sync.OnceFunc(func() { logrus.SetOutput(io.Discard) })

// NewRegistry starts an empty registry that ends with the test.
func NewRegistry(t testing.TB) *Registry {
	t.Helper()
	r := StartRegistry()
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// StartRegistry starts an empty registry. The caller closes it. The registry
// logs through logrus' standard logger, which is silenced.
func StartRegistry() *Registry {
	quietLogs()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"delete":      configuration.Parameters{"enabled": true},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = "the uploads of one test"
	r := &Registry{app: handlers.NewApp(context.Background(), config)}
	r.server = httptest.NewUnstartedServer(r.middleware(r.app))
	r.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.conns++
		}
	}
	r.server.Start()
	r.Host = strings.TrimPrefix(r.server.URL, "http://")
	return r
}

// Close ends the registry, open connections included.
func (r *Registry) Close() error {
	r.server.CloseClientConnections()
	r.server.Close()
	if err := r.app.Shutdown(); err != nil {
		return fmt.Errorf("shutting the registry down: %w", err)
	}
	return nil
}

// Down makes the registry one that nobody listens at. It stays down.
func (r *Registry) Down() {
	_ = r.server.Listener.Close() // Close closes it again
	r.server.CloseClientConnections()
}

// IgnoreRegistry makes goleak overlook the one goroutine of a registry that
// the distribution project never ends: it waits for events to pass on.
func IgnoreRegistry() goleak.Option {
	return goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run")
}

// URL is the registry's address as a mirror is given: "http://127.0.0.1:40123".
func (r *Registry) URL() string { return r.server.URL }

// RequireLogin makes the registry refuse requests without this account.
func (r *Registry) RequireLogin(user, password string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.user, r.password = user, password
}

// Inject adds faults. The first one that matches answers.
func (r *Registry) Inject(faults ...Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, faults...)
}

// Heal takes all faults away.
func (r *Registry) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = nil
}

// Handler answers like a registry without faults, for a Fault that changes only
// a part of an answer.
func (r *Registry) Handler() http.Handler { return r.app }

// Requests lists what was asked so far, as "METHOD /path", oldest first,
// requests that a fault answered included.
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests...)
}

// Count is the number of requests so far that match pattern.
func (r *Registry) Count(pattern string) int {
	re, n := regexp.MustCompile(pattern), 0
	for _, req := range r.Requests() {
		if re.MatchString(req) {
			n++
		}
	}
	return n
}

// Connections is how many connections were opened to the registry so far, those
// of the test itself included.
func (r *Registry) Connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conns
}

// Forget empties Requests.
func (r *Registry) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = nil
}

// Push stores img as repo:tag or repo@digest, without being counted.
func (r *Registry) Push(ctx context.Context, image string, img v1.Image) error {
	ref, err := name.ParseReference(r.Host+"/"+image, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, remote.WithContext(ctx), remote.WithTransport(direct))
}

// PushIndex pushes an index to repo:tag, without being counted.
func (r *Registry) PushIndex(ctx context.Context, image string, index v1.ImageIndex) error {
	ref, err := name.ParseReference(r.Host+"/"+image, name.Insecure)
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, remote.WithContext(ctx), remote.WithTransport(direct))
}

// Image reads repo:tag, without being counted.
func (r *Registry) Image(ctx context.Context, image string) (v1.Image, error) {
	ref, err := name.ParseReference(r.Host+"/"+image, name.Insecure)
	if err != nil {
		return nil, err
	}
	return remote.Image(ref, remote.WithContext(ctx), remote.WithTransport(direct))
}

// directHeader marks requests of the test itself, which are neither counted
// nor faulted nor asked for a login.
const directHeader = "Strata-Testkit-Direct"

// direct is a transport for the test itself.
var direct = roundTripper(func(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set(directHeader, "yes")
	req.Close = true // an idle connection would outlive the test
	return http.DefaultTransport.RoundTrip(req)
})

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func (r *Registry) middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get(directHeader) != "" {
			next.ServeHTTP(w, req)
			return
		}
		fault, login := r.record(req)
		switch {
		case fault != nil && fault.Wrap != nil:
			fault.Wrap(next).ServeHTTP(w, req)
		case fault != nil && fault.Handler == nil:
			panic(http.ErrAbortHandler)
		case fault != nil:
			fault.Handler(w, req)
		case !login:
			w.Header().Set("WWW-Authenticate", `Basic realm="testkit"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`)
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// record notes req and says what is to become of it: the fault that answers
// it, and whether its login is good.
func (r *Registry) record(req *http.Request) (fault *Fault, login bool) {
	line := req.Method + " " + req.URL.Path
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, line)
	user, password, _ := req.BasicAuth()
	login = user == r.user && password == r.password
	for i := range r.faults {
		f := r.faults[i]
		if !f.Match.MatchString(line) {
			continue
		}
		if f.Skip > 0 {
			r.faults[i].Skip--
			continue
		}
		if f.Times == 1 {
			r.faults = append(r.faults[:i:i], r.faults[i+1:]...)
		} else if f.Times > 1 {
			r.faults[i].Times--
		}
		return &f, login
	}
	return nil, login
}
