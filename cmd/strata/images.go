package main

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

func newImagesCmd(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "images [PATTERN...]",
		Short: "List the images that were kept",
		Long: `List the images in the local store: those that were built without another output,
and those that were loaded. No engine is started. With patterns, only images with a
name that matches one: "shop/*", "*:dev". An image without tags is named by its target.
` + exitStatusHelp,
		Example: "  strata images\n  strata images 'shop/*'\n  strata images --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.images(cmd.Context(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) images(ctx context.Context, patterns []string, asJSON bool) error {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return usageError("pattern %q: %w", p, err)
		}
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	list, err := s.List(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(img store.Image) bool { return !matchesAny(img, patterns) })
	if asJSON {
		return writeJSON(a.out, map[string]any{"schema": 1, "images": append([]store.Image{}, list...)})
	}
	if len(list) == 0 {
		fmt.Fprintln(a.err, "no image; strata build keeps those that have no other output")
		return nil
	}
	return a.printImages(list, time.Now())
}

// matchesAny reports whether a name of img, with or without its tag, matches a
// pattern; any does if there is none.
func matchesAny(img store.Image, patterns []string) bool {
	if len(patterns) == 0 {
		return true
	}
	names := []string{img.Target}
	for _, tag := range img.Tags {
		short := store.Familiar(tag)
		names = append(names, tag, short, short[:strings.LastIndexByte(short, ':')])
	}
	return slices.ContainsFunc(patterns, func(p string) bool {
		return slices.ContainsFunc(names, func(name string) bool {
			ok, err := path.Match(p, name)
			return ok && err == nil
		})
	})
}

func (a *app) printImages(list []store.Image, now time.Time) error {
	var rows [][]string
	for _, img := range list {
		names := []string{img.Name()}
		if len(img.Tags) > 0 {
			names = names[:0]
			for _, tag := range img.Tags {
				names = append(names, store.Familiar(tag))
			}
		}
		for _, name := range names {
			rows = append(rows, []string{
				name, strings.Join(img.Platforms, " "), report.ShortDigest(img.Digest.String()),
				report.Bytes(img.Size), report.Ago(img.Created, now), img.Target, problem(img),
			})
		}
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "NAME"}, {Title: "PLATFORMS", Kind: report.Free}, {Title: "DIGEST", Optional: true},
		{Title: "SIZE", Kind: report.Number}, {Title: "KEPT"}, {Title: "TARGET", Optional: true}, {Title: ""},
	}, rows)
}

func problem(img store.Image) string {
	if img.Problem == "" {
		return ""
	}
	return fmt.Sprintf("damaged: strata image check %s", img.Name())
}
