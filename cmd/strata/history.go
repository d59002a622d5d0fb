package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

type historyOptions struct {
	selectOptions
	report.HistoryFormat
	platform string
	shared   sharedOptions
}

func newHistoryCmd(a *app) *cobra.Command {
	var opts historyOptions
	cmd := &cobra.Command{
		Use:   "history TARGET|IMAGE",
		Short: "Show which instruction made which layer of an image",
		Long: `Show the layers of an image, newest first: instruction, size, age, and for a target
that was built here also time, state and place.

The name is looked for among the targets built from this directory - or, if it starts
with //, from the top of the checkout -, the kept images, what the index of this machine
and the shared cache tell of the target if it was built elsewhere,
the files (oci and docker archives, OCI layout directories, with :TAG if there are
several images in one), and then in a registry. docker://IMAGE means a registry and
oci-layout://DIR[:TAG] a directory, whatever else has that name. No engine is started.

A template is Go's, over the same fields as the JSON: '{{.Digest}}'.
` + exitStatusHelp,
		Example: "  strata history api\n  strata history python:3.8-alpine --no-trunc\n  strata history image.tar --format json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.history(cmd.Context(), args[0], opts)
		},
		ValidArgsFunction: a.completeHistory,
	}
	f := cmd.Flags()
	opts.selectOptions.flags(f)
	opts.allowFlags(f)
	opts.shared.readFlags(f)
	f.StringVar(&opts.Format, "format", "table", "how to print: table, json or a `template`")
	f.BoolVar(&opts.NoTrunc, "no-trunc", false, "print whole instructions and digests")
	f.BoolVar(&opts.All, "all", false, "print every layer of the base too")
	f.StringVar(&opts.platform, "platform", "", "`platform` to show, or all; default all that were built here, else this machine's")
	return cmd
}

func (a *app) history(ctx context.Context, name string, opts historyOptions) error {
	rec, err := a.findHistory(ctx, name, opts)
	if err != nil {
		return imageError(err)
	}
	return report.History(a.out, a.term(), rec, opts.HistoryFormat)
}

// findHistory looks for a record of a build first, for it knows most.
func (a *app) findHistory(ctx context.Context, name string, opts historyOptions) (history.Record, error) {
	dir, err := os.Getwd()
	if err != nil {
		return history.Record{}, withStatus(exitLocal, err)
	}
	rec, ok, err := a.record(dir, name)
	if err != nil {
		return rec, err
	}
	if ok {
		return rec.Only(opts.platform)
	}
	s, err := a.store()
	if err != nil {
		return history.Record{}, err
	}
	if target, err := a.isTarget(ctx, name, opts.selectOptions); err != nil {
		return history.Record{}, err
	} else if target {
		rec, err := history.Read(ctx, history.Sources{Store: s}, name, opts.platform)
		if isA[*store.NotFoundError](err) {
			return a.builtElsewhere(ctx, name, opts)
		}
		return rec, err
	}
	c, err := a.registryClient()
	if err != nil {
		return history.Record{}, err
	}
	return history.Read(ctx, history.Sources{Store: s, Registry: c}, name, opts.platform)
}

// record finds the record of a target by its name, its plain name, or its path
// from the top of the checkout.
func (a *app) record(here, name string) (history.Record, bool, error) {
	dirs := []string{here}
	if top := config.Root(here, []string{"//"}); top != here {
		dirs = append(dirs, top)
	}
	plain, rooted := strings.CutPrefix(name, "//")
	if rooted {
		dirs, name = dirs[len(dirs)-1:], strings.TrimPrefix(plain, ":")
	}
	records := a.records()
	for _, dir := range dirs {
		if rec, ok := records.Latest(dir, name); ok {
			return rec, true, nil
		}
		same := slices.DeleteFunc(records.Targets(dir), func(target string) bool { return !strings.HasSuffix(target, ":"+name) })
		if len(same) > 1 {
			return history.Record{}, false, usageError("several targets are named %q: %s; write the path too", name, strings.Join(same, ", "))
		}
		if len(same) == 1 {
			rec, ok := records.Latest(dir, same[0])
			return rec, ok, nil
		}
	}
	return history.Record{}, false, nil
}

// isTarget reports whether the build files here, if there are any, have a
// target called name: then no registry is asked for it. That they can not be read
// is an error only if opts name them or say what is in them.
func (a *app) isTarget(ctx context.Context, name string, opts selectOptions) (bool, error) {
	cfg, err := a.load(ctx, opts)
	if err != nil && len(opts.files)+len(opts.vars) > 0 {
		return false, err
	}
	if err != nil {
		return false, nil
	}
	for _, n := range cfg.Names() {
		if (n.Name == strings.TrimPrefix(strings.TrimPrefix(name, "//"), ":") || n.Short == name) && !n.Group {
			return true, nil
		}
	}
	return false, nil
}

// completeHistory offers targets and kept images to the shell.
func (a *app) completeHistory(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	targets, _ := a.completeTargets(cmd, args, prefix)
	images, directive := a.completeImages(cmd, args, prefix)
	return append(targets, images...), directive
}
