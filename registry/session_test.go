package registry_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

// A tokenServer gives out tokens, each good for a number of requests.
type tokenServer struct {
	mu     sync.Mutex
	oauth  bool // whether it knows POST
	lives  int  // requests a token is good for
	issued int
	left   map[string]int
	asked  []string
}

func (s *tokenServer) issue(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, password, _ := r.BasicAuth()
	if r.Method == http.MethodPost {
		if !s.oauth {
			http.Error(w, "", http.StatusNotFound)
			return
		}
		user, password = r.FormValue("username"), r.FormValue("password")
	}
	s.asked = append(s.asked, r.Method+" "+user)
	if user != "ann" || password != "s3cret" {
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no such account"}]}`, http.StatusUnauthorized)
		return
	}
	s.issued++
	token := fmt.Sprintf("token-%d", s.issued)
	s.left[token] = s.lives
	fmt.Fprintf(w, `{"token": %q, "access_token": %q, "expires_in": 300}`, token, token)
}

func (s *tokenServer) accepts(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || s.left[token] == 0 {
		return false
	}
	s.left[token]--
	return true
}

// tokenRegistry is a registry that wants tokens of a server on its own host.
func tokenRegistry(t *testing.T, s *tokenServer) string {
	s.left = map[string]int{}
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	return front(t, "127.0.0.1:0", nil, func(pass http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/token":
				s.issue(w, r)
			case s.accepts(r):
				pass.ServeHTTP(w, r)
			default:
				challenge := fmt.Sprintf(`Bearer realm="http://%s/token",service="s",scope="repository:app:pull"`, r.Host)
				if r.Header.Get("Authorization") != "" {
					challenge += `,error="invalid_token"` // as the distribution registry says it
				}
				w.Header().Set("WWW-Authenticate", challenge)
				http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no token"}]}`, http.StatusUnauthorized)
			}
		})
	}, reg)
}

func TestTokens(t *testing.T) {
	for name, s := range map[string]*tokenServer{
		"oauth":          {oauth: true, lives: 1000},
		"basic only":     {lives: 1000},
		"expire quickly": {oauth: true, lives: 2},
	} {
		t.Run(name, func(t *testing.T) {
			host := tokenRegistry(t, s)
			keys := keysOf(t, map[string]string{host: "ann:s3cret"})
			if _, _, _, err := newResolver(t, registry.Settings{}, keys).ResolveImageConfig(t.Context(), host+"/app:1", forPlatform("amd64")); err != nil {
				t.Errorf("resolver: %v", err)
			}
			desc, err := newClient(t, registry.Settings{}, keys).Get(t.Context(), host+"/app:1")
			if err != nil {
				t.Fatalf("client: %v", err)
			}
			if _, err := desc.ImageIndex(); err != nil {
				t.Error(err)
			}
			wrong := keysOf(t, map[string]string{host: "bob:x"})
			_, _, _, err = newResolver(t, registry.Settings{}, wrong).ResolveImageConfig(t.Context(), host+"/app:1", forPlatform("amd64"))
			checkError(t, "resolver", err, `account "bob" is not accepted`, "docker login "+host)
			_, err = newClient(t, registry.Settings{}, wrong).Get(t.Context(), host+"/app:1")
			checkError(t, "client", err, `account "bob" is not accepted`, "docker login "+host)
		})
	}
}

// dialAuth serves what a session attaches and returns an engine's view of it.
func dialAuth(t *testing.T, a session.Attachable) auth.AuthClient {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	srv := grpc.NewServer()
	a.Register(srv)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient("passthrough:///auth", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return auth.NewAuthClient(conn)
}

func TestSessionFetchesTokens(t *testing.T) {
	s := &tokenServer{lives: 1000}
	host := tokenRegistry(t, s)
	keys := keysOf(t, map[string]string{host: "ann:s3cret"})
	engine := dialAuth(t, newClient(t, registry.Settings{}, keys).SessionAuth())
	resp, err := engine.FetchToken(t.Context(), &auth.FetchTokenRequest{Host: host, Realm: "http://" + host + "/token", Service: "s", Scopes: []string{"repository:app:pull"}})
	if err != nil || resp.Token != "token-1" || resp.ExpiresIn != 300 {
		t.Errorf("got %v, %v", resp, err)
	}
	creds, err := engine.Credentials(t.Context(), &auth.CredentialsRequest{Host: host})
	if err != nil || creds.Username != "ann" {
		t.Errorf("got %v, %v", creds, err)
	}
}

func TestSessionRefusesForeignRealms(t *testing.T) {
	asked := make(chan string, 10)
	thief := front(t, "127.0.0.2:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			asked <- r.Method + " " + r.Header.Get("Authorization") + " " + string(body)
			io.WriteString(w, `{"token": "t", "access_token": "t"}`)
		})
	}, nil)
	host := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.RedirectHandler("http://"+thief+"/token", http.StatusTemporaryRedirect)
	}, nil)
	keys := keysOf(t, map[string]string{host: "ann:s3cret"})
	engine := dialAuth(t, newClient(t, registry.Settings{}, keys).SessionAuth())
	for _, realm := range []string{"http://" + thief + "/token", "http://" + host + "/token"} {
		if _, err := engine.FetchToken(t.Context(), &auth.FetchTokenRequest{Host: host, Realm: realm}); err == nil {
			t.Errorf("realm %s: no error", realm)
		}
	}
	select {
	case got := <-asked:
		t.Errorf("the foreign server was asked: %s", got)
	default:
	}
}
