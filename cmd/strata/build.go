package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

type buildOptions struct {
	selectOptions
	progress  string
	history   string
	jobs      int
	keepGoing bool
	requestOptions
	quiet    bool
	metadata string
	schedule scheduleOptions

	holdExports bool // export nothing before every target is evaluated
	plan        planFlags
	fromPlan    *report.PlanDocument
	planFile    string // build what this file says, or refuse
}

// requestOptions are what a user asks of all targets: a plan needs them as a
// build does.
type requestOptions struct {
	push       bool
	load       bool
	noCache    bool
	pull       bool
	sbom       string
	provenance string
	policy     []string
}

func (o *requestOptions) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.push, "push", false, "push the images under their tags")
	f.BoolVar(&o.load, "load", false, "load the images into Docker, or keep them here")
	f.BoolVar(&o.noCache, "no-cache", false, "use no cached step")
	f.BoolVar(&o.pull, "pull", false, "look for newer base images")
	f.StringVar(&o.sbom, "sbom", "", "a bill of materials for all targets: a bool or `parameters`")
	f.StringVar(&o.provenance, "provenance", "", "provenance for all targets: a bool or `parameters`")
	policyFlag(f, &o.policy)
}

// policyFlag defines the flag for what holds for the source policies of all targets.
func policyFlag(f *pflag.FlagSet, p *[]string) {
	f.StringArrayVar(p, "policy", nil, "options of source policies: `disabled=BOOL`, strict=BOOL, log-level=LEVEL")
}

// ask puts the options into a request.
func (o *requestOptions) ask(f *pflag.FlagSet) func(*config.Request) {
	return func(req *config.Request) {
		req.Push, req.Load = o.push, o.load
		req.NoCache, req.Pull = changed(f, "no-cache", o.noCache), changed(f, "pull", o.pull)
		req.SBOM, req.Provenance, req.Policy = o.sbom, o.provenance, o.policy
	}
}

func newBuildCmd(a *app) *cobra.Command {
	var opts buildOptions
	cmd := &cobra.Command{
		Use:   "build [TARGET...]",
		Short: "Build targets and print the layers of what was built",
		Long: `Build targets and all they need, as concurrently as the graph allows, then print
what became of each and the layer history of what was built.

Without a TARGET the group or target "default" is built. A TARGET is the name of
a target or a group, or a pattern such as 'api-*'. With a path it is the one of
the build.hcl there, from this directory or, with //, from the top of the
checkout: //services/api:api is one, //services/... are all in and below a
directory. Images without an output are kept under their tags: see strata images.
` + exitStatusHelp,
		Example: "  strata build\n  strata build api web --progress plain\n  strata build //services/...\n  strata build --set '*.platforms=linux/amd64,linux/arm64' --push",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.build(cmd.Context(), cmd, opts)
		},
	}
	f := cmd.Flags()
	opts.flags(f)
	f.StringVar(&opts.metadata, "metadata-file", "", "write digests and what else the exporters tell to this JSON `file`")
	f.StringVar(&opts.planFile, "plan", "", "build what this `file` of strata plan --out says, or nothing if it no longer holds")
	cmd.ValidArgsFunction = a.completeTargets
	return cmd
}

// flags defines the flags of all commands that build.
func (o *buildOptions) flags(f *pflag.FlagSet) {
	o.selectOptions.flags(f)
	o.requestOptions.flags(f)
	o.allowFlags(f)
	f.StringVar(&o.progress, "progress", "auto", "how to show progress: auto, tty, plain, quiet or rawjson `mode`")
	f.StringVar(&o.history, "history", "built", "whose layer history to print: built, all or none")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "build at most `N` targets at once; 0 is as many as are of use")
	f.BoolVarP(&o.keepGoing, "keep-going", "k", false, "after a failure build what does not need the failed target")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print only failures, and the digests on standard output")
	o.plan.flags(f)
	o.schedule.flags(f)
}

