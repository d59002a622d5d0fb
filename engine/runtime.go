package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	runtimeHint = "apt-get install runc (Debian, Ubuntu), dnf install runc (Fedora) or apk add runc (Alpine) gets one, --runtime names one"

	// keepFlag is what BuildKit passes to the runtime: the container must
	// outlive its first process. runc has it since 1.1, crun since 1.9.
	keepFlag = "--keep"

	runtimePatience = 10 * time.Second
)

// runtimeNames are the runtimes that are looked for, first wins; the first is
// the one that comes with BuildKit's own releases.
var runtimeNames = []string{"buildkit-runc", "runc", "crun"}

// adminDirs hold runc on systems whose users have no PATH to it.
var adminDirs = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// findRuntime returns the path of an OCI runtime that BuildKit can use: the one
// named, or one on PATH, beside this program, or among the administrator's.
func findRuntime(ctx context.Context, opts Options) (string, error) {
	if opts.Runtime != "" {
		path, err := lookRuntime(opts.Runtime, nil)
		if err != nil {
			return "", &RuntimeError{Problem: fmt.Sprintf("there is no OCI runtime %q", opts.Runtime), Hint: "check --runtime"}
		}
		return path, checkRuntime(ctx, path)
	}
	dirs := filepath.SplitList(opts.env("PATH"))
	if exe, err := executable(opts); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	dirs = append(dirs, adminDirs...)

	var problem error
	for _, name := range runtimeNames {
		path, err := lookRuntime(name, dirs)
		if err != nil {
			continue
		}
		if err = checkRuntime(ctx, path); err == nil {
			return path, nil
		}
		problem = errors.Join(problem, err)
	}
	if problem == nil {
		problem = &RuntimeError{Problem: "no OCI runtime (runc or crun) is installed, so the embedded engine cannot run steps", Hint: runtimeHint}
	}
	return "", firstError(problem)
}

// firstError returns the first of joined errors: one bad runtime is enough to
// tell a person about.
func firstError(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()[0]
	}
	return err
}

// lookRuntime finds a program by name in dirs, or by path. The result is
// absolute: the engine runs elsewhere.
func lookRuntime(name string, dirs []string) (string, error) {
	if len(dirs) == 0 || strings.ContainsRune(name, filepath.Separator) {
		path, err := exec.LookPath(name)
		if err != nil {
			return "", err
		}
		return filepath.Abs(path)
	}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue // a checkout must not bring the runtime along
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// checkRuntime asks the program at path whether it is an OCI runtime and new
// enough. It asks for the flag itself, as distributions port features back.
func checkRuntime(ctx context.Context, path string) error {
	version, err := runRuntime(ctx, path, "--version")
	if err != nil {
		return &RuntimeError{Problem: fmt.Sprintf("the OCI runtime %s does not run: %v", path, err), Hint: runtimeHint}
	}
	first, _, _ := strings.Cut(version, "\n")
	help, err := runRuntime(ctx, path, "run", "--help")
	if err != nil || !strings.Contains(help, keepFlag) {
		return &RuntimeError{
			Problem: fmt.Sprintf("the OCI runtime %s (%s) is too old: it has no %q", path, first, "run "+keepFlag),
			Hint:    "runc 1.1 or crun 1.9 is needed; " + runtimeHint,
		}
	}
	return nil
}

func runRuntime(ctx context.Context, path string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runtimePatience, errNoAnswerWithin(runtimePatience))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	return string(out), err
}

// executable is the program that serves the embedded engine.
func executable(opts Options) (string, error) {
	if opts.Executable != "" {
		return filepath.Abs(opts.Executable)
	}
	return os.Executable()
}
