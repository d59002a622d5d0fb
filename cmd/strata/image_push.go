package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

func newImagePushCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "push IMAGE [DESTINATION...]",
		Short: "Push a kept image to a registry",
		Long: `Push a kept image, with all its platforms and attestations and without changing a
byte, to each DESTINATION, or under its own tags. Blobs that the registry has are not
sent. What was pushed is printed as NAME@DIGEST, once the registry has confirmed it;
how far it is goes to standard error.
` + exitStatusHelp,
		Example: "  strata image push shop/api:dev registry.example.org/shop/api:1.2\n  strata image push registry.example.org/shop/api:dev",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imagePush(cmd.Context(), args[0], args[1:])
		},
	}
}

func (a *app) imagePush(ctx context.Context, name string, dests []string) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	img, err := s.Resolve(ctx, name)
	if err != nil {
		return imageError(err)
	}
	c, err := a.registryClient()
	if err != nil {
		return err
	}
	if len(dests) == 0 {
		if dests = ownNames(img, name); len(dests) == 0 {
			return usageError("%s has no tag: say where to push it: strata image push %s DESTINATION", img.Name(), name)
		}
	}
	if err := parseAll(c, dests); err != nil {
		return err
	}
	var errs []error
	for _, dest := range dests {
		progress, end := a.term().Transfer("pushing " + dest)
		digest, err := s.Push(ctx, img.Digest.String(), dest, c, progress)
		end()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(a.out, "%s@%s\n", dest, digest)
	}
	err = errors.Join(errs...)
	if err != nil && len(errs) < len(dests) {
		return withStatus(exitPartly, err)
	}
	return err
}

// ownNames are the tags that name means: itself if it is one, else all.
func ownNames(img store.Image, name string) []string {
	var names []string
	full, err := store.Normalize(name)
	for _, tag := range img.Tags {
		if err == nil && tag == full {
			return []string{store.Familiar(tag)}
		}
		names = append(names, store.Familiar(tag))
	}
	return names
}

// parseAll finds mistakes in references before anything is sent.
func parseAll(c *registry.Client, refs []string) error {
	var errs []error
	for _, ref := range refs {
		_, err := c.Parse(ref)
		errs = append(errs, err)
	}
	return imageError(errors.Join(errs...))
}
