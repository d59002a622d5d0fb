package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// defaultIdleTimeout is how long an embedded engine stays without a command.
const defaultIdleTimeout = 10 * time.Minute

// addressVars name an engine when no option does, first wins. The second is
// what BuildKit's own client reads.
var addressVars = []string{"STRATA_ENGINE", "BUILDKIT_HOST"}

func (o Options) withDefaults() Options {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.Notice == nil {
		o.Notice = func(string) {}
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = defaultIdleTimeout
	}
	for _, name := range addressVars {
		if o.Address == "" {
			o.Address = o.env(name)
		}
	}
	return o
}

// env returns the value of an environment variable, "" when it is not set.
func (o Options) env(name string) string {
	value, _ := o.LookupEnv(name)
	return value
}

// choose opens the engine that opts.Address names, or the first that is there.
func choose(ctx context.Context, opts Options) (*Engine, error) {
	scheme, rest, hasColon := strings.Cut(opts.Address, ":")
	switch {
	case opts.Address == "":
		return chooseAny(ctx, opts)
	case opts.Address == string(KindEmbedded):
		return openEmbedded(ctx, opts)
	case scheme == string(KindDocker):
		return openNamedDocker(ctx, opts, rest)
	case hasColon && strings.HasPrefix(rest, "//"):
		return openRemote(ctx, opts)
	}
	return nil, &UnreachableError{
		Address: fmt.Sprintf("%q", opts.Address),
		Err:     errors.New("this is no engine address"),
		Hint:    "use embedded, docker, docker:CONTEXT, or an address such as unix:///run/buildkit/buildkitd.sock or tcp://host:1234",
	}
}

// chooseAny prefers a Docker Engine that is there to starting one of ours:
// what it builds appears among its images.
func chooseAny(ctx context.Context, opts Options) (*Engine, error) {
	e, err := probeDocker(ctx, opts)
	if err != nil {
		opts.Notice(err.Error() + "; the embedded engine is used instead")
	}
	if e != nil {
		return e, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return openEmbedded(ctx, opts)
}
