// Package run starts the programs that are compared.
package run

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"time"
)

// A Command is a program with its arguments and what it runs in.
type Command struct {
	Dir   string
	Words []string      // program and arguments
	Env   []string      // added to the environment of this process
	Limit time.Duration // after which it is killed; 0 is never
}

// A Result is what one run of a program took and printed.
type Result struct {
	Wall   time.Duration
	CPU    time.Duration // user and system, with children it waited for
	Memory int64         // peak, in bytes
	Out    []byte
	Errs   []byte // standard error
	Err    error  // with what the program said of it
}

// Run runs a program in dir and waits for it.
func Run(dir string, words ...string) Result {
	return Command{Dir: dir, Words: words}.Run(context.Background())
}

// Run runs the command and waits for it. It is killed when ctx is done.
func (c Command) Run(ctx context.Context) Result {
	if c.Limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Limit, fmt.Errorf("not done after %v", c.Limit))
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, c.Words[0], c.Words[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(append(os.Environ(), "NO_COLOR=1"), c.Env...)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	r := Result{Wall: time.Since(start), Out: out.Bytes(), Errs: errs.Bytes()}
	switch {
	case err != nil && ctx.Err() != nil:
		r.Err = fmt.Errorf("%s: %w", strings.Join(c.Words, " "), context.Cause(ctx))
	case err != nil:
		r.Err = fmt.Errorf("%s: %w: %s", strings.Join(c.Words, " "), err, lastLine(errs.String()))
	}
	if cmd.ProcessState != nil {
		r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			r.Memory = usage.Maxrss << 10 // Linux counts in KiB
		}
	}
	return r
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// Same reports whether two texts are the same JSON. The order in objects does
// not count.
func Same(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