// A buildRun is one build from start to end.
type buildRun struct {
	app      *app
	opts     buildOptions
	mode     report.Mode
	grants   *grant.Grants
	cfg      *config.Config
	sel      *config.Selection
	planning *planning
	plan     *plan.Plan
	planMade bool                    // the next attempt need not make it
	images   map[string]string       // in the place of needed targets' steps, by target
	decided  map[string]*plan.Target // by name
	builder  *buildkit.Builder       // nil if nothing has to be solved
	events   chan executor.Event
	once     sync.Once

	revisionOnce   sync.Once
	commit, branch string // of the checkout

	targets map[string]*config.Target // by name
	done    executor.RunDone
}

func (a *app) build(ctx context.Context, cmd *cobra.Command, opts buildOptions) error {
	if err := opts.usePlan(cmd.Flags()); err != nil {
		return err
	}
	r := &buildRun{app: a, opts: opts}
	if err := r.check(cmd); err != nil {
		return err
	}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, opts.requestOptions.ask(cmd.Flags())); err != nil {
		return err
	}
	if opts.bakes() && len(called(r.sel)) > 0 {
		return r.callSome(ctx, cmd)
	}
	if err := r.grant(ctx); err != nil {
		return err
	}
	if err := buildkit.Clashes(r.cfg.Dir, r.sel.Targets); err != nil {
		if r.cfg.Mode == config.ModeStrata {
			return r.summarize("Targets overwrite each other", r.cfg.Diagnose(err))
		}
		a.warn(err) // bake lets the last one win
	}
	err = r.attempt(ctx)
	if errors.Is(err, errReplan) { // now it is known what the engine runs
		err = r.attempt(ctx)
	}
	if _, lost := errors.AsType[*buildkit.LostError](err); lost && r.planning.kind == engine.KindEmbedded && ctx.Err() == nil {
		a.warn(errors.New("the embedded engine died; it is started again (1/1), finished steps are cached"))
		return r.attempt(ctx)
	}
	return err
}

// attempt plans, then does what has to be done, on an engine opened for it if it
// takes one. The error is a *buildkit.LostError, not printed yet, if the engine
// went away.
func (r *buildRun) attempt(ctx context.Context) error {
	r.events, r.builder = make(chan executor.Event), nil
	r.done = executor.RunDone{Started: time.Now()}
	if !r.planMade {
		if err := r.makePlan(ctx); err != nil {
			return err
		}
	}
	r.planMade = false // it serves once
	if err := r.checkFrontends(); err != nil {
		return err
	}
	if err := r.checkPlanFile(); err != nil {
		return err
	}
	if r.plan.Count(plan.Solve) > 0 {
		if err := r.open(ctx); err != nil {
			return err
		}
		if err := r.builder.Prepare(ctx, r.solved()); err != nil {
			return r.prepareError(err)
		}
		if err := r.takeImages(ctx); err != nil {
			return err
		}
		// What is sent under a generation must be known to later commands, even
		// if this one is killed.
		if err := r.planning.save(); err != nil {
			return err
		}
	}
	return r.run(ctx)
}

// makePlan decides what has to be done.
func (r *buildRun) makePlan(ctx context.Context) error {
	defer eager(r.app.lookupEnv)()
	var err error
	flags := r.opts.plan
	flags.inEngine = r.provenance().Wanted()
	r.planning, err = r.app.newPlanning(ctx, r.cfg, r.sel, flags, r.engineOptions)
	if err != nil {
		return err
	}
	if r.plan, err = r.planning.planner().Make(ctx); err != nil {
		return r.prepareError(err)
	}
	r.decided = map[string]*plan.Target{}
	for _, t := range r.plan.Targets {
		r.decided[t.Name] = t
	}
	return nil
}

// engineOptions are what a build asks of its engine.
func (r *buildRun) engineOptions(o *engine.Options) {
	o.Entitlements = r.grants.Entitlements()
	o.Notice = func(s string) { fmt.Fprintln(r.app.err, "strata:", report.Sanitize(s, false)) }
}

// solved are the targets that the engine has to make.
func (r *buildRun) solved() []*config.Target {
	var out []*config.Target
	for _, t := range r.sel.Targets {
		if r.decided[t.Name].Action == plan.Solve {
			out = append(out, t)
		}
	}
	return out
}

