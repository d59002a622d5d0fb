package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
)

type whyOptions struct {
	buildOptions
	json     bool
	against  string
	from, to string
}

func newWhyCmd(a *app) *cobra.Command {
	var opts whyOptions
	cmd := &cobra.Command{
		Use:   "why TARGET",
		Short: "Show why a target must be solved, or need not be",
		Long: `Show what a target is made of now and was not when it last succeeded here: the
file, base image, argument, step or needed target that changed, the line that
reads or names it, and which steps follow. If a needed target is the cause, its
own cause follows.

With --against the target is compared with its last record in a scope of the
shared cache; with --from, and --to, with a record that is kept here, which its
run's id or its fingerprint names, or enough of either.
` + exitStatusHelp,
		Example: "  strata why api\n  strata why api --against main\n  strata why api --from 3f2a9c1b --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.why(cmd.Context(), cmd, opts)
		},
		ValidArgsFunction: a.completeTargets,
	}
	f := cmd.Flags()
	opts.selectOptions.flags(f)
	opts.allowFlags(f)
	opts.requestOptions.flags(f)
	opts.plan.flags(f)
	f.BoolVar(&opts.json, "json", false, "print JSON")
	f.StringVar(&opts.against, "against", "", "compare with the last record in this `scope` of the shared cache")
	f.StringVar(&opts.from, "from", "", "compare with the record of this `run` here")
	f.StringVar(&opts.to, "to", "", "with --from: compare with the record of this `run` instead of with what is now")
	return cmd
}

// why compares targets with earlier successes and prints what differs.
func (a *app) why(ctx context.Context, cmd *cobra.Command, opts whyOptions) error {
	if opts.to != "" && opts.from == "" {
		return usageError("--to names the end of a comparison; give its start with --from")
	}
	if opts.against != "" && opts.from != "" {
		return usageError("--against and --from both name what to compare with; leave one out")
	}
	r, err := a.planned(ctx, cmd.Flags(), opts.buildOptions)
	if err != nil {
		return err
	}
	asked := whyRun{r: r, planner: r.planning.planner(), opts: opts, told: map[string]bool{}, lines: map[string]string{}}
	if err := asked.check(ctx); err != nil {
		return err
	}
	var list []report.WhyTarget
	for _, name := range r.sel.Requested {
		t, err := asked.target(ctx, name)
		if err != nil {
			return err
		}
		list = append(list, t)
	}
	if opts.json {
		err = report.WhyJSON(a.out, list)
	} else {
		err = report.Why(a.out, a.term(), list, time.Now())
	}
	if err != nil {
		return withStatus(exitLocal, err)
	}
	return nil
}

// A whyRun answers one call of strata why.
type whyRun struct {
	r       *buildRun
	planner *plan.Planner
	opts    whyOptions
	told    map[string]bool   // targets that were told of
	lines   map[string]string // text of places
}

// check looks at what --against names before anything is compared.
func (w *whyRun) check(ctx context.Context) error {
	if w.opts.against == "" {
		return nil
	}
	x := w.r.planning.index
	if x.remote == nil {
		return usageError("--against %s: no cache is shared; declare one with a cache block, or name its repository with --cache-repository", w.opts.against)
	}
	scopes := x.scopes
	for _, s := range scopes {
		if s == w.opts.against {
			x.open(ctx)
			return nil
		}
	}
	return usageError("--against %s: the shared cache has no such scope; there are: %s", w.opts.against, strings.Join(scopes, ", "))
}

// target compares a target that was asked for.
func (w *whyRun) target(ctx context.Context, name string) (report.WhyTarget, error) {
	pt := w.r.decided[name]
	w.told[name] = true
	if w.opts.from != "" {
		from, err := w.record(name, w.opts.from)
		if err != nil {
			return report.WhyTarget{}, err
		}
		if w.opts.to != "" {
			to, err := w.record(name, w.opts.to)
			if err != nil {
				return report.WhyTarget{}, err
			}
			return w.between(ctx, from, to)
		}
		return w.since(ctx, pt, &from)
	}
	if w.opts.against != "" {
		e, ok := w.r.planning.index.remote.Latest(w.opts.against, name)
		if !ok {
			return report.WhyTarget{}, usageError("target %q has no record in scope %s of the shared cache: nothing that writes there has built it", name, w.opts.against)
		}
		return w.since(ctx, pt, &e)
	}
	if pt.Entry != nil {
		return w.since(ctx, pt, pt.Entry)
	}
	return w.since(ctx, pt, pt.Last)
}

// since compares a target of the plan with a success, if there is one.
func (w *whyRun) since(ctx context.Context, pt *plan.Target, e *index.Entry) (report.WhyTarget, error) {
	t := report.WhyTarget{Name: pt.Name, Action: pt.Action, Fingerprint: string(pt.Fingerprint), Reasons: pt.Reasons, Lines: w.lines}
	for _, s := range pt.Steps {
		t.Steps = append(t.Steps, report.PlanStep{Number: s.Number, Name: s.Name, Place: s.Place, Runs: s.Runs})
	}
	if e != nil {
		t.Since = w.describe(*e)
		d, ok, err := w.planner.Since(ctx, pt, *e)
		if err != nil {
			return t, w.r.prepareError(err)
		}
		if ok {
			w.compared(&t, d)
			if len(d.Reasons) > 0 {
				t.Reasons = d.Reasons
			}
		}
	}
	if t.Reasons == nil {
		t.Reasons = []plan.Reason{}
	}
	w.read(t.Reasons)
	return t, w.parents(ctx, &t, e)
}

