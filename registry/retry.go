package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxTries  = 6
	maxWait   = 2 * time.Minute // for all tries of one request
	firstWait = time.Second
)

// A retry repeats requests that fail for a reason that may pass, and honours
// the waits that a registry asks for: no request is sent to a host before its
// limit resets.
type retry struct {
	next   http.RoundTripper
	first  time.Duration // wait after the first failure; doubles
	notify func(msg string)

	mu    sync.Mutex
	until map[string]time.Time // by host: its limit resets
}

// A StatusError is the last answer of a registry that kept failing.
type StatusError struct {
	Host       string
	StatusCode int
	Resets     time.Time // when the limit resets; zero if not said
}

// Error says what the registry answered.
func (e *StatusError) Error() string {
	if !e.Resets.IsZero() {
		return fmt.Sprintf("%s has had too many requests; its limit resets at %s", e.Host, e.Resets.Format("15:04:05"))
	}
	return fmt.Sprintf("%s answers %d %s", e.Host, e.StatusCode, http.StatusText(e.StatusCode))
}

// A spentError is a failure that has been retried here, so that no library
// above does so again.
type spentError struct{ err error }

func (e *spentError) Error() string { return e.err.Error() }
func (e *spentError) Unwrap() error { return e.err }

// RoundTrip implements http.RoundTripper.
func (t *retry) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		// A stream is sent once; whoever made it knows how to begin again.
		if err := t.waitTurn(req.Context(), req.URL.Host); err != nil {
			return nil, err
		}
		return t.next.RoundTrip(req)
	}
	if p := patienceOf(req.Context()); p != nil {
		return t.soon(req, p)
	}
	return t.patiently(req, 0)
}

// patiently sends req, which has been sent some times already, until it is answered
// or there is no hope.
func (t *retry) patiently(req *http.Request, tries int) (*http.Response, error) {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.Multiplier = t.first, 2
	resp, err := backoff.Retry(req.Context(), func() (*http.Response, error) {
		tries++
		resp, err := t.try(req, tries)
		if err != nil && !mayPass(err) {
			err = backoff.Permanent(err)
		}
		return resp, err
	},
		backoff.WithBackOff(wait),
		backoff.WithMaxTries(maxTries),
		backoff.WithMaxElapsedTime(maxWait),
		backoff.WithNotify(func(err error, next time.Duration) {
			t.notify(fmt.Sprintf("retry %d/%d in %s: %v", tries, maxTries-1, next.Round(100*time.Millisecond), err))
		}))
	if err != nil && mayPass(err) {
		err = &spentError{err}
	}
	return resp, err
}

// try sends req once.
func (t *retry) try(req *http.Request, n int) (*http.Response, error) {
	if err := t.waitTurn(req.Context(), req.URL.Host); err != nil {
		return nil, err
	}
	if n > 1 && req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = body
	}
	resp, err := t.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		t.limit(req.URL.Host, resp.Header.Get("Retry-After"))
	}
	if !passingStatus(resp.StatusCode) {
		return resp, nil
	}
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	resp.Body.Close()
	return nil, &StatusError{Host: req.URL.Host, StatusCode: resp.StatusCode}
}

// limit notes when host may be asked again.
func (t *retry) limit(host, retryAfter string) {
	at, err := http.ParseTime(retryAfter)
	if err != nil {
		seconds, err := strconv.Atoi(retryAfter)
		if err != nil || seconds < 0 {
			return // the usual waits apply
		}
		at = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.After(t.until[host]) {
		t.until[host] = at
	}
}

// waitTurn waits until the limit of host resets, unless that takes too long.
func (t *retry) waitTurn(ctx context.Context, host string) error {
	t.mu.Lock()
	at := t.until[host]
	t.mu.Unlock()
	wait := time.Until(at)
	if wait <= 0 {
		return nil
	}
	if p := patienceOf(ctx); wait > maxWait || p != nil && !p.Limits {
		return &StatusError{Host: host, StatusCode: http.StatusTooManyRequests, Resets: at}
	}
	t.notify(fmt.Sprintf("waiting %s: the limit of %s is used up", wait.Round(time.Second), host))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func passingStatus(code int) bool {
	switch code {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// mayPass reports whether err may be gone at the next try.
func mayPass(err error) bool {
	if _, spent := errors.AsType[*spentError](err); spent || errors.Is(err, context.Canceled) {
		return false
	}
	if st, ok := errors.AsType[*StatusError](err); ok {
		return st.Resets.IsZero()
	}
	for _, passing := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, passing) {
			return true
		}
	}
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
