package registry

import (
	"net/http"
	"time"
)

// WithFirstWait sets the wait before the first repetition of a request.
func WithFirstWait(d time.Duration) ClientOption {
	return func(c *Client) { c.retry.first = d }
}

// WithStall sets how long a connection may stand still.
func WithStall(d time.Duration) ClientOption {
	return func(c *Client) { c.base.stall = d }
}

// WithBase replaces the transport below the guard.
func WithBase(rt http.RoundTripper) ClientOption {
	return func(c *Client) { c.guard.next = rt }
}

// SetHelperTimeout sets how long a credential helper may think.
func (k *Keychain) SetHelperTimeout(d time.Duration) { k.timeout = d }

// CheckRealm is checkRealm.
func (s Settings) CheckRealm(host, realm string, credentials bool) error {
	return s.checkRealm(host, realm, credentials)
}

// RoundTripper is the transport of c.
func (c *Client) RoundTripper() http.RoundTripper { return c.retry }
