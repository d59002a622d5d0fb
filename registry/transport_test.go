package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

// A script answers requests one after another.
type script struct {
	mu      sync.Mutex
	answers []func(*http.Request) (*http.Response, error)
	at      []time.Time
	bodies  []string
}

func (s *script) RoundTrip(req *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	if req.Body != nil {
		b, _ := io.ReadAll(req.Body)
		s.bodies = append(s.bodies, string(b))
	}
	next := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return next(req)
}

func answer(status int, header ...string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader("body")), Request: req}, nil
	}
}

func fails(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

func get(ctx context.Context, c *registry.Client, url string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.RoundTripper().RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func TestRetry(t *testing.T) {
	type answers = []func(*http.Request) (*http.Response, error)
	in30s := "in 30s"
	tests := map[string]struct {
		answers answers
		status  int           // in the end, 0 for an error
		tries   int           // requests sent
		atMost  time.Duration // all of it, jitter included
		atLeast time.Duration
	}{
		"fine at once":          {answers{answer(200)}, 200, 1, 0, 0},
		"not found stays":       {answers{answer(404)}, 404, 1, 0, 0},
		"503 passes":            {answers{answer(503), answer(502), answer(200)}, 200, 3, 5 * time.Second, time.Second},
		"reset passes":          {answers{fails(syscall.ECONNRESET), fails(io.EOF), answer(200)}, 200, 3, 5 * time.Second, time.Second},
		"refused stays":         {answers{fails(syscall.ECONNREFUSED)}, 0, 1, 0, 0},
		"503 for ever":          {answers{answer(503)}, 0, 6, 2 * time.Minute, 15 * time.Second},
		"429 with a wait":       {answers{answer(429, "Retry-After", "30"), answer(200)}, 200, 2, 32 * time.Second, 30 * time.Second},
		"429 with a date":       {answers{answer(429, "Retry-After", in30s), answer(200)}, 200, 2, 32 * time.Second, 29 * time.Second},
		"429 with garbage":      {answers{answer(429, "Retry-After", "soon"), answer(200)}, 200, 2, 2 * time.Second, time.Second / 2},
		"429 with a long wait":  {answers{answer(429, "Retry-After", "3600")}, 0, 1, 2 * time.Second, 0},
		"429 with a past date":  {answers{answer(429, "Retry-After", "Mon, 01 Jan 1990 00:00:00 GMT"), answer(200)}, 200, 2, 2 * time.Second, time.Second / 2},
		"429 with a minus sign": {answers{answer(429, "Retry-After", "-5"), answer(200)}, 200, 2, 2 * time.Second, time.Second / 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for i, a := range tt.answers {
					tt.answers[i] = func(req *http.Request) (*http.Response, error) {
						resp, err := a(req)
						if err == nil && resp.Header.Get("Retry-After") == in30s {
							resp.Header.Set("Retry-After", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
						}
						return resp, err
					}
				}
				s := &script{answers: tt.answers}
				c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
				start := time.Now()
				status, err := get(t.Context(), c, "https://reg.example.org/v2/")
				took := time.Since(start)
				if status != tt.status || (err == nil) != (tt.status != 0) {
					t.Errorf("got %d, %v; want %d", status, err, tt.status)
				}
				if len(s.at) != tt.tries {
					t.Errorf("%d requests were sent, want %d", len(s.at), tt.tries)
				}
				if took > tt.atMost || took < tt.atLeast {
					t.Errorf("took %s, want between %s and %s", took, tt.atLeast, tt.atMost)
				}
			})
		})
	}
}

