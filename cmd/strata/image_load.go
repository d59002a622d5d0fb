package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/store"
)

type loadOptions struct {
	docker   bool
	platform string
}

func newImageLoadCmd(a *app) *cobra.Command {
	var opts loadOptions
	cmd := &cobra.Command{
		Use:   "load [ARCHIVE...] | load --docker IMAGE...",
		Short: "Keep the images of archives, or load kept images into Docker",
		Long: `Keep the images of oci and docker archives, compressed or not, or of one on standard
input. With --docker, load kept images into the Docker Engine instead, one platform of
each. The names of what was loaded are printed.
` + exitStatusHelp,
		Example: "  strata image load api.tar\n  docker save api | strata image load\n  strata image load --docker shop/api:dev",
		RunE: func(cmd *cobra.Command, args []string) error {
			if opts.docker {
				return a.imageLoadDocker(cmd.Context(), args, opts.platform)
			}
			return a.imageLoad(cmd.Context(), args, opts)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
			if opts.docker {
				return a.completeImages(cmd, args, prefix)
			}
			return nil, cobra.ShellCompDirectiveDefault
		},
	}
	cmd.Flags().BoolVar(&opts.docker, "docker", false, "load kept images into the Docker Engine")
	cmd.Flags().StringVar(&opts.platform, "platform", "", "`platform` to load into Docker; default the only one, or this machine's")
	return cmd
}

func (a *app) imageLoad(ctx context.Context, archives []string, opts loadOptions) error {
	if opts.platform != "" {
		return usageError("--platform needs --docker: an archive is kept with all its platforms")
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	a.onClose(s.Close)
	if len(archives) == 0 {
		archives = []string{"-"}
	}
	for _, archive := range archives {
		if err := a.loadOne(ctx, s, archive); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) loadOne(ctx context.Context, s *store.Store, archive string) error {
	in := a.in
	if archive != "-" {
		f, err := os.Open(archive)
		if err != nil {
			return withStatus(exitLocal, err)
		}
		defer f.Close()
		in = f
	}
	loaded, err := s.LoadArchive(ctx, in)
	if err != nil {
		if archive != "-" {
			err = fmt.Errorf("%s: %w", archive, err)
		}
		return withStatus(exitLocal, err)
	}
	for _, img := range loaded {
		names := ownNames(img, "")
		if len(names) == 0 {
			names = []string{img.Digest.String()}
		}
		fmt.Fprintln(a.out, strings.Join(names, "\n"))
	}
	return nil
}

func (a *app) imageLoadDocker(ctx context.Context, names []string, platform string) error {
	if len(names) == 0 {
		return usageError("say which kept images to load into Docker")
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.Resolve(ctx, name); err != nil {
			return imageError(err)
		}
	}
	e, err := a.openEngine(ctx, func(o *engine.Options) {
		if !strings.HasPrefix(o.Address, "docker") {
			o.Address = "docker"
		}
	})
	if err != nil {
		return err
	}
	if e.Docker() == nil {
		return usageError("--engine %s is no Docker Engine", a.flags.engine)
	}
	r, w := io.Pipe()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		buf := bufio.NewWriterSize(w, 1<<20)
		err := errors.Join(s.Save(ctx, names, store.Docker, platform, buf), buf.Flush())
		w.CloseWithError(err)
		return imageError(err)
	})
	g.Go(func() error {
		err := e.Docker().Load(ctx, r)
		r.CloseWithError(err)
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, name := range names {
		fmt.Fprintln(a.out, name)
	}
	return nil
}
