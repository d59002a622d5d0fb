package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/report"
)

// This file says what became of a build, or kept it from starting.

// print writes the end screen: failures last, where the eye is.
func (r *buildRun) print(ctx context.Context, term report.Terminal) error {
	w := r.app.err
	if r.mode == report.RawJSON {
		return nil
	}
	if r.mode == report.Quiet {
		report.Failures(w, term, r.done)
		if r.opts.bakes() {
			return nil
		}
		return report.Digests(r.historyOut(), r.done)
	}
	var recs []history.Record
	for _, t := range r.plan.Targets {
		if rec, ok := r.record(ctx, t); ok {
			recs = append(recs, rec)
		}
	}
	report.Summary(w, term, r.done)
	if r.opts.history != "none" && len(recs) > 0 {
		fmt.Fprintln(w)
		if err := report.Histories(r.historyOut(), term, recs, r.opts.history); err != nil {
			return err
		}
	}
	report.Failures(w, term, r.done)
	return nil
}

// historyOut is standard output: histories and digests are results. When an image
// itself goes there, it is standard error.
func (r *buildRun) historyOut() io.Writer {
	for _, t := range r.sel.Targets {
		for _, o := range t.Outputs {
			if o.Dest == "-" || o.Dest == "/dev/stdout" {
				return r.app.err
			}
		}
	}
	return r.app.out
}

// status picks the exit status of a run that has printed all there is to say.
func (r *buildRun) status(err error) error {
	if err == nil {
		return nil
	}
	status := exitFailed
	for _, res := range r.done.Results {
		if res.State == executor.Failed {
			status = graver(status, statusOf(res.Err))
		}
	}
	if !errors.Is(err, executor.ErrFailed) {
		return err
	}
	if r.opts.bakes() {
		return r.firstFailure(err)
	}
	return withStatus(status, nil)
}

// graver is the exit status of several failures: the one of them that comes first
// here.
func graver(a, b int) int {
	for _, status := range []int{exitInternal, exitDenied, exitEngine, exitLocal, exitRegistry, exitPartly} {
		if a == status || b == status {
			return status
		}
	}
	return max(a, b)
}

// firstFailure is the line that docker buildx bake ends with.
func (r *buildRun) firstFailure(err error) error {
	for _, res := range r.done.Results {
		if res.State == executor.Failed {
			return fmt.Errorf("target %s: failed to solve: %w", res.Target, res.Err)
		}
	}
	return err
}

// lost is the loss of the engine, nil if it is there: the watch noticed, or the
// connection of a target broke.
func (r *buildRun) lost(err error) error {
	if u, ok := errors.AsType[*engine.UnreachableError](err); ok {
		return withStatus(exitEngine, &buildkit.LostError{Address: r.engineName(), Err: u})
	}
	for _, res := range r.done.Results {
		if l, ok := errors.AsType[*buildkit.LostError](res.Err); ok {
			return withStatus(exitEngine, l)
		}
	}
	return nil
}

// prepareError sorts what is wrong before the start: mistakes in files come
// first, each at its line, and decide the exit status.
func (r *buildRun) prepareError(err error) error {
	out := &config.Error{Files: r.cfg.Files}
	var others []error
	for _, e := range flatten(err) {
		se, isSource := errors.AsType[*lower.SourceError](e)
		te, isTarget := errors.AsType[*graph.TargetError](e)
		cause := statusOf(unwrapped(e))
		switch {
		case cause != exitFailed && cause != exitUsage && cause != exitLocal:
			others = append(others, e)
		case isSource:
			out.AddSource(se.Place.File, se.Text, se.Place.Line, se.EndLine, "Dockerfile mistake", fmt.Sprintf("Target %q: %v.", se.Target, se.Err))
		case isTarget:
			out.Diags = append(out.Diags, r.summarize("Target cannot be built", r.cfg.Diagnose(te)).Diags...)
		default:
			others = append(others, e)
		}
	}
	if len(out.Diags) > 0 {
		return out
	}
	return errors.Join(others...)
}

// again is the command that builds one target like this run did.
func (r *buildRun) again(target string) string {
	words := []string{"strata", r.opts.verb()}
	for _, f := range r.opts.files {
		words = append(words, "-f", f)
	}
	for _, s := range r.opts.set {
		words = append(words, "--set", s)
	}
	for _, a := range r.opts.allow {
		words = append(words, "--allow", a)
	}
	for _, v := range r.opts.vars {
		words = append(words, "--var", v)
	}
	for _, f := range []struct {
		flag string
		on   bool
	}{{"--push", r.opts.push}, {"--load", r.opts.load}, {"--no-cache", r.opts.noCache}, {"--pull", r.opts.pull}} {
		if f.on {
			words = append(words, f.flag)
		}
	}
	words = append(words, r.opts.named(target))
	for i, w := range words {
		if strings.ContainsAny(w, " '\"$\\*?[]&;|<>()`!#~\n") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// verb is the command that builds like this.
func (o *buildOptions) verb() string {
	if o.bakes() {
		return "bake"
	}
	return "build"
}

// bakes reports whether the command is bake.
func (o *buildOptions) bakes() bool { return o.selectOptions.mode == config.ModeBake }

// denied shows each request at the line that makes it.
func (r *buildRun) denied(err error) error {
	if d, ok := errors.AsType[*grant.DeniedError](err); ok {
		return withStatus(exitDenied, r.summarize("Not allowed", r.cfg.Diagnose(d.TargetErrors())))
	}
	return withStatus(exitDenied, err)
}

// summarize says in one word what all of e is about.
func (*buildRun) summarize(what string, e *config.Error) *config.Error {
	for _, d := range e.Diags {
		d.Summary = what
	}
	return e
}

// flatten lists the leaves of joined errors.
func flatten(err error) []error {
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// unwrapped is the cause inside a placed error.
func unwrapped(err error) error {
	if se, ok := errors.AsType[*lower.SourceError](err); ok {
		return se.Err
	}
	if te, ok := errors.AsType[*graph.TargetError](err); ok {
		return te.Err
	}
	return err
}
