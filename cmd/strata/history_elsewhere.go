package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
)

// builtElsewhere is the history of a target that has no record here, as it is kept
// with the success that a build would rest on: that with what the target is made of
// now, else its last one. It says where that is kept. name is a target.
func (a *app) builtElsewhere(ctx context.Context, name string, opts historyOptions) (history.Record, error) {
	r := &buildRun{app: a, opts: buildOptions{selectOptions: opts.selectOptions, plan: planFlags{cache: opts.shared}}}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, nil); err != nil {
		return history.Record{}, err
	}
	if err := r.grant(ctx); err != nil {
		return history.Record{}, err
	}
	if none, err := a.nothingKept(r, opts.shared); none || err != nil {
		return history.Record{}, cmp.Or(err, usageError("target %q has not been built here: strata build %s", name, name))
	}
	if r.planning, err = a.newPlanning(ctx, r.cfg, r.sel, r.opts.plan, nil); err != nil {
		return history.Record{}, err
	}
	planner := r.planning.planner()
	planner.Deliveries = anywhere{}
	if r.plan, err = planner.Make(ctx); err != nil {
		return history.Record{}, r.prepareError(err)
	}
	t, x := r.plan.Target(r.sel.Requested[0]), r.planning.index
	for _, e := range []*index.Entry{t.Entry, t.Last} {
		if e == nil {
			continue
		}
		if rec, ok := x.record(ctx, *e, t.Name); ok {
			a.tellWhence(x, *e, t)
			return rec.Only(opts.platform)
		}
	}
	also := ""
	if x.remote != nil {
		also = fmt.Sprintf(", and neither the index of this machine nor the shared cache %s has a history of it", x.repositories())
	}
	return history.Record{}, usageError("target %q has not been built here%s: strata build %s", name, also, name)
}

// nothingKept reports whether there is nobody to ask: no cache is shared, and the
// index of this machine knows nothing of the project.
func (a *app) nothingKept(r *buildRun, shared sharedOptions) (bool, error) {
	block, err := shared.block(r.cfg)
	if err != nil || block != nil {
		return false, err
	}
	return !slices.ContainsFunc(newPlanIndex(a, r.cfg.Dir).local.List(), func(e index.Entry) bool { return e.Project == r.cfg.Dir }), nil
}

// tellWhence says what success a history is of.
func (a *app) tellWhence(x *planIndex, e index.Entry, t *plan.Target) {
	text := fmt.Sprintf("no build of %s is recorded here; this is its history in %s, built %s", t.Name, x.whence(e), report.Ago(e.Built, time.Now()))
	if e.Branch != "" {
		text += " on " + e.Branch
	}
	if e.Fingerprint != t.Fingerprint {
		text += ", from other inputs than there are now"
	}
	fmt.Fprintln(a.err, "strata:", report.Sanitize(text, false))
}

// anywhere takes every success to be where it is wanted.
type anywhere struct{}

var _ plan.Deliveries = anywhere{}

// Check implements plan.Deliveries.
func (anywhere) Check(context.Context, *config.Target, index.Entry) (plan.State, []plan.Reason, error) {
	return plan.There, nil, nil
}
