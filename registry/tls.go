package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	resolverconfig "github.com/moby/buildkit/util/resolver/config"
)

// tlsConfig reads the certificates that c names, with BuildKit's meaning: they
// are trusted beside those of the system.
func tlsConfig(c resolverconfig.RegistryConfig) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.Insecure != nil {
		conf.InsecureSkipVerify = *c.Insecure
	}
	cas, pairs, err := certificateFiles(c)
	if err != nil {
		return nil, err
	}
	if len(cas) > 0 {
		if conf.RootCAs, err = x509.SystemCertPool(); err != nil {
			return nil, fmt.Errorf("reading the certificates of the system: %w", err)
		}
	}
	for _, file := range cas {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading ca: %w", err)
		}
		if !conf.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("ca %s holds no PEM certificate", file)
		}
	}
	for _, pair := range pairs {
		cert, err := tls.LoadX509KeyPair(pair.Certificate, pair.Key)
		if err != nil {
			return nil, fmt.Errorf("reading keypair %s: %w", pair.Certificate, err)
		}
		conf.Certificates = append(conf.Certificates, cert)
	}
	return conf, nil
}

// certificateFiles lists the files that c names, those in directories laid out
// as /etc/docker/certs.d included.
func certificateFiles(c resolverconfig.RegistryConfig) (cas []string, pairs []resolverconfig.TLSKeyPair, err error) {
	cas, pairs = slices.Clone(c.RootCAs), slices.Clone(c.KeyPairs)
	for _, dir := range c.TLSConfigDir {
		files, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("reading tlsconfigdir: %w", err)
		}
		for _, f := range files {
			path := filepath.Join(dir, f.Name())
			if strings.HasSuffix(path, ".crt") {
				cas = append(cas, path)
			}
			if base, ok := strings.CutSuffix(path, ".cert"); ok {
				pairs = append(pairs, resolverconfig.TLSKeyPair{Certificate: path, Key: base + ".key"})
			}
		}
	}
	return cas, pairs, nil
}
