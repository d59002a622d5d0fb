package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/strata-build/strata/internal/testkit"
)

// A session is a strata watch that runs.
type session struct {
	t     *testing.T
	dir   string
	cmd   *exec.Cmd
	lines chan string // what it prints, line by line; closed when it ends
	seen  strings.Builder
}

// watchFiles is the project that is watched.
var watchFiles = map[string]string{
	"build.hcl": `group "default" { targets = ["api", "gateway", "web", "slow"] }
target "api" {
  context = "api"
  output  = ["type=local,dest=out/api"]
}
target "gateway" {
  context  = "gateway"
  contexts = { api = "target:api" }
  output   = ["type=local,dest=out/gateway"]
}
target "web" {
  context = "web"
  output  = ["type=local,dest=out/web"]
}
target "slow" {
  context = "slow"
  output  = ["type=local,dest=out/slow"]
}
`,
	"api/Dockerfile":     "FROM scratch\nCOPY main.txt /main.txt\n",
	"api/main.txt":       "1",
	"api/README.md":      "nobody reads this",
	"gateway/Dockerfile": "FROM api\nCOPY conf /conf\n",
	"gateway/conf":       "1",
	"web/Dockerfile":     "FROM scratch\nCOPY . /www\n",
	"web/.dockerignore":  "Dockerfile\n.dockerignore\nnode_modules\n",
	"web/index.html":     "1",
	"web/old.html":       "1",
	"slow/Dockerfile":    "FROM busybox\nCOPY in /in\nRUN echo begun with $(cat /in); sleep 2; cp /in /out\n",
	"slow/in":            "1",

	"web/node_modules/deep/x.js": "1",
}

// startWatch runs strata watch on the project in a home of its own.
func startWatch(t *testing.T) *session {
	t.Helper()
	strata, err := testkit.BuildStrata(t.TempDir(), race)
	if err != nil {
		t.Fatal(err)
	}
	home, err := testkit.NewHome(strata, newMirror(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := home.Close(); err != nil { // processes that are left are an error
			t.Error(err)
		}
	})
	s := &session{t: t, dir: t.TempDir(), lines: make(chan string, 1000)}
	for name, text := range watchFiles {
		s.write(name, text)
	}
	// see the script command signal: an ignored signal would be inherited
	caught := make(chan os.Signal, 1)
	ossignal.Notify(caught, os.Interrupt)
	t.Cleanup(func() { ossignal.Stop(caught) })
	s.cmd = exec.Command(strata, "watch", "--progress", "plain", "--history", "none")
	s.cmd.Dir, s.cmd.Env = s.dir, append(os.Environ(), home.Vars()...)
	r, w := io.Pipe()
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.cmd.Wait() // the state says how it ended
		_ = w.Close()
	}()
	go func() {
		defer close(s.lines)
		for sc := bufio.NewScanner(r); sc.Scan(); {
			s.lines <- sc.Text()
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended unless the test failed
		for range s.lines {
		}
		<-ended
	})
	return s
}

func (s *session) write(name, text string) {
	s.t.Helper()
	file := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a project, as others can read it
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // the same
		s.t.Fatal(err)
	}
}

// save writes a file as editors do: a new one is renamed over it.
func (s *session) save(name, text string) {
	s.t.Helper()
	s.write(name+"~", text)
	if err := os.Rename(filepath.Join(s.dir, name+"~"), filepath.Join(s.dir, name)); err != nil {
		s.t.Fatal(err)
	}
}

// await reads what is printed up to a line that matches.
func (s *session) await(pattern string) {
	s.t.Helper()
	match := regexp.MustCompile(pattern)
	late := time.After(2 * time.Minute)
	for {
		select {
		case line, ok := <-s.lines:
			if !ok {
				s.t.Fatalf("it ended before it printed %q:\n%s", pattern, s.seen.String())
			}
			s.seen.WriteString(line + "\n")
			if match.MatchString(line) {
				return
			}
		case <-late:
			s.t.Fatalf("it never printed %q:\n%s", pattern, s.seen.String())
		}
	}
}

// holds checks a file that was built.
func (s *session) holds(name, want string) {
	s.t.Helper()
	if data, err := os.ReadFile(filepath.Join(s.dir, name)); err != nil || string(data) != want {
		s.t.Errorf("%s is %q (%v), want %q", name, data, err, want)
	}
}

const waiting = "^strata: waiting for changes"

func TestWatch(t *testing.T) {
	s := startWatch(t)
	s.await(waiting)
	s.holds("out/gateway/main.txt", "1")

	// a saved file: the target that reads it, and what stands on that
	s.write("api/main.txt", "2")
	s.await(`^strata: api/main\.txt changed: api, gateway$`)
	s.await(waiting)
	s.holds("out/gateway/main.txt", "2")

	// as editors save, and a file that is gone
	s.save("web/index.html", "2")
	s.await(`^strata: web/index\.html changed: web$`)
	s.await(waiting)
	s.holds("out/web/www/index.html", "2")
	if err := os.Remove(filepath.Join(s.dir, "web/old.html")); err != nil {
		t.Fatal(err)
	}
	s.await(`^strata: web/old\.html changed: web$`)
	s.await(waiting)

	// a directory that is new, and a file in it later
	s.write("web/pages/deep/a.html", "1")
	s.await(`^strata: web/pages.* changed: web$`)
	s.await(waiting)
	s.write("web/pages/deep/b.html", "1")
	s.await(`^strata: web/pages/deep/b\.html changed: web$`)
	s.await(waiting)
	s.holds("out/web/www/pages/deep/b.html", "1")

	// what nobody reads, and what is ignored, wakes nobody
	s.write("api/README.md", "still nobody")
	s.write("web/node_modules/deep/x.js", "2")
	s.write("web/node_modules/deep/y.js", "2")

	// mistakes are told and waited out
	s.write("web/Dockerfile", "FORM scratch\n")
	s.await(`unknown instruction: FORM`)
	s.await(waiting)
	s.write("web/Dockerfile", "FROM busybox\nRUN exit 3\n")
	s.await(`^strata: web/Dockerfile changed: web$`)
	s.await(`exit status 3|exit code: 3`)
	s.await(waiting)
	s.write("web/Dockerfile", "FROM scratch\nCOPY . /site\n")
	s.await(`^strata: web/Dockerfile changed: web$`)
	s.await(waiting)
	s.holds("out/web/site/index.html", "2")

	// a build file is read again, and one in error too
	s.write("build.hcl", "target {\n")
	s.await(`Error: `)
	s.await(waiting)
	s.write("build.hcl", strings.Replace(watchFiles["build.hcl"], "out/api", "out/else", 1))
	s.await(`^strata: build\.hcl changed: .*api`)
	s.await(waiting)
	s.holds("out/else/main.txt", "2")

	// a change while a build runs is not lost, in the same target or another
	s.write("slow/in", "2")
	s.await(`begun with 2`)
	s.write("slow/in", "3")
	s.write("api/main.txt", "3")
	s.await(`^strata: .*changed: .*slow`)
	s.await(`begun with 3`)
	s.await(waiting)
	s.holds("out/slow/out", "3")
	s.holds("out/else/main.txt", "3")

	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.await(`interrupted`)
	for range s.lines {
	}
	if got := s.cmd.ProcessState.ExitCode(); got != 130 {
		t.Errorf("it ended with status %d", got)
	}
	for _, name := range []string{"README", "node_modules", "x.js", "y.js"} {
		if strings.Contains(s.seen.String(), name) {
			t.Errorf("it spoke of %s:\n%s", name, s.seen.String())
		}
	}
}
