package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"

	"github.com/strata-build/strata/registry"
)

func TestKeychainReadsTheFile(t *testing.T) {
	keys := keysOf(t, map[string]string{
		"https://index.docker.io/v1/": "hub:secret1",
		"reg.example.org":             "ann:secret2",
		"https://old.example.org/v1/": "bob:secret3",
	})
	tests := map[string]string{
		"docker.io":            "hub:secret1",
		"index.docker.io":      "hub:secret1",
		"registry-1.docker.io": "hub:secret1",
		"reg.example.org":      "ann:secret2",
		"old.example.org":      "bob:secret3",
		"else.example.org":     ":",
		"reg.example.org:5000": ":",
	}
	for host, want := range tests {
		ac, err := keys.AuthConfig(t.Context(), host)
		if got := ac.Username + ":" + ac.Password; err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", host, got, err, want)
		}
	}
	if user, source := keys.Account(t.Context(), "reg.example.org"); user != "ann" || source != keys.File() {
		t.Errorf("account is %q from %q", user, source)
	}
	if user, _ := keys.Account(t.Context(), "else.example.org"); user != "" {
		t.Errorf("else.example.org has account %q", user)
	}
}

func TestKeychainResolvesForGoContainerregistry(t *testing.T) {
	keys := keysOf(t, map[string]string{"https://index.docker.io/v1/": "hub:secret"})
	hub, err := keys.Resolve(name.MustParseReference("python:3").Context())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hub.Authorization(); err != nil || got.Username != "hub" || got.Password != "secret" {
		t.Errorf("got %+v, %v", got, err)
	}
	other, err := keys.Resolve(name.MustParseReference("ghcr.io/x/y").Context())
	if err != nil || other != authn.Anonymous {
		t.Errorf("got %v, %v; want anonymous", other, err)
	}
}

func TestKeychainPrefersTheEnvironment(t *testing.T) {
	keys := keysOf(t, map[string]string{"reg.example.org": "file:x"})
	t.Setenv("DOCKER_AUTH_CONFIG", `{"auths": {"reg.example.org": {"auth": "ZW52Onk="}}}`)
	user, source := keys.Account(t.Context(), "reg.example.org")
	if user != "env" || source != "DOCKER_AUTH_CONFIG" {
		t.Errorf("got %q from %q", user, source)
	}
}

func TestKeychainDamagedFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.json", `{"auths": {`)
	keys := registry.NewKeychain(env(map[string]string{"DOCKER_CONFIG": dir}))
	_, err := keys.AuthConfig(t.Context(), "reg.example.org")
	var ce *registry.CredentialsError
	if !errors.As(err, &ce) || ce.File != filepath.Join(dir, "config.json") || !strings.Contains(err.Error(), ce.File) {
		t.Errorf("got %v", err)
	}
}

// withHelper makes keys that ask the credential helper script, found on PATH.
func withHelper(t *testing.T, conf, script string) *registry.Keychain {
	t.Helper()
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-x"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	write(t, dir, "config.json", conf)
	return registry.NewKeychain(env(map[string]string{"DOCKER_CONFIG": dir}))
}

func TestKeychainAsksHelpers(t *testing.T) {
	calls := filepath.Join(t.TempDir(), "calls")
	keys := withHelper(t, `{"credHelpers": {"reg.example.org": "x", "token.example.org": "x"}, "auths": {"file.example.org": {"auth": "ZmlsZTp5"}}}`, `
read host
echo "$1 $host" >> `+calls+`
case $host in
token*) echo '{"Username": "<token>", "Secret": "identity"}' ;;
*) echo '{"Username": "ann", "Secret": "s3cret"}' ;;
esac
`)
	for range 3 {
		ac, err := keys.AuthConfig(t.Context(), "reg.example.org")
		if err != nil || ac.Username != "ann" || ac.Password != "s3cret" {
			t.Fatalf("got %+v, %v", ac, err)
		}
	}
	ac, err := keys.AuthConfig(t.Context(), "token.example.org")
	if err != nil || ac.IdentityToken != "identity" || ac.Username != "" {
		t.Errorf("got %+v, %v", ac, err)
	}
	if user, _ := keys.Account(t.Context(), "file.example.org"); user != "file" {
		t.Errorf("a helper of another host was asked: %q", user)
	}
	if _, source := keys.Account(t.Context(), "reg.example.org"); !strings.HasPrefix(source, "docker-credential-x (named in /") {
		t.Errorf("source is %q", source)
	}
	got, err := os.ReadFile(calls)
	if err != nil || string(got) != "get reg.example.org\nget token.example.org\n" {
		t.Errorf("calls: %q, %v", got, err)
	}
}

func TestKeychainHelperKnowsNothing(t *testing.T) {
	keys := withHelper(t, `{"credsStore": "x"}`, `echo "credentials not found in native keychain"; exit 1`)
	user, _ := keys.Account(t.Context(), "reg.example.org")
	if _, err := keys.AuthConfig(t.Context(), "reg.example.org"); err != nil || user != "" {
		t.Errorf("got %q, %v", user, err)
	}
}

func TestKeychainHelperFails(t *testing.T) {
	keys := withHelper(t, `{"credsStore": "x"}`, `echo "the keyring is locked" >&2; exit 3`)
	_, err := keys.AuthConfig(t.Context(), "reg.example.org")
	var ce *registry.CredentialsError
	if !errors.As(err, &ce) || ce.Helper != "docker-credential-x" || !strings.Contains(err.Error(), "the keyring is locked") {
		t.Errorf("got %v", err)
	}
	missing := withHelper(t, `{"credsStore": "there-is-none"}`, "")
	_, err = missing.AuthConfig(t.Context(), "reg.example.org")
	if !errors.As(err, &ce) {
		t.Fatalf("got %v", err)
	}
	if want := "credential helper docker-credential-there-is-none"; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %q, want prefix %q", err, want)
	}
}

// A helper that hangs is killed with all that it started.
func TestKeychainHelperHangs(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	keys := withHelper(t, `{"credsStore": "x"}`, `sleep 1000 & echo $! > `+pidFile+`; wait`)
	keys.SetHelperTimeout(300 * time.Millisecond)
	start := time.Now()
	_, err := keys.AuthConfig(t.Context(), "reg.example.org")
	if err == nil || !strings.Contains(err.Error(), "no answer within 300ms") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
	pid, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("kill", "-0", strings.TrimSpace(string(pid))).CombinedOutput(); err == nil && !zombie(t, string(pid)) {
		t.Errorf("the helper's child still runs: %s", out)
	}
}

func zombie(t *testing.T, pid string) bool {
	stat, err := os.ReadFile("/proc/" + strings.TrimSpace(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// What a cancelled lookup found is not remembered.
func TestKeychainCancelled(t *testing.T) {
	keys := withHelper(t, `{"credsStore": "x"}`, `echo '{"Username": "ann", "Secret": "s"}'`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := keys.AuthConfig(ctx, "reg.example.org"); err == nil {
		t.Error("a cancelled lookup found something")
	}
	ac, err := keys.AuthConfig(t.Context(), "reg.example.org")
	if err != nil || ac.Username != "ann" {
		got, _ := json.Marshal(ac)
		t.Errorf("got %s, %v", got, err)
	}
}
