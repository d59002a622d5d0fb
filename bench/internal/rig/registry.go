package rig

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
)

// A Registry is the distribution project's registry with its content in memory,
// behind a proxy on loopback that counts requests.
type Registry struct {
	Host string // of the proxy, as it stands in an image's name

	process  *process
	server   *http.Server
	served   chan error
	requests atomic.Int64
}

// StartRegistry starts an empty registry, with its settings and log in dir.
func StartRegistry(ctx context.Context, program, dir string) (*Registry, error) {
	address, err := freePort()
	if err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "registry.yml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {inmemory: {}, delete: {enabled: true}}\nhttp: {addr: %q}\n", address)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	r := &Registry{served: make(chan error, 1)}
	if r.process, err = startProcess(filepath.Join(dir, "registry.log"), program, "serve", config); err != nil {
		return nil, err
	}
	if err := r.process.await(ctx, "tcp", address); err != nil {
		r.process.stop()
		return nil, err
	}
	if err := r.serve(&url.URL{Scheme: "http", Host: address}); err != nil {
		r.process.stop()
		return nil, err
	}
	return r, nil
}

func (r *Registry) serve(to *url.URL) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.Host = listener.Addr().String()
	r.server = &http.Server{Handler: r.proxy(to)}
	go func() { r.served <- r.server.Serve(listener) }()
	return nil
}

// proxy passes requests on as they are: the registry makes its redirects from
// the host the client asked.
func (r *Registry) proxy(to *url.URL) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	transport.DisableCompression = true
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(os.Stderr, "registry: ", 0),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.Out.Host = p.In.Host
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.requests.Add(1)
		proxy.ServeHTTP(w, req)
	})
}

// Requests is how many requests there were since the last call.
func (r *Registry) Requests() int { return int(r.requests.Swap(0)) }

// Close ends the registry and forgets its content.
func (r *Registry) Close() error {
	err := r.server.Close()
	<-r.served
	r.process.stop()
	return err
}
