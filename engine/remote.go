package engine

import (
	"context"
	"errors"
	"net"
	"net/url"

	"github.com/moby/buildkit/client"

	// Each registers the scheme of its name with BuildKit's client.
	_ "github.com/moby/buildkit/client/connhelper/dockercontainer"
	_ "github.com/moby/buildkit/client/connhelper/kubepod"
	_ "github.com/moby/buildkit/client/connhelper/nerdctlcontainer"
	_ "github.com/moby/buildkit/client/connhelper/npipe"
	_ "github.com/moby/buildkit/client/connhelper/podmancontainer"
	_ "github.com/moby/buildkit/client/connhelper/ssh"
)

// remoteHints say what to check first, by the scheme of an address.
var remoteHints = map[string]string{
	"unix":              "is buildkitd running, and may you open its socket?",
	"tcp":               "is buildkitd listening there, and do both sides agree on TLS?",
	"ssh":               `does "ssh HOST buildctl debug workers" work?`,
	"docker-container":  "is the container running? docker ps lists it",
	"podman-container":  "is the container running? podman ps lists it",
	"nerdctl-container": "is the container running? nerdctl ps lists it",
	"kube-pod":          "is the pod running? kubectl get pods lists it",
	"npipe":             "is buildkitd running?",
}

// openRemote connects to the buildkitd at opts.Address.
func openRemote(ctx context.Context, opts Options) (*Engine, error) {
	e := &Engine{
		kind:    KindRemote,
		name:    opts.Address,
		address: opts.Address,
		notice:  opts.Notice,
	}
	u, err := url.Parse(opts.Address)
	if err != nil {
		e.hint = "check the address"
		return nil, e.unreachable(errors.Unwrap(err))
	}
	if u.Scheme == appScheme {
		if opts.Address, err = podAddress(ctx, u, opts); err != nil {
			return nil, err
		}
		if u, err = url.Parse(opts.Address); err != nil {
			return nil, err
		}
	}
	e.name = u.Redacted()
	e.address = e.name
	hint, known := remoteHints[u.Scheme]
	if !known {
		e.hint = "use unix://, tcp://, ssh://, docker-container://, podman-container://, nerdctl-container:// or kube-pod://"
		return nil, e.unreachable(errors.New("unknown scheme " + u.Scheme + "://"))
	}
	e.hint = hint
	creds, err := tcpCredentials(u, opts)
	if err != nil {
		return nil, err
	}
	if err := e.connect(ctx, opts.Address, creds...); err != nil {
		return nil, err
	}
	return e, nil
}

// tcpCredentials turns opts.TLS into client options. Whoever reaches a BuildKit
// without TLS owns it, steps of other builds included, so that takes a grant.
func tcpCredentials(u *url.URL, opts Options) ([]client.ClientOpt, error) {
	refuse := func(problem, hint string) error {
		return &UnreachableError{Address: u.Redacted(), Err: errors.New(problem), Hint: hint}
	}
	t := opts.TLS
	switch {
	case u.Scheme != "tcp" && t == (TLS{}):
		return nil, nil
	case u.Scheme != "tcp":
		return nil, refuse("TLS files are given for an address that is not tcp://", "leave them out, or use tcp://")
	case u.Port() == "":
		return nil, refuse("the port is missing", "buildkitd usually listens on 1234: tcp://"+u.Host+":1234")
	case t == (TLS{}) && (opts.InsecureTCP || isLoopback(u.Hostname())):
		return nil, nil
	case t == (TLS{}):
		return nil, refuse("tcp:// without TLS lets anyone on the way take over the engine",
			"name a CA, certificate and key, or allow it with --insecure-engine")
	case (t.Cert == "") != (t.Key == ""):
		return nil, refuse("a client certificate and its key come together", "name both files, or neither")
	}
	creds := []client.ClientOpt{client.WithServerConfig(t.ServerName, t.CA)}
	if t.CA == "" {
		creds = []client.ClientOpt{client.WithServerConfigSystem(t.ServerName)}
	}
	if t.Cert != "" {
		creds = append(creds, client.WithCredentials(t.Cert, t.Key))
	}
	return creds, nil
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
