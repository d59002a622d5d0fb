package testkit

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Home is a place of its own for the strata command: configuration, image
// store and engine of this machine's user are out of its sight.
type Home struct {
	// Dir holds everything. Its name is short, because a socket is in it.
	Dir string

	strata string
}

// NewHome makes a home for the program strata. Images of docker.io come from
// mirror if it is not nil. The caller closes the home.
func NewHome(strata string, mirror *Registry) (*Home, error) {
	dir, err := os.MkdirTemp("", "strata-home-")
	if err != nil {
		return nil, err
	}
	h := &Home{Dir: dir, strata: strata}
	for _, name := range homeDirs {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return nil, errors.Join(err, os.RemoveAll(dir))
		}
	}
	if mirror == nil {
		return h, nil
	}
	settings := fmt.Sprintf("[registry.\"docker.io\"]\n  mirrors = [%q]\n\n[registry.%q]\n  http = true\n", mirror.Host, mirror.Host)
	file := filepath.Join(dir, "config", "strata", "registries.toml")
	err = errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(settings), 0o600))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return h, nil
}

// homeDirs are the directories of a home by the variables that name them.
var homeDirs = map[string]string{
	"HOME":            "home",
	"DOCKER_CONFIG":   "docker",
	"XDG_CACHE_HOME":  "cache",
	"XDG_CONFIG_HOME": "config",
	"XDG_DATA_HOME":   "data",
	"XDG_RUNTIME_DIR": "run",
	"XDG_STATE_HOME":  "state",
}

// Vars are the environment variables, as KEY=VALUE, that make strata use the
// home and the embedded engine.
func (h *Home) Vars() []string {
	vars := []string{"STRATA_ENGINE=embedded"}
	for name, dir := range homeDirs {
		vars = append(vars, name+"="+filepath.Join(h.Dir, dir))
	}
	slices.Sort(vars)
	return vars
}

// Close stops the engine and removes the home. Commands that still run in the
// home, and processes and mounts that the engine has left behind, are cleaned
// up and are an error.
func (h *Home) Close() error {
	commands := h.killLeftovers(func(p process) bool { return p.has("environ", h.Dir) && !p.has("cmdline", "\x00serve\x00") })
	stop := exec.Command(h.strata, "engine", "stop")
	stop.Env = append(os.Environ(), h.Vars()...)
	out, err := stop.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("stopping the engine: %w\n%s", err, out)
	}
	processes := h.killLeftovers(func(p process) bool {
		return p.has("cmdline", h.Dir) || p.has("environ", h.Dir) || strings.Contains(p.root(), h.Dir)
	})
	return errors.Join(commands, err, processes, h.unmountLeftovers(), os.RemoveAll(h.Dir))
}

// patience is how long what has been told to end may take to be gone.
const patience = 10 * time.Second

// killLeftovers ends the processes that ours recognises as such and that are
// there after a while: one that is just ending holds no lock any more and is not
// gone yet.
func (h *Home) killLeftovers(ours func(process) bool) error {
	found, err := processes(ours)
	for end := time.Now().Add(patience); err == nil && len(found) > 0 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		found, err = processes(ours)
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range found {
		dir := string(p)
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			return err
		}
		words := strings.ReplaceAll(strings.TrimRight(p.read("cmdline"), "\x00"), "\x00", " ")
		errs = append(errs, fmt.Errorf("process %d was left behind: %s", pid, words), syscall.Kill(pid, syscall.SIGKILL))
	}
	return errors.Join(errs...)
}

// processes lists those that ours recognises.
func processes(ours func(process) bool) ([]process, error) {
	found, err := filepath.Glob("/proc/[0-9]*")
	var out []process
	for _, dir := range found {
		if p := process(dir); ours(p) {
			out = append(out, p)
		}
	}
	return out, err
}

// A process is its directory in /proc. All of it is empty once it has ended.
type process string

func (p process) read(file string) string {
	text, err := os.ReadFile(filepath.Join(string(p), file))
	if err != nil {
		return ""
	}
	return string(text)
}

func (p process) has(file, text string) bool { return strings.Contains(p.read(file), text) }

// root describes the mount that the process sees as its root directory: for a
// container it names the directories of the engine that it is made of.
func (p process) root() string {
	for line := range strings.Lines(p.read("mountinfo")) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[4] == "/" {
			return line
		}
	}
	return ""
}

// unmountLeftovers undoes the mounts below the home, the last one first.
func (h *Home) unmountLeftovers() error {
	mounts, err := h.mounts()
	if err != nil {
		return err
	}
	var errs []error
	for _, m := range slices.Backward(mounts) {
		errs = append(errs, fmt.Errorf("mount %s was left behind", m), syscall.Unmount(m, syscall.MNT_DETACH))
	}
	return errors.Join(errs...)
}

func (h *Home) mounts() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var mounts []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 4 && strings.HasPrefix(fields[4], h.Dir+"/") {
			mounts = append(mounts, fields[4])
		}
	}
	return mounts, lines.Err()
}
