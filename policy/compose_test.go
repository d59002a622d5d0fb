package policy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"

	"github.com/strata-build/strata/config"
)

// TestCompose names policies by their files; "!" is a strict one, ":level" its
// level if it is not the usual one.
func TestCompose(t *testing.T) {
	on, off := true, false
	files := func(names ...string) config.Policy { return config.Policy{Files: names} }
	dir := t.TempDir()
	for name, text := range map[string]string{"Dockerfile": "FROM scratch\n", "Dockerfile.rego": "package docker\n", "Other": "FROM scratch\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	beside, alone := Place{Path: filepath.Join(dir, "Dockerfile")}, Place{Path: filepath.Join(dir, "Other")}
	for _, tt := range []struct {
		name    string
		at      Place
		entries []config.Policy
		signed  bool
		want    string
	}{
		{name: "none", at: alone},
		{name: "no file", at: Place{}},
		{name: "beside", at: beside, want: "Dockerfile.rego"},
		{name: "far away", at: Place{Remote: "a/Dockerfile"}, want: "a/Dockerfile.rego?"},
		{name: "more", at: beside, entries: []config.Policy{files("a", "b"), files("c")}, want: "Dockerfile.rego a+b c"},
		{name: "reset", at: beside, entries: []config.Policy{{Reset: true}}},
		{name: "reset and more", at: beside, entries: []config.Policy{{Reset: true, Files: []string{"a"}}}, want: "a"},
		{name: "reset in between", at: beside, entries: []config.Policy{files("a"), {Reset: true}, files("b")}, want: "b"},
		{name: "disabled", at: beside, entries: []config.Policy{{Disabled: true}}},
		{name: "disabled and more", at: beside, entries: []config.Policy{{Disabled: true}, files("a")}, want: "can not be combined"},
		{name: "disabled and strict", at: beside, entries: []config.Policy{{Disabled: true, Strict: &on}}, want: "can not be combined"},
		{name: "disabled and level", at: beside, entries: []config.Policy{{Disabled: true, LogLevel: "info"}}, want: "can not be combined"},
		{name: "strict is about the one before", at: beside, entries: []config.Policy{{Strict: &on, LogLevel: "debug"}, files("a")}, want: "Dockerfile.rego!:debug a"},
		{name: "strict is about those behind if there is none", at: alone, entries: []config.Policy{{Strict: &on}, files("a"), files("b")}, want: "a! b!"},
		{name: "own strict", at: alone, entries: []config.Policy{{Strict: &on}, {Files: []string{"a"}, Strict: &off}}, want: "a"},
		{name: "strict about none", at: alone, entries: []config.Policy{{Strict: &on}}},
		{name: "panic is a level", at: beside, entries: []config.Policy{{LogLevel: "panic"}}, want: "Dockerfile.rego:panic"},
		{name: "bad level", at: beside, entries: []config.Policy{{LogLevel: "loud"}}, want: "not a valid logrus Level"},
		{name: "signed", at: alone, signed: true, want: "BUILDX_DEFAULT_POLICY"},
		{name: "signed and more", at: beside, signed: true, entries: []config.Policy{files("a")}, want: "BUILDX_DEFAULT_POLICY Dockerfile.rego a"},
		{name: "signed and disabled", at: beside, signed: true, entries: []config.Policy{{Disabled: true}}},
	} {
		list, err := Of(&config.Target{Policy: tt.entries}, tt.at, tt.signed)
		if err != nil {
			if tt.want == "" || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		var words []string
		for _, p := range list {
			word := strings.Join((&rules{Policy: p}).names(), "+")
			if p.Files[0].Optional {
				word += "?"
			}
			if p.Strict {
				word += "!"
			}
			if p.Level != logrus.InfoLevel {
				word += fmt.Sprint(":", p.Level)
			}
			words = append(words, word)
		}
		if got := strings.Join(words, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestFilesAreReadBelow(t *testing.T) {
	top := t.TempDir()
	for name, text := range map[string]string{"ctx/d/a": "context", "cwd/a": "command", "secret": "secret"} {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../secret", filepath.Join(top, "ctx/link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(top, "ctx/large"), make([]byte, MaxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	read := Local(filepath.Join(top, "ctx"), filepath.Join(top, "cwd"))
	for name, want := range map[string]string{
		"d/a": "context", "./d/../d/a": "context", "cwd://a": "command", filepath.Join(top, "ctx/d/a"): "context",
		"a": "error: no such file", "../secret": "error: escapes", "cwd://../secret": "error: escapes", "link": "error: escapes",
		filepath.Join(top, "secret"): "error: escapes", "": "error: no name", "large": "error: larger than 8 MiB",
	} {
		data, err := read(t.Context(), name)
		got := string(data)
		if err != nil {
			got = "error: " + err.Error()
		}
		if text, bad := strings.CutPrefix(want, "error: "); bad != (err != nil) || bad && !strings.Contains(got, text) || !bad && got != want {
			t.Errorf("%s: got %.60q, want %q", name, got, want)
		}
	}
}
