package config

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestStreams(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"tofile": "file", "topipe": "pipe", "nowhere": "gone"} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for dest, want := range map[string]bool{
		"-": true, "": false, "file": false, "new": false, ".": false, "tofile": false, "nowhere": false,
		"pipe": true, "topipe": true, "cwd://pipe": true, filepath.Join(dir, "pipe"): true,
		"/dev/null": true, "/dev/stdout": true, "/dev/fd/1": true, "/proc/self/fd/1": true, "/dev/../devil": false,
	} {
		if got := (Output{Dest: dest}).Streams(dir); got != want {
			t.Errorf("%q streams: %t, want %t", dest, got, want)
		}
	}
}
