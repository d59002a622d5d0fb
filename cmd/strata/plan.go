package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
)

type planOptions struct {
	buildOptions
	json     bool
	all      bool
	out      string
	exitCode bool
}

func newPlanCmd(a *app) *cobra.Command {
	var opts planOptions
	cmd := &cobra.Command{
		Use:   "plan [TARGET...]",
		Short: "Show what a build would do, and why",
		Long: `Show for each target what a build would do, before any engine is asked: reuse
what is there, retag an image whose tags are elsewhere, or solve, with the reason
and the steps that are expected to run.

With --out the plan is written to a file; strata build --plan FILE builds what it
says, or refuses if something has changed since. With --detailed-exitcode the exit
status is 0 if there is nothing to do and 2 if there is.
` + exitStatusHelp,
		Example: "  strata plan\n  strata plan api --json\n  strata plan --out plan.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.planCmd(cmd.Context(), cmd, opts)
		},
	}
	f := cmd.Flags()
	opts.selectOptions.flags(f)
	opts.allowFlags(f)
	opts.requestOptions.flags(f)
	opts.plan.flags(f)
	f.BoolVar(&opts.json, "json", false, "print JSON")
	f.BoolVar(&opts.all, "all", false, "list the targets too for which there is nothing to do")
	f.StringVarP(&opts.out, "out", "o", "", "write the plan to this `file` too, for strata build --plan")
	f.BoolVar(&opts.exitCode, "detailed-exitcode", false, "exit with 2 if there is something to do")
	cmd.ValidArgsFunction = a.completeTargets
	return cmd
}

// planCmd makes a plan and prints it.
func (a *app) planCmd(ctx context.Context, cmd *cobra.Command, opts planOptions) error {
	if opts.out != "" && slices.Contains(opts.files, "-") {
		return usageError("--out with --file -: what standard input said is gone when the plan is built; write the build file to disk")
	}
	r, err := a.planned(ctx, cmd.Flags(), opts.buildOptions)
	if err != nil {
		return err
	}
	if opts.out != "" {
		if err := r.writePlan(opts.out, cmd.Flags()); err != nil {
			return withStatus(exitLocal, err)
		}
	}
	if opts.json {
		err = report.PlanJSON(a.out, r.plan)
	} else {
		err = report.Plan(a.out, a.term(), r.plan, opts.all)
	}
	if err != nil {
		return withStatus(exitLocal, err)
	}
	if opts.exitCode && r.plan.Count(plan.Reuse) < len(r.plan.Targets) {
		return withStatus(exitUsage, nil)
	}
	return nil
}

// planned reads the build files and plans what opts ask for.
func (a *app) planned(ctx context.Context, f *pflag.FlagSet, opts buildOptions) (*buildRun, error) {
	r := &buildRun{app: a, opts: opts}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, opts.requestOptions.ask(f)); err != nil {
		return nil, err
	}
	if err := r.grant(ctx); err != nil {
		return nil, err
	}
	if err := r.makePlan(ctx); err != nil {
		return nil, err
	}
	return r, r.checkFrontends()
}

// notPlanned are flags that change how a plan is shown and not what it says.
var notPlanned = []string{"json", "all", "out", "detailed-exitcode", "file"}

// writePlan writes a plan file.
func (r *buildRun) writePlan(file string, f *pflag.FlagSet) error {
	doc := report.NewPlanDocument(r.plan)
	doc.Request = &report.PlanRequest{Files: r.opts.files}
	for _, name := range r.sel.Requested {
		doc.Request.Targets = append(doc.Request.Targets, r.opts.named(name))
	}
	f.Visit(func(flag *pflag.Flag) {
		if slices.Contains(notPlanned, flag.Name) {
			return
		}
		if list, ok := flag.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				doc.Request.Args = append(doc.Request.Args, "--"+flag.Name+"="+v)
			}
			return
		}
		doc.Request.Args = append(doc.Request.Args, "--"+flag.Name+"="+flag.Value.String())
	})
	data, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(file, append(data, '\n'))
}

// readPlan reads a plan file.
func readPlan(file string) (*report.PlanDocument, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, withStatus(exitLocal, err)
	}
	var doc report.PlanDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, usageError("%s is no plan: %w", file, err)
	}
	if doc.Schema != report.PlanSchema || doc.Request == nil {
		return nil, usageError("%s is no plan that this strata can build: its schema is %d; make it with strata plan --out", file, doc.Schema)
	}
	return &doc, nil
}

// usePlan makes the options of a build those of its plan file. Nothing else may be
// asked for: the plan would not have said what is done. Who builds grants.
func (o *buildOptions) usePlan(f *pflag.FlagSet) error {
	if o.planFile == "" {
		return nil
	}
	if asked := o.askedBeside(f); len(asked) > 0 {
		return usageError("%s: what is asked for is in the plan: make it with strata plan --out %s %[1]s", strings.Join(asked, " "), o.planFile)
	}
	doc, err := readPlan(o.planFile)
	if err != nil {
		return err
	}
	if len(o.targets) > 0 || len(o.files) > 0 {
		return usageError("--plan names the targets and files; leave them out")
	}
	o.fromPlan, o.targets, o.files = doc, doc.Request.Targets, doc.Request.Files
	for _, arg := range doc.Request.Args {
		name, value, _ := strings.Cut(strings.TrimPrefix(arg, "--"), "=")
		flag := f.Lookup(name)
		if flag == nil {
			return usageError("%s has an unknown flag %q", o.planFile, arg)
		}
		if name == "allow" {
			continue // who builds grants
		}
		if err := f.Set(name, value); err != nil {
			return usageError("%s: %s: %w", o.planFile, arg, err)
		}
	}
	return nil
}

// askedBeside are the flags that were given and that a plan is made with.
func (*buildOptions) askedBeside(f *pflag.FlagSet) []string {
	var planned buildOptions
	of := pflag.NewFlagSet("", pflag.ContinueOnError)
	planned.selectOptions.flags(of)
	planned.requestOptions.flags(of)
	planned.plan.flags(of)
	var asked []string
	f.Visit(func(flag *pflag.Flag) {
		if of.Lookup(flag.Name) != nil && flag.Name != "file" { // of which more can be said
			asked = append(asked, "--"+flag.Name)
		}
	})
	return asked
}

// checkPlanFile refuses to build if what is to be done is not what the plan file
// says.
func (r *buildRun) checkPlanFile() error {
	if r.opts.fromPlan == nil {
		return nil
	}
	was := map[string]report.PlanTarget{}
	for _, t := range r.opts.fromPlan.Targets {
		was[t.Name] = t
	}
	var differ []string
	for _, t := range r.plan.Targets {
		old, ok := was[t.Name]
		delete(was, t.Name)
		switch {
		case !ok:
			differ = append(differ, t.Name+" is not in the plan")
		case old.Fingerprint != string(t.Fingerprint):
			differ = append(differ, t.Name+" has changed since")
		case old.Action != t.Action:
			differ = append(differ, fmt.Sprintf("%s was to %s and is now to %s", t.Name, old.Action, t.Action))
		}
	}
	for name := range was {
		differ = append(differ, name+" is in the plan and no longer among the targets")
	}
	if len(differ) == 0 {
		return nil
	}
	slices.Sort(differ)
	return withStatus(exitDenied, fmt.Errorf("the plan %s no longer holds, nothing was built:\n  %s\nMake a new one with strata plan --out %s",
		r.opts.planFile, strings.Join(differ, "\n  "), r.opts.planFile))
}
