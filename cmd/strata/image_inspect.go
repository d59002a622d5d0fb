package main

import (
	"context"
	"encoding/json"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/store"
)

func newImageInspectCmd(a *app) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:     "inspect IMAGE",
		Example: "  strata image inspect shop/api:dev\n  strata image inspect --raw shop/api:dev > manifest.json",
		Short:   "Print what a kept image is, as JSON",
		Long: `Print what the store knows of an image and, for each platform, its manifest and
config, as JSON. With --raw, print the manifest or index itself, byte for byte.
` + exitStatusHelp,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageInspect(cmd.Context(), args[0], raw)
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the manifest or index as it is stored")
	return cmd
}

// An inspectedImage is what image inspect prints.
type inspectedImage struct {
	Schema int `json:"schema"`
	store.Image
	Manifests []inspectedManifest `json:"manifests"`
}

// An inspectedManifest is one manifest of an image, of a platform or an
// attestation.
type inspectedManifest struct {
	Platform string          `json:"platform,omitempty"` // missing for an attestation
	Digest   string          `json:"digest"`
	Manifest json.RawMessage `json:"manifest"`
	Config   json.RawMessage `json:"config"`
}

func (a *app) imageInspect(ctx context.Context, name string, raw bool) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	img, err := s.Resolve(ctx, name)
	if err != nil {
		return imageError(err)
	}
	if raw {
		data, err := s.Blob(ctx, img.Desc)
		if err != nil {
			return withStatus(exitLocal, err)
		}
		_, err = a.out.Write(data)
		return err
	}
	manifests, err := s.Manifests(ctx, img)
	if err != nil {
		return withStatus(exitLocal, err)
	}
	out := inspectedImage{Schema: 1, Image: img, Manifests: []inspectedManifest{}}
	for _, m := range manifests {
		out.Manifests = append(out.Manifests, inspectedManifest{
			Platform: m.Platform, Digest: m.Desc.Digest.String(), Manifest: m.Raw, Config: m.Config,
		})
	}
	return writeJSON(a.out, out)
}
