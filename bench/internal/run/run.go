// Package run starts the programs that are compared.
package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"syscall"
	"time"
)

// A Result is what one run of a program took and printed.
type Result struct {
	Wall   time.Duration
	Memory int64 // peak, in bytes
	Out    []byte
	Err    error // with what the program said of it
}

// Run runs a program in dir and waits for it.
func Run(dir string, words ...string) Result {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	r := Result{Wall: time.Since(start), Out: out.Bytes()}
	if err != nil {
		r.Err = fmt.Errorf("%s: %w: %s", strings.Join(words, " "), err, lastLine(errs.String()))
	}
	if cmd.ProcessState != nil {
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
