package testkit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
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

// Close stops the engine and removes the home. Processes and mounts that
// the engine has left behind are cleaned up, and are an error.
func (h *Home) Close() error {
	stop := exec.Command(h.strata, "engine", "stop")
	stop.Env = append(os.Environ(), h.Vars()...)
	out, err := stop.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("stopping the engine: %w\n%s", err, out)
	}
	return errors.Join(err, h.killLeftovers(), h.unmountLeftovers(), os.RemoveAll(h.Dir))
}

// killLeftovers ends the processes that have the home on their command line.
func (h *Home) killLeftovers() error {
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range found {
		cmdline, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(cmdline, []byte(h.Dir)) {
			continue // ended meanwhile, or none of ours
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return err
		}
		words := strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " ")
		errs = append(errs, fmt.Errorf("process %d was left behind: %s", pid, words), syscall.Kill(pid, syscall.SIGKILL))
	}
	return errors.Join(errs...)
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
