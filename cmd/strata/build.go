package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

type buildOptions struct {
	selectOptions
	progress  string
	history   string
	jobs      int
	keepGoing bool
	push      bool
	load      bool
	noCache   bool
	pull      bool
	quiet     bool
	metadata  string

	holdExports bool // export nothing before every target is evaluated
	sbom        string
	provenance  string
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
	f.StringArrayVar(&opts.allow, "allow", nil, "grant the build file something: fs.read=PATH, fs.write=PATH, fs=PATH, ssh, env=NAME, frontend=IMAGE, network.host, security.insecure, device; repeatable")
	f.StringVar(&opts.progress, "progress", "auto", "how to show progress: auto, tty, plain, quiet or rawjson `mode`")
	f.StringVar(&opts.history, "history", "built", "whose layer history to print: built, all or none")
	f.IntVarP(&opts.jobs, "jobs", "j", 0, "build at most `N` targets at once; 0 is no limit")
	f.BoolVarP(&opts.keepGoing, "keep-going", "k", false, "after a failure build what does not need the failed target")
	f.BoolVar(&opts.push, "push", false, "push the images under their tags")
	f.BoolVar(&opts.load, "load", false, "load the images into Docker, or keep them here")
	f.BoolVar(&opts.noCache, "no-cache", false, "use no cached step")
	f.BoolVar(&opts.pull, "pull", false, "look for newer base images")
	f.BoolVarP(&opts.quiet, "quiet", "q", false, "print only failures, and the digests on standard output")
	f.StringVar(&opts.metadata, "metadata-file", "", "write digests and what else the exporters tell to this JSON `file`")
	f.StringVar(&opts.sbom, "sbom", "", "a bill of materials for all targets: a bool or `parameters`")
	f.StringVar(&opts.provenance, "provenance", "", "provenance for all targets: a bool or `parameters`")
	cmd.ValidArgsFunction = a.completeTargets
	return cmd
}

// A buildRun is one build from start to end.
type buildRun struct {
	app     *app
	opts    buildOptions
	mode    report.Mode
	grants  *grant.Grants
	cfg     *config.Config
	sel     *config.Selection
	engine  *engine.Engine
	builder *buildkit.Builder
	events  chan executor.Event
	done    executor.RunDone
}

func (a *app) build(ctx context.Context, cmd *cobra.Command, opts buildOptions) error {
	r := &buildRun{app: a, opts: opts}
	if err := r.check(cmd); err != nil {
		return err
	}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, func(req *config.Request) {
		req.Push, req.Load = opts.push, opts.load
		req.NoCache, req.Pull = changed(cmd, "no-cache", opts.noCache), changed(cmd, "pull", opts.pull)
		req.SBOM, req.Provenance = opts.sbom, opts.provenance
	}); err != nil {
		return err
	}
	// what an override on the command line names, it grants
	if r.grants, err = grant.Parse(r.cfg.Dir, slices.Concat(allowedFrom(r.cfg.Dir, opts.allow), r.sel.Allowed)); err != nil {
		return usageError("%w", err)
	}
	if err := r.grants.Check(r.cfg.Dir, r.sel.Targets); err != nil {
		return r.denied(err)
	}
	if err := buildkit.Clashes(r.sel.Targets); err != nil {
		if r.cfg.Mode == config.ModeStrata {
			return r.summarize("Targets overwrite each other", r.cfg.Diagnose(err))
		}
		a.warn(err) // bake lets the last one win
	}
	err = r.attempt(ctx)
	if _, lost := errors.AsType[*buildkit.LostError](err); lost && r.engine.Kind() == engine.KindEmbedded && ctx.Err() == nil {
		a.warn(errors.New("the embedded engine died; it is started again (1/1), finished steps are cached"))
		return r.attempt(ctx)
	}
	return err
}

// attempt builds everything on an engine opened for it. The error is a
// *buildkit.LostError, not printed yet, if the engine went away.
func (r *buildRun) attempt(ctx context.Context) error {
	r.events = make(chan executor.Event)
	r.done = executor.RunDone{}
	if err := r.open(ctx); err != nil {
		return err
	}
	if err := r.builder.Prepare(ctx, r.sel.Targets); err != nil {
		return r.prepareError(err)
	}
	if err := r.checkFrontends(); err != nil {
		return err
	}
	return r.run(ctx)
}