// between compares two successes.
func (w *whyRun) between(ctx context.Context, from, to index.Entry) (report.WhyTarget, error) {
	d, ok := plan.Between(ctx, w.r.planning.index, from, to)
	if !ok {
		return report.WhyTarget{}, usageError("the details of one of these records are gone: there is nothing to compare")
	}
	t := report.WhyTarget{
		Name: to.Target, Fingerprint: string(to.Fingerprint), Reasons: append([]plan.Reason{}, d.Reasons...),
		Since: w.describe(from), Until: w.describe(to),
	}
	w.compared(&t, d)
	return t, nil
}

func (*whyRun) compared(t *report.WhyTarget, d *plan.Difference) {
	t.Inputs = &report.WhyInputs{Total: d.Total, Changed: d.Changed}
	t.Same, t.SameFiles = d.Same, d.SameFiles
}

// parents adds the needed targets that are reasons, compared with what they
// were when e was built.
func (w *whyRun) parents(ctx context.Context, t *report.WhyTarget, e *index.Entry) error {
	for _, reason := range t.Reasons {
		pt := w.r.decided[reason.Path]
		if reason.Kind != plan.KindParent || pt == nil || w.told[reason.Path] {
			continue
		}
		w.told[reason.Path] = true
		need, err := w.since(ctx, pt, w.then(reason.Path, e))
		if err != nil {
			return err
		}
		if len(need.Reasons) > 0 { // else nobody knows any more
			t.Because = append(t.Because, need)
		}
	}
	return nil
}

// then is the success of a target that e was built on: that of the same run, or
// the last one before it.
func (w *whyRun) then(target string, e *index.Entry) *index.Entry {
	if w.opts.against != "" {
		if found, ok := w.r.planning.index.remote.Latest(w.opts.against, target); ok {
			return &found
		}
	}
	var before *index.Entry
	for _, x := range w.records(target) {
		switch {
		case e == nil || x.Run == e.Run:
			return &x
		case before == nil && !x.Built.After(e.Built):
			before = &x
		}
	}
	if before == nil {
		return w.r.decided[target].Last
	}
	return before
}

// records are the successes of a target that are kept here, newest first.
func (w *whyRun) records(target string) []index.Entry {
	var out []index.Entry
	for _, e := range w.r.planning.index.local.List() {
		if e.Target == target && e.Project == w.r.cfg.Dir {
			out = append(out, e)
		}
	}
	return out
}

// record is the one success that name, of a run or a fingerprint, stands for.
func (w *whyRun) record(target, name string) (index.Entry, error) {
	all := w.records(target)
	var found []index.Entry
	for _, e := range all {
		if strings.HasPrefix(e.Run, name) || strings.HasPrefix(string(e.Fingerprint), name) {
			found = append(found, e)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(all) == 0 {
		return index.Entry{}, usageError("target %q has no record here: strata build %s makes one", target, w.r.opts.named(target))
	}
	what := "no record"
	if len(found) > 1 {
		what, all = "several records", found
	}
	var list strings.Builder
	for _, e := range all {
		list.WriteString("\n  " + recordText(e))
	}
	return index.Entry{}, usageError("target %q has %s called %q; there are:%s", target, what, name, list.String())
}

func recordText(e index.Entry) string {
	words := []string{"run " + e.Run, "fingerprint " + string(e.Fingerprint)[:12], report.Ago(e.Built, time.Now())}
	if e.Branch != "" {
		words = append(words, "on "+e.Branch)
	}
	return strings.Join(words, "  ")
}

func (w *whyRun) describe(e index.Entry) *report.WhyRecord {
	rec := &report.WhyRecord{Run: e.Run, Fingerprint: string(e.Fingerprint), Built: e.Built, Revision: e.Revision, Branch: e.Branch}
	if x := w.r.planning.index; x.remote != nil && e.Project == "" {
		found, _ := x.remote.FoundIn(e.Fingerprint)
		rec.Scope = found.Name
	}
	return rec
}

// read notes the text of the lines that reasons name.
func (w *whyRun) read(reasons []plan.Reason) {
	for _, r := range reasons {
		if r.Kind != plan.KindFile && r.To == "" && r.From != "" {
			continue // what was there is there no more
		}
		if _, known := w.lines[r.Place]; !known && r.Place != "" {
			w.lines[r.Place] = w.r.lineAt(r.Place)
		}
	}
}

// lineAt is the text of a place, "" if it can not be read.
func (r *buildRun) lineAt(place string) string {
	i := strings.LastIndexByte(place, ':')
	if i < 0 {
		return ""
	}
	n, err := strconv.Atoi(place[i+1:])
	if err != nil || n < 1 {
		return ""
	}
	data := r.buildFile(place[:i])
	if data == nil {
		file := place[:i]
		if !filepath.IsAbs(file) {
			file = filepath.Join(r.cfg.Dir, file)
		}
		if data, err = os.ReadFile(file); err != nil {
			return ""
		}
	}
	lines := strings.SplitN(string(data), "\n", n+1)
	if len(lines) < n {
		return ""
	}
	return strings.TrimSpace(lines[n-1])
}
