package testkit

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"syscall"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
)

// ask sends a request and returns the answer's status and body.
func ask(ctx context.Context, method, url string) (int, http.Header, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, body, err
}

func TestFaults(t *testing.T) {
	r := NewRegistry(t)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Push(t.Context(), "a/b:1", img); err != nil {
		t.Fatal(err)
	}
	url := r.URL() + "/v2/a/b/manifests/1"
	_, _, whole, err := ask(t.Context(), "GET", url)
	if err != nil {
		t.Fatal(err)
	}
	const pattern = "^GET .*/manifests/1$"

	r.Inject(After(1, Status(pattern, 1, 503)))
	for n, want := range []int{200, 503, 200} {
		if got, _, _, _ := ask(t.Context(), "GET", url); got != want {
			t.Errorf("request %d answers %d, want %d", n+1, got, want)
		}
	}
	r.Inject(Limited(pattern, 1, "7"))
	if got, h, _, _ := ask(t.Context(), "GET", url); got != 429 || h.Get("Retry-After") != "7" {
		t.Errorf("limited: %d %v", got, h)
	}
	r.Inject(Reset(pattern, 1))
	if _, _, _, err := ask(t.Context(), "GET", url); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reset: %v", err)
	}
	r.Inject(Truncate(pattern, 1, 10))
	if _, _, body, err := ask(t.Context(), "GET", url); !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(body, whole[:10]) {
		t.Errorf("truncated: %q %v", body, err)
	}
	r.Inject(Flip(pattern, 1, -1))
	if _, _, body, _ := ask(t.Context(), "GET", url); len(body) != len(whole) || body[len(body)-1] != whole[len(whole)-1]^1 {
		t.Errorf("flipped: %q", body)
	}
	r.Inject(Header(pattern, 1, "Docker-Content-Digest", ""))
	if _, h, body, _ := ask(t.Context(), "GET", url); h.Get("Docker-Content-Digest") != "" || !bytes.Equal(body, whole) {
		t.Errorf("without a digest: %v %q", h, body)
	}
	r.Inject(Lost("^DELETE ", 1))
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := ask(t.Context(), "DELETE", r.URL()+"/v2/a/b/manifests/"+digest.String()); err == nil {
		t.Error("lost: there was an answer")
	}
	if got, _, _, _ := ask(t.Context(), "GET", url); got != 404 {
		t.Errorf("what was lost was not done: %d", got)
	}
	release := make(chan struct{})
	r.Inject(Slow("^GET /v2/$", 1, release))
	close(release)
	if got, _, _, err := ask(t.Context(), "GET", r.URL()+"/v2/"); got != 200 {
		t.Errorf("slow: %d %v", got, err)
	}
	r.Inject(Hang("^HEAD ", 1))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for r.Count("^HEAD ") == 0 { // it has come
			runtime.Gosched()
		}
		cancel()
	}()
	if _, _, _, err := ask(ctx, "HEAD", url); !errors.Is(err, context.Canceled) {
		t.Errorf("hung: %v", err)
	}
}

func TestCounts(t *testing.T) {
	r := NewRegistry(t)
	for _, req := range []string{
		"GET /v2/", "HEAD /v2/a/b/manifests/1", "HEAD /v2/a/manifests/sha256:00", "GET /v2/a/blobs/sha256:00",
		"POST /v2/a/blobs/uploads/", "GET /v2/a/tags/list", "GET /token",
	} {
		for i, c := range req {
			if c == ' ' {
				if _, _, _, err := ask(t.Context(), req[:i], r.URL()+req[i+1:]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	want := map[string]int{
		"GET /v2/": 1, "HEAD manifest": 2, "GET blob": 1, "POST upload": 1, "GET tags": 1, "GET other": 1,
	}
	if got := r.Counts(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
