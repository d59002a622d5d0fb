// Package engine says where a BuildKit comes from: one embedded in this
// program and run as a child process, the one inside a Docker Engine, or a
// remote buildkitd. It selects, starts, connects and watches it.
//
// It knows nothing of targets, graphs or files to build, and prints nothing.
package engine

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/moby/buildkit/client"
	resolverconfig "github.com/moby/buildkit/util/resolver/config"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

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
	// Entitlements are the dangerous ones an embedded engine may give to steps.
	Entitlements []string
	// Executable is re-run with "engine serve". "" is this program.
	Executable string

	// LookupEnv reads the environment. nil is os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Notice is told, in a sentence, what a person should know but need not
	// act on. nil drops it.
	Notice func(string)
}

// An Engine is a BuildKit that answered.
type Engine struct {
	kind    Kind
	name    string
	version string
	client  *client.Client
	workers []*client.WorkerInfo
	docker  *Docker
}

// Open selects an engine, starts the embedded one if needed, connects and
// checks that it answers. The caller closes it. Errors are *UnreachableError
// or *RuntimeError when the engine is to blame.
func Open(ctx context.Context, opts Options) (*Engine, error) {
	return nil, &UnreachableError{Address: opts.Address, Err: errors.New("not connected")}
}

// Client returns the connection to BuildKit. Close closes it.
func (e *Engine) Client() *client.Client { return e.client }

// Kind says what sort of engine e is.
func (e *Engine) Kind() Kind { return e.kind }

// Name says which engine e is, for people.
func (e *Engine) Name() string { return e.name }

// Version is BuildKit's version, "" when the engine does not tell.
func (e *Engine) Version() string { return e.version }

// Workers lists the engine's workers as they were when it was opened.
func (e *Engine) Workers() []*client.WorkerInfo { return e.workers }

// Platforms lists what the engine can run, natively or emulated, its own
// platform first.
func (e *Engine) Platforms() []ocispecs.Platform { return nil }

// Docker returns the Docker Engine behind e, nil unless Kind is KindDocker.
func (e *Engine) Docker() *Docker { return e.docker }

// WatchHealth returns a context that ends with an *UnreachableError as cause
// when the engine stops answering. The cancel function ends the watch and
// waits for it.
func (e *Engine) WatchHealth(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithCancel(ctx)
}

// Close ends the connection. An embedded engine stays for the next command.
func (e *Engine) Close() error { return nil }

// A Docker is the Docker Engine whose BuildKit is used.
type Docker struct {
	// ContainerdStore says that images live in containerd's store, so that
	// the image exporter can make them there.
	ContainerdStore bool
}

// Load reads an image archive into the Docker Engine's images.
func (d *Docker) Load(ctx context.Context, archive io.Reader) error { return nil }

// An UnreachableError reports an engine that does not answer, or no longer.
type UnreachableError struct {
	Address string
	Err     error
	Hint    string // what to do, a sentence without full stop; may be ""
}

func (e *UnreachableError) Error() string {
	msg := "engine " + e.Address + " is unreachable: " + e.Err.Error()
	if e.Hint != "" {
		msg += "; " + e.Hint
	}
	return msg
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// A RuntimeError reports that this machine cannot run the embedded engine:
// no OCI runtime, one too old, or no user namespaces.
type RuntimeError struct {
	Problem string // what is missing
	Hint    string // how to get it
}

func (e *RuntimeError) Error() string { return e.Problem + "; " + e.Hint }

// A BusyError reports an embedded engine that other commands use.
type BusyError struct{ Connections int }

func (e *BusyError) Error() string { return "the embedded engine is in use" }

// ServeOptions say how the child process runs.
type ServeOptions struct {
	Dir          string
	Socket       string
	Runtime      string
	Log          string
	IdleTimeout  time.Duration
	Entitlements []string
	ReadyFD      int
}

// Serve runs the embedded engine until ctx ends, it idles too long, or it is
// told to stop.
func Serve(ctx context.Context, opts ServeOptions) error { return nil }

// A StatusInfo tells about the embedded engine.
type StatusInfo struct {
	Running     bool      `json:"running"`
	Dir         string    `json:"dir"`
	Socket      string    `json:"socket,omitempty"`
	Log         string    `json:"log"`
	PID         int       `json:"pid,omitempty"`
	Version     string    `json:"version,omitempty"`
	Build       string    `json:"build,omitempty"`
	Runtime     string    `json:"runtime,omitempty"`
	Started     time.Time `json:"started,omitzero"`
	Connections int       `json:"connections"`
}

// Status tells about the embedded engine without starting it.
func Status(ctx context.Context, opts Options) (StatusInfo, error) { return StatusInfo{}, nil }

// Start starts the embedded engine, or finds it running.
func Start(ctx context.Context, opts Options) (StatusInfo, error) { return StatusInfo{}, nil }

// Stop ends the embedded engine. One in use is left alone with a *BusyError
// unless force is set. Stopping none is no error.
func Stop(ctx context.Context, opts Options, force bool) error { return nil }

// LogPath is the embedded engine's log file.
func LogPath(opts Options) string { return "" }

// A UsageRecord is one entry of an engine's build cache.
type UsageRecord struct {
	ID          string    `json:"id"`
	Type        string    `json:"type"`
	Description string    `json:"description,omitempty"`
	Parents     []string  `json:"parents,omitempty"`
	Size        int64     `json:"size"`
	Created     time.Time `json:"created,omitzero"`
	LastUsed    time.Time `json:"lastUsed,omitzero"`
	UsageCount  int       `json:"usageCount"`
	InUse       bool      `json:"inUse"`
	Shared      bool      `json:"shared"`
}

// A Usage lists what an engine's build cache holds, or what was removed.
type Usage struct {
	Records     []UsageRecord `json:"records"`
	Total       int64         `json:"total"`
	Reclaimable int64         `json:"reclaimable"`
}

// A PruneOptions says what to remove from an engine's build cache.
type PruneOptions struct {
	All      bool          // internal records too, and those images use
	Filters  []string      // BuildKit's filters
	Unused   time.Duration // only what was not used for so long
	MaxUsed  int64         // remove until no more bytes than these are used
	Reserved int64         // bytes always kept
	MinFree  int64         // remove until so many bytes are free on the disk
}

// DiskUsage lists the engine's build cache.
func (e *Engine) DiskUsage(ctx context.Context, filters ...string) (Usage, error) {
	return Usage{}, nil
}

// Prune removes from the engine's build cache and lists what it removed.
func (e *Engine) Prune(ctx context.Context, opts PruneOptions) (Usage, error) { return Usage{}, nil }
