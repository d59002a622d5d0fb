package machine

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	if got := Describe(); !strings.Contains(got, " CPUs, ") {
		t.Errorf("got %q", got)
	}
}

func TestVersion(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := Version(program); err != nil || got != "(devel)" {
		t.Errorf("outside of a checkout: got %q, %v", got, err)
	}
	for _, words := range [][]string{{"init", "-q"}, {"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "a"}} {
		git := exec.Command("git", words...)
		git.Dir = filepath.Dir(program)
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", words, err, out)
		}
	}
	if got, err := Version(program); err != nil || !regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(got) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Version("/dev/null"); err == nil {
		t.Error("a version of what is no program")
	}
}
