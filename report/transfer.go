package report

import (
	"fmt"
	"sync"
	"time"
)

// Transfer shows on Err how far the sending of something is: on a terminal in one
// line that changes, else in a line for each quarter. progress may be called by
// several goroutines, with the bytes that are done and all there are to do; end
// takes the changing line away and must be called after the last of them.
func (t Terminal) Transfer(what string) (progress func(done, total int64), end func()) {
	s := &transfer{term: t, what: SanitizeLine(what), every: 100 * time.Millisecond}
	return s.progress, s.end
}

type transfer struct {
	term  Terminal
	what  string
	every time.Duration // between two changes of the line

	mu      sync.Mutex
	last    time.Time
	quarter int64 // told so far
	shown   bool
}

func (s *transfer) progress(done, total int64) {
	if total <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	line := fmt.Sprintf("%s: %s of %s", s.what, Bytes(done), Bytes(total))
	if !s.term.IsTTY {
		if quarter := 4 * done / total; quarter > s.quarter {
			s.quarter = quarter
			fmt.Fprintln(s.term.Err, line)
		}
		return
	}
	if now := time.Now(); now.Sub(s.last) >= s.every {
		s.last, s.shown = now, true
		fmt.Fprintf(s.term.Err, "\r%s\x1b[K", s.cut(line))
	}
}

// cut makes line fit, so that it stays one.
func (s *transfer) cut(line string) string {
	if s.term.Size == nil {
		return line
	}
	if width, _ := s.term.Size(); width > 1 && len(line) >= width {
		return line[:width-1]
	}
	return line
}

func (s *transfer) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown {
		fmt.Fprint(s.term.Err, "\r\x1b[K")
	}
}
