package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/lsp"
)

func newLSPCmd(a *app) *cobra.Command {
	var opts selectOptions
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Answer an editor about build files",
		Long: `Answer an editor about build files: a server for the Language Server Protocol
on standard input and output. It tells what is wrong while a file is written,
with the words that strata print has for it, completes and explains names, and
finds where targets, variables, functions and the like are declared. It builds
nothing and writes no file. How editors are set up is told in
docs/reference/lsp.md.

The exit status is 0 if the editor asked the server to shut down before it left,
else 1.
` + exitStatusHelp,
		Example: "  strata lsp\n  strata lsp --var VERSION=2 --allow env=HOME",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.lsp(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringArrayVar(&opts.vars, "var", nil, "set a variable: `NAME=VALUE`, repeatable")
	opts.envFlags(cmd.Flags())
	// Editors' libraries say on which streams they speak.
	cmd.Flags().Bool("stdio", true, "speak on standard input and output, as it always does")
	return cmd
}

func (a *app) lsp(ctx context.Context, opts selectOptions) error {
	vars, err := config.ParseVars(opts.vars)
	if err != nil {
		return usageError("--var: %w", err)
	}
	grants, err := grant.Parse(".", opts.allow)
	if err != nil {
		return usageError("%w", err)
	}
	err = lsp.Serve(ctx, a.in, a.out, lsp.Options{
		Version: version(), LookupEnv: a.lookupEnv, Environ: os.Environ(), Vars: vars, AllowEnv: grants.Env(),
	})
	if errors.Is(err, lsp.ErrNoShutdown) {
		return withStatus(exitFailed, err)
	}
	return err
}
