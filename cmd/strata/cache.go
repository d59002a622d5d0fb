package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/cache/index"
)

func newCacheCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "cache",
		Short: "Look after the index of what was built, here and in registries",
		Long: `Look after the index: what came of building each target, by the fingerprint of its
inputs. A run looks there to see what need not be built. It is kept in the user's cache
directory, and with a cache block in a repository that machines share.
` + exitStatusHelp,
		Example: "  strata cache ls\n  strata cache du",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCacheLsCmd(a),
		newCacheDuCmd(a),
		newCacheVerifyCmd(a),
		newCachePruneCmd(a),
		newCacheServeCmd(a),
	)
	return cmd
}

// cacheOptions say which index is meant, and how to print.
type cacheOptions struct {
	repository string
	json       bool
}

func (o *cacheOptions) flags(f *pflag.FlagSet) {
	f.StringVar(&o.repository, "repository", "", "the index in this `HOST/NAME` of a registry, not the one on this machine")
	f.BoolVar(&o.json, "json", false, "print JSON")
}

// openIndex opens the index on this machine. It is closed when the command
// ends.
func (a *app) openIndex() *index.Local {
	l := index.OpenLocal(index.DefaultDir(a.lookupEnv), index.LocalOptions{Warn: a.warn})
	a.onClose(l.Close)
	return l
}

// openRepository opens the index in a repository.
func (a *app) openRepository(ref string) (*index.Repository, error) {
	c, err := a.registryClient()
	if err != nil {
		return nil, err
	}
	return index.OpenRepository(c, ref)
}

// cached lists the entries of the index that o means, those put or built last
// first, and where it is. What cannot be read is warned of.
func (a *app) cached(ctx context.Context, o cacheOptions) (place string, entries []index.Entry, err error) {
	if o.repository == "" {
		l := a.openIndex()
		return l.Dir(), l.List(), nil
	}
	r, err := a.openRepository(o.repository)
	if err != nil {
		return "", nil, err
	}
	stored, err := r.List(ctx)
	if err != nil {
		return "", nil, err
	}
	var problems []error
	for _, s := range stored {
		if s.Problem != "" {
			problems = append(problems, fmt.Errorf("%s:%s is passed over: %s", r.Name(), s.Tag, s.Problem))
			continue
		}
		entries = append(entries, s.Entry)
	}
	if len(problems) > 0 {
		a.warn(errors.Join(problems...))
	}
	return r.Name(), entries, nil
}
