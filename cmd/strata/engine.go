package main

import (
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/engine"
)

func newEngineCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "engine", Short: "Look after the embedded engine", Long: "Look after the embedded engine.\n" + exitStatusHelp, Args: cobra.NoArgs}
	cmd.AddCommand(newEngineServeCmd())
	return cmd
}

func newEngineServeCmd() *cobra.Command {
	var opts engine.ServeOptions
	cmd := &cobra.Command{
		Use:    "serve",
		Short:  "Run the embedded engine in the foreground",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return engine.Serve(cmd.Context(), opts)
		},
	}
	opts.Flags(cmd.Flags())
	return cmd
}
