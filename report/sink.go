package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// errStalled is returned when an interrupted build gave up on its reader.
var errStalled = errors.New("writing progress: nobody reads it")

// stallLimit is how long an interrupted build waits for its reader.
const stallLimit = time.Second

// A sink writes to a reader that may be slow or gone, in a goroutine of its
// own, so that nobody who hands it text waits for the reader. What is not
// written yet is held up to a limit; beyond it offers are refused and counted,
// and the gap is told once there is room again.
type sink struct {
	w     io.Writer
	limit int
	gap   func(lost int) []byte // tells the reader that something is missing

	wake chan struct{} // holds a token when pending or closed changed
	done chan struct{} // closed when the goroutine ended

	mu      sync.Mutex
	pending []byte
	writing bool
	lost    int
	closed  bool
	err     error
}

func newSink(w io.Writer, limit int, gap func(lost int) []byte) *sink {
	s := &sink{
		w: w, limit: limit, gap: gap,
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	go s.run()
	return s
}

// offer takes b unless too much is waiting already.
func (s *sink) offer(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pending)+len(b) > s.limit {
		s.lost++
		return
	}
	s.add(b)
}

// put takes b in any case: for what must not be lost.
func (s *sink) put(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(b)
}

func (s *sink) add(b []byte) {
	if s.err != nil {
		return
	}
	s.tellGap()
	s.pending = append(s.pending, b...)
	s.poke()
}

// tellGap writes down that offers were refused.
func (s *sink) tellGap() {
	if s.lost > 0 && s.err == nil {
		s.pending = append(s.pending, s.gap(s.lost)...)
		s.lost = 0
	}
}

func (s *sink) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// idle reports whether all that was taken is written.
func (s *sink) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending) == 0 && !s.writing
}

// run writes until the sink is closed and empty. After a failed write it
// throws everything away: a reader that is gone does not end a build.
func (s *sink) run() {
	defer close(s.done)
	for range s.wake {
		for {
			b, closed := s.take()
			if len(b) == 0 {
				if closed {
					return
				}
				break
			}
			s.write(b)
		}
	}
}

// write hands b to the reader.
func (s *sink) write(b []byte) {
	_, err := s.w.Write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	if err != nil && s.err == nil {
		s.err = fmt.Errorf("writing progress: %w", err)
		s.pending = nil
	}
}

// take returns all that is pending.
func (s *sink) take() (b []byte, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, s.pending = s.pending, nil
	s.writing = len(b) > 0
	return b, s.closed
}

// close waits until everything is written and returns the first error. Once
// ctx is done it waits for a second only, so that a reader who never reads
// cannot hold up an interrupted build; the goroutine then ends with the
// reader.
func (s *sink) close(ctx context.Context) error {
	s.mu.Lock()
	s.tellGap()
	s.closed = true
	s.mu.Unlock()
	s.poke()
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
	}
	limit := time.NewTimer(stallLimit)
	defer limit.Stop()
	select {
	case <-s.done:
		return s.err
	case <-limit.C:
		return errStalled
	}
}
