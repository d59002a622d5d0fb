package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/watch"
)

func newWatchCmd(a *app) *cobra.Command {
	var opts buildOptions
	cmd := &cobra.Command{
		Use:   "watch [TARGET...]",
		Short: "Build targets, and again what a saved file affects",
		Long: `Build targets as strata build does, then wait for files to be saved and build what
they affect. A saved build file, Dockerfile or ignore file is read again. A build
that fails, or a file that is in error, is told, and the next one is waited for. A
file that is saved while a build runs is looked at when it ends.

Only directories with files that a target can read are watched: what .dockerignore
leaves out is not. An interrupt ends the command.
` + exitStatusHelp,
		Example: "  strata watch\n  strata watch api web --history none",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.watch(cmd.Context(), cmd, opts)
		},
		ValidArgsFunction: a.completeTargets,
	}
	opts.flags(cmd.Flags())
	return cmd
}

// watch builds, and again whenever something was saved, until ctx is done.
func (a *app) watch(ctx context.Context, cmd *cobra.Command, opts buildOptions) error {
	if slices.Contains(opts.files, "-") {
		return usageError("a build file on standard input can not be read again; give watch a file")
	}
	if err := (&buildRun{app: a, opts: opts}).check(cmd); err != nil {
		return err
	}
	files, err := watch.New()
	if err != nil {
		return withStatus(exitLocal, err)
	}
	defer files.Close()
	s := &watching{app: a, opts: opts, flags: cmd.Flags(), files: files}
	return s.loop(ctx)
}

// A watching is one call of strata watch.
type watching struct {
	app   *app
	opts  buildOptions
	flags *pflag.FlagSet
	files *watch.Watcher
	seen  *sight         // what the last plan that could be made is made of
	warm  *engine.Engine // held open so that it does not end between builds
	dirs  []string       // that are watched

	bad     bool // the last plan could not be made
	lost    bool // the engine went away in the last round
	trouble bool // something went wrong in the last round that acted
}

// loop ends with ctx, or if there is no first plan: then nothing tells what to
// wait for.
func (s *watching) loop(ctx context.Context) error {
	acted, err := s.round(ctx, nil)
	if err != nil {
		return err
	}
	for {
		if acted {
			s.say("waiting for changes in %d directories", len(s.dirs))
		}
		var saved []string
		for len(saved) == 0 {
			batch, err := s.files.Next(ctx)
			if err != nil {
				return err
			}
			saved = s.relevant(batch)
		}
		if acted, err = s.round(ctx, saved); err != nil {
			return err
		}
	}
}

// relevant are the paths of a batch that may affect a target.
func (s *watching) relevant(b watch.Batch) []string {
	if b.Lost {
		return append([]string{"something"}, b.Paths...)
	}
	if s.bad {
		return b.Paths
	}
	return slices.DeleteFunc(b.Paths, func(path string) bool { return !s.seen.affects(path) })
}

// round plans, and builds what has to be built. saved are the paths for which it
// does, nil for the first round, whose plan must succeed. Everything else that
// goes wrong is told. It has not acted if nothing had to be done or told.
func (s *watching) round(ctx context.Context, saved []string) (acted bool, err error) {
	a := s.app.again()
	defer a.close()
	r := &buildRun{app: a, opts: s.opts}
	err = s.plan(ctx, r)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	s.bad = err != nil
	if err != nil {
		if saved == nil {
			return false, err
		}
		return true, s.tell(ctx, a, err)
	}
	s.opts.plan.force = false // it is for the first build
	todo := toDo(r.plan)
	if saved != nil {
		if len(todo) == 0 {
			acted, s.trouble = s.trouble, false
			if acted {
				s.say("%s: all is well again, nothing to build", savedText(r, saved))
			}
			return acted, nil
		}
		s.say("%s: %s", savedText(r, saved), strings.Join(todo, ", "))
	}
	r.planMade = true
	err = r.attempt(ctx)
	again := s.lost
	if _, s.lost = errors.AsType[*buildkit.LostError](err); s.lost {
		s.release()
		if !again {
			s.files.Poke() // the targets are still to be built
		}
	}
	s.hold(ctx, r)
	return true, s.tell(ctx, a, err)
}

// plan reads the build files, decides what has to be done, and watches what that
// rests on.
func (s *watching) plan(ctx context.Context, r *buildRun) error {
	if err := r.check(nil); err != nil {
		return err
	}
	var err error
	if r.cfg, r.sel, err = r.app.selectTargets(ctx, s.opts.selectOptions, s.opts.requestOptions.ask(s.flags)); err != nil {
		return err
	}
	if err := r.grant(ctx); err != nil {
		return err
	}
	if err := buildkit.Clashes(r.cfg.Dir, r.sel.Targets); err != nil {
		return r.summarize("Targets overwrite each other", r.cfg.Diagnose(err))
	}
	if err := r.makePlan(ctx); err != nil {
		return err
	}
	s.seen = newSight(ctx, r)
	s.dirs = s.seen.dirs()
	added, err := s.files.Watch(s.dirs)
	if err != nil {
		return withStatus(exitLocal, err)
	}
	if added && s.seen.stale(ctx) {
		s.files.Poke() // it was changed before it was watched
	}
	return nil
}

// tell prints what went wrong. It ends the loop only if ctx is done.
func (s *watching) tell(ctx context.Context, a *app, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.trouble = err != nil
	a.finish(err, 0)
	return nil
}

func (s *watching) say(format string, args ...any) {
	fmt.Fprintln(s.app.err, "strata:", report.SanitizeLine(fmt.Sprintf(format, args...)))
}

// toDo are the names of the targets for which something has to be done.
func toDo(p *plan.Plan) []string {
	var out []string
	for _, t := range p.Targets {
		if t.Action != plan.Reuse {
			out = append(out, t.Name)
		}
	}
	return out
}

// hold keeps the engine of a run open: an embedded one ends when nobody has used
// it for some time.
func (s *watching) hold(ctx context.Context, r *buildRun) {
	if s.warm != nil || r.planning.engine == nil || ctx.Err() != nil {
		return
	}
	e, err := s.app.openEngine(ctx, r.engineOptions)
	if err == nil { // else the next build opens one
		s.warm = e
	}
}

// release lets go of an engine that was lost.
func (s *watching) release() {
	if s.warm != nil {
		_ = s.warm.Close() // it is gone
		s.warm = nil
	}
}

// again is an app for one more build of the same command: with services of its
// own, because they look at files once.
func (a *app) again() *app {
	b := newApp(a.std)
	b.in, b.out, b.err, b.flags, b.lookupEnv, b.term = a.in, a.out, a.err, a.flags, a.lookupEnv, a.term
	return b
}

// savedText names what was saved.
func savedText(r *buildRun, saved []string) string {
	text := saved[0]
	if filepath.IsAbs(text) {
		text = r.planning.relative(text)
	}
	if more := len(saved) - 1; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text + " changed"
}
