package rig

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// A Relay is a unix socket that leads to another and counts what passes. The
// kernel moves the bytes, unless messages are measured.
type Relay struct {
	Path string

	to       string
	measure  atomic.Bool
	listener net.Listener
	wait     sync.WaitGroup

	mu     sync.Mutex
	closed *sync.Cond // with mu; told when a connection has ended
	open   map[net.Conn]bool
	total  Traffic
}

// Traffic is what passed through a relay.
type Traffic struct {
	Connections int
	Sent        int64 // bytes to the daemon
	Received    int64
	Largest     int // bytes of the largest message in either direction, 0 if not measured
}

// NewRelay listens at path and leads to the socket at to, which need not exist
// yet.
func NewRelay(path, to string) (*Relay, error) {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	r := &Relay{Path: path, to: to, listener: listener, open: map[net.Conn]bool{}}
	r.closed = sync.NewCond(&r.mu)
	r.wait.Go(r.accept)
	return r, nil
}

// Measure makes connections from now on tell the size of gRPC messages.
func (r *Relay) Measure(on bool) { r.measure.Store(on) }

// Traffic waits until no connection is left and returns what has passed since
// the last call. The clients must have ended.
func (r *Relay) Traffic() Traffic {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.open) > 0 {
		r.closed.Wait()
	}
	t := r.total
	r.total = Traffic{}
	return t
}

// Close ends all connections.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.mu.Lock()
	for conn := range r.open {
		_ = conn.Close()
	}
	r.mu.Unlock()
	r.wait.Wait()
	return err
}

func (r *Relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.wait.Go(func() { r.pass(conn) })
	}
}

// pass carries one connection until both directions have ended.
func (r *Relay) pass(client net.Conn) {
	defer r.forget(client)
	r.keep(client)
	daemon, err := net.Dial("unix", r.to)
	if err != nil {
		return
	}
	defer r.forget(daemon)
	r.keep(daemon)
	r.add(Traffic{Connections: 1})
	var both sync.WaitGroup
	both.Go(func() { r.carry(daemon, client, func(n int64) Traffic { return Traffic{Sent: n} }) })
	both.Go(func() { r.carry(client, daemon, func(n int64) Traffic { return Traffic{Received: n} }) })
	both.Wait()
}

func (r *Relay) carry(to, from net.Conn, traffic func(int64) Traffic) {
	var n int64
	var err error
	if r.measure.Load() {
		m := newMessages()
		n, err = io.Copy(to, io.TeeReader(from, m))
		r.add(Traffic{Largest: m.Close()})
	} else {
		n, err = io.Copy(to, from)
	}
	if err != nil {
		_ = from.Close()
	}
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	r.add(traffic(n))
}

func (r *Relay) add(t Traffic) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.Connections += t.Connections
	r.total.Sent += t.Sent
	r.total.Received += t.Received
	r.total.Largest = max(r.total.Largest, t.Largest)
}

func (r *Relay) keep(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[conn] = true
}

func (r *Relay) forget(conn net.Conn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, conn)
	r.closed.Broadcast()
}
