package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	"github.com/moby/buildkit/client"
	"golang.org/x/sys/unix"
)

const (
	startPatience = 60 * time.Second // for the child to say that it serves
	stopPatience  = 15 * time.Second // for the child to end
	lockInterval  = 20 * time.Millisecond
)

const embeddedHint = "strata engine logs tells more"

// A record is what a serving child leaves in its folder for commands to find.
type record struct {
	PID    int    `json:"pid"`
	Socket string `json:"socket"`
	Temp   string `json:"temp"` // folder for its temporary files
}

func (h home) readRecord() (record, error) {
	var r record
	text, err := os.ReadFile(h.record())
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("reading %s: %w", h.record(), err)
	}
	return r, nil
}

// openEmbedded connects to the embedded engine, starting it if it does not run.
func openEmbedded(ctx context.Context, opts Options) (*Engine, error) {
	line, info, err := attach(ctx, opts)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		kind:    KindEmbedded,
		name:    "embedded engine",
		address: embeddedName,
		hint:    embeddedHint,
		notice:  opts.Notice,
		closers: []func() error{line.Close},
	}
	if err := e.connect(ctx, "passthrough:///engine", client.WithContextDialer(dialer(info.Socket))); err != nil {
		return nil, err
	}
	return e, nil
}

// Start starts the embedded engine, or finds it running.
func Start(ctx context.Context, opts Options) (StatusInfo, error) {
	line, info, err := attach(ctx, opts.withDefaults())
	if err != nil {
		return info, err
	}
	return info, line.Close()
}

// Status tells about the embedded engine without starting it. An engine that
// runs but does not answer is an *UnreachableError.
func Status(ctx context.Context, opts Options) (StatusInfo, error) {
	dir, err := stateDir(opts.withDefaults())
	if err != nil {
		return StatusInfo{Clients: []int{}}, err
	}
	h := home{dir}
	line, info, err := h.reach(ctx)
	if line == nil {
		return StatusInfo{Dir: dir, Log: h.log(), Clients: []int{}}, err
	}
	return info, line.Close()
}

// attach opens a line to an embedded engine that suits opts.
func attach(ctx context.Context, opts Options) (*control, StatusInfo, error) {
	dir, err := stateDir(opts)
	if err != nil {
		return nil, StatusInfo{}, err
	}
	h := home{dir}
	if err := privateDir(dir); err != nil {
		return nil, StatusInfo{}, broken(err, "STRATA_ENGINE_DIR names another folder")
	}
	if err := writeSettings(h.settings(), opts.Registries); err != nil {
		return nil, StatusInfo{}, broken(err, "")
	}
	line, info, err := h.reach(ctx)
	if err != nil || (line != nil && suits(info, opts) == nil) {
		return line, info, err
	}
	if line != nil {
		if err := line.Close(); err != nil {
			return nil, info, broken(err, "")
		}
	}
	return h.attachAlone(ctx, opts)
}

// attachAlone is attach for the one command at a time that may start an engine
// or replace one.
func (h home) attachAlone(ctx context.Context, opts Options) (*control, StatusInfo, error) {
	lock := flock.New(h.startLock(), flock.SetPermissions(0o600))
	if _, err := lock.TryLockContext(ctx, lockInterval); err != nil {
		return nil, StatusInfo{}, broken(err, "")
	}
	defer lock.Close()

	line, info, err := h.reach(ctx)
	if err != nil {
		return nil, info, err
	}
	if line != nil {
		keep, err := h.retire(ctx, line, suits(info, opts))
		if keep {
			return line, info, nil
		}
		if err := errors.Join(err, line.Close()); err != nil {
			return nil, info, broken(err, "try again when it is idle")
		}
	}
	if err := h.launch(ctx, opts); err != nil {
		return nil, info, err
	}
	line, info, err = h.reach(ctx)
	if err == nil && line == nil {
		err = broken(errors.New("it ended as soon as it had started"), embeddedHint)
	}
	return line, info, err
}

// retire ends the engine on the line to make room for a suitable one, or says
// that it must do.
func (h home) retire(ctx context.Context, line *control, unfit *unsuitable) (keep bool, err error) {
	if unfit == nil {
		return true, nil
	}
	stops, err := line.stopUnused(ctx)
	switch {
	case err != nil, stops:
		return false, nil // it ends, or has ended by itself
	case unfit.bearable:
		return true, nil
	}
	return false, unfit
}

// An unsuitable says why an engine that runs is not the one that would be
// started. A bearable one is used all the same while others need it.
type unsuitable struct {
	reason   string
	bearable bool
}

func (u *unsuitable) Error() string { return u.reason }

