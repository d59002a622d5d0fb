// Package engine says where a BuildKit comes from: one embedded in this
// program and run as a child process, the one inside a Docker Engine, or a
// remote buildkitd. It selects, starts, connects and watches it.
//
// It knows nothing of targets, graphs or files to build, and prints nothing.
package engine

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

// answerTimeout is how long an engine may take to answer when it is opened.
const answerTimeout = 10 * time.Second

// A Kind says what sort of engine it is.
type Kind string

// The kinds of engine.
const (
	KindEmbedded Kind = "embedded" // BuildKit in a child process of ours
	KindDocker   Kind = "docker"   // BuildKit inside a Docker Engine
	KindRemote   Kind = "remote"   // a buildkitd reached by its address
)

// TLS names the files that secure a tcp:// address.
type TLS struct {
	CA         string // CA certificates, "" for the system's when another field is set
	Cert, Key  string // the client's certificate and key
	ServerName string // name to verify, "" for the address's host
}

// Options say which engine to use and how to run an embedded one.
// The zero value selects.
type Options struct {
	// Address is "" to select, "embedded", "docker", "docker:CONTEXT",
	// "docker:HOST", or a BuildKit address: unix://, tcp://, ssh://,
	// docker-container://, podman-container://, nerdctl-container://,
	// kube-pod:// or npipe://.
	Address string
	// TLS secures a tcp:// address.
	TLS TLS
	// InsecureTCP allows a tcp:// address beyond this machine without TLS.
	InsecureTCP bool

	// Dir holds the embedded engine's state. "" is $STRATA_ENGINE_DIR,
	// else $XDG_DATA_HOME/strata/engine.
	Dir string
	// Runtime is the OCI runtime's binary. "" looks for one.
	Runtime string
	// Registries are mirrors, plain http and CAs by registry host.
	Registries map[string]resolverconfig.RegistryConfig
	// IdleTimeout is how long an unused embedded engine stays. 0 is ten minutes.
	IdleTimeout time.Duration
	// Entitlements are the dangerous ones an embedded engine may give to
	// steps. They must come from the command line, never from a checkout.
	Entitlements []string
	// Executable is re-run with "engine serve". "" is this program.
	Executable string

	// LookupEnv reads the environment. nil is os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Notice is told, in a sentence, what a person should know but need not
	// act on. nil drops it. It may be called from another goroutine.
	Notice func(string)
}

// An Engine is a BuildKit that answered.
type Engine struct {
	kind    Kind
	name    string
	address string // for messages
	hint    string // what to do when it is lost
	client  *client.Client
	workers []*client.WorkerInfo
	docker  *Docker
	notice  func(string)
	closers []func() error
}

// Open selects an engine, starts the embedded one if needed, connects and
// checks that it answers. The caller closes it. Errors are *UnreachableError
// or *RuntimeError when the engine is to blame.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	e, err := choose(ctx, opts.withDefaults())
	if err != nil && ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return e, err
}

// Client returns the connection to BuildKit. Close closes it.
func (e *Engine) Client() *client.Client { return e.client }

// Kind says what sort of engine e is.
func (e *Engine) Kind() Kind { return e.kind }

// Name says which engine e is, for people.
func (e *Engine) Name() string { return e.name }

// prunedLabel is the label by which an embedded engine's worker names the last time
// that all of its cache was removed.
const prunedLabel = "strata.pruned"

// ID is what the engine calls itself: another for every other one, and for an
// embedded one whose cache was removed since. One of another kind does not tell.
func (e *Engine) ID() string {
	w := e.workers[0]
	if last := w.Labels[prunedLabel]; last != "" {
		return w.ID + "." + last
	}
	return w.ID
}

// Version is BuildKit's version, "" when the engine does not tell.
func (e *Engine) Version() string { return e.workers[0].BuildkitVersion.Version }

// Workers lists the engine's workers as they were when it was opened. BuildKit
// builds on the first.
func (e *Engine) Workers() []*client.WorkerInfo { return e.workers }

// Platforms lists what the engine can run, natively or emulated, its own
// platform first.
func (e *Engine) Platforms() []ocispecs.Platform {
	var all []ocispecs.Platform
	seen := make(map[string]bool)
	for _, p := range e.workers[0].Platforms {
		if key := platforms.FormatAll(platforms.Normalize(p)); !seen[key] {
			seen[key] = true
			all = append(all, p)
		}
	}
	return all
}

// Docker returns the Docker Engine behind e, nil unless Kind is KindDocker.
func (e *Engine) Docker() *Docker { return e.docker }

// Close ends the connection. An embedded engine stays for the next command.
func (e *Engine) Close() error {
	var errs []error
	for i := len(e.closers) - 1; i >= 0; i-- {
		errs = append(errs, e.closers[i]())
	}
	e.closers = nil
	return errors.Join(errs...)
}

// connect makes e's client and asks for the workers, which proves that a
// BuildKit answers. It closes e when it fails.
func (e *Engine) connect(ctx context.Context, target string, opts ...client.ClientOpt) error {
	c, err := client.New(ctx, target, opts...)
	if err != nil {
		return errors.Join(e.unreachable(err), e.Close())
	}
	e.client = c
	e.closers = append(e.closers, c.Close)

	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	e.workers, err = c.ListWorkers(ctx)
	if err == nil && len(e.workers) == 0 {
		err = errors.New("it has no worker")
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if closeErr := e.Close(); closeErr != nil {
		err = errors.Join(err, closeErr)
	}
	return e.unreachable(err)
}

func (e *Engine) unreachable(err error) *UnreachableError {
	return &UnreachableError{Address: e.address, Err: plainCause(err), Hint: e.hint}
}