// changed is the flag's value if it was given, else nil.
func changed(cmd *cobra.Command, name string, value bool) *bool {
	if !cmd.Flags().Changed(name) {
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
	if r.opts.holdExports && r.opts.jobs > 0 {
		return usageError("--jobs: defer-output needs all targets at once; leave parallel out")
	}
	switch r.opts.history {
	case "built", "all", "none":
	default:
		return usageError("--history %q is not known; use built, all or none", r.opts.history)
	}
	if r.opts.jobs < 0 {
		return usageError("--jobs %d: give a number of targets, or 0 for no limit", r.opts.jobs)
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

// checkFrontends refuses front ends that nobody granted.
func (r *buildRun) checkFrontends() error {
	for _, t := range r.sel.Targets {
		if low := r.builder.Lowered(t.Name); low != nil && low.Frontend != "" {
			if err := r.grants.Frontend(t.Name, low.Frontend); err != nil {
				return r.denied(err)
			}
		}
	}
	return nil
}

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

// open connects to the engine and makes the builder.
func (r *buildRun) open(ctx context.Context) error {
	a := r.app
	settings, err := a.registries()
	if err != nil {
		return err
	}
	r.engine, err = a.openEngine(ctx, func(o *engine.Options) {
		o.Entitlements = r.grants.Entitlements()
		o.Notice = func(s string) { fmt.Fprintln(a.err, "strata:", report.Sanitize(s, false)) }
	})
	if err != nil {
		return err
	}
	keys := registry.NewKeychain(a.lookupEnv)
	regs := registry.NewClient(settings, keys)
	a.onClose(func() error { regs.Close(); return nil })
	b := &buildkit.Builder{
		Client:       r.engine.Client(),
		Address:      r.engine.Name(),
		Auth:         regs.SessionAuth,
		LookupEnv:    a.lookupEnv,
		Stdout:       a.out,
		Entitlements: r.grants.Entitlements(),
		Command:      r.again,
		Run:          newID(),
		Emit:         func(e executor.Event) { r.events <- e },
		BuildFile:    r.buildFile,
		Lower:        lower.Options{Dir: r.cfg.Dir, RunID: newID()},
	}
	for _, w := range r.engine.Workers() {
		b.Lower.Workers = append(b.Lower.Workers, gwclient.WorkerInfo{ID: w.ID, Labels: w.Labels, Platforms: w.Platforms})
	}
	b.Layers = r.engine.Kind() == engine.KindEmbedded
	r.builder = b
	if d := r.engine.Docker(); d != nil {
		b.Docker, b.DockerPushes = d, d.ContainerdStore
	} else {
		s, err := a.store()
		if err != nil {
			return err
		}
		b.Keep = &keeper{s, r.cfg.Dir}
	}
	if r.engine.Kind() != engine.KindEmbedded {
		b.Lower.Resolver = &buildkit.Resolver{Client: b.Client, Auth: b.Auth}
		return nil
	}
	res := registry.NewResolver(settings, keys)
	a.onClose(func() error { res.Close(); return nil })
	b.Lower.Resolver = res
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
	if strings.Contains(target, ":") && slices.ContainsFunc(r.opts.targets, func(t string) bool { return strings.HasPrefix(t, "//") }) {
		target = "//" + target
	}
	words = append(words, target)
	for i, w := range words {
		if strings.ContainsAny(w, " '\"$\\*?[]&;|<>()`!#~\n") {
			words[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}

// verb is the command that builds like this.
func (o *buildOptions) verb() string {
	if o.selectOptions.mode == config.ModeBake {
		return "bake"
	}
	return "build"
}

// run builds, showing progress, then prints what became of it.
func (r *buildRun) run(ctx context.Context) error {
	term := r.app.term()
	var shown sync.WaitGroup
	var showErr error
	shown.Go(func() { showErr = report.Progress(ctx, r.mode, term, r.events) })
	results, err := r.solve(ctx)
	close(r.events)
	shown.Wait()
	_ = showErr // a closed pipe must not change what was built
	r.done.Results = results
	if lost := r.lost(err); lost != nil {
		return lost
	}
	if r.opts.metadata != "" && (err == nil || r.opts.keepGoing) {
		if merr := r.writeMetadata(r.builder); merr != nil && err == nil {
			err = withStatus(exitLocal, merr)
		}
	}
	if perr := r.print(term); perr != nil && err == nil {
		err = withStatus(exitLocal, perr)
	}
	return r.status(err)
}

// solve tells the beginning and runs the graph.
func (r *buildRun) solve(ctx context.Context) ([]executor.TargetResult, error) {
	r.done.Started = time.Now()
	r.events <- executor.RunStarted{Time: r.done.Started, Engine: r.engine.Name(), Targets: r.builder.Infos(r.sel.Graph)}
	r.warn()
	ctx, stop := r.engine.WatchHealth(ctx)
	defer stop()
	results, err := executor.Run(ctx, r.sel.Graph, r.builder, executor.Options{Jobs: r.opts.jobs, KeepGoing: r.opts.keepGoing, HoldExports: r.opts.holdExports},
		func(e executor.Event) {
			if d, ok := e.(executor.RunDone); ok {
				d.Started = r.done.Started
				e, r.done = d, d
			}
			if d, ok := e.(executor.TargetDone); ok {
				r.save(d.Target)
			}
			r.events <- e
		})
	return results, err
}

// warn tells what is suspicious before the first step runs.
func (r *buildRun) warn() {
	for _, t := range r.sel.Targets {
		low := r.builder.Lowered(t.Name)
		if low == nil {
			continue
		}
		if low.Foreign != "" {
			r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Text: "lowered by the engine: " + low.Foreign}
		}
		for _, w := range low.Warnings {
			r.events <- executor.Warning{Time: time.Now(), Target: t.Name, Place: low.Source.Place(w.Line).String(), Text: w.Text, URL: w.URL}
		}
	}
	for _, c := range cache.Clashes(r.sel.Targets) {
		r.events <- executor.Warning{Time: time.Now(), Target: c.Targets[0], Text: fmt.Sprintf(
			"%s all write the cache %s; the last one wins and the others' layers are lost: give each its own", strings.Join(c.Targets, ", "), c.Ref)}
	}
}

// save writes a target's record at once, so that a later crash does not lose it.
func (r *buildRun) save(target string) {
	rec, ok := r.builder.Record(target)
	if !ok {
		return
	}
	if err := r.app.records().Save(r.cfg.Dir, *rec); err != nil {
		r.events <- executor.Warning{Time: time.Now(), Target: target, Text: fmt.Sprintf("its layer history was not recorded: %v", err)}
	}
}

// print writes the end screen: failures last, where the eye is.
func (r *buildRun) print(term report.Terminal) error {
	w := r.app.err
	if r.mode == report.RawJSON {
		return nil
	}
	if r.mode == report.Quiet {
		report.Failures(w, term, r.done)
		return report.Digests(r.app.out, r.done)
	}
	var recs []history.Record
	for _, id := range r.sel.Graph.Order() {
		if rec, ok := r.builder.Record(string(id)); ok {
			recs = append(recs, *rec)
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

// historyOut is standard output: a history is a result. When an image itself
// goes there, it is standard error.
func (r *buildRun) historyOut() io.Writer {
	for _, t := range r.sel.Targets {
		for _, o := range t.Outputs {
			if o.Dest == "-" {
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
			if s := statusOf(res.Err); s != exitFailed {
				status = s
			}
		}
	}
	if !errors.Is(err, executor.ErrFailed) {
		return err
	}
	return withStatus(status, nil)
}

// lost is the loss of the engine, nil if it is there: the watch noticed, or the
// connection of a target broke.
func (r *buildRun) lost(err error) error {
	if u, ok := errors.AsType[*engine.UnreachableError](err); ok {
		return withStatus(exitEngine, &buildkit.LostError{Address: r.engine.Name(), Err: u})
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
