package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/store"
)

func newImageTagCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "tag IMAGE TAG...",
		Example: "  strata image tag shop/api:dev shop/api:1.2 shop/api:latest",
		Short:   "Give a kept image more tags",
		Long: `Give a kept image more tags. A tag that another image had moves.
` + exitStatusHelp,
		Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageTag(cmd.Context(), args[0], args[1:])
		},
	}
}

func (a *app) imageTag(ctx context.Context, name string, tags []string) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	a.onClose(s.Close)
	img, err := s.Resolve(ctx, name)
	if err != nil {
		return imageError(err)
	}
	return imageError(s.Tag(ctx, img.Desc, tags, store.Meta{Target: img.Target, Project: img.Project, Created: img.Created}))
}
