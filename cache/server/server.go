// Package server is an OCI registry for a team or a test: the distribution
// project's, as a library, with its content in a directory.
//
// It knows nothing of what is stored in it. It speaks plain http on loopback
// only, and TLS anywhere.
package server

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	_ "github.com/distribution/distribution/v3/registry/auth/htpasswd" // accounts
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem" // content
	"github.com/gofrs/flock"
)

// DefaultAddr is where a server listens if nothing is said.
const DefaultAddr = "127.0.0.1:5000"

// Options say how a registry is served.
type Options struct {
	Addr     string // host:port; port 0 is any that is free
	Root     string // directory of the content; made if it is not there
	Htpasswd string // file of accounts, bcrypt only; "" lets everybody in
	ReadOnly bool
	CertFile string // PEM; with KeyFile: TLS
	KeyFile  string
	Collect  bool      // delete first what no tag leads to
	Log      io.Writer // a line for each request; nil for none
}

// A Server is a registry that listens.
type Server struct {
	opts     Options
	app      *handlers.App
	lock     *flock.Flock
	listener net.Listener
	http     *http.Server
}

// An OptionError is a mistake in Options.
type OptionError struct{ Reason string }

// Error says what is wrong and what to do.
func (e *OptionError) Error() string { return e.Reason }

// Listen opens the content and listens. The caller calls Serve or Close.
// Mistakes in opts are *OptionErrors.
func Listen(ctx context.Context, opts Options) (*Server, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	s := &Server{opts: opts}
	err := s.open(ctx)
	if err == nil {
		err = s.listen()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// check refuses what is not safe or cannot work.
func (o Options) check() error {
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return &OptionError{fmt.Sprintf("address %q: %v; write host:port, such as %s", o.Addr, err, DefaultAddr)}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return &OptionError{"a certificate and its key are given together"}
	}
	if o.CertFile == "" && !isLoopback(host) {
		return &OptionError{fmt.Sprintf("address %q is not loopback: others could read and write without TLS; give a certificate and a key", o.Addr)}
	}
	if o.Root == "" {
		return &OptionError{"there is no directory for the content: set HOME or name one"}
	}
	if o.Htpasswd != "" {
		return checkAccounts(o.Htpasswd)
	}
	return nil
}

// isLoopback reports whether host is this machine alone.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// checkAccounts refuses a file without one good account: the library would make
// an account of its own, or let nobody in.
func checkAccounts(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("reading accounts: %w", err)
	}
	defer f.Close()
	lines, accounts := bufio.NewScanner(f), 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		_, hash, ok := strings.Cut(line, ":")
		if !ok || !strings.HasPrefix(hash, "$2") {
			return &OptionError{fmt.Sprintf("%s:%d: not an account with a bcrypt hash; make one with htpasswd -B", path, n)}
		}
		accounts++
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading accounts: %w", err)
	}
	if accounts == 0 {
		return &OptionError{fmt.Sprintf("%s holds no account; make one with htpasswd -B", path)}
	}
	return nil
}

// open opens the content. Many servers may serve one directory; none while it
// is collected.
func (s *Server) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.opts.Root, 0o700); err != nil {
		return fmt.Errorf("making the registry's directory: %w", err)
	}
	s.lock = flock.New(filepath.Join(s.opts.Root, ".strata.lock"),
		flock.SetFlag(os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW), flock.SetPermissions(0o600))
	if s.opts.Collect {
		if err := s.collect(ctx); err != nil {
			return err
		}
	}
	if ok, err := s.lock.TryRLock(); err != nil {
		return fmt.Errorf("locking the registry's directory: %w", err)
	} else if !ok {
		return &BusyError{s.opts.Root}
	}
	defer func() { // the library panics at what it does not like
		if r := recover(); r != nil {
			err = fmt.Errorf("opening the registry in %s: %v", s.opts.Root, r)
		}
	}()
	s.app = handlers.NewApp(context.WithoutCancel(ctx), s.config())
	return nil
}

// A BusyError says that the content is in use by another server.
type BusyError struct{ Root string }

// Error names the directory.
func (e *BusyError) Error() string {
	return fmt.Sprintf("the registry in %s is in use by another server", e.Root)
}

func (s *Server) config() *configuration.Configuration {
	c := &configuration.Configuration{Storage: configuration.Storage{
		"filesystem": configuration.Parameters{"rootdirectory": s.opts.Root},
		"cache":      configuration.Parameters{"blobdescriptor": "inmemory"},
		"delete":     configuration.Parameters{"enabled": !s.opts.ReadOnly},
		"maintenance": configuration.Parameters{
			"readonly": map[any]any{"enabled": s.opts.ReadOnly},
			"uploadpurging": map[any]any{
				"enabled": !s.opts.ReadOnly, "age": "168h", "interval": "24h", "dryrun": false,
			},
		},
	}}
	c.HTTP.Secret = rand.Text() // of uploads, which end with the server
	c.HTTP.RelativeURLs = true  // the server may be behind another name
	if s.opts.Htpasswd != "" {
		c.Auth = configuration.Auth{"htpasswd": configuration.Parameters{"realm": "strata", "path": s.opts.Htpasswd}}
	}
	return c
}

func (s *Server) listen() error {
	var handler http.Handler = s.app
	if s.opts.CertFile == "" {
		handler = onlyLoopback(handler)
	}
	if s.opts.Log != nil {
		handler = logged(handler, s.opts.Log)
	}
	s.http = &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	if s.opts.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(s.opts.CertFile, s.opts.KeyFile)
		if err != nil {
			return &OptionError{fmt.Sprintf("certificate %s: %v", s.opts.CertFile, err)}
		}
		s.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	}
	l, err := net.Listen("tcp", s.opts.Addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	s.listener = l
	return nil
}

// Host is the registry as it stands in references: "127.0.0.1:5000".
func (s *Server) Host() string { return s.listener.Addr().String() }

// URL is where the registry listens.
func (s *Server) URL() string {
	if s.opts.CertFile != "" {
		return "https://" + s.Host()
	}
	return "http://" + s.Host()
}

// drainTime is how long requests in flight are waited for.
const drainTime = 5 * time.Second

// Serve serves until ctx ends, and closes s.
func (s *Server) Serve(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			failed <- s.http.ServeTLS(s.listener, "", "")
		} else {
			failed <- s.http.Serve(s.listener)
		}
	}()
	select {
	case err := <-failed:
		return errors.Join(fmt.Errorf("serving the registry: %w", err), s.Close())
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := s.http.Shutdown(drain); err != nil {
		_ = s.http.Close()
	}
	<-failed
	return s.Close()
}

// Close lets go of everything. It may be called twice.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.app != nil {
		errs = append(errs, s.app.Shutdown())
		s.app = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}
