package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/report"
)

// verifyOptions are the flags of cache verify.
type verifyOptions struct {
	cacheOptions
	scope string
	keys  []string
}

func newCacheVerifyCmd(a *app) *cobra.Command {
	var opts verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read the whole index and tell what is damaged",
		Long: `Read all entries of the index with what explains them, and tell what is damaged or
missing: with status 6 on this machine, 5 in a registry. With --key every entry in the
registry must be signed by one of the keys, for that repository and --scope. A run that
meets any of this builds as if it had found nothing.
` + exitStatusHelp,
		Example: "  strata cache verify\n  strata cache verify --repository registry.example.org/shop/cache --scope main --key ci.pub",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.cacheVerify(cmd.Context(), opts)
		},
	}
	opts.flags(cmd.Flags())
	cmd.Flags().StringVar(&opts.scope, "scope", "", "the `name` of the scope that entries were signed for")
	cmd.Flags().StringArrayVar(&opts.keys, "key", nil, "a `file` of ed25519 public keys, or env://NAME, repeatable")
	return cmd
}

func (a *app) cacheVerify(ctx context.Context, opts verifyOptions) error {
	if opts.repository == "" && (len(opts.keys) > 0 || opts.scope != "") {
		return usageError("entries on this machine are not signed: --key and --scope need --repository")
	}
	place, problems, err := a.verifyIndex(ctx, opts)
	if err != nil {
		return err
	}
	if err := a.printProblems(place, problems, opts.json); err != nil {
		return err
	}
	if len(problems) == 0 {
		return nil
	}
	status := exitLocal
	if opts.repository != "" {
		status = exitRegistry
	}
	return withStatus(status, fmt.Errorf("%s in %s", plural(len(problems), "problem"), place))
}

func (a *app) verifyIndex(ctx context.Context, opts verifyOptions) (place string, problems []index.Problem, err error) {
	if opts.repository == "" {
		l := a.openIndex()
		problems, err = l.Verify(ctx)
		if err != nil {
			err = withStatus(exitLocal, err)
		}
		return l.Dir(), problems, err
	}
	scope := index.Scope{Name: opts.scope}
	for _, source := range opts.keys {
		keys, err := index.ReadPublicKeys(source, a.lookupEnv)
		if err != nil {
			return "", nil, withStatus(exitUsage, err)
		}
		scope.Keys = append(scope.Keys, keys...)
	}
	r, err := a.openRepository(opts.repository)
	if err != nil {
		return "", nil, err
	}
	problems, err = r.Verify(ctx, scope)
	return r.Name(), problems, err
}

func (a *app) printProblems(place string, problems []index.Problem, asJSON bool) error {
	if asJSON {
		return writeJSON(a.out, map[string]any{"schema": 1, "place": place, "problems": append([]index.Problem{}, problems...)})
	}
	if len(problems) == 0 {
		fmt.Fprintf(a.err, "%s: nothing is damaged\n", place)
		return nil
	}
	var rows [][]string
	for _, p := range problems {
		name := p.Name
		if p.What == "detail" || p.What == "listing" {
			name = report.ShortDigest(name)
		}
		rows = append(rows, []string{p.What, p.Target, name, p.Detail})
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "WHAT"}, {Title: "TARGET"}, {Title: "NAME"}, {Title: "PROBLEM", Kind: report.Free},
	}, rows)
}
