package registry_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"

	"github.com/strata-build/strata/registry"
)

func TestDefaultPath(t *testing.T) {
	tests := map[string]struct {
		env  map[string]string
		want string
	}{
		"named":         {map[string]string{"STRATA_REGISTRIES": "/x.toml", "HOME": "/h"}, "/x.toml"},
		"xdg":           {map[string]string{"XDG_CONFIG_HOME": "/c", "HOME": "/h"}, "/c/strata/registries.toml"},
		"relative xdg":  {map[string]string{"XDG_CONFIG_HOME": "c", "HOME": "/h"}, "/h/.config/strata/registries.toml"},
		"home":          {map[string]string{"HOME": "/h"}, "/h/.config/strata/registries.toml"},
		"nothing known": {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := registry.DefaultPath(env(tt.env)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoadSettings(t *testing.T) {
	dir := t.TempDir()
	ca := newCA(t)
	ca.writeTo(t, filepath.Join(dir, "ca.pem"))
	path := write(t, dir, "registries.toml", `
# other tables of a buildkitd.toml are passed over
[worker.oci]
  enabled = true

[registry."docker.io"]
  mirrors = ["http://localhost:5000/hub/", "Mirror.Example.org"]
[registry."localhost:5000"]
  insecure = true
[registry."registry.example.org"]
  ca = ["ca.pem"]
  realms = ["login.example.com"]
`)
	s, err := registry.LoadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]resolverconfig.RegistryConfig{
		"docker.io":            {Mirrors: []string{"localhost:5000/hub", "mirror.example.org"}},
		"localhost:5000":       {PlainHTTP: ptr(true), Insecure: ptr(true)},
		"registry.example.org": {PlainHTTP: ptr(false), RootCAs: []string{filepath.Join(dir, "ca.pem")}},
	}
	if got := s.Configs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestLoadSettingsFindsNothing(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "none.toml")} {
		s, err := registry.LoadSettings(path)
		if err != nil || len(s.Configs()) != 0 {
			t.Errorf("LoadSettings(%q) = %v, %v; want no settings and no error", path, s.Configs(), err)
		}
	}
}

func TestLoadSettingsNamesEveryWrongLine(t *testing.T) {
	tests := map[string]struct {
		toml string
		want []string // one a line of the error; FILE stands for the path
	}{
		"syntax":       {"[registry.\"a\"]\nmirrors = [\n", []string{"FILE:2:"}},
		"type":         {"[registry.\"a.b\"]\nhttp = \"yes\"\n", []string{"FILE:2:8: "}},
		"unknown keys": {"[registry.\"a.b\"]\nmirors = []\n[registry.\"c.d\"]\nhtpp = true\n", []string{`FILE:2:1: unknown key "mirors"`, `FILE:4:1: unknown key "htpp"`}},
		"values": {
			"\n[registry.\"https://a.b\"]\n[registry.\"c.d\"]\nmirrors = [\"ftp://x\"]\n[registry.\"e.f\"]\nca = [\"missing.pem\"]\n[registry.g]\nmirrors = [\"http://u:p@x\"]\n",
			[]string{
				`FILE:3: registry "c.d": mirror "ftp://x": scheme must be http or https`,
				`FILE:5: registry "e.f": reading ca: open DIR/missing.pem`,
				`FILE:7: registry "g": mirror of x holds a password`,
				`FILE:2: registry "https://a.b": "https://a.b" is not a host name`,
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := write(t, dir, "r.toml", tt.toml)
			_, err := registry.LoadSettings(path)
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(strings.ReplaceAll(strings.ReplaceAll(err.Error(), path, "FILE"), dir, "DIR"), "\n")
			if len(got) != len(tt.want) {
				t.Fatalf("got %q, want %d lines", got, len(tt.want))
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("line %d: got %q, want prefix %q", i, got[i], want)
				}
			}
		})
	}
}

func TestWithFlags(t *testing.T) {
	path := write(t, t.TempDir(), "r.toml", "[registry.\"docker.io\"]\nmirrors = [\"from.file\"]\n")
	file, err := registry.LoadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := file.WithFlags([]string{"index.docker.io=http://localhost:1/x", "quay.io=https://127.0.0.1:2"}, []string{"plain.lan:3"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]resolverconfig.RegistryConfig{
		"docker.io":   {Mirrors: []string{"localhost:1/x", "from.file"}},
		"quay.io":     {Mirrors: []string{"127.0.0.1:2"}},
		"localhost:1": {PlainHTTP: ptr(true)},
		"127.0.0.1:2": {PlainHTTP: ptr(false)},
		"plain.lan:3": {PlainHTTP: ptr(true)},
	}
	if got := s.Configs(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := file.Configs(); len(got) != 1 || len(got["docker.io"].Mirrors) != 1 {
		t.Errorf("WithFlags changed its receiver: %+v", got)
	}
}

func TestWithFlagsNamesEveryWrongFlag(t *testing.T) {
	_, err := registry.Settings{}.WithFlags([]string{"docker.io", "http://x=y", "x=ftp://y"}, []string{"http://z"})
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`mirror "docker.io": must be HOST=URL`,
		`mirror "http://x=y": "http://x" is not a host name`,
		`mirror "x=ftp://y": mirror "ftp://y": scheme must be http or https`,
		`plain http registry "http://z": "http://z" is not a host name`,
	}
	got := strings.Split(err.Error(), "\n")
	for i := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], want[i]) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func env(m map[string]string) func(string) (string, bool) {
	return func(key string) (string, bool) {
		v, ok := m[key]
		return v, ok
	}
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
