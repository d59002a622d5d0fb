package registry_test

import (
	"context"
	"errors"
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

func noAnswer(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, req.Context().Err()
}

// The clock of these is synctest's: nothing is waited for.
func TestPatience(t *testing.T) {
	type answers = []func(*http.Request) (*http.Response, error)
	for name, tt := range map[string]struct {
		answers answers
		limits  bool
		status  int // in the end, 0 for an error
		tries   int // requests sent for it
		atMost  time.Duration
		after   int // requests sent for another question to the host
	}{
		"fine at once":               {answers{answer(200)}, false, 200, 1, 0, 1},
		"not found is an answer":     {answers{answer(404)}, false, 404, 1, 0, 1},
		"503 passes":                 {answers{answer(503), answer(200)}, false, 200, 2, time.Second, 1},
		"503 for ever":               {answers{answer(503)}, false, 0, 3, 3 * time.Second, 0},
		"reset passes":               {answers{fails(syscall.ECONNRESET), answer(200)}, false, 200, 2, time.Second, 1},
		"refused":                    {answers{fails(&timeout{})}, false, 0, 3, 3 * time.Second, 0},
		"silence":                    {answers{noAnswer}, false, 0, 1, 3 * time.Second, 0},
		"503, then silence":          {answers{answer(503), noAnswer}, false, 0, 2, 3 * time.Second, 0},
		"a limit":                    {answers{answer(429, "Retry-After", "30"), answer(200)}, false, 0, 1, time.Second, 0},
		"a limit that is waited for": {answers{answer(429, "Retry-After", "30"), answer(200)}, true, 200, 2, 40 * time.Second, 1},
		"a limit without a word":     {answers{answer(429), answer(200)}, false, 200, 2, time.Second, 1},
		"503 with limits":            {answers{answer(503)}, true, 0, 3, 3 * time.Second, 0},
		"what is no fault of a host": {answers{fails(errors.New("wrong settings"))}, false, 0, 1, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tt.answers}
				c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
				p := &registry.Patience{Answer: 3 * time.Second, Limits: tt.limits}
				ctx := p.Context(t.Context())
				start := time.Now()
				status, err := get(ctx, c, "https://a.example.org/v2/one")
				if took := time.Since(start); took > tt.atMost {
					t.Errorf("took %s, want at most %s", took, tt.atMost)
				}
				if status != tt.status || (err == nil) != (tt.status != 0) {
					t.Errorf("got %d, %v; want %d", status, err, tt.status)
				}
				if len(s.at) != tt.tries {
					t.Errorf("%d requests were sent, want %d", len(s.at), tt.tries)
				}
				start = time.Now()
				_, again := get(ctx, c, "https://a.example.org/v2/two")
				if len(s.at)-tt.tries != tt.after || time.Since(start) != 0 {
					t.Errorf("%d more requests were sent in %s, want %d", len(s.at)-tt.tries, time.Since(start), tt.after)
				}
				if tt.after == 0 && again == nil {
					t.Error("a host that did not answer did")
				}
				s.answers = answers{answer(200)}
				if status, err := get(ctx, c, "https://b.example.org/v2/"); status != 200 {
					t.Errorf("another host was not asked: %v", err)
				}
				if _, err := get(t.Context(), c, "https://a.example.org/v2/"); err != nil && !tt.limits && !strings.Contains(name, "limit") {
					t.Errorf("with all patience the host was not asked: %v", err)
				}
			})
		})
	}
}

// timeout is the error of a connection that timed out.
type timeout struct{}

func (*timeout) Error() string   { return "timed out" }
func (*timeout) Timeout() bool   { return true }
func (*timeout) Temporary() bool { return true }

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// Many that ask at once lose no more time than one, and do not try again each.
func TestPatienceOfMany(t *testing.T) {
	for name, tt := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		most   int // requests
	}{"silence": {noAnswer, 20}, "503": {answer(503), 20 + 2}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				sent := 0
				c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(roundTrip(func(req *http.Request) (*http.Response, error) {
					mu.Lock()
					sent++
					mu.Unlock()
					return tt.answer(req)
				})))
				ctx := (&registry.Patience{Answer: 3 * time.Second}).Context(t.Context())
				start := time.Now()
				var wg sync.WaitGroup
				for range 20 {
					wg.Go(func() {
						for range 5 {
							if _, err := get(ctx, c, "https://a.example.org/v2/"); err == nil {
								t.Error("there was an answer")
							}
						}
					})
				}
				wg.Wait()
				if took := time.Since(start); took > 3*time.Second || sent > tt.most {
					t.Errorf("%d requests in %s", sent, took)
				}
			})
		})
	}
}

