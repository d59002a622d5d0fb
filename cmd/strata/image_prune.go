package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/report"
)

func newImagePruneCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "prune",
		Example: "  strata image prune",
		Short:   "Delete from disk what no kept image needs",
		Long: `Delete the layers of images whose tags have moved on to newer ones, and what an
interrupted build has left. No image is removed. While a build is writing images
nothing is deleted.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.store()
			if err != nil {
				return err
			}
			freed, err := s.Prune(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "freed %s\n", report.Bytes(freed))
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}
