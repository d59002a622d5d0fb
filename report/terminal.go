package report

import (
	"io"
	"os"
	"reflect"
	"strconv"

	"golang.org/x/term"
)

// A Terminal is where output goes and what may be done there. The zero value
// of everything but the writers means: a file, no colour, nothing cut.
type Terminal struct {
	Out io.Writer // results
	Err io.Writer // progress and everything else

	IsTTY    bool                       // Err is a terminal whose cursor can be moved
	OutTTY   bool                       // Out is a terminal: free text is cut to its width
	Size     func() (width, height int) // of the terminal, asked again at each frame; nil or 0: unknown
	Color    bool                       // Err takes SGR colours
	OutColor bool                       // Out takes SGR colours
	CI       string                     // "github", "azure", "gitlab", ... or "ci"; "" outside CI
}

// DetectTerminal looks at the two streams and at NO_COLOR, TERM, CI (and the
// variables of well-known CI systems) and COLUMNS. COLUMNS can narrow a
// terminal, never widen it.
func DetectTerminal(stdout, stderr *os.File, lookupEnv func(string) (string, bool)) Terminal {
	env := func(name string) string { v, _ := lookupEnv(name); return v }
	able := env("TERM") != "" && env("TERM") != "dumb"
	color := able && env("NO_COLOR") == ""
	out, err := isTerminal(stdout), isTerminal(stderr)
	columns, _ := strconv.Atoi(env("COLUMNS"))
	return Terminal{
		Out:      stdout,
		Err:      stderr,
		IsTTY:    err && able,
		OutTTY:   out,
		Size:     func() (int, int) { return size(columns, stderr, stdout) },
		Color:    err && color,
		OutColor: out && color,
		CI:       detectCI(env),
	}
}

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// size returns the size of the first file that is a terminal.
func size(columns int, files ...*os.File) (width, height int) {
	for _, f := range files {
		if f == nil {
			continue
		}
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			if columns > 0 {
				w = min(w, columns)
			}
			return w, h
		}
	}
	return columns, 0
}

// EraseProgress removes what a TTY view has drawn below the cursor. It is for a
// process that ends without waiting for Progress, which cleans up by itself.
func (t Terminal) EraseProgress() error {
	if !t.IsTTY {
		return nil
	}
	_, err := io.WriteString(t.Err, eraseBelow)
	return err
}

// detectCI names the CI system around us. Those whose log readers act on
// commands in the text are told apart.
func detectCI(env func(string) string) string {
	for _, known := range []struct{ variable, name string }{
		{"GITHUB_ACTIONS", "github"},
		{"GITEA_ACTIONS", "gitea"},
		{"TF_BUILD", "azure"},
		{"GITLAB_CI", "gitlab"},
		{"TEAMCITY_VERSION", "teamcity"},
		{"BUILDKITE", "buildkite"},
		{"JENKINS_URL", "jenkins"},
		{"CI", "ci"},
	} {
		if v := env(known.variable); v != "" && v != "false" && v != "0" {
			return known.name
		}
	}
	return ""
}

// A surface is what one of the two streams can do.
type surface struct {
	tty   bool // free text is cut to width
	width int  // 0: unknown
	color bool
	ci    bool // text must not hold commands for a log reader
}

// surface says what w can do: the abilities of Out if it is Out, else of Err.
func (t Terminal) surface(w io.Writer) surface {
	s := surface{tty: t.IsTTY, color: t.Color, ci: t.CI != ""}
	if same(w, t.Out) && !same(w, t.Err) {
		s.tty, s.color = t.OutTTY, t.OutColor
	}
	s.ci = s.ci || !s.tty
	if s.tty && t.Size != nil {
		s.width, _ = t.Size()
	}
	return s
}

// same compares writers without panicking on those that cannot be compared.
func same(a, b io.Writer) bool {
	return a != nil && b != nil && reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
