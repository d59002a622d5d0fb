package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/report"
)

// bakeCall asks the Dockerfile front end about each target instead of building
// it, and prints the answers as docker buildx bake does. An engine is asked only
// for base images that can not be found otherwise.
func (a *app) bakeCall(ctx context.Context, cmd *cobra.Command, opts bakeOptions) error {
	r := &buildRun{app: a, opts: opts.buildOptions}
	if err := r.check(cmd); err != nil {
		return err
	}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, nil); err != nil {
		return err
	}
	return r.call(ctx, opts.method)
}

// called are the targets of sel that say by themselves that they are not built.
func called(sel *config.Selection) []string {
	var out []string
	for _, t := range sel.Targets {
		if call, err := config.ParseCall(t.Call); (err != nil || call.Method != "") && slices.Contains(sel.Requested, t.Name) {
			out = append(out, t.Name)
		}
	}
	return out
}

// callSome builds the targets that are to be built, then answers for the others.
func (r *buildRun) callSome(ctx context.Context, cmd *cobra.Command) error {
	asked := called(r.sel)
	rest := slices.DeleteFunc(slices.Clone(r.sel.Requested), func(name string) bool { return slices.Contains(asked, name) })
	if len(rest) > 0 {
		opts := r.opts
		opts.targets = rest
		if err := r.app.build(ctx, cmd, opts); err != nil {
			return err
		}
		r.opts.metadata = ""
	}
	r.sel.Requested = asked
	if err := r.call(ctx, config.Call{}); err != nil {
		if _, misplaced := errors.AsType[*graph.TargetError](err); misplaced {
			return r.cfg.Diagnose(err)
		}
		return err
	}
	return nil
}

// call answers instead of building.
func (r *buildRun) call(ctx context.Context, call config.Call) error {
	if err := r.grant(ctx); err != nil {
		return err
	}
	eng, err := r.app.newCallEngine(r.cfg.Dir)
	if err != nil {
		return err
	}
	c := &caller{call: call, engine: eng, opts: lower.Options{Dir: r.cfg.Dir, Resolver: eng}, lowered: map[string]*lower.Result{}, answers: map[string]*lower.CallResult{}, methods: map[string]string{}}
	for _, t := range r.sel.Targets {
		if err := c.ask(ctx, t, slices.Contains(r.sel.Requested, t.Name)); err != nil {
			return err
		}
	}
	if r.opts.metadata != "" {
		if err := c.writeMetadata(r.opts.metadata); err != nil {
			return withStatus(exitLocal, err)
		}
	}
	if call.Format == "json" {
		err = c.printJSON(r.app, r.sel)
	} else {
		err = c.printText(r.app, r.sel)
	}
	if err == nil && c.failed {
		return withStatus(exitFailed, nil)
	}
	return err
}

// writeMetadata writes the answers to a file, as docker buildx does.
func (c *caller) writeMetadata(file string) error {
	all := map[string]map[string]any{}
	for name, answer := range c.answers {
		all[name] = map[string]any{}
		for key, value := range answer.Metadata {
			all[name][key] = value
			if key == "result.json" && json.Valid([]byte(value)) {
				all[name][key] = json.RawMessage(value)
			}
		}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(file, append(data, '\n'))
}

// A caller collects the answers of all targets.
type caller struct {
	call    config.Call // of the command line; without a method each target has its own
	engine  *callEngine
	opts    lower.Options
	lowered map[string]*lower.Result
	answers map[string]*lower.CallResult
	methods map[string]string // what was asked
	failed  bool
}

// ask puts the question to t. Its parents have been lowered for it.
func (c *caller) ask(ctx context.Context, t *config.Target, wanted bool) error {
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
		return nil
	}
	method, err := c.method(t)
	if err != nil {
		return err
	}
	answer, err := lower.Call(ctx, t, method, parents, c.opts)
	if err == nil && answer.Foreign != "" {
		err = c.engine.answer(ctx, t, answer)
	}
	if err != nil {
		answer = &lower.CallResult{Broken: err.Error()}
	}
	c.methods[t.Name], c.answers[t.Name] = method, answer
	c.failed = c.failed || answer.Broken != "" || answer.Failed && !c.call.IgnoreStatus
	return nil
}

// method is what t is asked.
func (c *caller) method(t *config.Target) (string, error) {
	if c.call.Method != "" {
		return c.call.Method, nil
	}
	call, err := config.ParseCall(t.Call)
	if err == nil {
		err = callMethod(call)
	}
	if err != nil {
		return "", &graph.TargetError{ID: graph.ID(t.Name), Attr: "call", Err: err}
	}
	return call.Method, nil
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
	targets := map[string]map[string]any{}
	for t, def := range defs.Target {
		targets[t] = map[string]any{"build": def}
		if answer, ok := c.answers[t]; ok {
			name := c.methods[t]
			if name == "lint" {
				name = "check"
			}
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
	case "", "lint", "outline", "targets", "subrequests.describe":
		return nil
	}
	return errors.New("use build, check, outline or targets")
}