// suits compares an engine that runs with what opts would start.
func suits(info StatusInfo, opts Options) *unsuitable {
	for _, e := range opts.Entitlements {
		if !slices.Contains(info.Entitlements, e) {
			return &unsuitable{reason: "it runs without the entitlement " + e + " and is in use"}
		}
	}
	if len(opts.Entitlements) != len(info.Entitlements) {
		return &unsuitable{reason: "it may give entitlements that were not granted now", bearable: true}
	}
	if opts.Runtime != "" {
		if path, err := lookRuntime(opts.Runtime, nil); err != nil || path != info.Runtime {
			return &unsuitable{reason: "it runs steps by " + info.Runtime + " and is in use"}
		}
	}
	if exe, err := executable(opts); err == nil && buildOf(exe) != info.Build {
		return &unsuitable{reason: "it is of another build of this program", bearable: true}
	}
	return nil
}

// reach opens a line to the engine that serves in h. With none there it
// returns neither a line nor an error.
func (h home) reach(ctx context.Context) (*control, StatusInfo, error) {
	r, err := h.readRecord()
	if err != nil {
		return nil, StatusInfo{}, nil
	}
	var dialFailure atomic.Pointer[error]
	line, err := newControl(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := dialer(r.Socket)(ctx, addr)
		if err != nil {
			dialFailure.Store(&err)
		}
		return conn, err
	})
	if err != nil {
		return nil, StatusInfo{}, broken(err, "")
	}
	asking, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	info, err := line.status(asking)
	if err == nil {
		return line, info, nil
	}
	if closeErr := line.Close(); closeErr != nil {
		return nil, info, broken(closeErr, "")
	}
	if asking.Err() != nil {
		hint := fmt.Sprintf("process %d hangs, strata engine stop --force kills it", r.PID)
		return nil, info, broken(context.Cause(asking), hint)
	}
	if failure := dialFailure.Load(); failure != nil && !isNobodyThere(*failure) {
		return nil, info, broken(*failure, "")
	}
	return nil, info, nil // it was killed, or ended while it was asked
}

// isNobodyThere tells a socket that nobody serves from one that is not for us.
func isNobodyThere(err error) bool {
	return errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist)
}

// launch starts a child and waits until it serves. A child that dies of its
// state gets a second one with fresh state.
func (h home) launch(ctx context.Context, opts Options) error {
	runtime, err := findRuntime(ctx, opts)
	if err != nil {
		return err
	}
	serve := ServeOptions{
		Dir:          h.dir,
		Runtime:      runtime,
		IdleTimeout:  opts.IdleTimeout,
		Entitlements: strings.Join(opts.Entitlements, ","),
		ToLog:        true,
		ReadyFD:      3,
	}
	report, err := h.spawn(ctx, opts, serve)
	if errors.Is(err, errSilentDeath) && h.diedOfState() {
		serve.Fresh = true
		report, err = h.spawn(ctx, opts, serve)
	}
	for _, notice := range report.Notices {
		opts.Notice(notice)
	}
	switch {
	case err != nil:
		return broken(err, embeddedHint)
	case report.Runtime != nil:
		return report.Runtime
	case report.Error != "":
		return broken(errors.New(report.Error), embeddedHint)
	}
	return nil
}

var errSilentDeath = errors.New("it died while starting")

// spawn starts a child in a session of its own and returns what it reports.
func (h home) spawn(ctx context.Context, opts Options, serve ServeOptions) (readyReport, error) {
	exe, err := executable(opts)
	if err != nil {
		return readyReport{}, err
	}
	log, err := os.OpenFile(h.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return readyReport{}, err
	}
	defer log.Close()
	ready, tellReady, err := os.Pipe()
	if err != nil {
		return readyReport{}, err
	}
	defer ready.Close()
	cmd := exec.Command(exe, serve.args()...)
	cmd.Dir = "/"
	cmd.Env = childEnv(opts)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{tellReady}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	if closeErr := tellReady.Close(); err != nil || closeErr != nil {
		return readyReport{}, errors.Join(err, closeErr)
	}
	if err := cmd.Process.Release(); err != nil {
		return readyReport{}, err
	}
	return readReport(ctx, ready)
}

// readReport waits for the child's word.
func readReport(ctx context.Context, ready *os.File) (readyReport, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startPatience, errNoAnswerWithin(startPatience))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var report readyReport
	line, err := bufio.NewReader(ready).ReadBytes('\n')
	switch {
	case ctx.Err() != nil:
		return report, context.Cause(ctx)
	case err != nil:
		return report, errSilentDeath
	}
	return report, json.Unmarshal(line, &report)
}

