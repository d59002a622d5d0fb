package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	"github.com/pelletier/go-toml/v2"
)

// Settings are the registry settings of a user. The zero value has none.
// Settings are immutable.
type Settings struct {
	file  string              // where they were read from, for hints
	hosts map[string]hostConf // by canonical host
}

// A hostConf is one [registry."host"] table: BuildKit's own keys, and the hosts
// of token servers that are trusted though they are not the registry's.
type hostConf struct {
	resolverconfig.RegistryConfig
	Realms []string `toml:"realms"`
}

// DefaultPath returns the file that settings are read from: $STRATA_REGISTRIES,
// else strata/registries.toml in the user's configuration directory, "" if
// there is no such directory.
func DefaultPath(lookupEnv func(string) (string, bool)) string {
	if path, ok := lookupEnv("STRATA_REGISTRIES"); ok && path != "" {
		return path
	}
	if dir, ok := lookupEnv("XDG_CONFIG_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "strata", "registries.toml")
	}
	if home, ok := lookupEnv("HOME"); ok && home != "" {
		return filepath.Join(home, ".config", "strata", "registries.toml")
	}
	return ""
}

// LoadSettings reads settings from path, in the [registry."host"] syntax of
// buildkitd.toml; other tables are passed over, so a buildkitd.toml will do.
// A missing file has no settings. An error names every wrong line.
func LoadSettings(path string) (Settings, error) {
	if path == "" {
		return Settings{}, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Settings{file: path}, nil
	}
	if err != nil {
		return Settings{}, fmt.Errorf("reading registry settings: %w", err)
	}
	return parseSettings(path, data)
}

func parseSettings(path string, data []byte) (Settings, error) {
	var file struct {
		Registry map[string]hostConf `toml:"registry"`
	}
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := tomlErrors(path, dec.Decode(&file)); err != nil {
		return Settings{}, err
	}
	s := Settings{file: path, hosts: map[string]hostConf{}}
	var errs []error
	for _, host := range slices.Sorted(maps.Keys(file.Registry)) {
		if err := s.add(host, file.Registry[host]); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: registry %q: %w", path, lineOf(data, host), host, err))
		}
	}
	return s, errors.Join(errs...)
}

// tomlErrors puts the place before each syntax error and each unknown key of a
// registry table. Keys of other tables are buildkitd's and no concern of ours.
func tomlErrors(path string, err error) error {
	if err == nil {
		return nil
	}
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var errs []error
		for _, e := range strict.Errors {
			if key := e.Key(); key[0] == "registry" {
				row, col := e.Position()
				errs = append(errs, fmt.Errorf("%s:%d:%d: unknown key %q; known are mirrors, http, insecure, ca, keypair, tlsconfigdir, realms", path, row, col, key[len(key)-1]))
			}
		}
		return errors.Join(errs...)
	}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		row, col := syntax.Position()
		return fmt.Errorf("%s:%d:%d: %s", path, row, col, strings.TrimPrefix(syntax.Error(), "toml: "))
	}
	return fmt.Errorf("reading %s: %w", path, err)
}

// lineOf finds the line on which the table of host begins, 1 if it is written
// in a way that cannot be found.
func lineOf(data []byte, host string) int {
	header := regexp.MustCompile(`(?m)^\s*\[\s*registry\s*\.\s*["']?` + regexp.QuoteMeta(host) + `["']?\s*\]`)
	at := header.FindIndex(data)
	if at == nil {
		return 1
	}
	start := bytes.IndexByte(data[at[0]:], '[') + at[0]
	return 1 + bytes.Count(data[:start], []byte("\n"))
}

// add checks conf and enters it under the canonical form of host.
func (s *Settings) add(host string, conf hostConf) error {
	if err := checkHost(host); err != nil {
		return err
	}
	conf.Mirrors = slices.Clone(conf.Mirrors)
	for i, m := range conf.Mirrors {
		mirror, scheme, err := parseMirror(m)
		if err != nil {
			return err
		}
		conf.Mirrors[i] = mirror
		s.setScheme(mirror, scheme)
	}
	base := filepath.Dir(s.file)
	conf.RootCAs = absPaths(base, conf.RootCAs)
	conf.TLSConfigDir = absPaths(base, conf.TLSConfigDir)
	conf.KeyPairs = slices.Clone(conf.KeyPairs)
	for i, kp := range conf.KeyPairs {
		paths := absPaths(base, []string{kp.Certificate, kp.Key})
		conf.KeyPairs[i] = resolverconfig.TLSKeyPair{Certificate: paths[0], Key: paths[1]}
	}
	if _, err := tlsConfig(conf.RegistryConfig); err != nil {
		return err
	}
	host = canonicalHost(host)
	if conf.PlainHTTP == nil {
		conf.PlainHTTP = s.hosts[host].PlainHTTP // said by the scheme of a mirror
	}
	if conf.PlainHTTP == nil && speaksTLS(conf.RegistryConfig) {
		// Whoever names certificates means TLS, on loopback too.
		conf.PlainHTTP = new(bool)
	}
	s.hosts[host] = conf
	return nil
}

