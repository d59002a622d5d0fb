package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/moby/buildkit/util/resolver"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/moby/sys/atomicwriter"
)

// settings are what a command may change in an engine that runs.
type settings struct {
	Registries map[string]resolverconfig.RegistryConfig `json:"registries"`
}

// writeSettings writes the registries to a file that engines follow, unless it
// says the same already. Paths become absolute: the engine runs elsewhere.
func writeSettings(path string, registries map[string]resolverconfig.RegistryConfig) error {
	s := settings{Registries: make(map[string]resolverconfig.RegistryConfig)}
	for host, r := range registries {
		abs, err := absoluteFiles(r)
		if err != nil {
			return fmt.Errorf("registry %s: %w", host, err)
		}
		s.Registries[host] = abs
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return atomicwriter.WriteFile(path, text, 0o600)
}

func absoluteFiles(r resolverconfig.RegistryConfig) (resolverconfig.RegistryConfig, error) {
	var errs []error
	abs := func(path string) string {
		out, err := filepath.Abs(path)
		errs = append(errs, err)
		return out
	}
	absAll := func(paths []string) []string {
		var out []string
		for _, path := range paths {
			out = append(out, abs(path))
		}
		return out
	}
	r.RootCAs = absAll(r.RootCAs)
	r.TLSConfigDir = absAll(r.TLSConfigDir)
	var pairs []resolverconfig.TLSKeyPair
	for _, p := range r.KeyPairs {
		pairs = append(pairs, resolverconfig.TLSKeyPair{Key: abs(p.Key), Certificate: abs(p.Certificate)})
	}
	r.KeyPairs = pairs
	return r, errors.Join(errs...)
}

// A registries follows a settings file: it tells BuildKit how to reach a
// registry, as the file says now.
type registries struct {
	path string

	mu    sync.Mutex
	text  []byte
	hosts docker.RegistryHosts
}

func newRegistries(path string) (*registries, error) {
	r := &registries{path: path, hosts: checked(resolver.NewRegistryConfig(nil))}
	return r, r.reload()
}

// Hosts is a docker.RegistryHosts.
func (r *registries) Hosts(host string) ([]docker.RegistryHost, error) {
	r.mu.Lock()
	hosts := r.hosts
	r.mu.Unlock()
	return hosts(host)
}

// reload reads the file again. One that is gone or wrong changes nothing.
func (r *registries) reload() error {
	text, err := os.ReadFile(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if bytes.Equal(text, r.text) {
		return nil
	}
	var s settings
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("reading %s: %w", r.path, err)
	}
	r.text = text
	r.hosts = checked(resolver.NewRegistryConfig(s.Registries))
	// BuildKit remembers the hosts of a registry for as long as it is used.
	resolver.DefaultPool.Clear()
	return nil
}
