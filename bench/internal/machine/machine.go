// Package machine says on what and with what was measured, without names.
package machine

import (
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Describe names processors, kernel and architecture.
func Describe() string {
	kernel := runtime.GOOS
	var u syscall.Utsname
	if syscall.Uname(&u) == nil {
		var release []byte
		for _, c := range u.Release {
			if c == 0 || c == '-' { // what follows names the builder of the kernel
				break
			}
			release = append(release, byte(c))
		}
		kernel += " " + string(release)
	}
	return fmt.Sprintf("%d CPUs, %s, %s/%s", runtime.NumCPU(), kernel, runtime.GOOS, runtime.GOARCH)
}

// Load is the load average of the last minute, "" where there is none.
func Load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	load, _, _ := strings.Cut(string(data), " ")
	return load
}

// Version is that of the module a Go program was built from, or the commit of
// the checkout it lies in. "(devel)" if neither is known.
func Version(program string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	if info.Main.Version == "(devel)" {
		out, err := exec.Command("git", "-C", filepath.Dir(program), "describe", "--always", "--dirty", "--abbrev=12").Output()
		if err == nil {
			return strings.TrimSpace(string(out)), nil
		}
	}
	return info.Main.Version, nil
}
