package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/report"
)

func newCacheDuCmd(a *app) *cobra.Command {
	var opts cacheOptions
	cmd := &cobra.Command{
		Use:   "du",
		Short: "Show what the index takes",
		Long: `Show what the index takes, by project: entries, with what explains them. What several
projects share counts for each, and once in all. Layers and images are not in the index;
see strata du and strata images.
` + exitStatusHelp,
		Example: "  strata cache du\n  strata cache du --repository registry.example.org/shop/cache --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.cacheDu(cmd.Context(), opts)
		},
	}
	opts.flags(cmd.Flags())
	return cmd
}

// A cacheUsage is what cache du --json prints.
type cacheUsage struct {
	Schema int    `json:"schema"`
	Place  string `json:"place"`
	index.Usage
}

func (a *app) cacheDu(ctx context.Context, opts cacheOptions) error {
	place, u, err := a.cacheUsage(ctx, opts)
	if err != nil {
		return err
	}
	if opts.json {
		return writeJSON(a.out, cacheUsage{1, place, u})
	}
	var rows [][]string
	for _, p := range u.Projects {
		rows = append(rows, []string{p.Project, fmt.Sprint(p.Targets), fmt.Sprint(p.Entries), report.Bytes(p.Bytes)})
	}
	if len(rows) > 0 {
		err = report.Table(a.out, a.term(), []report.Column{
			{Title: "PROJECT"}, {Title: "TARGETS", Kind: report.Number},
			{Title: "ENTRIES", Kind: report.Number}, {Title: "SIZE", Kind: report.Number},
		}, rows)
	}
	fmt.Fprintf(a.err, "%s: %s, of which %s in %s explain %s.\n",
		place, report.Bytes(u.Bytes), report.Bytes(u.BlobBytes), plural(u.Blobs, "blob"), entriesWord(u.Entries))
	return err
}

func (a *app) cacheUsage(ctx context.Context, opts cacheOptions) (place string, u index.Usage, err error) {
	if opts.repository == "" {
		l := a.openIndex()
		u, err = l.Usage()
		return l.Dir(), u, err
	}
	r, err := a.openRepository(opts.repository)
	if err != nil {
		return "", u, err
	}
	u, err = r.Usage(ctx)
	return r.Name(), u, err
}

func entriesWord(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
