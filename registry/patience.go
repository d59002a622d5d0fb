package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// hastyTries is how often a request with a Patience is sent.
const hastyTries = 3

// A Patience limits how long registries keep somebody waiting who can do without
// their answers, or who has to know soon that there are none. A host that does not
// answer in time is told from then on not to have answered, without being asked
// again, by all requests that share the Patience. It may be used by many
// goroutines, and must not be copied.
type Patience struct {
	// Answer is how long the beginning of an answer is waited for. A request that
	// fails for a reason that may pass is repeated within this time.
	Answer time.Duration
	// Limits is set if a registry that has had too many requests is waited for as
	// long as without a Patience. Else it counts as one that does not answer.
	Limits bool

	mu    sync.Mutex
	hosts map[string]*health
}

// Context returns a context whose requests have this patience. Nil is all the
// patience in the world.
func (p *Patience) Context(ctx context.Context) context.Context {
	if p == nil {
		return ctx
	}
	return context.WithValue(ctx, patienceKey{}, p)
}

type patienceKey struct{}

func patienceOf(ctx context.Context) *Patience {
	p, _ := ctx.Value(patienceKey{}).(*Patience)
	return p
}

func (p *Patience) health(host string) *health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.hosts[host]
	if h == nil {
		h = &health{turn: make(chan struct{}, 1)}
		if p.hosts == nil {
			p.hosts = map[string]*health{}
		}
		p.hosts[host] = h
	}
	return h
}

// A health is what a Patience knows of a host. Who has the turn finds out whether a
// host that has failed answers after all; the others wait for that.
type health struct {
	turn chan struct{}
	err  error // why the host is not asked again; for who has the turn
}

// enter takes the turn, unless it has been found out that the host does not answer.
func (h *health) enter(ctx context.Context) error {
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := h.err; err != nil {
		h.leave()
		return err
	}
	return nil
}

func (h *health) leave() { <-h.turn }

// soon sends req as p wants it.
func (t *retry) soon(req *http.Request, p *Patience) (*http.Response, error) {
	ctx, h := req.Context(), p.health(req.URL.Host)
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	h.leave()
	if err := t.waitTurn(ctx, req.URL.Host); err != nil && p.Limits {
		return nil, err
	}
	begun := time.Now()
	resp, err := t.within(req, 1, p.Answer)
	switch {
	case err == nil, !silent(ctx, err):
		return resp, err
	case p.Limits && HTTPStatus(err) == http.StatusTooManyRequests:
		return t.patiently(req, 1)
	}
	left := p.Answer - time.Since(begun)
	if err := h.enter(ctx); err != nil {
		return nil, err
	}
	defer h.leave()
	resp, err = t.again(req, left, err)
	if err == nil || !silent(ctx, err) {
		return resp, err
	}
	h.err = &spentError{err}
	return nil, h.err
}

// again repeats req, which failed with err, as long as there is hope and time left.
func (t *retry) again(req *http.Request, left time.Duration, err error) (*http.Response, error) {
	until, wait := time.Now().Add(left), t.first/2
	for n := 2; n <= hastyTries && mayPass(err) && time.Now().Add(wait).Before(until); n++ {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-req.Context().Done():
			timer.Stop()
			return nil, context.Cause(req.Context())
		}
		wait *= 2
		var resp *http.Response
		if resp, err = t.within(req, n, time.Until(until)); err == nil {
			return resp, nil
		}
	}
	return nil, err
}

// within sends req for the nth time and waits so long for the beginning of an
// answer. While the body of the request is on its way the time does not run.
func (t *retry) within(req *http.Request, n int, limit time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	out := &SilentError{Host: req.URL.Host, Within: limit}
	w := newWatch(limit, func() { cancel(out) })
	sent := req.Clone(ctx)
	if req.GetBody != nil {
		sent.GetBody = func() (io.ReadCloser, error) {
			body, err := req.GetBody()
			return &movingBody{body, w}, err
		}
		if n == 1 {
			sent.Body = &movingBody{req.Body, w}
		}
	}
	resp, err := t.try(sent, n)
	inTime := w.stop()
	if err == nil && inTime {
		resp.Body = &endingBody{resp.Body, cancel}
		return resp, nil
	}
	if err == nil {
		resp.Body.Close()
	}
	if !inTime && req.Context().Err() == nil {
		err = &spentError{out}
	}
	cancel(nil)
	return nil, err
}

// silent reports whether err says that a host does not answer, for now.
func silent(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	if _, ok := errors.AsType[*StatusError](err); ok {
		return true
	}
	var network net.Error
	return errors.As(err, &network) || mayPass(err)
}

// A SilentError says that a host did not begin to answer in time.
type SilentError struct {
	Host   string
	Within time.Duration
}

var _ net.Error = (*SilentError)(nil)

// Error names the host and the time.
func (e *SilentError) Error() string {
	return fmt.Sprintf("%s does not answer within %s", e.Host, e.Within.Round(time.Millisecond))
}

// Timeout implements net.Error.
func (e *SilentError) Timeout() bool { return true }

// Temporary implements net.Error.
func (e *SilentError) Temporary() bool { return true }

// A watch runs out when nothing has moved for so long.
type watch struct {
	limit time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

func newWatch(limit time.Duration, out func()) *watch {
	return &watch{limit: limit, timer: time.AfterFunc(limit, out)}
}

func (w *watch) moved() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.timer.Reset(w.limit)
	}
}

// stop reports whether the time had not run out.
func (w *watch) stop() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	return w.timer.Stop()
}

// A movingBody tells a watch when some of it is read.
type movingBody struct {
	io.ReadCloser
	watch *watch
}

func (b *movingBody) Read(p []byte) (int, error) {
	b.watch.moved()
	return b.ReadCloser.Read(p)
}

// An endingBody ends a context when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (b *endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}