// A context that ends says nothing of the host.
func TestPatienceEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []func(*http.Request) (*http.Response, error){noAnswer, answer(200)}}
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(s))
		p := &registry.Patience{Answer: 3 * time.Second}
		ctx, cancel := context.WithTimeout(p.Context(t.Context()), time.Second)
		defer cancel()
		if _, err := get(ctx, c, "https://a.example.org/v2/"); err == nil {
			t.Error("there was an answer")
		}
		if status, err := get(p.Context(t.Context()), c, "https://a.example.org/v2/"); status != 200 {
			t.Errorf("the host was not asked again: %v", err)
		}
	})
}

// A body that moves is waited for, that of the request and that of the answer.
func TestPatienceWithBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tried := 0
		c := registry.NewClient(registry.Settings{}, noKeys(t), registry.WithBase(roundTrip(func(req *http.Request) (*http.Response, error) {
			tried++
			var got []byte
			for b := make([]byte, 1); ; time.Sleep(2 * time.Second) {
				n, err := req.Body.Read(b)
				if got = append(got, b[:n]...); err != nil {
					break
				}
			}
			if tried == 1 {
				return answer(503)(req)
			}
			return &http.Response{StatusCode: 200, Body: &slowBody{req.Context(), strings.NewReader(string(got))}}, nil
		})))
		ctx := (&registry.Patience{Answer: 30 * time.Second}).Context(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://a.example.org/", strings.NewReader("1234"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.RoundTripper().RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != "1234" || err != nil || tried != 2 {
			t.Errorf("got %q, %v after %d tries", got, err, tried)
		}
	})
}

// A slowBody takes a minute for each read, while its request lasts.
type slowBody struct {
	ctx context.Context
	r   io.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Minute):
		return b.r.Read(p)
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (b *slowBody) Close() error { return nil }

// The digests of many images of one host that is out of order cost the tries of
// one. Who has more patience is not told what they were.
func TestResolverWithPatience(t *testing.T) {
	for name, tt := range map[string]struct {
		fault testkit.Fault
		tries int
	}{
		"out of order": {testkit.Status("^HEAD ", 0, 503), 3},
		"silent":       {testkit.Hang("^HEAD ", 0), 1},
		"limited":      {testkit.Limited("^HEAD ", 0, "60"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			for _, image := range []string{"a:1", "b:1", "c:1"} {
				pushIndex(t, reg, image, "amd64")
			}
			reg.Forget()
			reg.Inject(tt.fault)
			r := newResolver(t, registry.Settings{}, noKeys(t))
			hasty := (&registry.Patience{Answer: 200 * time.Millisecond}).Context(t.Context())
			for _, image := range []string{"a:1", "b:1", "c:1", "a:1"} {
				_, err := r.Digest(hasty, reg.Host+"/"+image)
				var e *registry.Error
				if !errors.As(err, &e) || !e.Unreachable() {
					t.Errorf("%s: got %v", image, err)
				}
			}
			if n := len(reg.Requests()); n != tt.tries {
				t.Errorf("%d requests were sent, want %d: %q", n, tt.tries, reg.Requests())
			}
			if name == "limited" {
				return // with all patience the minute is waited for
			}
			reg.Heal()
			d, err := r.Digest(t.Context(), reg.Host+"/a:1")
			if err != nil {
				t.Fatal(err)
			}
			if again, err := r.Digest(hasty, reg.Host+"/a:1"); err != nil || again != d {
				t.Errorf("what is known now is not told: %s, %v", again, err)
			}
		})
	}
}
