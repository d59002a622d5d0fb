package engine

import (
	"path/filepath"
	"strconv"
	"time"
)

// embeddedName is what people call the embedded engine.
const embeddedName = string(KindEmbedded)

// A StatusInfo tells about the embedded engine.
type StatusInfo struct {
	Running      bool      `json:"running"`
	Dir          string    `json:"dir"`
	Log          string    `json:"log"`
	Socket       string    `json:"socket,omitempty"`
	PID          int       `json:"pid,omitempty"`
	Version      string    `json:"version,omitempty"` // of BuildKit
	Build        string    `json:"build,omitempty"`   // which build of this program serves it
	Runtime      string    `json:"runtime,omitempty"`
	Snapshotter  string    `json:"snapshotter,omitempty"`
	Rootless     bool      `json:"rootless"`
	Entitlements []string  `json:"entitlements,omitempty"`
	Started      time.Time `json:"started,omitzero"`
	IdleTimeout  string    `json:"idleTimeout,omitempty"`
	Clients      []int     `json:"clients"` // processes that use it now
}

// ServeOptions say how the child process runs.
type ServeOptions struct {
	Dir          string
	Runtime      string
	IdleTimeout  time.Duration
	Entitlements string // comma-separated
	ToLog        bool   // stderr is the log file, which must not grow without bound
	Fresh        bool   // put the state of former runs aside
	ReadyFD      int    // where to say that it serves, or why not; 0 for nowhere
	MappedFD     int    // what to wait for before ids are mapped; 0 for nothing
}

// A flagSet is what flag.FlagSet and pflag.FlagSet have in common.
type flagSet interface {
	StringVar(p *string, name, value, usage string)
	DurationVar(p *time.Duration, name string, value time.Duration, usage string)
	BoolVar(p *bool, name string, value bool, usage string)
	IntVar(p *int, name string, value int, usage string)
}

// Flags defines the flags of "engine serve" in fs.
func (o *ServeOptions) Flags(fs flagSet) {
	fs.StringVar(&o.Dir, "dir", "", "state `folder`; default STRATA_ENGINE_DIR or XDG_DATA_HOME/strata/engine")
	fs.StringVar(&o.Runtime, "oci-runtime", "", "OCI runtime `binary`; default runc or crun from PATH")
	fs.DurationVar(&o.IdleTimeout, "idle-timeout", defaultIdleTimeout, "end after so long without a command")
	fs.StringVar(&o.Entitlements, "allow-insecure-entitlement", "", "`names` steps may be given: security.insecure, network.host, device")
	fs.BoolVar(&o.ToLog, "to-log", false, "stderr is the engine's log file: keep it small")
	fs.BoolVar(&o.Fresh, "fresh", false, "put the state of former runs aside")
	fs.IntVar(&o.ReadyFD, "ready-fd", 0, "file descriptor to report readiness on")
	fs.IntVar(&o.MappedFD, "mapped-fd", 0, "file descriptor to wait on for the id mapping")
}

// InternalServeFlags are the flags by which an engine's starter talks to it:
// no help need show them.
var InternalServeFlags = []string{"to-log", "fresh", "ready-fd", "mapped-fd"}

// args is the command line that Flags reads.
func (o ServeOptions) args() []string {
	args := []string{
		"engine", "serve",
		"--dir=" + o.Dir,
		"--oci-runtime=" + o.Runtime,
		"--idle-timeout=" + o.IdleTimeout.String(),
	}
	if o.Entitlements != "" {
		args = append(args, "--allow-insecure-entitlement="+o.Entitlements)
	}
	if o.ToLog {
		args = append(args, "--to-log")
	}
	if o.Fresh {
		args = append(args, "--fresh")
	}
	if o.ReadyFD != 0 {
		args = append(args, "--ready-fd="+strconv.Itoa(o.ReadyFD))
	}
	if o.MappedFD != 0 {
		args = append(args, "--mapped-fd="+strconv.Itoa(o.MappedFD))
	}
	return args
}

// A readyReport is what the child says once: that it serves, or why not.
type readyReport struct {
	Error   string        `json:"error,omitempty"`
	Runtime *RuntimeError `json:"runtime,omitempty"`
	Notices []string      `json:"notices,omitempty"`
}

// LogPath is the embedded engine's log file, "" when it has no folder.
func LogPath(opts Options) string {
	dir, err := stateDir(opts.withDefaults())
	if err != nil {
		return ""
	}
	return home{dir}.log()
}

// A home is the folder of an embedded engine.
type home struct{ dir string }

func (h home) root() string      { return filepath.Join(h.dir, "root") }        // BuildKit's state
func (h home) log() string       { return filepath.Join(h.dir, "engine.log") }  // what the child writes to stderr
func (h home) record() string    { return filepath.Join(h.dir, "engine.json") } // while the child serves
func (h home) settings() string  { return filepath.Join(h.dir, "settings.json") }
func (h home) startLock() string { return filepath.Join(h.dir, "start.lock") }  // held by who starts or replaces the child
func (h home) serveLock() string { return filepath.Join(h.dir, "engine.lock") } // held by the child

// stateDir is the folder of the embedded engine that opts mean.
func stateDir(opts Options) (string, error) {
	dir := opts.Dir
	if dir == "" {
		dir = opts.env("STRATA_ENGINE_DIR")
	}
	if data := opts.env("XDG_DATA_HOME"); dir == "" && filepath.IsAbs(data) {
		dir = filepath.Join(data, "strata", "engine")
	}
	if user := opts.env("HOME"); dir == "" && filepath.IsAbs(user) {
		dir = filepath.Join(user, ".local", "share", "strata", "engine")
	}
	if dir == "" {
		return "", &UnreachableError{
			Address: embeddedName,
			Err:     errNoHome,
			Hint:    "set HOME, or STRATA_ENGINE_DIR to a folder of yours",
		}
	}
	return filepath.Abs(dir)
}
