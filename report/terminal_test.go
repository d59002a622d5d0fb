package report

import (
	"os"
	"strings"
	"testing"

	"github.com/containerd/console"
)

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

// terminals opens a terminal of 100 by 30 and a file.
func terminals(t *testing.T) (tty, file *os.File) {
	t.Helper()
	master, slave, err := console.NewPty()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := master.Resize(console.WinSize{Width: 100, Height: 30}); err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(slave, os.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	if file, err = os.Create(t.TempDir() + "/out"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return tty, file
}

func TestDetectTerminal(t *testing.T) {
	type want struct {
		isTTY, outTTY, color, outColor bool
		width, height                  int
		ci                             string
	}
	both := want{true, true, true, true, 100, 30, ""}
	tests := []struct {
		name             string
		outFile, errFile bool
		env              map[string]string
		want             want
	}{
		{"terminal", false, false, map[string]string{"TERM": "xterm"}, both},
		{"results to a file", true, false, map[string]string{"TERM": "xterm"}, want{true, false, true, false, 100, 30, ""}},
		{"progress to a file", false, true, map[string]string{"TERM": "xterm"}, want{false, true, false, true, 100, 30, ""}},
		{"files", true, true, map[string]string{"TERM": "xterm"}, want{}},
		{"no TERM", false, false, nil, want{false, true, false, false, 100, 30, ""}},
		{"dumb", false, false, map[string]string{"TERM": "dumb"}, want{false, true, false, false, 100, 30, ""}},
		{"no colour", false, false, map[string]string{"TERM": "xterm", "NO_COLOR": "1"}, want{true, true, false, false, 100, 30, ""}},
		{"empty NO_COLOR", false, false, map[string]string{"TERM": "xterm", "NO_COLOR": ""}, both},
		{"narrowed", false, false, map[string]string{"TERM": "xterm", "COLUMNS": "60"}, want{true, true, true, true, 60, 30, ""}},
		{"not widened", false, false, map[string]string{"TERM": "xterm", "COLUMNS": "600"}, both},
		{"senseless COLUMNS", false, false, map[string]string{"TERM": "xterm", "COLUMNS": "-1"}, both},
		{"GitHub", true, true, map[string]string{"CI": "true", "GITHUB_ACTIONS": "true"}, want{ci: "github"}},
		{"Azure", true, true, map[string]string{"TF_BUILD": "True"}, want{ci: "azure"}},
		{"some CI", true, true, map[string]string{"CI": "1"}, want{ci: "ci"}},
		{"CI off", true, true, map[string]string{"CI": "false"}, want{}},
	}
	tty, file := terminals(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := tty, tty
			if tt.outFile {
				stdout = file
			}
			if tt.errFile {
				stderr = file
			}
			term := DetectTerminal(stdout, stderr, lookup(tt.env))
			width, height := term.Size()
			got := want{term.IsTTY, term.OutTTY, term.Color, term.OutColor, width, height, term.CI}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
			if term.Out != stdout || term.Err != stderr {
				t.Error("the streams are others")
			}
		})
	}
}

// TestSurface checks that each stream gets what it can do.
func TestSurface(t *testing.T) {
	var out, err screen
	term := Terminal{
		Out: &out, OutTTY: true, OutColor: false, Err: &err, IsTTY: true, Color: true,
		Size: func() (int, int) { return 90, 20 },
	}
	if got, want := term.surface(&out), (surface{tty: true, width: 90}); got != want {
		t.Errorf("standard output: %+v, want %+v", got, want)
	}
	if got, want := term.surface(&err), (surface{tty: true, width: 90, color: true}); got != want {
		t.Errorf("standard error: %+v, want %+v", got, want)
	}
	if got, want := (Terminal{}).surface(&err), (surface{ci: true}); got != want {
		t.Errorf("a file: %+v, want %+v", got, want)
	}
}

// TestEraseProgress leaves a build in the middle of a frame.
func TestEraseProgress(t *testing.T) {
	s := newScreen(40, 10)
	term := Terminal{Err: s, IsTTY: true, Size: s.size}
	v := &tty{out: newSink(s, 0, nil), size: s.size, targets: map[string]*ttyTarget{}}
	v.tick()
	if err := v.out.close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if drawn := s.String(); !strings.Contains(drawn, "0 targets") {
		t.Fatalf("nothing was drawn: %q", drawn)
	}
	if err := term.EraseProgress(); err != nil || s.String() != "▮\n" {
		t.Errorf("left %q, %v", s, err)
	}
	var file screen
	if err := (Terminal{Err: &file}).EraseProgress(); err != nil || file.frames > 0 {
		t.Errorf("a file was written to: %v", err)
	}
}
