package main

import (
	"context"
	"errors"
	"io"

	"github.com/containerd/containerd/v2/pkg/atomicfile"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/store"
)

type saveOptions struct {
	output   string
	format   string
	platform string
}

func newImageSaveCmd(a *app) *cobra.Command {
	var opts saveOptions
	cmd := &cobra.Command{
		Use:   "save IMAGE...",
		Short: "Write kept images to an archive",
		Long: `Write kept images to one archive, on standard output or to a file that appears when
it is whole. An oci archive has all platforms and attestations, byte for byte; a docker
archive is what docker load takes: one platform of each image.
` + exitStatusHelp,
		Example: "  strata image save shop/api:dev -o api.tar\n  strata image save --format docker shop/api:dev | docker load",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageSave(cmd.Context(), args, opts)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&opts.output, "output", "o", "-", "`file` to write, - for standard output")
	f.StringVar(&opts.format, "format", string(store.OCI), "kind of archive: oci or docker")
	f.StringVar(&opts.platform, "platform", "", "`platform` for a docker archive; default the only one, or this machine's")
	return cmd
}

func (a *app) imageSave(ctx context.Context, names []string, opts saveOptions) error {
	format := store.Format(opts.format)
	if format != store.OCI && format != store.Docker {
		return usageError("--format %q: use oci or docker", opts.format)
	}
	if opts.platform != "" && format == store.OCI {
		return usageError("--platform needs --format docker: an oci archive has all platforms")
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	if opts.output == "-" {
		if a.term().OutTTY {
			return usageError("an archive is not for a terminal: redirect standard output, or use -o FILE")
		}
		return imageError(s.Save(ctx, names, format, opts.platform, a.out))
	}
	return imageError(writeWhole(opts.output, func(w io.Writer) error {
		return s.Save(ctx, names, format, opts.platform, w)
	}))
}

// writeWhole writes a file that appears under its name only if write succeeds.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := atomicfile.New(path, 0o644)
	if err != nil {
		return withStatus(exitLocal, err)
	}
	if err := write(f); err != nil {
		return errors.Join(err, f.Cancel())
	}
	if err := f.Close(); err != nil {
		return withStatus(exitLocal, err)
	}
	return nil
}
