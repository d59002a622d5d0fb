package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc/peer"
)

// A door is the engine's socket: it lets in who may use the engine and counts
// who is in, so that the engine knows when nobody needs it.
type door struct {
	*net.UnixListener
	path    string
	inode   uint64
	turned  func(error) // told of each visitor that was turned away
	release func() error

	mu     sync.Mutex
	guests map[*guest]bool
	shut   bool
	since  time.Time // when the last guest left
}

// A guest is a connection through a door.
type guest struct {
	*net.UnixConn
	door *door
	pid  int
	left sync.Once
}

// A guestAddr lets a handler know which guest asks.
type guestAddr struct{ guest *guest }

func (a guestAddr) Network() string { return "unix" }
func (a guestAddr) String() string  { return fmt.Sprintf("process %d", a.guest.pid) }

// openDoor listens at path, where only we can connect.
func openDoor(path string, turned func(error)) (*door, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	addr, release, err := socketAddr(path)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: addr, Net: "unix"})
	if err != nil {
		return nil, errors.Join(err, release())
	}
	d := &door{
		UnixListener: l,
		path:         path,
		turned:       turned,
		release:      release,
		guests:       make(map[*guest]bool),
		since:        time.Now(),
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	d.inode, err = inodeOf(path)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func inodeOf(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Ino, nil
}

// Close stops listening and removes the socket. Guests stay.
func (d *door) Close() error {
	return errors.Join(d.UnixListener.Close(), d.release())
}

// Accept waits for the next guest.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.AcceptUnix()
		if err != nil {
			return nil, err
		}
		g, err := d.admit(conn)
		if err == nil {
			return g, nil
		}
		d.turned(errors.Join(err, conn.Close()))
	}
}

// admit lets in our own processes and the administrator's.
func (d *door) admit(conn *net.UnixConn) (*guest, error) {
	visitor, err := peerOf(conn)
	if err != nil {
		return nil, err
	}
	if uid := int(visitor.Uid); uid != os.Geteuid() && uid != 0 {
		return nil, fmt.Errorf("process %d of user %d may not use this engine", visitor.Pid, uid)
	}
	g := &guest{UnixConn: conn, door: d, pid: int(visitor.Pid)}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return nil, fmt.Errorf("process %d comes too late", visitor.Pid)
	}
	d.guests[g] = true
	return g, nil
}

// RemoteAddr tells handlers which guest asks.
func (g *guest) RemoteAddr() net.Addr { return guestAddr{g} }

// Close lets the guest out.
func (g *guest) Close() error {
	g.left.Do(func() {
		g.door.mu.Lock()
		defer g.door.mu.Unlock()
		delete(g.door.guests, g)
		g.door.since = time.Now()
	})
	return g.UnixConn.Close()
}

// asker is the guest whose call ctx is of, nil when there is none.
func asker(ctx context.Context) *guest {
	if p, ok := peer.FromContext(ctx); ok {
		if addr, ok := p.Addr.(guestAddr); ok {
			return addr.guest
		}
	}
	return nil
}

// others lists the processes of the guests beside one, in order.
func (d *door) others(than *guest) []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	pids := []int{}
	for g := range d.guests {
		if g != than {
			pids = append(pids, g.pid)
		}
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

// shutUnlessUsed lets nobody in any more if nobody but one guest has been in
// for a time, and says whether it does.
func (d *door) shutUnlessUsed(but *guest, quiet time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	rest := len(d.guests)
	if d.guests[but] {
		rest--
	}
	if rest > 0 || time.Since(d.since) < quiet {
		return false
	}
	d.shut = true
	return true
}

// isLost says that nobody can find the door any more: its socket was swept
// away, as a session's runtime folder is at the user's logout.
func (d *door) isLost() bool {
	inode, err := inodeOf(d.path)
	return err != nil || inode != d.inode
}

// socketPath is where the engine of h listens: in the user's runtime folder if
// there is one and the path is not too long, else beside its state.
func (h home) socketPath(runtimeDir, name string) string {
	inHome := filepath.Join(h.dir, "engine.sock")
	inRuntime := filepath.Join(runtimeDir, "strata-"+name, "engine.sock")
	if !filepath.IsAbs(runtimeDir) || len(inRuntime) > maxSocketPath {
		return inHome
	}
	if info, err := os.Stat(runtimeDir); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return inHome
	}
	return inRuntime
}
