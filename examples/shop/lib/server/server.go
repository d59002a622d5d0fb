// Package server runs the HTTP servers of the shop: all of them answer
// /healthz, log to standard error and end in peace on SIGTERM.
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Addr is where a server listens: the variable ADDR, or fallback.
func Addr(fallback string) string {
	if a := os.Getenv("ADDR"); a != "" {
		return a
	}
	return fallback
}

// Main serves h at the address Addr(fallback) and runs the jobs beside it until
// the process is asked to end. If that goes wrong it ends the process.
func Main(name, fallback string, h http.Handler, jobs ...func(context.Context)) {
	if err := untilSignal(name, Addr(fallback), h, jobs); err != nil {
		slog.Error("cannot go on", "service", name, "err", err)
		os.Exit(1)
	}
}

func untilSignal(name, addr string, h http.Handler, jobs []func(context.Context)) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var running sync.WaitGroup
	for _, job := range jobs {
		running.Go(func() { job(ctx) })
	}
	err := Run(ctx, name, addr, h)
	stop()
	running.Wait()
	return err
}

// Run serves h at addr until ctx is canceled, then lets requests in flight end.
func Run(ctx context.Context, name, addr string, h http.Handler) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("service", name)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: logged(log, healthy(h)), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	log.Info("listening", "addr", l.Addr().String())
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		return err
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	log.Info("ended")
	return nil
}

// healthy answers /healthz itself and leaves the rest to next.
func healthy(next http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	})
	mux.Handle("/", next)
	return mux
}

func logged(log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r)
		log.Info("request", "method", r.Method, "path", r.URL.Path, "status", rec.status, "took", time.Since(start))
	})
}

// A recorder remembers the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer below.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
