package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestHomeFindsWhatIsLeftBehind(t *testing.T) {
	strata := filepath.Join(t.TempDir(), "strata")
	if err := os.WriteFile(strata, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}

	tidy, err := NewHome(strata, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tidy.Close(); err != nil {
		t.Errorf("nothing was left, but: %v", err)
	}

	untidy, err := NewHome(strata, nil)
	if err != nil {
		t.Fatal(err)
	}
	left := exec.Command("tail", "-f", filepath.Join(untidy.Dir, "/dev/null"), "/dev/null")
	if err := left.Start(); err != nil {
		t.Fatal(err)
	}
	err = untidy.Close()
	if err == nil || !strings.Contains(err.Error(), "was left behind: tail -f") {
		t.Errorf("a process was left, but: %v", err)
	}
	if err := left.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if _, err := os.Stat(untidy.Dir); !os.IsNotExist(err) {
		t.Errorf("the home is still there: %v", err)
	}
}
