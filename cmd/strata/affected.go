package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
)

type affectedOptions struct {
	buildOptions
	since    string
	paths    []string
	json     bool
	exitCode bool
}

func newAffectedCmd(a *app) *cobra.Command {
	var opts affectedOptions
	cmd := &cobra.Command{
		Use:   "affected [TARGET...]",
		Short: "Show which targets a change touches, and why",
		Long: `Show which targets are made of something else than at a revision of the git
repository, in the order they are built: targets with a step that reads a file
which differs, targets whose definition in a build file, Dockerfile or ignore file
gives another image, and those that stand on an affected one. A comment, or a file
that no step reads, affects nothing.

The revision is compared with the files as they are, committed or not, but for
those that git ignores. "main..." is the last commit that main and HEAD have in
common. With --files the changed files are named, and what was in them before is
not known: every target that is declared in a changed build file, or that a changed
Dockerfile or ignore file belongs to, is affected then.

With --quiet only names are printed, and nothing if no target is affected. With
--detailed-exitcode the exit status is 0 if no target is affected and 2 if one is.
` + exitStatusHelp,
		Example: "  strata affected --since main\n  strata affected '*' --since HEAD~1 --json\n  git diff --name-only --relative | strata affected --files -\n  strata affected --since main... --quiet | xargs -r strata build",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.affected(cmd.Context(), cmd, opts)
		},
		ValidArgsFunction: a.completeTargets,
	}
	f := cmd.Flags()
	opts.selectOptions.flags(f)
	opts.allowFlags(f)
	f.StringVar(&opts.since, "since", "", "compare with this `revision` of the git repository")
	f.StringArrayVar(&opts.paths, "files", nil, "take this `path` as changed, - for those on standard input, a line each; repeatable")
	f.BoolVar(&opts.json, "json", false, "print JSON")
	f.BoolVarP(&opts.quiet, "quiet", "q", false, "print only the names of the targets, a line each")
	f.BoolVar(&opts.exitCode, "detailed-exitcode", false, "exit with 2 if a target is affected")
	return cmd
}

// affected finds the targets that a change touches and prints them.
func (a *app) affected(ctx context.Context, cmd *cobra.Command, opts affectedOptions) error {
	if given := cmd.Flags().Changed("since"); given == (len(opts.paths) > 0) {
		return usageError("name what has changed: --since REVISION, or --files PATH")
	}
	if opts.json && opts.quiet {
		return usageError("--json and --quiet are two forms of the answer; leave one out")
	}
	if err := a.keepInput(&opts); err != nil {
		return err
	}
	r := &buildRun{app: a, opts: opts.buildOptions}
	var err error
	if r.cfg, r.sel, err = a.selectTargets(ctx, opts.selectOptions, nil); err != nil {
		return err
	}
	if err := r.grant(ctx); err != nil {
		return err
	}
	if r.planning, err = a.newPlanning(ctx, r.cfg, r.sel, r.opts.plan, nil); err != nil {
		return err
	}
	find := affectedRun{r: r, opts: opts}
	change, since, err := find.change(ctx)
	defer find.remove()
	if err != nil {
		return err
	}
	list, err := r.planning.planner().Affected(ctx, change)
	if err != nil {
		return r.prepareError(err)
	}
	return a.printAffected(opts, since, list)
}

func (a *app) printAffected(opts affectedOptions, since *report.AffectedSince, list []plan.Affected) error {
	var err error
	switch {
	case opts.json:
		err = report.AffectedJSON(a.out, since, list)
	case opts.quiet:
		for i := range list {
			list[i].Name = opts.named(list[i].Name)
		}
		err = report.AffectedNames(a.out, list)
	case len(list) == 0:
		_, err = fmt.Fprintln(a.err, "No target is affected.")
	default:
		err = report.Affected(a.out, a.term(), list)
	}
	if err != nil {
		return withStatus(exitLocal, err)
	}
	if opts.exitCode && len(list) > 0 {
		return withStatus(exitUsage, nil)
	}
	return nil
}

// keepInput reads standard input if a build file or the paths are there. The
// build file is read twice.
func (a *app) keepInput(opts *affectedOptions) error {
	inFile, inPaths := slices.Contains(opts.files, "-"), slices.Contains(opts.paths, "-")
	if inFile && inPaths {
		return usageError("standard input can not be both a build file and the list of files")
	}
	if !inFile && !inPaths {
		return nil
	}
	data, err := io.ReadAll(a.in)
	if err != nil {
		return withStatus(exitLocal, fmt.Errorf("reading standard input: %w", err))
	}
	if inFile {
		opts.stdin = data
		return nil
	}
	opts.paths = slices.DeleteFunc(opts.paths, func(p string) bool { return p == "-" })
	separator := "\n"
	if bytes.ContainsRune(data, 0) {
		separator = "\x00"
	}
	for path := range strings.SplitSeq(string(data), separator) {
		if path != "" {
			opts.paths = append(opts.paths, path)
		}
	}
	return nil
}

// An affectedRun answers one call of strata affected.
type affectedRun struct {
	r      *buildRun
	opts   affectedOptions
	remove func()
}

// change says what has changed.
func (x *affectedRun) change(ctx context.Context) (plan.Change, *report.AffectedSince, error) {
	x.remove = func() {}
	change := plan.Change{Match: x.r.planning.files.Match}
	if x.opts.since == "" && len(x.opts.paths) > 0 {
		change.Unknown, change.Declares = true, x.r.declares
		for _, path := range x.opts.paths {
			abs, err := filepath.Abs(path) // from where the command runs
			if err != nil {
				return change, nil, withStatus(exitLocal, err)
			}
			change.Files = append(change.Files, plan.Touched{Path: abs})
		}
		return change, nil, nil
	}
	diff, err := config.ChangedFiles(ctx, x.r.cfg.Dir, x.opts.since)
	if _, unknown := errors.AsType[*config.RevisionError](err); unknown {
		return change, nil, usageError("--since %s: %w", x.opts.since, err)
	}
	if err != nil {
		return change, nil, withStatus(exitLocal, fmt.Errorf("--since %s: %w", x.opts.since, err))
	}
	if diff.Shallow && strings.HasSuffix(x.opts.since, "...") {
		x.r.app.warn(errors.New("this clone is shallow, and what HEAD and the revision have in common may be older than it looks; git fetch --unshallow gets all of the history"))
	}
	for _, f := range diff.Files {
		change.Files = append(change.Files, plan.Touched{Path: filepath.Join(diff.Tree, filepath.FromSlash(f.Path)), From: f.From, To: f.To})
	}
	if x.r.definesAnew(diff, change.Files) {
		if change.Before, err = x.before(ctx, diff); err != nil {
			return change, nil, err
		}
	}
	since := &report.AffectedSince{Revision: x.opts.since, Commit: diff.Commit, Files: len(diff.Files), Shallow: diff.Shallow}
	return change, since, ctx.Err()
}
