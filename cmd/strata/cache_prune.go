package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/report"
)

func newCachePruneCmd(a *app) *cobra.Command {
	var (
		opts    cacheOptions
		policy  index.Policy
		maxUsed string
		all     bool
	)
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove entries from the index",
		Long: `Remove entries from the index until the limits hold, those used last kept first, and
what only they needed. On this machine that happens by itself; without limits the usual
ones are applied. In a registry, which does not know uses, those built last are kept
first, at least one limit is needed, and the registry frees the space when it collects
its garbage. Images, and other tags in the repository, are left alone.
` + exitStatusHelp,
		Example: "  strata cache prune --unused 720h\n  strata cache prune --repository registry.example.org/shop/cache --max-entries 1000",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := parseSize("--max-used", maxUsed, &policy.MaxBytes); err != nil {
				return withStatus(exitUsage, err)
			}
			if err := checkPolicy(policy, all); err != nil {
				return err
			}
			return a.cachePrune(cmd.Context(), opts, policy, all)
		},
	}
	f := cmd.Flags()
	opts.flags(f)
	f.DurationVar(&policy.MaxAge, "unused", 0, "remove what was not used, or in a registry built, for so long, such as 72h")
	f.StringVar(&maxUsed, "max-used", "", "remove until no more than this `size` is used")
	f.IntVar(&policy.MaxEntries, "max-entries", 0, "keep no more than `N` entries")
	f.BoolVarP(&all, "all", "a", false, "remove everything")
	return cmd
}

func checkPolicy(p index.Policy, all bool) error {
	switch {
	case p.MaxAge < 0 || p.MaxBytes < 0 || p.MaxEntries < 0:
		return usageError("a limit cannot be negative")
	case all && p != (index.Policy{}):
		return usageError("--all removes everything: give no limit with it")
	}
	return nil
}

func (a *app) cachePrune(ctx context.Context, opts cacheOptions, policy index.Policy, all bool) error {
	place, pruned, err := a.pruneIndex(ctx, opts, policy, all)
	if err != nil {
		return err
	}
	if opts.json {
		return writeJSON(a.out, map[string]any{
			"schema": 1, "place": place, "entries": pruned.Entries, "bytes": pruned.Bytes,
		})
	}
	fmt.Fprintf(a.out, "removed %s, %s\n", entriesWord(pruned.Entries), report.Bytes(pruned.Bytes))
	return nil
}

func (a *app) pruneIndex(ctx context.Context, opts cacheOptions, policy index.Policy, all bool) (place string, done index.Pruned, err error) {
	none := policy == (index.Policy{})
	if opts.repository != "" {
		if none && !all {
			return "", done, usageError("say what to remove from %s: --unused, --max-used, --max-entries or --all", opts.repository)
		}
		r, err := a.openRepository(opts.repository)
		if err != nil {
			return "", done, err
		}
		done, err = r.Prune(ctx, policy, all)
		return r.Name(), done, err
	}
	switch {
	case all:
		policy = index.Policy{MaxBytes: 1}
	case none:
		policy = index.DefaultLimits()
	}
	l := a.openIndex()
	done, err = l.Prune(ctx, policy)
	if err != nil {
		err = withStatus(exitLocal, err)
	}
	return l.Dir(), done, err
}