// While a limit lasts no other request is sent to that host either, and one to
// another host is.
func TestLimitHoldsForTheHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(429, "Retry-After", "40"), answer(200)}}
		var told []string
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s), registry.WithNotify(func(m string) { told = append(told, m) }))
		start := time.Now()
		if _, err := get(t.Context(), c, "https://a.example.org/v2/"); err != nil {
			t.Fatal(err)
		}
		if waited := s.at[1].Sub(start); waited < 40*time.Second {
			t.Errorf("asked again after %s", waited)
		}
		if len(told) == 0 || !strings.HasPrefix(told[0], "retry 1/5 in ") {
			t.Errorf("told %q", told)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(429, "Retry-After", "3600"), answer(200)}}
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
		_, err := get(t.Context(), c, "https://a.example.org/v2/")
		var st *registry.StatusError
		if !errors.As(err, &st) || st.Resets.Sub(time.Now()) < 50*time.Minute || !strings.Contains(err.Error(), "limit resets at ") {
			t.Fatalf("got %v", err)
		}
		if _, err := get(t.Context(), c, "https://a.example.org/v2/other"); !errors.As(err, &st) {
			t.Errorf("a limited host was asked: %v", err)
		}
		if _, err := get(t.Context(), c, "https://b.example.org/v2/"); err != nil {
			t.Errorf("another host was not asked: %v", err)
		}
		if len(s.at) != 2 {
			t.Errorf("%d requests were sent, want 2", len(s.at))
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(429, "Retry-After", "60")}}
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
		ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, errors.New("enough"))
		defer cancel()
		start := time.Now()
		_, err := get(ctx, c, "https://a.example.org/v2/")
		if err == nil || time.Since(start) > 6*time.Second {
			t.Errorf("got %v after %s", err, time.Since(start))
		}
	})
}

func TestRetrySendsTheBodyAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){answer(503), answer(200)}}
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "https://a.example.org/", strings.NewReader("all of it"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.RoundTripper().RoundTrip(req)
		if err != nil || resp.StatusCode != 200 || fmt.Sprint(s.bodies) != "[all of it all of it]" {
			t.Errorf("got %v, %v, bodies %q", resp, err, s.bodies)
		}
		stream, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "https://a.example.org/", io.NopCloser(strings.NewReader("stream")))
		if err != nil {
			t.Fatal(err)
		}
		s.answers = []func(*http.Request) (*http.Response, error){answer(503)}
		resp, err = c.RoundTripper().RoundTrip(stream)
		if err != nil || resp.StatusCode != 503 || len(s.bodies) != 3 {
			t.Errorf("a stream cannot be sent again: got %v, %v, bodies %q", resp, err, s.bodies)
		}
	})
}

// A connection on which nothing moves is given up; one that is slow is not.
func TestStall(t *testing.T) {
	release := make(chan struct{})
	addr := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/hangs" {
				<-release
				return
			}
			for range 6 {
				io.WriteString(w, "x")
				w.(http.Flusher).Flush()
				<-time.After(100 * time.Millisecond)
			}
		})
	}, nil)
	defer close(release)
	c := newClient(t, registry.Settings{}, noKeys(t), registry.WithStall(400*time.Millisecond))
	if _, err := get(t.Context(), c, "http://"+addr+"/slow"); err != nil {
		t.Errorf("slow: %v", err)
	}
	if _, err := get(t.Context(), c, "http://"+addr+"/hangs"); err == nil {
		t.Error("a hanging connection was not given up")
	}
}

func TestPlainHTTPMustBeAllowed(t *testing.T) {
	s := &script{answers: []func(*http.Request) (*http.Response, error){answer(200)}}
	c := registry.NewClient(withFlags(t, nil, []string{"plain.lan:5000"}), noKeys(t), registry.WithBase(s))
	for url, want := range map[string]bool{
		"https://reg.example.org/v2/":       true,
		"http://reg.example.org/v2/":        false,
		"http://10.0.0.5:5000/v2/":          false,
		"http://plain.lan:5000/v2/":         true,
		"http://plain.lan:5001/v2/":         false,
		"http://localhost:5000/v2/":         true,
		"http://127.0.0.9:5000/v2/":         true,
		"http://localhost.evil.net:5000/v2": false,
	} {
		_, err := get(t.Context(), c, url)
		var plain *registry.PlainHTTPError
		if (err == nil) != want || (err != nil && !errors.As(err, &plain)) {
			t.Errorf("%s: got %v, want allowed %t", url, err, want)
		}
	}
}

// A credential that a registry could have sent elsewhere is not.
func TestAuthorizationStaysWithItsHost(t *testing.T) {
	var mu sync.Mutex
	leaked := map[string]string{}
	other := front(t, "127.0.0.2:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			leaked[r.URL.Path] = r.Header.Get("Authorization")
			mu.Unlock()
			io.WriteString(w, "from elsewhere")
		})
	}, nil)
	sameIP := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			leaked[r.URL.Path] = r.Header.Get("Authorization")
			mu.Unlock()
		})
	}, nil)
	addr := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/host":
				http.Redirect(w, r, "http://"+other+"/host", http.StatusTemporaryRedirect)
			case "/port":
				http.Redirect(w, r, "http://"+sameIP+"/port", http.StatusTemporaryRedirect)
			}
		})
	}, nil)
	c := newClient(t, registry.Settings{}, noKeys(t))
	client := &http.Client{Transport: c.RoundTripper()}
	for _, path := range []string{"/host", "/port"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth("ann", "s3cret")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		mu.Lock()
		if got, ok := leaked[path]; !ok || got != "" {
			t.Errorf("%s: redirected %t, with Authorization %q", path, ok, got)
		}
		mu.Unlock()
	}
}