// keptEnv are the variables that an engine gets from the command that starts
// it. It serves other commands too, which must not find this one's secrets.
var keptEnv = []string{
	"PATH", "HOME", "LANG", "LC_ALL", "TZ", "XDG_RUNTIME_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "GODEBUG", "GOCOVERDIR", "GOTRACEBACK",
}

// childEnv is the child's environment. BuildKit's limits on the output of a
// step are raised: the command clips what it shows, and says so.
func childEnv(opts Options) []string {
	env := []string{
		"BUILDKIT_STEP_LOG_MAX_SIZE=67108864",
		"BUILDKIT_STEP_LOG_MAX_SPEED=16777216",
	}
	for _, name := range keptEnv {
		if value, ok := opts.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// diedOfState says whether the log ends with a crash in the database, as a
// killed machine can leave one behind.
func (h home) diedOfState() bool {
	text, err := tail(h.log(), 64<<10)
	return err == nil && strings.Contains(text, "bbolt")
}

// Stop ends the embedded engine. One in use is left alone with a *BusyError
// unless force is set. Stopping none is no error.
func Stop(ctx context.Context, opts Options, force bool) error {
	dir, err := stateDir(opts.withDefaults())
	if err != nil {
		return err
	}
	h := home{dir}
	if force {
		return h.kill(ctx)
	}
	line, _, err := h.reach(ctx)
	if line == nil {
		return err
	}
	err = line.stopOrNameClients(ctx)
	if err := errors.Join(err, line.Close()); err != nil {
		return err
	}
	if !h.awaitEnd(ctx, stopPatience) {
		return broken(fmt.Errorf("it did not end within %s", stopPatience), "strata engine stop --force kills it")
	}
	return nil
}

// stopOrNameClients ends the engine or returns a *BusyError. Processes that have
// ended do not count: the engine is about to notice.
func (c *control) stopOrNameClients(ctx context.Context) error {
	for tries := 0; ; tries++ {
		stops, err := c.stopUnused(ctx)
		if stops || err != nil {
			return err
		}
		info, err := c.status(ctx)
		if err != nil {
			return err
		}
		if tries == 10 || slices.ContainsFunc(info.Clients, isAlive) {
			return &BusyError{Clients: info.Clients}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockInterval):
		}
	}
}

func isAlive(pid int) bool { return !errors.Is(unix.Kill(pid, 0), unix.ESRCH) }

// kill ends the engine whoever uses it, asking first.
func (h home) kill(ctx context.Context) error {
	pid, err := h.servingPID(ctx)
	if err != nil || pid == 0 {
		return err
	}
	for _, signals := range [][]unix.Signal{{unix.SIGTERM, unix.SIGCONT}, {unix.SIGKILL}} {
		for _, sig := range signals {
			if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
				return broken(fmt.Errorf("ending process %d: %w", pid, err), "")
			}
		}
		if h.awaitEnd(ctx, stopPatience) {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return broken(fmt.Errorf("process %d does not end", pid), "")
}

// servingPID is the process that serves in h, 0 when none does. The lock tells
// whether the record is of a process that still runs.
func (h home) servingPID(ctx context.Context) (int, error) {
	r, err := h.readRecord()
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, broken(err, "")
	}
	if h.awaitEnd(ctx, 0) {
		return 0, nil
	}
	return r.PID, nil
}

// awaitEnd waits until no child serves in h, and says whether it came to that.
func (h home) awaitEnd(ctx context.Context, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	lock := flock.New(h.serveLock(), flock.SetFlag(os.O_RDWR))
	defer lock.Close()
	free, err := lock.TryRLock()
	if err == nil && !free && patience > 0 {
		free, err = lock.TryRLockContext(ctx, lockInterval)
	}
	return free || errors.Is(err, fs.ErrNotExist)
}

// dialer dials the engine's socket and makes sure that it is ours: whoever
// listens there is given secrets.
func dialer(socket string) func(context.Context, string) (net.Conn, error) {
	return func(ctx context.Context, _ string) (net.Conn, error) {
		addr, release, err := socketAddr(socket)
		if err != nil {
			return nil, err
		}
		defer release()
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", addr)
		if err != nil {
			return nil, err
		}
		peer, err := peerOf(conn.(*net.UnixConn))
		if err == nil && int(peer.Uid) != os.Geteuid() {
			err = fmt.Errorf("%s is served by user %d, not by you", socket, peer.Uid)
		}
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	}
}

// broken reports an embedded engine that is not to be had.
func broken(err error, hint string) error {
	var known *UnreachableError
	if errors.As(err, &known) {
		return err
	}
	return &UnreachableError{Address: embeddedName, Err: plainCause(err), Hint: hint}
}
