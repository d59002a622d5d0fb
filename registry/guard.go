package registry

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
)

const (
	maxManifest = 4 << 20 // bytes of a manifest, an index or an image config
	maxToken    = 1 << 20 // bytes of a token server's answer
)

// A guard sits below every library that speaks to registries and holds the
// rules that no registry can talk them out of: a token is fetched from a realm
// of the same owner only, Authorization never follows a redirect to another
// host, nobody is redirected into a private network or out of TLS, and a
// manifest has an end.
type guard struct {
	settings Settings
	keys     *Keychain
	next     http.RoundTripper

	mu     sync.Mutex
	realms map[string]bool // token endpoints seen, as scheme://host/path
}

func newGuard(s Settings, keys *Keychain, next http.RoundTripper) *guard {
	return &guard{settings: s, keys: keys, next: next, realms: map[string]bool{}}
}

// A PlainHTTPError says that a host would be spoken to without TLS although
// the user has not said so.
type PlainHTTPError struct{ Host string }

// Error names the host.
func (e *PlainHTTPError) Error() string {
	return fmt.Sprintf("%s would be spoken to by plain http", e.Host)
}

// errRedirect is the refusal of a redirect.
var errRedirect = errors.New("redirect refused")

// RoundTrip implements http.RoundTripper.
func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !g.settings.plain(req.URL.Host) {
		return nil, &PlainHTTPError{Host: req.URL.Host}
	}
	if req.Response != nil && req.Response.Request != nil {
		var err error
		if req, err = g.followed(req, req.Response.Request); err != nil {
			return nil, err
		}
	}
	token := g.isRealm(req.URL)
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := g.inspect(req, resp, token); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// followed checks a redirect from the request before and returns the request
// without the Authorization that was meant for the host before.
func (g *guard) followed(req, before *http.Request) (*http.Request, error) {
	from, to := before.URL, req.URL
	if from.Scheme == "https" && to.Scheme != "https" {
		return nil, fmt.Errorf("%w: from TLS at %s to plain http at %s", errRedirect, from.Host, to.Host)
	}
	if from.Host == to.Host {
		return req, nil
	}
	if !isPublicName(to.Hostname()) && isPublicName(from.Hostname()) {
		return nil, fmt.Errorf("%w: from %s to the private address %s", errRedirect, from.Host, to.Host)
	}
	if a := req.Header.Get("Authorization"); a != "" && a == before.Header.Get("Authorization") {
		req = req.Clone(req.Context())
		req.Header.Del("Authorization")
	}
	return req, nil
}

func (g *guard) inspect(req *http.Request, resp *http.Response, token bool) error {
	if token {
		if resp.StatusCode/100 == 3 {
			return fmt.Errorf("%w: token server %s sends on to %q", errRedirect, req.URL.Host, resp.Header.Get("Location"))
		}
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxToken, what: "token"}
	}
	if strings.Contains(req.URL.Path, "/manifests/") {
		resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxManifest, what: "manifest"}
	}
	if resp.StatusCode == http.StatusUnauthorized {
		return g.challenged(req, resp)
	}
	return nil
}

// challenged checks the realms that a 401 names and remembers them.
func (g *guard) challenged(req *http.Request, resp *http.Response) error {
	for _, c := range auth.ParseAuthHeader(resp.Header) {
		realm, ok := c.Parameters["realm"]
		if c.Scheme != auth.BearerAuth || !ok {
			continue
		}
		user, _ := g.keys.Account(req.Context(), req.URL.Host)
		if err := g.settings.checkRealm(req.URL.Host, realm, user != ""); err != nil {
			return err
		}
		g.note(realm)
	}
	return nil
}

// note remembers the endpoint of a token server.
func (g *guard) note(realm string) {
	u, err := url.Parse(realm)
	if err != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.realms[endpoint(u)] = true
}

func (g *guard) isRealm(u *url.URL) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.realms[endpoint(u)]
}

func endpoint(u *url.URL) string { return u.Scheme + "://" + u.Host + u.Path }

// A boundedBody is a response body that may not go on for ever.
type boundedBody struct {
	io.ReadCloser
	left int64
	what string
}

// errTooLarge is the refusal of an answer without end.
var errTooLarge = errors.New("is larger than any real one")

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, fmt.Errorf("the %s %w", b.what, errTooLarge)
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, fmt.Errorf("the %s %w", b.what, errTooLarge)
	}
	return n, err
}

// Hosts returns s in the form that a containerd resolver takes: mirrors first,
// credentials from keys, every request guarded. The connections it opens are
// closed after idling.
func (s Settings) Hosts(keys *Keychain) docker.RegistryHosts { return NewClient(s, keys).hosts }

// hosts lists the hosts that serve a registry.
func (c *Client) hosts(registry string) ([]docker.RegistryHost, error) {
	all := docker.HostCapabilityPull | docker.HostCapabilityResolve | docker.HostCapabilityPush | docker.HostCapabilityReferrers
	var hosts []docker.RegistryHost
	for _, m := range c.settings.host(registry).Mirrors {
		host, path, _ := strings.Cut(m, "/")
		hosts = append(hosts, c.hostAt(host, path, docker.HostCapabilityPull|docker.HostCapabilityResolve))
	}
	if canonicalHost(registry) == "docker.io" {
		registry = "registry-1.docker.io"
	}
	return append(hosts, c.hostAt(registry, "", all)), nil
}

func (c *Client) hostAt(host, path string, can docker.HostCapabilities) docker.RegistryHost {
	h := docker.RegistryHost{
		Client:       c.http,
		Authorizer:   c.authorizer,
		Host:         host,
		Scheme:       "https",
		Path:         strings.Join(slices.DeleteFunc([]string{"/v2", path}, func(s string) bool { return s == "" }), "/"),
		Capabilities: can,
	}
	if !c.settings.plain(host) {
		return h
	}
	if insecure := c.settings.host(host).Insecure; insecure == nil || !*insecure {
		h.Scheme = "http"
		return h
	}
	// As BuildKit does: certificates are not checked, and there may be none.
	h.Client = &http.Client{Transport: docker.NewHTTPFallback(c.http.Transport)}
	return h
}
