// Package testkit gives tests the surroundings of a build: a real registry on
// loopback, base images that need no network, and a place of its own for the
// strata command and its engine.
//
// Everything it starts ends with the test that asked for it. README.md says
// what the stand-in images are.
package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// cacheDir is where scripts/setup.sh leaves what it downloads.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "strata-testkit"), nil
}

// Root is the directory of the project's go.mod, seen from the working
// directory of a test.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		_, err := os.Stat(filepath.Join(dir, "go.mod"))
		if err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); errors.Is(err, os.ErrNotExist) && parent != dir {
			dir = parent
			continue
		}
		return "", fmt.Errorf("looking for go.mod: %w", err)
	}
}