// grant checks what the targets ask for against what was granted.
func (r *buildRun) grant(ctx context.Context) error {
	// what an override on the command line names, it grants
	allow := slices.Concat(allowedFrom(r.cfg.Dir, r.opts.allow), r.allowedByOverrides())
	var err error
	if r.grants, err = grant.Parse(r.cfg.Dir, allow); err != nil {
		return usageError("%w", err)
	}
	err = r.grants.Check(r.cfg.Dir, r.sel.Targets)
	d, ok := errors.AsType[*grant.DeniedError](err)
	if !ok {
		return err
	}
	if !r.opts.bakes() {
		return r.denied(err)
	}
	if err := r.bakeDenied(ctx, d); err != nil {
		return err
	}
	r.grants, err = grant.Parse(r.cfg.Dir, append(allow, d.Allows()...))
	return err
}

// changed is the flag's value if it was given, else nil.
func changed(f *pflag.FlagSet, name string, value bool) *bool {
	if !f.Changed(name) {
		return nil
	}
	return &value
}

// check reads the flags before anything is looked at.
func (r *buildRun) check(*cobra.Command) error {
	var err error
	if r.mode, err = report.ParseMode(r.opts.progress); err != nil {
		return usageError("--progress: %w", err)
	}
	if r.opts.quiet {
		r.mode = report.Quiet
	}
	switch r.opts.history {
	case "built", "all", "none":
	default:
		return usageError("--history %q is not known; use built, all or none", r.opts.history)
	}
	if r.opts.jobs < 0 {
		return usageError("--jobs %d: give a number of targets, or 0 for as many as are of use", r.opts.jobs)
	}
	if err := r.opts.schedule.check(); err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return withStatus(exitLocal, err)
	}
	if r.grants, err = grant.Parse(dir, r.opts.allow); err != nil {
		return usageError("%w", err)
	}
	return nil
}

// checkFrontends refuses front ends that nobody granted. bake knows no such
// privilege.
func (r *buildRun) checkFrontends() error {
	if r.opts.bakes() {
		return nil
	}
	for _, t := range r.sel.Targets {
		if b, err := r.planning.lowerer.Brief(t.Name); err == nil && b.Frontend != "" {
			if err := r.grants.Frontend(t.Name, b.Frontend); err != nil {
				return r.denied(err)
			}
		}
	}
	return nil
}

// open connects to the engine and makes the builder.
func (r *buildRun) open(ctx context.Context) error {
	p := r.planning
	if err := p.openEngine(ctx); err != nil {
		return err
	}
	b := &buildkit.Builder{
		Client:       p.engine.Client(),
		Address:      p.engine.Name(),
		Auth:         p.client.SessionAuth,
		LookupEnv:    r.app.lookupEnv,
		Stdout:       r.app.out,
		Entitlements: r.grants.Entitlements(),
		Command:      r.again,
		Run:          p.runID,
		Emit:         func(e executor.Event) { r.events <- e },
		BuildFile:    r.buildFile,
		Lowerer:      p.lowerer,
		Lower:        p.lowerer.Options(),
		Cache:        p.shared,
		Layers:       p.kind == engine.KindEmbedded,
		Provenance:   r.provenance(),
		Unchanged:    func(ctx context.Context, target string) error { return p.unchanged(ctx, r.decided[target]) },
	}
	b.SourcePolicy, b.SignedImages, b.Trust = p.policy, p.signed, r.app.userCache("trust")
	b.Lower.Workers = workersOf(p.engine)
	if d := p.engine.Docker(); d != nil {
		b.Docker, b.DockerPushes = d, d.ContainerdStore
	} else {
		b.Keep = p.keeper()
	}
	r.builder = b
	return nil
}

// buildFile is the text of a build file.
func (r *buildRun) buildFile(name string) []byte {
	if f := r.cfg.Files[name]; f != nil {
		return f.Bytes
	}
	return nil
}

// newID is a random name for a run.
func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}

// A keeper keeps images of one project in the local store.
type keeper struct {
	store   *store.Store
	project string
}

