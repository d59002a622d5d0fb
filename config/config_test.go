package config

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// load reads files given by name and text.
func load(t *testing.T, files map[string]string, opts LoadOptions) (*Config, error) {
	t.Helper()
	opts.Dir = t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(opts.Dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(opts.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Load(context.Background(), opts)
}

// loadText reads text as build.hcl without touching the disk.
func loadText(text string) (*Config, error) {
	m := newModule(ModeStrata)
	return m.load(context.Background(), []source{{OwnFile, []byte(text)}}, LoadOptions{})
}

// resolveText returns what the default target or group of text builds.
func resolveText(t *testing.T, text string, targets ...string) *Selection {
	t.Helper()
	c, err := loadText(text)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	sel, err := c.Resolve(Request{Targets: targets})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return sel
}
