package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// BuildStrata compiles the strata command into dir and returns its path. With
// race, the program watches itself for data races.
func BuildStrata(dir string, race bool) (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	to := filepath.Join(dir, "strata")
	args := []string{"build", "-o", to}
	if race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "./cmd/strata")...)
	build.Dir = root
	build.Env = os.Environ()
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building strata: %w\n%s", err, out)
	}
	return to, nil
}
