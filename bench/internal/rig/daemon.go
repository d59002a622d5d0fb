package rig

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Daemon is a buildkitd, of which one runs at a time. It can have several
// roots, each with a cache.
type Daemon struct {
	Socket string // it listens on

	program, dir, config, debug string
	process                     *process
}

// NewDaemon prepares a daemon that keeps its roots in dir and talks plain HTTP
// to the registry. Start starts it.
func NewDaemon(program, dir, registry string) (*Daemon, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "buildkitd.toml")
	// without a limit hundreds of containers start at once, and most of the time
	// is what the kernel does about that
	text := fmt.Sprintf("[registry.%q]\n  http = true\n[worker.oci]\n  gc = false\n  max-parallelism = %d\n[worker.containerd]\n  enabled = false\n",
		registry, 4*runtime.NumCPU())
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, err
	}
	return &Daemon{Socket: filepath.Join(dir, "s"), program: program, dir: dir, config: config}, nil
}

// Start starts the daemon on what the root of this name holds, after ending the
// one that runs.
func (d *Daemon) Start(ctx context.Context, root string) (err error) {
	d.Stop()
	if d.debug, err = freePort(); err != nil {
		return err
	}
	d.process, err = startProcess(filepath.Join(d.dir, "log"), d.program,
		"--config", d.config, "--root", filepath.Join(d.dir, root), "--addr", "unix://"+d.Socket, "--debugaddr", d.debug)
	if err != nil {
		return err
	}
	return d.process.await(ctx, "unix", d.Socket)
}

// Stop ends the daemon and keeps its roots.
func (d *Daemon) Stop() {
	if d.process != nil {
		d.process.stop()
		d.process = nil
	}
}

// Remove ends the daemon and deletes its roots.
func (d *Daemon) Remove() error {
	d.Stop()
	if err := unmountBelow(d.dir); err != nil {
		return err
	}
	return os.RemoveAll(d.dir)
}

// CPU is the processor time used since Start, containers included.
func (d *Daemon) CPU() (time.Duration, error) { return d.process.cpu() }

// Solves is how many solves clients have asked for since Start.
func (d *Daemon) Solves(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.debug+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	return countSolves(resp.Body)
}

// countSolves reads metrics in Prometheus' text format.
func countSolves(metrics io.Reader) (int, error) {
	total := 0
	scan := bufio.NewScanner(metrics)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		line := scan.Text()
		if !strings.HasPrefix(line, "rpc_server_call_duration_seconds_count{") || !strings.Contains(line, `rpc_method="moby.buildkit.v1.Control/Solve"`) {
			continue
		}
		n, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("metric %q: %w", line, err)
		}
		total += int(n)
	}
	return total, scan.Err()
}

// unmountBelow unmounts what a daemon that was killed has left mounted.
func unmountBelow(dir string) error {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	for i := len(lines) - 1; i >= 0; i-- { // the last mounted first
		fields := strings.Fields(lines[i])
		if len(fields) < 5 || !strings.HasPrefix(fields[4], dir+"/") {
			continue
		}
		if err := syscall.Unmount(fields[4], syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("unmounting %s: %w", fields[4], err)
		}
	}
	return nil
}