// setScheme notes the transport that the URL of a mirror asks for.
func (s *Settings) setScheme(mirror, scheme string) {
	if scheme == "" {
		return
	}
	host, _, _ := strings.Cut(mirror, "/")
	conf := s.hosts[host]
	if conf.PlainHTTP == nil {
		plain := scheme == "http"
		conf.PlainHTTP = &plain
		s.hosts[host] = conf
	}
}

func speaksTLS(c resolverconfig.RegistryConfig) bool {
	return len(c.RootCAs)+len(c.KeyPairs)+len(c.TLSConfigDir) > 0
}

func absPaths(base string, paths []string) []string {
	abs := slices.Clone(paths)
	for i, p := range abs {
		if p != "" && !filepath.IsAbs(p) {
			abs[i] = filepath.Join(base, p)
		}
	}
	return abs
}

// WithFlags returns s with mirrors of the form HOST=URL, which come before the
// mirrors of the file, and with hosts that are spoken to by plain http.
func (s Settings) WithFlags(mirrors, plainHTTP []string) (Settings, error) {
	s.hosts = maps.Clone(s.hosts)
	if s.hosts == nil {
		s.hosts = map[string]hostConf{}
	}
	var errs []error
	added := map[string][]string{}
	for _, flag := range mirrors {
		host, mirror, err := s.flagMirror(flag)
		if err != nil {
			errs = append(errs, fmt.Errorf("mirror %q: %w", flag, err))
			continue
		}
		added[host] = append(added[host], mirror)
	}
	for host, list := range added {
		conf := s.hosts[host]
		conf.Mirrors = append(list, conf.Mirrors...)
		s.hosts[host] = conf
	}
	for _, host := range plainHTTP {
		if err := checkHost(host); err != nil {
			errs = append(errs, fmt.Errorf("plain http registry %q: %w", host, err))
			continue
		}
		s.setPlain(canonicalHost(host), true)
	}
	return s, errors.Join(errs...)
}

func (s Settings) flagMirror(flag string) (host, mirror string, err error) {
	host, rawURL, ok := strings.Cut(flag, "=")
	if !ok {
		return "", "", errors.New("must be HOST=URL, such as docker.io=https://mirror.example.org")
	}
	if err := checkHost(host); err != nil {
		return "", "", err
	}
	mirror, scheme, err := parseMirror(rawURL)
	if err != nil {
		return "", "", err
	}
	if scheme != "" {
		at, _, _ := strings.Cut(mirror, "/")
		s.setPlain(at, scheme == "http")
	}
	return canonicalHost(host), mirror, nil
}

func (s Settings) setPlain(host string, plain bool) {
	conf := s.hosts[host]
	conf.PlainHTTP = &plain
	s.hosts[host] = conf
}

// Configs returns s in the form that a BuildKit worker takes.
func (s Settings) Configs() map[string]resolverconfig.RegistryConfig {
	configs := make(map[string]resolverconfig.RegistryConfig, len(s.hosts))
	for host, conf := range s.hosts {
		configs[host] = conf.RegistryConfig
	}
	return configs
}

// host returns the settings of a host under any of its names.
func (s Settings) host(host string) hostConf { return s.hosts[canonicalHost(host)] }

// plain reports whether host may be spoken to by plain http: if the user says
// so, or if it is this machine and nothing else is said.
func (s Settings) plain(host string) bool {
	if p := s.host(host).PlainHTTP; p != nil {
		return *p
	}
	local, err := docker.MatchLocalhost(host)
	return err == nil && local
}

// canonicalHost is the name under which settings of host are kept: Docker Hub
// has three.
func canonicalHost(host string) string {
	host = strings.ToLower(host)
	switch host {
	case "index.docker.io", "registry-1.docker.io":
		return "docker.io"
	}
	return host
}

func checkHost(host string) error {
	u, err := url.Parse("//" + host)
	if err != nil || host == "" || u.Host != host || u.Hostname() == "" {
		return fmt.Errorf("%q is not a host name; write it without scheme and path, with a port if it has one", host)
	}
	return nil
}

// parseMirror splits off the scheme of a mirror, "" if it has none.
func parseMirror(raw string) (mirror, scheme string, err error) {
	full := raw
	if !strings.Contains(raw, "://") {
		full = "//" + raw
	}
	u, err := url.Parse(full)
	switch {
	case err != nil || u.Hostname() == "":
		return "", "", fmt.Errorf("mirror %q is not a host or a URL", raw)
	case u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https":
		return "", "", fmt.Errorf("mirror %q: scheme must be http or https", raw)
	case u.User != nil:
		return "", "", fmt.Errorf("mirror of %s holds a password; put it into the Docker configuration (docker login %s)", u.Host, u.Host)
	}
	return strings.ToLower(u.Host) + strings.TrimRight(u.Path, "/"), u.Scheme, nil
}

// hostname is host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}
