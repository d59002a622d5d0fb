package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

// commands lists the commands of strata. To add one, write newXCmd in a file of
// its own and name it here.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newBuildCmd(a),
		newBakeCmd(a),
		newPlanCmd(a),
		newWhyCmd(a),
		newAffectedCmd(a),
		newWatchCmd(a),
		newListCmd(a),
		newPrintCmd(a),
		newGraphCmd(a),
		newCheckCmd(a),
		newFmtCmd(a),
		newInitCmd(a),
		newImportCmd(a),
		newRunCmd(a),
		newImagesCmd(a),
		newImageCmd(a),
		newHistoryCmd(a),
		newEngineCmd(a),
		newCacheCmd(a),
		newDuCmd(a),
		newSchemaCmd(a),
		newLSPCmd(a),
		newDocsCmd(),
	}
}

// An app is what the commands share: the streams, the global flags, and
// services that are opened when a command first asks for them. A command gets
// services only by these methods, so "plan" never dials an engine.
type app struct {
	in       io.Reader
	out, err io.Writer
	std      streams

	lookupEnv func(string) (string, bool)
	term      func() report.Terminal // how to print

	// registries reads the user's registry settings, with the flags applied.
	registries func() (registry.Settings, error)
	// store opens the local image store; nothing is written by opening.
	store func() (*store.Store, error)
	// records are the layer histories of what was built here.
	records func() *history.Records

	flags   globalFlags
	mu      sync.Mutex
	closers []func() error
}

// globalFlags are the flags every command takes.
type globalFlags struct {
	engine      string
	tls         engine.TLS
	insecureTCP bool
	runtime     string
	mirrors     []string
	plainHTTP   []string
}

func newApp(std streams) *app {
	a := &app{in: std.in, out: std.out, err: std.err, std: std, lookupEnv: os.LookupEnv}
	a.term = sync.OnceValue(func() report.Terminal {
		return report.DetectTerminal(std.out, std.err, a.lookupEnv)
	})
	a.registries = sync.OnceValues(func() (registry.Settings, error) {
		s, err := registry.LoadSettings(registry.DefaultPath(a.lookupEnv))
		if err != nil {
			return s, withStatus(exitUsage, err)
		}
		s, err = s.WithFlags(a.flags.mirrors, a.flags.plainHTTP)
		if err != nil {
			return s, withStatus(exitUsage, err)
		}
		return s, nil
	})
	a.store = sync.OnceValues(func() (*store.Store, error) {
		return store.Open(store.DefaultDir(a.lookupEnv), store.WithWarn(a.warn))
	})
	a.records = sync.OnceValue(func() *history.Records {
		return history.OpenRecords(history.RecordsDir(a.lookupEnv), a.warn)
	})
	return a
}

// restoreTerminal leaves no half-drawn progress behind.
func (a *app) restoreTerminal() { _ = a.term().EraseProgress() }

// warn tells what went wrong without harm to what was asked for.
func (a *app) warn(err error) {
	fmt.Fprintf(a.err, "Warning: %s\n", report.Sanitize(err.Error(), false))
}

func (a *app) globalFlags(f *pflag.FlagSet) {
	f.StringVar(&a.flags.engine, "engine", "", "where to build: embedded, docker, or the `address` of a BuildKit (unix://, tcp://, ssh://, docker-container://, kube-pod://); default STRATA_ENGINE, BUILDKIT_HOST, a reachable Docker, embedded")
	f.StringVar(&a.flags.tls.CA, "engine-ca", "", "CA certificate `file` for a tcp:// engine")
	f.StringVar(&a.flags.tls.Cert, "engine-cert", "", "client certificate `file` for a tcp:// engine")
	f.StringVar(&a.flags.tls.Key, "engine-key", "", "client key `file` for a tcp:// engine")
	f.StringVar(&a.flags.tls.ServerName, "engine-server-name", "", "`name` in the certificate of a tcp:// engine")
	f.BoolVar(&a.flags.insecureTCP, "insecure-engine", false, "allow a tcp:// engine without TLS")
	f.StringVar(&a.flags.runtime, "runtime", "", "OCI runtime `binary` of the embedded engine; default runc or crun from PATH")
	f.StringArrayVar(&a.flags.mirrors, "registry-mirror", nil, "read images of a registry from a mirror: `HOST=URL`, repeatable")
	f.StringArrayVar(&a.flags.plainHTTP, "registry-http", nil, "talk plain http to this registry `host`, repeatable")
}

// engineOptions are the options all commands open an engine with.
func (a *app) engineOptions() (engine.Options, error) {
	s, err := a.registries()
	if err != nil {
		return engine.Options{}, err
	}
	return engine.Options{
		Address:     a.flags.engine,
		TLS:         a.flags.tls,
		InsecureTCP: a.flags.insecureTCP,
		Runtime:     a.flags.runtime,
		Registries:  s.Configs(),
		LookupEnv:   a.lookupEnv,
		Notice:      func(text string) { a.warn(errors.New(text)) },
	}, nil
}

// openEngine connects to the engine that the flags select, starting the
// embedded one if need be. It is closed when the command ends.
func (a *app) openEngine(ctx context.Context, change func(*engine.Options)) (*engine.Engine, error) {
	opts, err := a.engineOptions()
	if err != nil {
		return nil, err
	}
	if change != nil {
		change(&opts)
	}
	e, err := engine.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	a.onClose(e.Close)
	return e, nil
}

// onClose runs f when the command has ended, last first.
func (a *app) onClose(f func() error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closers = append(a.closers, f)
}

func (a *app) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for i := len(a.closers) - 1; i >= 0; i-- {
		errs = append(errs, a.closers[i]())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// version is the module's version as the Go linker recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "0.1.0-dev"
}