func (k *keeper) Content() content.Store { return k.store.Content() }

func (k *keeper) Tag(ctx context.Context, desc ocispec.Descriptor, tags []string, target string) error {
	return k.store.Tag(ctx, desc, tags, store.Meta{Target: target, Project: k.project, Created: time.Now()})
}

// run builds, showing progress, then prints what became of it.
func (r *buildRun) run(ctx context.Context) error {
	term := r.app.term()
	var shown sync.WaitGroup
	var showErr error
	shown.Go(func() { showErr = r.show(ctx, term) })
	tell := func(err error) { r.events <- executor.Warning{Time: time.Now(), Text: err.Error()} }
	r.planning.tell.Store(&tell)
	results, err := r.solve(ctx)
	r.planning.index.flush(ctx)
	r.planning.tell.Store(nil)
	close(r.events)
	shown.Wait()
	_ = showErr // a closed pipe must not change what was built
	r.done.Results = results
	if lost := r.lost(err); lost != nil {
		return lost
	}
	if r.opts.metadata != "" && (err == nil || r.opts.keepGoing) {
		if merr := r.writeMetadata(ctx); merr != nil && err == nil {
			err = withStatus(exitLocal, merr)
		}
	}
	if perr := r.print(ctx, term); perr != nil && err == nil {
		err = withStatus(exitLocal, perr)
	}
	return r.status(err)
}

// show shows the progress until there are no more events.
func (r *buildRun) show(ctx context.Context, term report.Terminal) error {
	if !r.opts.bakes() {
		return report.Progress(ctx, r.mode, term, r.events)
	}
	return r.bakeProgress().Progress(ctx, r.mode, term, r.events)
}

// solve tells the beginning and runs the graph.
func (r *buildRun) solve(ctx context.Context) ([]executor.TargetResult, error) {
	r.events <- executor.RunStarted{Time: r.done.Started, Engine: r.engineName(), Targets: r.infos()}
	r.warn()
	if r.builder != nil {
		var stop context.CancelFunc
		ctx, stop = r.planning.engine.WatchHealth(ctx)
		defer stop()
	}
	opts := executor.Options{Jobs: r.opts.jobs, KeepGoing: r.opts.keepGoing, HoldExports: r.opts.holdExports}
	r.opts.schedule.apply(&opts, r.cfg, r.sel.Targets, r.decided)
	results, err := executor.Run(ctx, r.sel.Graph, &plannedSolver{r}, opts,
		func(e executor.Event) {
			if d, ok := e.(executor.RunDone); ok {
				d.Started = r.done.Started
				r.dropImages(d.Results)
				e, r.done = d, d
			}
			r.events <- e
		})
	return results, err
}

func (r *buildRun) engineName() string {
	if r.builder == nil {
		return "no engine"
	}
	return r.planning.engine.Name()
}

// infos introduces the targets to the screen.
func (r *buildRun) infos() []executor.TargetInfo {
	var out []executor.TargetInfo
	for _, t := range r.plan.Targets {
		info := executor.TargetInfo{Name: t.Name, Needs: t.Needs}
		if b, err := r.planning.lowerer.Brief(t.Name); err == nil {
			info.Steps = b.Steps
		}
		out = append(out, info)
	}
	return out
}

// warn tells what is suspicious before the first step runs.
func (r *buildRun) warn() {
	solved := r.solved()
	for _, t := range solved {
		b, err := r.planning.lowerer.Brief(t.Name)
		if err != nil {
			continue
		}
		if b.Foreign != "" && b.Foreign != buildkit.UnderPolicy { // who has a policy knows
			r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Text: "lowered by the engine: " + b.Foreign}
		}
		for i, w := range b.Warnings {
			r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Place: b.WarningPlace(i).String(), Text: w.Text, URL: w.URL}
		}
	}
	for _, c := range cache.Clashes(solved) {
		r.events <- executor.Warning{Time: time.Now(), Target: c.Targets[0], Text: fmt.Sprintf(
			"%s all write the cache %s; the last one wins and the others' layers are lost: give each its own", strings.Join(c.Targets, ", "), c.Ref)}
	}
}
