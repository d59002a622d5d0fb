package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

func newImageCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Example: "  strata image check\n  strata image push shop/api:dev registry.example.org/shop/api:1.2",
		Short:   "Check, push, save, load, tag and remove kept images",
		Long: `Do something with images in the local store. No engine is started.

An IMAGE is named by a tag as Docker reads it ("app" is docker.io/library/app:latest),
by its digest or the beginning of it, or by the target that made it.
` + exitStatusHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newImageCheckCmd(a),
		newImageInspectCmd(a),
		newImageLoadCmd(a),
		newImagePruneCmd(a),
		newImagePushCmd(a),
		newImageRmCmd(a),
		newImageSaveCmd(a),
		newImageTagCmd(a),
	)
	for _, c := range cmd.Commands() {
		if c.ValidArgsFunction == nil {
			c.ValidArgsFunction = a.completeImages
		}
	}
	return cmd
}

// imageError gives mistakes in the name of an image the status of a usage error.
func imageError(err error) error {
	for _, is := range []func(error) bool{
		isA[*store.NotFoundError], isA[*store.AmbiguousError], isA[*store.PlatformError],
		isA[*registry.ReferenceError], isA[*registry.PlatformError], isA[*history.PlatformError],
	} {
		if is(err) {
			return withStatus(exitUsage, err)
		}
	}
	return err
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// registryClient speaks to registries as the user's settings and flags say. It
// is closed when the command ends.
func (a *app) registryClient() (*registry.Client, error) {
	settings, err := a.registries()
	if err != nil {
		return nil, err
	}
	c := registry.NewClient(settings, registry.NewKeychain(a.lookupEnv), registry.WithNotify(func(msg string) {
		a.warn(errors.New(msg))
	}))
	a.onClose(func() error { c.Close(); return nil })
	return c, nil
}

// completeImages offers the names of kept images to the shell.
func (a *app) completeImages(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	s, err := a.store()
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	list, err := s.List(cmd.Context())
	if err != nil {
		return nil, cobra.ShellCompDirectiveDefault
	}
	var out []string
	for _, img := range list {
		for _, tag := range img.Tags {
			if short := store.Familiar(tag); strings.HasPrefix(short, prefix) {
				out = append(out, short+"\t"+report.Bytes(img.Size))
			}
		}
	}
	return out, cobra.ShellCompDirectiveDefault
}
