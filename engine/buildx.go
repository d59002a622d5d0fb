package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// A buildxBuilder is a builder as docker buildx keeps it in
// BUILDX_CONFIG/instances/NAME (store/nodegroup.go there).
type buildxBuilder struct {
	Name   string
	Driver string
	Nodes  []buildxNode
}

// A buildxNode is one BuildKit of a builder.
type buildxNode struct {
	Name       string
	Endpoint   string
	DriverOpts map[string]string
}

// BuildxAddress is the address of a builder that the user of docker buildx
// already has. name "" is BUILDX_BUILDER, else the one chosen by "docker buildx
// use"; "" comes back if there is none. A builder of several nodes is used by
// its first. The TLS files are those of a remote builder.
func BuildxAddress(name string, lookupEnv func(string) (string, bool)) (address string, tls TLS, err error) {
	env := func(key string) string { v, _ := lookupEnv(key); return v }
	dir := env("BUILDX_CONFIG")
	if dir == "" {
		docker := env("DOCKER_CONFIG")
		if docker == "" {
			docker = filepath.Join(env("HOME"), ".docker")
		}
		dir = filepath.Join(docker, "buildx")
	}
	if name == "" {
		name = env("BUILDX_BUILDER")
	}
	if name == "" {
		if name, err = currentBuilder(dir); name == "" {
			return "", tls, err
		}
	}
	data, err := os.ReadFile(filepath.Join(dir, "instances", name))
	if errors.Is(err, fs.ErrNotExist) { // builders of a context are not written down
		return "docker:" + name, tls, nil
	}
	if err != nil {
		return "", tls, fmt.Errorf("reading builder %q: %w", name, err)
	}
	var b buildxBuilder
	if err := json.Unmarshal(data, &b); err != nil {
		return "", tls, fmt.Errorf("reading builder %q: %w", name, err)
	}
	if len(b.Nodes) == 0 {
		return "", tls, fmt.Errorf("builder %q has no node", name)
	}
	return b.address()
}

// currentBuilder is the builder that "docker buildx use" chose.
func currentBuilder(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "current"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the current builder of docker buildx: %w", err)
	}
	var current struct{ Name string }
	if err := json.Unmarshal(data, &current); err != nil {
		return "", fmt.Errorf("reading the current builder of docker buildx: %w", err)
	}
	return current.Name, nil
}

func (b *buildxBuilder) address() (string, TLS, error) {
	node := b.Nodes[0]
	opts := node.DriverOpts
	switch b.Driver {
	case "docker":
		return "docker:" + node.Endpoint, TLS{}, nil
	case "", "docker-container":
		address := "docker-container://buildx_buildkit_" + node.Name
		if e := node.Endpoint; e != "" && e != "default" && !strings.Contains(e, "://") {
			address += "?context=" + e
		}
		return address, TLS{}, nil
	case "remote":
		return node.Endpoint, TLS{CA: opts["cacert"], Cert: opts["cert"], Key: opts["key"], ServerName: opts["servername"]}, nil
	case "kubernetes":
		return node.app(opts["namespace"]), TLS{}, nil
	}
	return "", TLS{}, fmt.Errorf("builder %q has the driver %q, which is not known; name an engine with --engine", b.Name, b.Driver)
}

// app is the address of the pods of a node of buildx's kubernetes driver: they
// are labelled with its name, and its endpoint may name a kubeconfig.
func (n buildxNode) app(namespace string) string {
	q := url.Values{}
	if namespace != "" {
		q.Set("namespace", namespace)
	}
	if u, err := url.Parse(n.Endpoint); err == nil && u.Scheme == "kubernetes" {
		if file := u.Query().Get("kubeconfig"); file != "" {
			q.Set("kubeconfig", file)
		}
	}
	u := url.URL{Scheme: appScheme, Host: strings.ReplaceAll(n.Name, "_", "-"), RawQuery: q.Encode()}
	return u.String()
}
