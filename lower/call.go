package lower

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/solver/pb"

	"github.com/strata-build/strata/config"
)

// The questions that the Dockerfile front end answers without building
// (BuildKit's docs/reference/buildctl.md, frontend subrequests).
var calls = map[string]string{
	"lint":    "frontend.lint",
	"outline": "frontend.outline",
	"targets": "frontend.targets",

	"subrequests.describe": "frontend.subrequests.describe",
}

// A CallResult is the front end's answer to a question about a Dockerfile.
type CallResult struct {
	JSON     []byte            // the front end's answer
	Text     string            // the same for people
	Failed   bool              // lint found something
	Broken   string            // lint could not read the Dockerfile: why, for people
	Metadata map[string]string // all that the front end answered

	// Foreign says why only the engine can answer the Request; all above is empty
	// then, until [CallResult.Adopt].
	Foreign string
	Request *Request

	method string
}

// Call asks the front end about t's Dockerfile: method is lint, outline or
// targets. Errors are those of Lower.
func Call(ctx context.Context, t *config.Target, method string, parents map[string]*Result, opts Options) (*CallResult, error) {
	request, ok := calls[method]
	if !ok {
		return nil, fmt.Errorf("method %q is not known; use check, outline or targets", method)
	}
	req, err := newRequest(t, needs(parents), opts)
	if err != nil {
		return nil, err
	}
	if err := req.attach(); err != nil {
		return nil, err
	}
	req.Attrs = maps.Clone(req.Attrs)
	req.Attrs["requestid"] = request
	if req.foreign != "" {
		return &CallResult{Foreign: req.foreign, Request: req, method: method}, nil
	}
	g := newGateway(req, opts)
	out, err := runFrontend(ctx, g)
	src := g.source(req)
	if err != nil {
		if errors.Is(err, errNeedsEngine) {
			return &CallResult{Foreign: g.foreignReason(), Request: req, method: method}, nil
		}
		return nil, req.sourceError(err, src)
	}
	res := &CallResult{method: method}
	return res, res.answer(out.Metadata, src)
}

// Adopt takes the engine's answer to r.Request.
func (r *CallResult) Adopt(metadata map[string][]byte) error {
	r.Foreign, r.Request = "", nil
	return r.answer(metadata, nil)
}

// answer is what a front end answered about src, which is nil if it is not known.
func (r *CallResult) answer(metadata map[string][]byte, src *Source) error {
	r.JSON, r.Text = metadata["result.json"], string(metadata["result.txt"])
	r.Metadata = map[string]string{}
	for key, value := range metadata {
		r.Metadata[key] = string(value)
	}
	if r.method == "lint" {
		return r.lint(src)
	}
	return nil
}

// lint words the findings as docker buildx does (commands/build.go there),
// under the name of the file that the user knows.
func (r *CallResult) lint(src *Source) error {
	var found lint.LintResults
	if err := json.Unmarshal(r.JSON, &found); err != nil {
		return fmt.Errorf("reading the front end's findings: %w", err)
	}
	named := func(info *pb.SourceInfo) *pb.SourceInfo {
		if info == nil || src == nil {
			return info
		}
		c := info.CloneVT()
		c.Filename = src.Name
		return c
	}
	var b strings.Builder
	switch n := len(found.Warnings); {
	case n == 1:
		b.WriteString("Check complete, 1 warning has been found!\n")
	case n > 1:
		fmt.Fprintf(&b, "Check complete, %d warnings have been found!\n", n)
	}
	if err := found.PrintTo(&b, named); err != nil {
		return err
	}
	r.Failed = len(found.Warnings) > 0
	if found.Error != nil {
		var broken strings.Builder
		found.PrintErrorTo(&broken, named)
		r.Broken = broken.String()
	} else if len(found.Warnings) == 0 {
		b.WriteString("Check complete, no warnings found.\n")
	}
	r.Text = b.String()
	return nil
}