func TestRedirectsThatAreRefused(t *testing.T) {
	tests := map[string]struct{ from, to string }{
		"out of TLS":       {"https://reg.example.org/v2/", "http://127.0.0.1/"},
		"metadata service": {"https://reg.example.org/v2/", "https://169.254.169.254/latest"},
		"private network":  {"https://reg.example.org/v2/", "https://10.0.0.1/"},
		"odd spelling":     {"https://reg.example.org/v2/", "https://0x7f.1/"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := &script{answers: []func(*http.Request) (*http.Response, error){answer(307, "Location", tt.to), answer(200)}}
			c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
			client := &http.Client{Transport: c.RoundTripper()}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.from, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "redirect refused") || len(s.at) != 1 {
				t.Errorf("got %v after %d requests", err, len(s.at))
			}
		})
	}
}

// A registry whose realm is not its own sees no credential arrive anywhere.
func TestForeignRealmGetsNothing(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	thief := front(t, "127.0.0.2:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			body, _ := io.ReadAll(r.Body)
			seen = append(seen, fmt.Sprint(r.Method, r.URL, r.Header, string(body)))
			io.WriteString(w, `{"token": "t", "access_token": "t"}`)
		})
	}, nil)
	var realm string
	reg := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, "http://"+thief+"/", http.StatusTemporaryRedirect)
				return
			}
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm=%q,service="s",scope="repository:x:pull"`, realm))
			w.WriteHeader(http.StatusUnauthorized)
		})
	}, nil)
	keys := keysOf(t, map[string]string{reg: "ann:s3cret"})
	_, port, _ := strings.Cut(thief, ":")
	for _, realm = range []string{
		"http://" + thief + "/token",
		"https://" + thief + "/token",
		"http://ann@" + thief + "/token",
		"http://0x7f000002:" + port + "/token",
		"http://2130706434:" + port + "/token",
		"http://127.2:" + port + "/token",
		"http://[::ffff:127.0.0.2]:" + port + "/token",
		"//" + thief + "/token",
		"http://" + reg + "/token", // its own, which then sends on
	} {
		c := newClient(t, registry.Settings{}, keys)
		if _, err := c.Get(t.Context(), reg+"/x:1"); err == nil {
			t.Errorf("realm %q: no error", realm)
		}
		r := newResolver(t, registry.Settings{}, keys)
		if _, _, _, err := r.ResolveImageConfig(t.Context(), reg+"/x:1", anyPlatform); err == nil {
			t.Errorf("realm %q: the resolver has no error", realm)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, s := range seen {
		t.Errorf("the foreign server was asked: %s", s)
	}
}

func TestManifestHasAnEnd(t *testing.T) {
	addr := front(t, "127.0.0.1:0", nil, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.URL.Path, "/manifests/") {
				return
			}
			w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
			for chunk := make([]byte, 64<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
	}, nil)
	c := newClient(t, registry.Settings{}, noKeys(t))
	_, err := c.Get(t.Context(), addr+"/x:1")
	if err == nil || !strings.Contains(err.Error(), "larger than any real one") {
		t.Errorf("got %v", err)
	}
}

func TestFaultsOfARealRegistry(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	reg.Inject(testkit.Status(`GET .*/manifests/`, 3, 503))
	c := newClient(t, registry.Settings{}, noKeys(t))
	if _, err := c.Get(t.Context(), reg.Host+"/app:1"); err != nil {
		t.Fatal(err)
	}
	reg.Inject(testkit.Status(`GET .*/manifests/`, 0, 503))
	_, err := c.Get(t.Context(), reg.Host+"/app:1")
	var e *registry.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "answers 503 Service Unavailable") || e.Hint == "" {
		t.Errorf("got %v", err)
	}
	if n := reg.Count("GET .*/manifests/"); n != 4+6 {
		t.Errorf("%d requests for the manifest, want 10", n)
	}
}
