package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// TestThreat_T03_memory runs the program on files that would take gigabytes. Not
// with the race detector, which takes a multiple of the memory for itself.
func TestThreat_T03_memory(t *testing.T) {
	const most = 512 << 10 // KiB
	place := regexp.MustCompile(`build\.hcl:\d+:\d+`)
	for name, text := range map[string]string{
		"parentheses":   "x = " + strings.Repeat("(", 100_000) + "1" + strings.Repeat(")", 100_000) + "\n",
		"blocks":        strings.Repeat("a {\n", 100_000) + strings.Repeat("}\n", 100_000),
		"templates":     "x = " + strings.Repeat(`"${`, 100_000) + "1" + strings.Repeat(`}"`, 100_000) + "\n",
		"lines":         "x = <<E\n" + strings.Repeat("a\n", 2_000_000) + "E\n",
		"elements":      "x = [" + strings.Repeat("1,", 2_000_000) + "]\n",
		"attributes":    "x = " + strings.Repeat("a.", 2_000_000) + "a\n",
		"wrong lines":   strings.Repeat("a b c d\n", 500_000),
		"many targets":  strings.Repeat("target \"a\" {}\n", 250_000),
		"large strings": "f = [for i in range(1000): join(\"\", [for j in range(1000): \"" + strings.Repeat("x", 1000) + "${i}\"])]\n",
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "build.hcl"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("strata", "print", "*")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "HOME="+dir)
			out, err := cmd.CombinedOutput()
			if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != exitUsage || !place.Match(out) {
				t.Errorf("got %v and %.300s", err, out)
			}
			if used := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss; !race && used > most {
				t.Errorf("it took %d MiB", used>>10)
			}
		})
	}
}
