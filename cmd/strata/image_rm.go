package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/report"
)

func newImageRmCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "rm IMAGE...",
		Example: "  strata image rm shop/api:dev",
		Aliases: []string{"remove"},
		Short:   "Remove kept images",
		Long: `Remove tags, and the images that have none left; a digest or a target removes an
image with all its tags. What no other image shares is deleted from disk, unless a
build is writing images at this moment: then it is left for image prune. If one name
is not found, nothing is removed.
` + exitStatusHelp,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageRm(cmd.Context(), args)
		},
	}
}

func (a *app) imageRm(ctx context.Context, names []string) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	freed, err := s.Remove(ctx, names)
	if err != nil {
		return imageError(err)
	}
	for _, name := range names {
		fmt.Fprintln(a.out, name)
	}
	fmt.Fprintf(a.err, "freed %s\n", report.Bytes(freed))
	return nil
}
