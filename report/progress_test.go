package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/strata-build/strata/executor"
)

// inBubble runs a script through Progress under a fake clock.
func inBubble(t *testing.T, mode Mode, term func() Terminal, script func(*build)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if err := play(t.Context(), mode, term(), script); err != nil {
			t.Error(err)
		}
	})
}

func TestPlain(t *testing.T) {
	for _, color := range []bool{false, true} {
		var out bytes.Buffer
		inBubble(t, Plain, func() Terminal { return Terminal{Err: &out, Color: color} }, shop)
		golden(t, fmt.Sprintf("plain-%v.golden", color), out.String())
	}
}

func TestRawJSON(t *testing.T) {
	var out bytes.Buffer
	inBubble(t, RawJSON, func() Terminal { return Terminal{Err: &out} }, shop)
	golden(t, "rawjson.golden", out.String())
}

func TestQuietAndNone(t *testing.T) {
	for _, mode := range []Mode{Quiet, None} {
		var out bytes.Buffer
		inBubble(t, mode, func() Terminal { return Terminal{Err: &out, IsTTY: true} }, shop)
		if out.Len() > 0 {
			t.Errorf("%s prints %q", mode, out.String())
		}
	}
}

// TestFault_F30 checks which mode a terminal gets: nothing moves off one.
func TestFault_F30(t *testing.T) {
	tests := []struct {
		mode  Mode
		tty   bool
		ci    string
		moves bool
	}{
		{Auto, true, "", true},
		{Auto, true, "github", false},
		{Auto, false, "", false},
		{TTY, true, "", true},
		{TTY, true, "github", true},
		{TTY, false, "", false},
		{Plain, true, "", false},
	}
	for _, tt := range tests {
		var out bytes.Buffer
		inBubble(t, tt.mode, func() Terminal { return Terminal{Err: &out, IsTTY: tt.tty, CI: tt.ci} }, shop)
		if moves := strings.Contains(out.String(), "\x1b"); moves != tt.moves || out.Len() == 0 {
			t.Errorf("%+v: the cursor moves: %v", tt, moves)
		}
	}
}

// TestTTY looks at the screen at the named moments of a build, at many sizes.
func TestTTY(t *testing.T) {
	sizes := []struct{ columns, rows int }{
		{1, 1}, {5, 5}, {20, 4}, {20, 24}, {40, 6}, {80, 1}, {80, 3}, {80, 24}, {200, 50},
	}
	for _, size := range sizes {
		name := fmt.Sprintf("tty-%dx%d.golden", size.columns, size.rows)
		t.Run(name, func(t *testing.T) {
			golden(t, name, watch(t, newScreen(size.columns, size.rows), func(int, *screen) {}))
		})
	}
}

// TestFault_F30_Tiny checks that no size is too small.
func TestFault_F30_Tiny(t *testing.T) {
	for columns := range 8 {
		for rows := range 6 {
			s := newScreen(columns+1, rows+1)
			got := watch(t, s, func(int, *screen) {})
			if !strings.HasSuffix(letters(got), "webbuilt31s") {
				t.Errorf("%dx%d: the end is lost: %q", columns+1, rows+1, letters(got))
			}
		}
	}
}

// letters is text without anything between its letters and digits.
func letters(text string) string {
	return strings.Map(func(r rune) rune {
		if r > 'z' || !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return r
	}, text)
}

// watch plays the shop on a screen, resizing it at each moment, and returns
// what is to be seen then.
func watch(t *testing.T, s *screen, resize func(int, *screen)) string {
	t.Helper()
	var seen strings.Builder
	moment := 0
	inBubble(t, TTY, func() Terminal { return Terminal{Err: s, IsTTY: true, Size: s.size} }, func(b *build) {
		shopWith(b, func(name string) {
			synctest.Wait() // no frame is on its way
			resize(moment, s)
			moment++
			time.Sleep(2*ttyTick + ttyTick/2)
			synctest.Wait()
			fmt.Fprintf(&seen, "=== %s\n%s", name, s)
		})
	})
	for _, bad := range s.bad {
		t.Error(bad)
	}
	return seen.String() + "=== end\n" + s.String()
}

// TestFault_F30_Resize changes the size between frames: whatever it was, the
// frame after a resize is whole and what scrolled away is not lost.
func TestFault_F30_Resize(t *testing.T) {
	sizes := [][2]int{{80, 24}, {5, 5}, {1, 1}, {120, 10}, {80, 24}, {60, 24}}
	s := newScreen(80, 24)
	got := watch(t, s, func(i int, s *screen) { s.resize(sizes[i%len(sizes)][0], sizes[i%len(sizes)][1]) })
	golden(t, "tty-resized.golden", got)
}

// TestTTYRate checks that a storm of events does not make a storm of frames.
func TestTTYRate(t *testing.T) {
	s := newScreen(80, 24)
	inBubble(t, TTY, func() Terminal { return Terminal{Err: s, IsTTY: true, Size: s.size} }, func(b *build) {
		b.run(executor.TargetInfo{Name: "a"})
		for range 1000 {
			b.wait(time.Millisecond)
			b.log("a", b.step("a", 1, "RUN yes"), "y\n")
		}
	})
	if s.frames < 5 || s.frames > 12 {
		t.Errorf("%d frames in a second, want about 10", s.frames)
	}
}

// A slow writer takes a while for each write.
type slow struct {
	delay time.Duration
	mu    sync.Mutex
	bytes.Buffer
}

