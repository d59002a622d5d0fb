package engine

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/sys/atomicwriter"
	"github.com/moby/sys/userns"
	"github.com/sirupsen/logrus"
	"google.golang.org/grpc"
)

const (
	lockPatience  = 10 * time.Second // for the engine before to end
	stopGrace     = 3 * time.Second  // for calls under way when told to stop
	cancelGrace   = 10 * time.Second // for builds that were cancelled
	checkInterval = 2 * time.Second  // how often an unused engine looks at the clock
	maxLog        = 4 << 20          // bytes of a log file before it is put aside
	maxTempPath   = 60               // sockets are made below it
	keptBadStates = 1                // folders of state put aside
)

// Serve runs the embedded engine until ctx ends, it has been unused for too
// long, or a command tells it to stop. It changes its process: the umask, the
// environment, where the log goes.
func Serve(ctx context.Context, opts ServeOptions) error {
	ready := newReadyWire(opts.ReadyFD)
	err := serve(ctx, opts, ready)
	if err != nil {
		ready.tell(err)
	}
	return err
}

func serve(ctx context.Context, opts ServeOptions, ready *readyWire) error {
	if opts.MappedFD != 0 {
		return becomeMapped(opts) // returns only when it goes wrong
	}
	if os.Geteuid() != 0 {
		return serveMapped(ctx, opts, ready)
	}
	// BuildKit makes files with the modes they shall have in an image.
	syscall.Umask(0)
	dir, err := stateDir(Options{Dir: opts.Dir}.withDefaults())
	if err != nil {
		return err
	}
	h := home{dir}
	if err := privateDir(dir); err != nil {
		return err
	}
	if err := setLog(h.log(), opts.ToLog); err != nil {
		return err
	}
	lock, err := h.lock(ctx)
	if err != nil {
		return err
	}
	defer lock.Close()

	s, err := h.newServer(ctx, opts, ready)
	if err != nil {
		return err
	}
	return s.run(ctx, ready)
}

// lock makes this process the one engine of h, once the one before has ended.
func (h home) lock(ctx context.Context) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, fmt.Errorf("another engine holds %s", h.serveLock()))
	defer cancel()
	lock := flock.New(h.serveLock(), flock.SetPermissions(0o600))
	_, err := lock.TryLockContext(ctx, lockInterval)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// A server is an engine that is up: BuildKit behind a door.
type server struct {
	home       home
	started    time.Time
	opts       ServeOptions
	registries *registries
	backend    *backend
	door       *door
	grpc       *grpc.Server
	unneeded   chan struct{} // closed when a command says so
}

func (h home) newServer(ctx context.Context, opts ServeOptions, ready *readyWire) (_ *server, err error) {
	if opts.Runtime == "" {
		if opts.Runtime, err = findRuntime(ctx, Options{}.withDefaults()); err != nil {
			return nil, err
		}
	}
	socket := h.socketPath(os.Getenv("XDG_RUNTIME_DIR"), shortHash(h.dir))
	if err := privateDir(filepath.Dir(socket)); err != nil {
		return nil, err
	}
	temp, err := h.prepare(opts, ready)
	if err != nil {
		return nil, err
	}
	s := &server{home: h, started: time.Now(), opts: opts, unneeded: make(chan struct{})}
	if s.registries, err = newRegistries(h.settings()); err != nil {
		logrus.Warn(err)
	}
	s.backend, err = newBackend(ctx, backendOptions{
		root:         h.root(),
		runtime:      opts.Runtime,
		rootless:     userns.RunningInUserNS(),
		entitlements: splitNames(opts.Entitlements),
		hosts:        s.registries.Hosts,
	})
	if err != nil {
		return nil, err
	}
	s.grpc = newGRPCServer()
	s.backend.register(s.grpc)
	registerControl(s.grpc, s)
	s.door, err = openDoor(socket, func(err error) { logrus.Warn("turned away: ", err) })
	if err != nil {
		return nil, errors.Join(err, s.backend.close())
	}
	text, err := json.Marshal(record{PID: os.Getpid(), Socket: socket, Temp: temp})
	if err == nil {
		err = atomicwriter.WriteFile(h.record(), text, 0o600)
	}
	if err != nil {
		return nil, errors.Join(err, s.door.Close(), s.backend.close())
	}
	return s, nil
}

// prepare makes the folders of a new engine and clears away what a killed one
// left. It returns the folder for temporary files.
func (h home) prepare(opts ServeOptions, ready *readyWire) (string, error) {
	old, err := h.readRecord()
	killed := !errors.Is(err, fs.ErrNotExist)
	if killed {
		clearLeftovers(opts.Runtime, h, old.Temp)
	}
	switch {
	case opts.Fresh:
		err = h.putStateAside(ready)
	case killed:
		err = h.checkState(ready)
	default:
		err = nil
	}
	if err != nil {
		return "", err
	}
	if err := os.Remove(h.record()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	for _, dir := range []string{h.root(), h.runtimeState()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return "", err
		}
	}
	temp, err := h.makeTemp()
	if err != nil {
		return "", err
	}
	// What BuildKit and the runtime mount and make on the way is then ours to
	// find and to clear away, even after a kill.
	return temp, errors.Join(
		os.Setenv("TMPDIR", temp),
		os.Setenv("XDG_RUNTIME_DIR", h.runtimeState()),
		os.Unsetenv("USER"),
	)
}

