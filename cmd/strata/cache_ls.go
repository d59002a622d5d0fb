package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/report"
)

func newCacheLsCmd(a *app) *cobra.Command {
	var opts cacheOptions
	cmd := &cobra.Command{
		Use:   "ls [TARGET...]",
		Short: "List what was built, by fingerprint",
		Long: `List the entries of the index, the latest first: for each fingerprint the target that
was built, and the image that came of it. With patterns, only targets that match one.
` + exitStatusHelp,
		Example: "  strata cache ls\n  strata cache ls 'api-*' --json\n  strata cache ls --repository registry.example.org/shop/cache",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cacheLs(cmd.Context(), opts, args)
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	opts.flags(cmd.Flags())
	return cmd
}

func (a *app) cacheLs(ctx context.Context, opts cacheOptions, patterns []string) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return usageError("pattern %q: %w", p, err)
		}
	}
	place, entries, err := a.cached(ctx, opts)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e index.Entry) bool {
		return len(patterns) > 0 && !slices.ContainsFunc(patterns, func(p string) bool {
			ok, err := path.Match(p, e.Target)
			return ok && err == nil
		})
	})
	if opts.json {
		return writeJSON(a.out, map[string]any{"schema": 1, "place": place, "entries": append([]index.Entry{}, entries...)})
	}
	if len(entries) == 0 {
		fmt.Fprintln(a.err, "no entry; strata build makes one for each target it has built")
		return nil
	}
	return a.printEntries(entries, time.Now())
}

func (a *app) printEntries(entries []index.Entry, now time.Time) error {
	var rows [][]string
	for _, e := range entries {
		made := ""
		if e.Digest != "" {
			made = report.ShortDigest(e.Digest)
		}
		var outputs []string
		for _, o := range e.Outputs {
			outputs = append(outputs, o.Dest)
		}
		rows = append(rows, []string{
			e.Target, made, strings.Join(e.Platforms, " "), strings.Join(outputs, " "), e.Branch,
			report.Ago(e.Built, now), string(e.Fingerprint[:12]), e.Project,
		})
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "TARGET"}, {Title: "IMAGE"}, {Title: "PLATFORMS", Kind: report.Free},
		{Title: "OUTPUTS", Kind: report.Free, Optional: true}, {Title: "BRANCH", Optional: true},
		{Title: "BUILT"}, {Title: "FINGERPRINT"}, {Title: "PROJECT", Optional: true},
	}, rows)
}
