//go:build !linux

package engine

import "context"

// errNoEmbedded reports that BuildKit's worker needs Linux.
func errNoEmbedded() error {
	return &RuntimeError{
		Problem: "the embedded engine runs on Linux only",
		Hint:    "use Docker (--engine docker) or a remote BuildKit (--engine ADDRESS)",
	}
}

func openEmbedded(context.Context, Options) (*Engine, error) { return nil, errNoEmbedded() }

// Start starts the embedded engine, which only Linux has.
func Start(context.Context, Options) (StatusInfo, error) { return StatusInfo{}, errNoEmbedded() }

// Status tells about the embedded engine, which only Linux has.
func Status(context.Context, Options) (StatusInfo, error) {
	return StatusInfo{Clients: []int{}}, errNoEmbedded()
}

// Stop ends the embedded engine, which only Linux has.
func Stop(context.Context, Options, bool) error { return errNoEmbedded() }

// Serve runs the embedded engine, which only Linux has.
func Serve(context.Context, ServeOptions) error { return errNoEmbedded() }
