package registry

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// stallTimeout is how long a connection may stand still. While bytes move
// there is no timeout.
const stallTimeout = time.Minute

// A transport has the certificates of each host, as the user's settings say.
type transport struct {
	settings Settings
	stall    time.Duration

	mu    sync.Mutex
	hosts map[string]*http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	rt, err := t.host(req.URL.Host)
	if err != nil {
		return nil, err
	}
	return rt.RoundTrip(req)
}

// CloseIdleConnections ends all connections that wait for more work.
func (t *transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, rt := range t.hosts {
		rt.CloseIdleConnections()
	}
}

func (t *transport) host(host string) (*http.Transport, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rt, ok := t.hosts[host]; ok {
		return rt, nil
	}
	conf, err := tlsConfig(t.settings.host(host).RegistryConfig)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	rt := &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &movingConn{Conn: conn, stall: t.stall}, nil
		},
		TLSClientConfig:       conf, // with a dialer of our own this keeps HTTP/2 off, whose flow control slows pushes
		MaxIdleConns:          32,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       30 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	t.hosts[host] = rt
	return rt, nil
}

// A movingConn times out when no byte has moved either way for a while.
type movingConn struct {
	net.Conn
	stall time.Duration
}

func (c *movingConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *movingConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