// runtimeState is where a runtime without privileges keeps its containers.
func (h home) runtimeState() string { return filepath.Join(h.dir, "run") }

// tempPrefix begins the name of a folder for temporary files that is not beside
// the state. Nothing else is ever removed as such.
const tempPrefix = "strata-engine-"

// makeTemp makes the folder for temporary files: beside the state, for there is
// the room, unless sockets in it would have too long a path.
func (h home) makeTemp() (string, error) {
	if temp := filepath.Join(h.dir, "tmp"); len(temp) <= maxTempPath {
		return temp, os.MkdirAll(temp, 0o700)
	}
	return os.MkdirTemp("", tempPrefix)
}

// run serves until it is time to end.
func (s *server) run(ctx context.Context, ready *readyWire) error {
	failed := make(chan error, 1)
	go func() { failed <- s.grpc.Serve(s.door) }()
	ready.tell(nil)
	logrus.Infof("serving at %s", s.door.path)

	err := s.wait(ctx, failed)
	logrus.Info("ending")
	if !s.hangUp() {
		// The record stays: the next engine clears away what this one cannot.
		return errors.Join(err, errors.New("ended with calls under way"))
	}
	return errors.Join(err, s.backend.close(), s.leave())
}

// wait returns when it is time to end.
func (s *server) wait(ctx context.Context, failed <-chan error) error {
	tick := time.NewTicker(min(checkInterval, max(s.opts.IdleTimeout/4, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.unneeded:
			return nil
		case err := <-failed:
			return err
		case <-tick.C:
			quiet := s.opts.IdleTimeout
			if s.door.isLost() {
				quiet = 0
			}
			if s.door.shutUnlessUsed(nil, quiet) {
				return nil
			}
		}
	}
}

// hangUp ends all calls: those of builds are cancelled after a short grace. It
// says whether they did end.
func (s *server) hangUp() bool {
	s.backend.stopping()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	grace := time.AfterFunc(stopGrace, s.grpc.Stop)
	defer grace.Stop()
	select {
	case <-done:
		return true
	case <-time.After(stopGrace + cancelGrace):
		return false
	}
}

// leave removes what only a serving engine has. BuildKit may still hold mounts
// of a build that has just ended.
func (s *server) leave() error {
	clearFolders(s.home.workFolders(os.TempDir()))
	errs := []error{os.Remove(s.home.record())}
	if dir := filepath.Dir(s.door.path); dir != s.home.dir {
		errs = append(errs, os.Remove(dir))
	}
	if temp := os.TempDir(); filepath.Dir(temp) != s.home.dir && strings.HasPrefix(filepath.Base(temp), tempPrefix) {
		errs = append(errs, os.RemoveAll(temp))
	}
	return errors.Join(errs...)
}

func (s *server) status(ctx context.Context) StatusInfo {
	if err := s.registries.reload(); err != nil {
		logrus.Warn(err)
	}
	exe, err := os.Executable()
	if err != nil {
		logrus.Warn(err)
	}
	return StatusInfo{
		Running:      true,
		Dir:          s.home.dir,
		Log:          s.home.log(),
		Socket:       s.door.path,
		PID:          os.Getpid(),
		Version:      s.backend.version,
		Build:        buildOf(exe),
		Runtime:      s.opts.Runtime,
		Snapshotter:  s.backend.snapshotter,
		Rootless:     userns.RunningInUserNS(),
		Entitlements: splitNames(s.opts.Entitlements),
		Started:      s.started,
		IdleTimeout:  s.opts.IdleTimeout.String(),
		Clients:      s.door.others(asker(ctx)),
	}
}

func (s *server) stopUnused(ctx context.Context) bool {
	if !s.door.shutUnlessUsed(asker(ctx), 0) {
		return false
	}
	close(s.unneeded)
	return true
}

// A readyWire tells the starter once whether the engine serves.
type readyWire struct {
	wire    *os.File
	notices []string
}

func newReadyWire(fd int) *readyWire {
	if fd == 0 {
		return &readyWire{}
	}
	syscall.CloseOnExec(fd) // a container must not keep the starter waiting
	return &readyWire{wire: os.NewFile(uintptr(fd), "ready")}
}

// notice keeps a sentence for the person at the starter.
func (w *readyWire) notice(text string) {
	logrus.Warn(text)
	w.notices = append(w.notices, text)
}

// tell reports err, or that the engine serves. A starter that has gone does not
// hear it.
func (w *readyWire) tell(err error) {
	if w.wire == nil {
		return
	}
	report := readyReport{Notices: w.notices}
	if err != nil {
		report.Error = err.Error()
		errors.As(err, &report.Runtime)
	}
	if err := errors.Join(json.NewEncoder(w.wire).Encode(report), w.wire.Close()); err != nil {
		logrus.Warn("nobody waits for this engine: ", err)
	}
	w.wire = nil
}

func splitNames(names string) []string {
	return strings.FieldsFunc(names, func(r rune) bool { return r == ',' })
}

func shortHash(text string) string {
	return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:8]
}