func (s *slow) Write(b []byte) (int, error) {
	time.Sleep(s.delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Buffer.Write(b)
}

// flood is a build with far more output than anyone reads.
func flood(took *time.Duration) func(*build) {
	return func(b *build) {
		start := time.Now()
		b.run(executor.TargetInfo{Name: "a"})
		s := b.step("a", 1, "RUN yes")
		b.begin(s, "a")
		line := strings.Repeat("y", 1000) + "\n"
		for range 20_000 {
			b.log("a", s, line)
		}
		b.wait(time.Second)
		b.end(s, executor.Failed, "exit status 1", "a")
		b.done(executor.TargetResult{Target: "a", State: executor.Failed, Err: errors.New("exit status 1")})
		b.finish(executor.RunDone{Time: time.Now()})
		*took = time.Since(start)
	}
}

// TestFault_F29_SlowReader checks that a build does not wait for its reader,
// and that the reader gets the end.
func TestFault_F29_SlowReader(t *testing.T) {
	for _, mode := range []Mode{TTY, Plain, RawJSON} {
		t.Run(string(mode), func(t *testing.T) {
			var took time.Duration
			out := &slow{delay: 20 * time.Second}
			inBubble(t, mode, func() Terminal { return Terminal{Err: out, IsTTY: true} }, flood(&took))
			if took > 2*time.Second { // one of them is the script's own
				t.Errorf("the build took %s", took)
			}
			if out.Len() > 10<<20 {
				t.Errorf("%d bytes were kept for the reader", out.Len())
			}
			end := out.String()[max(0, out.Len()-400):]
			if !strings.Contains(end, "failed") && !strings.Contains(end, "run-done") {
				t.Errorf("the end is lost: %q", end)
			}
			gap := map[Mode]string{Plain: "was not read in time", RawJSON: `"type":"dropped"`}[mode]
			if !strings.Contains(out.String(), gap) {
				t.Error("nothing says that output is missing")
			}
		})
	}
}

// TestFault_F29_NoReader checks that an interrupted build ends although nobody
// ever reads.
func TestFault_F29_NoReader(t *testing.T) {
	for _, mode := range []Mode{TTY, Plain, RawJSON} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				defer r.Close() // lets the writer go
				ctx, cancel := context.WithCancel(t.Context())
				var took time.Duration
				start := time.Now()
				err := play(ctx, mode, Terminal{Err: w, IsTTY: true}, func(b *build) {
					flood(&took)(b)
					cancel()
				})
				if !errors.Is(err, errStalled) {
					t.Errorf("Progress returned %v", err)
				}
				if total := time.Since(start); total > 3*time.Second {
					t.Errorf("Progress returned after %s", total)
				}
			})
		})
	}
}

// TestFault_F29_ClosedPipe checks that a build outlives its reader.
func TestFault_F29_ClosedPipe(t *testing.T) {
	for _, mode := range []Mode{TTY, Plain, RawJSON} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		ended := false
		synctest.Test(t, func(t *testing.T) {
			err = play(t.Context(), mode, Terminal{Err: w, IsTTY: true}, func(b *build) {
				shop(b)
				ended = true
			})
		})
		if !errors.Is(err, syscall.EPIPE) || !ended {
			t.Errorf("%s: Progress returned %v, the build ended: %v", mode, err, ended)
		}
		w.Close()
	}
}

// TestFault_F31 feeds output that has no lines, no end or no meaning.
func TestFault_F31(t *testing.T) {
	tests := []struct {
		name, data string
		times      int
	}{
		{"one line of 16 MiB", strings.Repeat("日本語x", 1<<20/10), 16},
		{"binary", "\x00\x1b[2J\xff\xfe\r\x80", 1000},
		{"returns", strings.Repeat("\r50%", 1000), 100},
		{"empty lines", strings.Repeat("\n", 10_000), 10},
	}
	for _, mode := range []Mode{TTY, Plain, RawJSON} {
		for _, tt := range tests {
			t.Run(string(mode)+"/"+tt.name, func(t *testing.T) {
				out := &widest{}
				s := newScreen(80, 24)
				term := Terminal{Err: io.MultiWriter(out, s), IsTTY: true, Size: s.size}
				if mode != TTY {
					term = Terminal{Err: out}
				}
				inBubble(t, mode, func() Terminal { return term }, func(b *build) {
					b.run(executor.TargetInfo{Name: "a"})
					b.start("a")
					for range tt.times {
						b.log("a", b.step("a", 1, "RUN yes"), tt.data)
						b.wait(time.Millisecond)
					}
				})
				if mode != RawJSON && out.line > lineMax+100 {
					t.Errorf("a line of %d bytes", out.line)
				}
				if bad := unsafeIn(out.last, false); mode == Plain && bad != "" {
					t.Errorf("%q in %q", bad, out.last)
				}
				if len(s.bad) > 0 {
					t.Error(s.bad[0])
				}
			})
		}
	}
}

// A widest writer measures lines.
type widest struct {
	line, current int
	last          string
}

func (w *widest) Write(b []byte) (int, error) {
	w.last = string(b)
	for _, c := range b {
		if w.current++; c == '\n' {
			w.current = 0
		}
		w.line = max(w.line, w.current)
	}
	return len(b), nil
}

// TestOrder checks that plain output is the same each time.
func TestOrder(t *testing.T) {
	var first string
	for i := range 20 {
		var out bytes.Buffer
		inBubble(t, Plain, func() Terminal { return Terminal{Err: &out} }, shop)
		if i == 0 {
			first = out.String()
		} else if out.String() != first {
			t.Fatal("the order changed")
		}
	}
}
