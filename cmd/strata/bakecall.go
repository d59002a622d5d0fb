package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
)

// bakeCall asks the Dockerfile front end about each target instead of building
// it, and prints the answers as docker buildx bake does. No engine is needed.
func (a *app) bakeCall(ctx context.Context, opts bakeOptions, call config.Call) error {
	cfg, sel, err := a.selectTargets(ctx, opts.selectOptions, nil)
	if err != nil {
		return err
	}
	settings, err := a.registries()
	if err != nil {
		return err
	}
	res := registry.NewResolver(settings, registry.NewKeychain(a.lookupEnv))
	a.onClose(func() error { res.Close(); return nil })
	c := &caller{call: call, opts: lower.Options{Dir: cfg.Dir, Resolver: res}, lowered: map[string]*lower.Result{}, answers: map[string]*lower.CallResult{}}
	for _, t := range sel.Targets {
		c.ask(ctx, t, slices.Contains(sel.Requested, t.Name))
	}
	if call.Format == "json" {
		err = c.printJSON(a, sel)
	} else {
		err = c.printText(a, sel)
	}
	if err == nil && c.failed {
		return withStatus(exitFailed, nil)
	}
	return err
}

// A caller collects the answers of all targets.
type caller struct {
	call    config.Call
	opts    lower.Options
	lowered map[string]*lower.Result
	answers map[string]*lower.CallResult
	failed  bool
}

// ask puts the question to t. Its parents have been lowered for it.
func (c *caller) ask(ctx context.Context, t *config.Target, wanted bool) {
	parents := map[string]*lower.Result{}
	for _, id := range t.Needs {
		if p, ok := c.lowered[string(id)]; ok {
			parents[string(id)] = p
		}
	}
	if r, err := lower.Lower(ctx, t, parents, c.opts); err == nil && r.Foreign == "" {
		c.lowered[t.Name] = r
	}
	if !wanted {
		return
	}
	answer, err := lower.Call(ctx, t, c.call.Method, parents, c.opts)
	if err != nil {
		answer = &lower.CallResult{Broken: err.Error()}
	}
	if answer.Foreign != "" {
		answer.Broken = "only the engine can read this Dockerfile: " + answer.Foreign
	}
	c.answers[t.Name] = answer
	c.failed = c.failed || answer.Broken != "" || answer.Failed && !c.call.IgnoreStatus
}

func (c *caller) printText(a *app, sel *config.Selection) error {
	var out string
	for _, t := range sel.Targets {
		answer, ok := c.answers[t.Name]
		if !ok {
			continue
		}
		if out != "" {
			out += "\n"
		}
		out += t.Name + "\n"
		if t.Description != "" {
			out += t.Description + "\n"
		}
		out += "\n" + answer.Text
		if answer.Broken != "" {
			out += "error: " + answer.Broken + "\n"
		}
	}
	_, err := fmt.Fprint(a.out, report.Sanitize(out, false))
	return err
}

// printJSON adds the answers to what --print prints.
func (c *caller) printJSON(a *app, sel *config.Selection) error {
	printed, err := sel.PrintJSON()
	if err != nil {
		return err
	}
	var defs struct {
		Group  json.RawMessage            `json:"group,omitempty"`
		Target map[string]json.RawMessage `json:"target"`
	}
	if err := json.Unmarshal(printed, &defs); err != nil {
		return err
	}
	name := c.call.Method
	if name == "lint" {
		name = "check"
	}
	targets := map[string]map[string]any{}
	for t, def := range defs.Target {
		targets[t] = map[string]any{"build": def}
		if answer, ok := c.answers[t]; ok {
			targets[t][name] = answerJSON(answer)
		}
	}
	return printIndented(a.out, struct {
		Group  json.RawMessage           `json:"group,omitempty"`
		Target map[string]map[string]any `json:"target"`
	}{defs.Group, targets})
}

func answerJSON(answer *lower.CallResult) map[string]any {
	out := map[string]any{}
	if len(answer.JSON) > 0 {
		_ = json.Unmarshal(answer.JSON, &out) // an answer that is no object is left out
	}
	if answer.Broken != "" {
		out["error"] = answer.Broken
	}
	return out
}

// callMethod reports whether call is one of a build's questions.
func callMethod(call config.Call) error {
	switch call.Method {
	case "", "lint", "outline", "targets":
		return nil
	}
	return errors.New("use build, check, outline or targets")
}

// writeMetadata writes what is known of the results, as docker buildx does. For
// a target that was there before it is what was said when it was made.
func (r *buildRun) writeMetadata(ctx context.Context) error {
	all := map[string]map[string]any{}
	for _, pt := range r.plan.Targets {
		t := r.target(pt.Name)
		switch {
		case pt.Action == plan.Solve:
			if response := r.builder.Response(pt.Name); response != nil {
				all[pt.Name] = buildkit.Metadata(r.planning.runID, t, response)
			}
		case pt.Entry != nil:
			all[pt.Name] = buildkit.Metadata(pt.Entry.Run, t, r.response(ctx, pt))
		}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(r.opts.metadata, append(data, '\n'))
}

// response is what the exporters said when a target was made.
func (r *buildRun) response(ctx context.Context, pt *plan.Target) map[string]string {
	out := map[string]string{}
	if pt.Entry.Digest != "" {
		out["containerimage.digest"] = pt.Entry.Digest
	}
	d, _ := r.planning.index.Detail(ctx, *pt.Entry)
	for _, in := range d.Inputs {
		if in.Kind == plan.KindResponse {
			out[in.Name] = in.Value
		}
	}
	return out
}
