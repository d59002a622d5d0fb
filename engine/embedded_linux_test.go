package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/sys/mountinfo"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/strata-build/strata/internal/testkit"
)

// embeddedOptions are of an engine of the test's own, which ends with it.
func embeddedOptions(t *testing.T) Options {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("an engine in a test's folder takes root")
	}
	opts := Options{
		Address:   "embedded",
		Dir:       filepath.Join(t.TempDir(), "engine"),
		LookupEnv: envOf(map[string]string{"PATH": os.Getenv("PATH"), "GOCOVERDIR": os.Getenv("GOCOVERDIR")}),
		Notice:    func(text string) { t.Log("notice:", text) },
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testPatience)
		defer cancel()
		if err := Stop(ctx, opts, true); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			log, err := os.ReadFile(LogPath(opts))
			t.Logf("engine.log: %v\n%s", err, log)
		}
		if left := mountsBelow(t, opts.Dir); len(left) > 0 {
			t.Errorf("mounts are left: %v", left)
		}
	})
	return opts
}

func mountsBelow(t *testing.T, dir string) []string {
	t.Helper()
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		t.Fatal(err)
	}
	var points []string
	for _, m := range mounts {
		points = append(points, m.Mountpoint)
	}
	return points
}

func mustOpen(t *testing.T, opts Options) *Engine {
	t.Helper()
	e, err := Open(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func mustStatus(t *testing.T, opts Options) StatusInfo {
	t.Helper()
	info, err := Status(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// shellProgram is where a busybox lies, if not in the stand-in image.
const shellProgram = "STRATA_TEST_SHELL"

// busybox is a statically linked shell with the usual small programs.
func busybox(t *testing.T) []byte {
	t.Helper()
	if path := os.Getenv(shellProgram); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	image, err := testkit.Busybox()
	if err != nil {
		t.Fatal(err)
	}
	files := mutate.Extract(image)
	defer files.Close()
	r := tar.NewReader(files)
	for {
		h, err := r.Next()
		if err != nil {
			t.Fatal("looking for busybox in the stand-in image: ", err)
		}
		if path.Base(h.Name) != "busybox" {
			continue
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// shellRoot is a root file system with a shell.
func shellRoot(t *testing.T) (llb.State, map[string]fsutil.FS) {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "bin/sh"), busybox(t), 0o755); err != nil {
		t.Fatal(err)
	}
	files, err := fsutil.NewFS(dir)
	if err != nil {
		t.Fatal(err)
	}
	root := llb.Scratch().File(llb.Copy(llb.Local("root", llb.SharedKeyHint(dir)), "/", "/"))
	return root, map[string]fsutil.FS{"root": files}
}

// solve runs a shell command on busybox and returns what it prints.
func solve(ctx context.Context, t *testing.T, e *Engine, command string) (string, error) {
	t.Helper()
	root, mounts := shellRoot(t)
	def, err := root.Run(llb.Args([]string{"/bin/sh", "-c", command})).Marshal(ctx)
	if err != nil {
		t.Fatal(err)
	}
	statuses := make(chan *client.SolveStatus)
	var out bytes.Buffer
	var g errgroup.Group
	g.Go(func() error {
		for s := range statuses {
			for _, l := range s.Logs {
				out.Write(l.Data)
			}
		}
		return nil
	})
	g.Go(func() error {
		_, err := e.Client().Solve(ctx, def, client.SolveOpt{LocalMounts: mounts}, statuses)
		return err
	})
	err = g.Wait()
	return out.String(), err
}

func TestEmbeddedSolves(t *testing.T) {
	opts := embeddedOptions(t)
	e := mustOpen(t, opts)
	out, err := solve(testContext(t), t, e, "echo hello from $(id -u); umask")
	if err != nil {
		t.Fatal(err)
	}
	if want := "hello from 0\n0022\n"; out != want {
		t.Errorf("the step printed %q, want %q", out, want)
	}
	if e.Kind() != KindEmbedded || e.Name() != "embedded engine" || e.Docker() != nil {
		t.Errorf("got kind %q, name %q, docker %v", e.Kind(), e.Name(), e.Docker())
	}
	if len(e.Platforms()) == 0 || len(e.Workers()) != 1 {
		t.Errorf("got platforms %v and %d workers", e.Platforms(), len(e.Workers()))
	}

	usage, err := e.DiskUsage(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(usage.Records) == 0 || usage.Total < 1<<20 {
		t.Errorf("the cache holds %d records of %d bytes, want busybox at least", len(usage.Records), usage.Total)
	}
	removed, err := e.Prune(testContext(t), PruneOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if removed.Total < usage.Reclaimable { // what was still held then may go too
		t.Errorf("pruning removed %d bytes, want at least the %d reclaimable", removed.Total, usage.Reclaimable)
	}
}

// T06: an engine gives no entitlement that was not granted, and one that was
// started with a grant is not kept for a command without.
func TestThreat_T06_Entitlements(t *testing.T) {
	opts := embeddedOptions(t)
	ctx := testContext(t)
	plain, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	granted := opts
	granted.Entitlements = []string{"security.insecure"}
	with, err := Start(ctx, granted)
	if err != nil {
		t.Fatal(err)
	}
	without, err := Start(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	got := [][]string{plain.Entitlements, with.Entitlements, without.Entitlements}
	if len(got[0]) != 0 || !slices.Equal(got[1], granted.Entitlements) || len(got[2]) != 0 {
		t.Errorf("the engines had the entitlements %q", got)
	}

	mustOpen(t, opts)
	var lost *UnreachableError
	if _, err := Open(ctx, granted); !errors.As(err, &lost) || !strings.Contains(err.Error(), "security.insecure") {
		t.Errorf("with the engine in use, Open with a grant says %v", err)
	}
}

func TestConcurrentStartsShareOneEngine(t *testing.T) {
	opts := embeddedOptions(t)
	var mu sync.Mutex
	pids := make(map[int]int)
	var g errgroup.Group
	for range 20 {
		g.Go(func() error {
			e, err := Open(testContext(t), opts)
			if err != nil {
				return err
			}
			info, err := Status(testContext(t), opts)
			mu.Lock()
			pids[info.PID]++
			mu.Unlock()
			return errors.Join(err, e.Close())
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if len(pids) != 1 {
		t.Errorf("20 commands saw the engines %v, want one", pids)
	}
}

func TestIdleEngineEnds(t *testing.T) {
	opts := embeddedOptions(t)
	opts.IdleTimeout = 200 * time.Millisecond
	ctx := testContext(t)
	e, err := Open(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	h := home{opts.Dir}
	if h.awaitEnd(ctx, 5*opts.IdleTimeout) {
		t.Fatal("the engine ended while it was in use")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if !h.awaitEnd(ctx, testPatience) {
		t.Fatal("the engine does not end")
	}
	if info := mustStatus(t, opts); info.Running {
		t.Errorf("an engine that ended has the status %+v", info)
	}
	for _, path := range []string{h.record(), filepath.Join(opts.Dir, "engine.sock")} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s is left", path)
		}
	}
}

// F01, F45: a killed engine leaves containers, mounts and files, and the next
// one clears them away.
func TestFault_F01_KilledEngineIsReplaced(t *testing.T) {
	opts := embeddedOptions(t)
	ctx := testContext(t)
	e := mustOpen(t, opts)
	if _, err := solve(ctx, t, e, "echo kept"); err != nil {
		t.Fatal(err)
	}
	first := mustStatus(t, opts)

	watched, stop := e.WatchHealth(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := solve(ctx, t, e, "echo started; exec /bin/sh -c 'while true; do /bin/sh -c :; done'")
		done <- err
	}()
	waitFor(t, "the step to run", func() bool { return len(containersBelow(t, opts.Dir)) > 0 })
	orphans := containersBelow(t, opts.Dir)
	kill(t, first.PID)
	if err := <-done; err == nil {
		t.Error("the solve outlived its engine")
	}
	<-watched.Done()
	var lost *UnreachableError
	if !errors.As(context.Cause(watched), &lost) {
		t.Errorf("the watch ended with %v, want an UnreachableError", context.Cause(watched))
	}
	if len(mountsBelow(t, opts.Dir)) == 0 {
		t.Error("the killed engine left no mounts: this test proves nothing")
	}

	again := mustOpen(t, opts)
	if second := mustStatus(t, opts); second.PID == first.PID {
		t.Errorf("process %d still serves", first.PID)
	}
	if left := mountsBelow(t, opts.Dir); len(left) > 0 {
		t.Errorf("mounts of the killed engine are left: %v", left)
	}
	for _, id := range containersBelow(t, opts.Dir) {
		if slices.Contains(orphans, id) {
			t.Errorf("container %s of the killed engine is left", id)
		}
	}
	if _, err := solve(ctx, t, again, "echo kept"); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}

// containersBelow lists the runc containers of an engine.
func containersBelow(t *testing.T, dir string) []string {
	t.Helper()
	text, err := exec.Command("runc", "list", "--format", "json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []container
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, c := range all {
		if isBelowAny(c.Bundle, []string{dir}) {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// kill kills a process and waits until it is gone. The engine is the child of
// this process, which therefore reaps it.
func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	ctx := testContext(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// F04: an engine that hangs is reported, and --force ends it.
func TestFault_F04_HungEngineIsKilledByForce(t *testing.T) {
	opts := embeddedOptions(t)
	info, err := Start(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Kill(info.PID, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, opts); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Open of a hung engine says %v", err)
	}
	if err := Stop(testContext(t), opts, true); err != nil {
		t.Error(err)
	}
	if mustStatus(t, opts).Running {
		t.Error("the hung engine still runs")
	}
}

// F20: state that a kill has damaged is put aside.
func TestFault_F20_DamagedStateIsPutAside(t *testing.T) {
	tests := []struct {
		name   string
		damage func(path string, size int64) error
	}{
		{"cut", func(path string, size int64) error { return os.Truncate(path, size/2) }},
		{"overwritten", func(path string, size int64) error {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, int(size)-2*os.Getpagesize()), 2*int64(os.Getpagesize()))
			return errors.Join(err, f.Close())
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			opts := embeddedOptions(t)
			var notices []string
			opts.Notice = func(text string) { notices = append(notices, text) }
			e := mustOpen(t, opts)
			if _, err := solve(testContext(t), t, e, "echo once"); err != nil {
				t.Fatal(err)
			}
			kill(t, mustStatus(t, opts).PID)
			files, err := filepath.Glob(filepath.Join(opts.Dir, "root/runc-*/metadata_v2.db"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			info, err := os.Stat(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := test.damage(files[0], info.Size()); err != nil {
				t.Fatal(err)
			}

			again := mustOpen(t, opts)
			if out, err := solve(testContext(t), t, again, "echo once"); err != nil || out != "once\n" {
				t.Errorf("the step printed %q: %v", out, err)
			}
			aside, err := filepath.Glob(filepath.Join(opts.Dir, "root.bad-*"))
			if err != nil || len(aside) != 1 {
				t.Errorf("put aside: %v, %v", aside, err)
			}
			if len(notices) != 1 || !strings.Contains(notices[0], "was damaged") {
				t.Errorf("got the notices %q", notices)
			}
		})
	}
}

// T24: what another user has put in the place of a temporary folder is not
// followed.
func TestThreat_T24_PlantedTempIsNotFollowed(t *testing.T) {
	opts := embeddedOptions(t)
	shared, precious := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(precious, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link, foreign := filepath.Join(shared, "link"), filepath.Join(shared, "foreign")
	err := errors.Join(os.Symlink(precious, link), os.Mkdir(foreign, 0o755), os.Chown(foreign, nobody, nobody),
		os.WriteFile(filepath.Join(foreign, "file"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, temp := range []string{link, foreign} {
		clearLeftovers("/bin/true", home{opts.Dir}, temp)
		if _, err := os.Stat(filepath.Join(temp, "file")); err != nil {
			t.Error(err)
		}
	}
}

func TestStopLeavesAnEngineInUse(t *testing.T) {
	opts := embeddedOptions(t)
	if err := Stop(testContext(t), opts, false); err != nil {
		t.Errorf("stopping none: %v", err)
	}
	if mustStatus(t, opts).Running {
		t.Error("an engine runs that nobody started")
	}
	e, err := Open(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	info := mustStatus(t, opts)
	if !info.Running || !slices.Equal(info.Clients, []int{os.Getpid()}) {
		t.Errorf("got the status %+v", info)
	}
	var busy *BusyError
	if err := Stop(testContext(t), opts, false); !errors.As(err, &busy) || !slices.Equal(busy.Clients, info.Clients) {
		t.Errorf("stopping an engine in use: %v", err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the engine to see that it is unused", func() bool { return len(mustStatus(t, opts).Clients) == 0 })
	if err := Stop(testContext(t), opts, false); err != nil {
		t.Error(err)
	}
	if mustStatus(t, opts).Running {
		t.Error("the stopped engine still runs")
	}
}

// F24, F26: a forced stop cancels what runs, and nothing of it stays.
func TestFault_F26_ForcedStopCancelsSteps(t *testing.T) {
	opts := embeddedOptions(t)
	ctx := testContext(t)
	e := mustOpen(t, opts)
	done := make(chan error, 1)
	go func() {
		_, err := solve(ctx, t, e, "while true; do /bin/sh -c :; done")
		done <- err
	}()
	waitFor(t, "the step to run", func() bool { return len(containersBelow(t, opts.Dir)) > 0 })
	start := time.Now()
	if err := Stop(ctx, opts, true); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if err := <-done; err == nil {
		t.Error("the solve outlived its engine")
	}
	if left := containersBelow(t, opts.Dir); len(left) > 0 {
		t.Errorf("containers are left: %v", left)
	}
}

// F07: an engine of another build of the program is replaced when it is idle
// and used when it is not.
func TestFault_F07_OtherBuildIsReplacedWhenIdle(t *testing.T) {
	opts := embeddedOptions(t)
	other := opts
	other.Executable = copyOfProgram(t)
	ctx := testContext(t)
	old, err := Open(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	first := mustStatus(t, opts)
	if used, err := Start(ctx, opts); err != nil || used.PID != first.PID {
		t.Errorf("in use: got process %d (%v), want %d", used.PID, err, first.PID)
	}
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the engine to see that it is unused", func() bool { return len(mustStatus(t, opts).Clients) == 0 })
	replaced, err := Start(ctx, opts)
	if err != nil || replaced.PID == first.PID {
		t.Errorf("idle: got process %d (%v), want another than %d", replaced.PID, err, first.PID)
	}
	if kept, err := Start(ctx, opts); err != nil || kept.PID != replaced.PID {
		t.Errorf("same build: got process %d (%v), want %d", kept.PID, err, replaced.PID)
	}
}

// copyOfProgram is this test binary under another build id.
func copyOfProgram(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(exe)
	if err != nil {
		t.Fatal(err)
	}
	id := goBuildID(exe)
	if id == "" {
		t.Fatal("this binary has no build id")
	}
	text = bytes.Replace(text, []byte(id), []byte(strings.Repeat("x", len(id))), 1)
	path := filepath.Join(t.TempDir(), "other")
	if err := os.WriteFile(path, text, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// T17, T24: the engine's socket is for its owner alone.
func TestThreat_T17_SocketIsPrivate(t *testing.T) {
	opts := embeddedOptions(t)
	info, err := Start(testContext(t), opts)
	if err != nil {
		t.Fatal(err)
	}
	wants := map[string]os.FileMode{
		info.Socket:               os.ModeSocket | 0o600,
		filepath.Dir(info.Socket): os.ModeDir | 0o700,
		LogPath(opts):             0o600,
		home{opts.Dir}.record():   0o600,
		home{opts.Dir}.settings(): 0o600,
		home{opts.Dir}.root():     os.ModeDir | 0o700,
	}
	for path, want := range wants {
		got, err := os.Lstat(path)
		if err != nil {
			t.Error(err)
		} else if got.Mode() != want {
			t.Errorf("%s has mode %s, want %s", path, got.Mode(), want)
		}
	}

	// Even who finds the way open is turned away by the kernel's word on him.
	for dir := opts.Dir; dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(info.Socket, 0o666); err != nil {
		t.Fatal(err)
	}
	err = asNobody(func() error {
		conn, err := net.Dial("unix", info.Socket)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(conn)
		if len(got) > 0 {
			t.Errorf("user %d was sent %q", nobody, got)
		}
		return errors.Join(err, conn.Close())
	})
	if err != nil {
		t.Errorf("user %d was not just hung up on: %v", nobody, err)
	}
	waitFor(t, "the engine to log it", func() bool {
		log, err := os.ReadFile(LogPath(opts))
		return err == nil && strings.Contains(string(log), "of user 65534 may not use this engine")
	})
}

// T24: a folder or socket that another user has planted is not used.
func TestThreat_T24_PlantedSocketIsRefused(t *testing.T) {
	opts := embeddedOptions(t)
	if err := os.Mkdir(opts.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(opts.Dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), opts); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
		t.Errorf("Open in another user's folder says %v", err)
	}
	if err := os.Chown(opts.Dir, 0, 0); err != nil {
		t.Fatal(err)
	}

	socket := filepath.Join(t.TempDir(), "s")
	plant(t, socket)
	text, err := json.Marshal(record{PID: os.Getpid(), Socket: socket})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home{opts.Dir}.record(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(testContext(t), opts); err == nil || !strings.Contains(err.Error(), "served by user 65534") {
		t.Errorf("Open of another user's socket says %v", err)
	}
}

// plant makes another user listen at a socket until the test ends.
func plant(t *testing.T, socket string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = asNobody(func() error {
		// The kernel tells of a socket's peer who listened on it last.
		var listenErr error
		err := raw.Control(func(fd uintptr) { listenErr = unix.Listen(int(fd), 1) })
		return errors.Join(err, listenErr)
	})
	if err != nil {
		t.Fatal(err)
	}
}

const nobody = 65534

// asNobody runs f as another user: on a thread of its own, which ends with it.
func asNobody(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is spoilt
		_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), nobody, ^uintptr(0))
		if errno != 0 {
			done <- errno
			return
		}
		done <- f()
	}()
	return <-done
}

func TestSocketPath(t *testing.T) {
	opts := embeddedOptions(t)
	short := t.TempDir()
	long := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	h := home{opts.Dir}
	tests := []struct{ name, runtimeDir, want string }{
		{"none", "", opts.Dir},
		{"relative", "run", opts.Dir},
		{"missing", "/nonexistent", opts.Dir},
		{"too long", long, opts.Dir},
		{"used", short, filepath.Join(short, "strata-"+shortHash(opts.Dir))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := h.socketPath(test.runtimeDir, shortHash(opts.Dir))
			if filepath.Dir(got) != test.want {
				t.Errorf("the socket is %s, want it in %s", got, test.want)
			}
		})
	}
}

// An engine works in folders whose paths are longer than a socket's may be, and
// is found by commands whose environment differs from its starter's.
func TestLongPathsAndRuntimeDir(t *testing.T) {
	opts := embeddedOptions(t)
	opts.Dir = filepath.Join(opts.Dir, strings.Repeat("d", 100))
	stopAtEnd(t, opts)
	if out, err := solve(testContext(t), t, mustOpen(t, opts), "echo far"); err != nil || out != "far\n" {
		t.Errorf("the step printed %q: %v", out, err)
	}

	user := embeddedOptions(t)
	runtimeDir := t.TempDir()
	session := user
	session.LookupEnv = envOf(map[string]string{"PATH": os.Getenv("PATH"), "XDG_RUNTIME_DIR": runtimeDir})
	started, err := Start(testContext(t), session)
	if err != nil {
		t.Fatal(err)
	}
	if !isBelowAny(started.Socket, []string{runtimeDir}) {
		t.Errorf("the socket is %s, want it in %s", started.Socket, runtimeDir)
	}
	found, err := Start(testContext(t), user)
	if err != nil || found.PID != started.PID {
		t.Errorf("got process %d (%v), want %d", found.PID, err, started.PID)
	}

	// A logout sweeps the runtime folder: the engine nobody finds any more ends.
	if err := os.RemoveAll(filepath.Dir(started.Socket)); err != nil {
		t.Fatal(err)
	}
	next, err := Start(testContext(t), user)
	if err != nil || next.PID == started.PID {
		t.Errorf("after the sweep: got process %d (%v)", next.PID, err)
	}
}

// stopAtEnd ends the engine of opts with the test.
func stopAtEnd(t *testing.T, opts Options) {
	t.Helper()
	t.Cleanup(func() {
		if err := Stop(context.Background(), opts, true); err != nil {
			t.Error(err)
		}
	})
}

// The log is put aside before it grows without bound, Go's last words included.
func TestLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.log")
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriteLog$")
	cmd.Env = append(os.Environ(), "STRATA_TEST_LOG="+path)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = file, file
	if err := errors.Join(cmd.Run(), file.Close()); err != nil {
		t.Fatal(err)
	}
	old, err := os.Stat(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if old.Size() > maxLog || len(text) > maxLog || !strings.Contains(string(text), "last words") {
		t.Errorf("got logs of %d and %d bytes, ending in %q", old.Size(), len(text), text[max(0, len(text)-40):])
	}
}

// TestWriteLog is the process whose log TestLogIsBounded looks at.
func TestWriteLog(t *testing.T) {
	path := os.Getenv("STRATA_TEST_LOG")
	if path == "" {
		return // no test of its own
	}
	if err := setLog(path, true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	log := &boundedLog{path: path, size: info.Size()}
	for range 3 * maxLog / 1000 / 2 {
		if _, err := log.Write(append(bytes.Repeat([]byte("x"), 999), '\n')); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stderr.WriteString("last words\n"); err != nil {
		t.Fatal(err)
	}
}
