package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/strata-build/strata/bench/internal/rig"
	"github.com/strata-build/strata/bench/internal/run"
	"github.com/strata-build/strata/bench/internal/tree"
)

// A world is a daemon, for each program an empty cache for it and a host, and a
// checkout that both build. The caches are two because BuildKit gives a copy of a
// directory to whom comes first with the same content, so that each program would
// have to send again what the other has sent.
type world struct {
	b        *bench
	dir      string
	checkout string
	tree     *tree.Tree
	daemon   *rig.Daemon
	relay    *rig.Relay
	hosts    [2]host
	caches   [2]string // of the daemon
	failed   [2]error  // of warm
}

// newWorld makes a world with the checkout of a tree whose images stay in the
// daemon's cache.
func (b *bench) newWorld(ctx context.Context, t *tree.Tree) (*world, error) {
	w, err := b.emptyWorld(ctx)
	if err != nil {
		return nil, err
	}
	w.tree, w.checkout = t, filepath.Join(w.dir, "tree")
	if err := errors.Join(
		t.Write(w.checkout),
		t.WriteBuildFile(w.checkout, strataFile, tree.Output{}),
		t.WriteBuildFile(w.checkout, bakeFile, tree.Output{}),
	); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

// emptyWorld is one without a checkout.
func (b *bench) emptyWorld(ctx context.Context) (*world, error) {
	dir, err := os.MkdirTemp(b.dir, "w")
	if err != nil {
		return nil, err
	}
	w := &world{b: b, dir: dir}
	if err := w.open(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) open(ctx context.Context) (err error) {
	if w.daemon, err = rig.NewDaemon(w.b.buildkitd, filepath.Join(w.dir, "d"), w.b.registry.Host); err != nil {
		return err
	}
	if w.relay, err = rig.NewRelay(filepath.Join(w.dir, "engine"), w.daemon.Socket); err != nil {
		return err
	}
	for _, p := range programs {
		w.caches[p] = "cache-" + p.String()
		if w.hosts[p], err = w.b.newHost(ctx, filepath.Join(w.dir, p.String()), w.relay.Path); err != nil {
			return err
		}
	}
	return nil
}

// close ends the daemon and deletes everything.
func (w *world) close() error {
	var errs []error
	if w.daemon != nil {
		errs = append(errs, w.daemon.Remove())
	}
	if w.relay != nil {
		errs = append(errs, w.relay.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(w.dir))...)
}

// What to measure of a run beyond the run itself.
type measures struct {
	targets  []string // to build; none is all
	progress bool     // what the events tell
	messages bool     // how large messages are
	idle     bool     // when the daemon has done all that the run left
}

// warm builds everything, unmeasured. What a program can not build is an error
// when it is measured.
func (w *world) warm(ctx context.Context, with ...program) error {
	for _, p := range with {
		if err := w.daemon.Start(ctx, w.caches[p]); err != nil {
			return err
		}
		w.failed[p] = w.run(ctx, p, measures{}).Err
	}
	return context.Cause(ctx)
}

// run runs a program. What one that fails has said is in the log in full.
func (w *world) run(ctx context.Context, p program, m measures) run.Result {
	r := w.command(p, m).Run(ctx)
	if r.Err != nil {
		fmt.Fprintf(w.b.log, "%v\n%s%s", r.Err, r.Out, r.Errs)
		r.Err = brief(r)
	}
	return r
}

// brief is a failure in one line: how the program ended and how its complaint
// begins.
func brief(r run.Result) error {
	const most = 160
	said := strings.Join(strings.Fields(string(r.Errs)), " ")
	if len(said) > most {
		said = strings.ToValidUTF8(said[:most], "") + "..."
	}
	return fmt.Errorf("%w: %s", errors.Unwrap(r.Err), said)
}

func (w *world) command(p program, m measures) run.Command {
	progress := "quiet"
	if m.progress {
		progress = "rawjson"
	}
	return run.Command{
		Dir:   w.checkout,
		Words: w.b.words(p, w.relay.Path, progress, m.targets),
		Env:   w.hosts[p].env(),
		Limit: w.b.limit,
	}
}

// measure runs a program on a daemon that was started on its cache for it, so
// that the run before has left nothing to do, and is idle.
func (w *world) measure(ctx context.Context, p program, m measures) (sample, error) {
	if w.failed[p] != nil {
		return nil, w.failed[p]
	}
	if err := w.daemon.Start(ctx, w.caches[p]); err != nil {
		return nil, err
	}
	if err := rig.Settle(ctx, w.daemon.CPU, idleLimit); err != nil {
		return nil, err
	}
	w.b.registry.Requests()
	w.relay.Traffic()
	w.relay.Measure(m.messages)
	before, err := w.daemon.CPU()
	if err != nil {
		return nil, err
	}
	r := w.run(ctx, p, m)
	if r.Err != nil {
		return nil, r.Err
	}
	after, err := w.daemon.CPU()
	if err != nil {
		return nil, err
	}
	got := sample{
		wall: r.Wall.Seconds(), cpu: r.CPU.Seconds(), memory: float64(r.Memory) / 1e6,
		daemonCPU: (after - before).Seconds(), requests: float64(w.b.registry.Requests()),
	}
	return got, errors.Join(w.addTraffic(ctx, got, m), w.addProgress(got, p, r, m), w.addIdle(ctx, got, m))
}

func (w *world) addTraffic(ctx context.Context, got sample, m measures) error {
	n, err := w.daemon.Solves(ctx)
	if err != nil {
		return err
	}
	t := w.relay.Traffic()
	got[solves], got[connections], got[sent] = float64(n), float64(t.Connections), float64(t.Sent)/1e3
	if m.messages {
		got[largest] = float64(t.Largest) / 1e3
	}
	return nil
}

func (w *world) addProgress(got sample, p program, r run.Result, m measures) error {
	if !m.progress {
		return nil
	}
	told, err := readProgress(p, r.Errs)
	if err != nil {
		return fmt.Errorf("progress of %s: %w", p, err)
	}
	got[files] = float64(told.files) / 1e3
	if told.exportLag >= 0 {
		got[exportLag] = told.exportLag.Seconds()
	}
	return nil
}

// idleLimit is how long a daemon is waited for.
const idleLimit = 90 * time.Second

func (w *world) addIdle(ctx context.Context, got sample, m measures) error {
	if !m.idle {
		return nil
	}
	idle, err := rig.WaitIdle(ctx, w.daemon.CPU, idleLimit)
	got[idleAfter], got[idleCPU] = idle.After.Seconds(), idle.CPU.Seconds()
	return err
}
