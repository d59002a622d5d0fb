package lower

import (
	"context"
	"errors"
	"fmt"
	"maps"

	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"

	"github.com/strata-build/strata/config"
)

// The questions that the Dockerfile front end answers without building
// (BuildKit's docs/reference/buildctl.md, frontend subrequests).
var calls = map[string]string{
	"lint":    "frontend.lint",
	"outline": "frontend.outline",
	"targets": "frontend.targets",
}

// A CallResult is the front end's answer to a question about a Dockerfile.
type CallResult struct {
	JSON    []byte
	Text    []byte
	Source  *Source
	Foreign string // why only the engine could answer; the rest is empty then
}

// Call asks the front end about t's Dockerfile: method is lint, outline or
// targets. Errors are those of Lower.
func Call(ctx context.Context, t *config.Target, method string, parents map[string]*Result, opts Options) (*CallResult, error) {
	request, ok := calls[method]
	if !ok {
		return nil, fmt.Errorf("method %q is not known; use check, outline or targets", method)
	}
	req, err := newRequest(t, parents, opts)
	if err != nil {
		return nil, err
	}
	if req.foreign != "" {
		return &CallResult{Foreign: req.foreign}, nil
	}
	req.Attrs = maps.Clone(req.Attrs)
	req.Attrs["requestid"] = request
	g := newGateway(req, opts)
	out, err := dockerfile.Build(ctx, g)
	src := g.source(req)
	if err != nil {
		if errors.Is(err, errNeedsEngine) {
			return &CallResult{Foreign: g.foreignReason()}, nil
		}
		return nil, req.sourceError(err, src)
	}
	return &CallResult{JSON: out.Metadata["result.json"], Text: out.Metadata["result.txt"], Source: src}, nil
}
