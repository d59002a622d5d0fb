package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// BuildKit checks the layers that a registry sends against their digests, but
// believes the manifests and configs of caches: a damaged one could give a step
// the result of another. Here all that is small and asked for by digest is
// checked before BuildKit sees it.

// maxChecked is the largest answer that is checked, and held in memory for it.
// What is larger than BuildKit takes for a manifest can only be a layer.
const maxChecked = 4 << 20

var byDigest = lazyregexp.New(`/(?:manifests|blobs)/(sha256:[0-9a-f]{64})$`)

// checked is hosts with answers checked.
func checked(hosts docker.RegistryHosts) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		if err != nil {
			return nil, err
		}
		out := make([]docker.RegistryHost, len(list))
		for i, h := range list {
			c := http.Client{}
			if h.Client != nil {
				c = *h.Client
			}
			next := c.Transport
			if next == nil {
				next = http.DefaultTransport
			}
			c.Transport = checker{next}
			h.Client = &c
			out[i] = h
		}
		return out, nil
	}
}

// A checker is a transport that fails when an answer is not what was asked for.
type checker struct{ next http.RoundTripper }

// RoundTrip is that of next, with small answers read whole.
func (c checker) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	// A redirect is followed by a request whose path does not say the digest.
	first := req
	for first.Response != nil && first.Response.Request != nil {
		first = first.Response.Request
	}
	m := byDigest.FindStringSubmatch(first.URL.Path)
	if m == nil || req.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.ContentLength < 0 || resp.ContentLength > maxChecked {
		return resp, nil
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // all of it was read
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", m[1], err)
	}
	if got := digest.FromBytes(body); got.String() != m[1] {
		return nil, fmt.Errorf("%s sent other bytes than those of %s", req.URL.Host, m[1])
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
