package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/report"
	"github.com/strata-build/strata/store"
)

func newImageCheckCmd(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "check [IMAGE...]",
		Example: "  strata image check\n  strata image check shop/api:dev --json",
		Short:   "Read kept images in full and tell what is damaged",
		Long: `Read every blob of the images, of all if none is named: each must be there with the
size and digest it is named by, and each layer must unpack to what the image's config
says. Damage ends with status 6; building the target again mends it.
` + exitStatusHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.imageCheck(cmd.Context(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// A checkedImage is one entry of image check --json.
type checkedImage struct {
	Name     string          `json:"name"`
	Digest   string          `json:"digest"`
	Problems []store.Problem `json:"problems"`
}

func (a *app) imageCheck(ctx context.Context, names []string, asJSON bool) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	list, err := chosen(ctx, s, names)
	if err != nil {
		return err
	}
	var checked []checkedImage
	damaged := 0
	for _, img := range list {
		problems, err := s.Check(ctx, img.Digest.String())
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			damaged++
		}
		checked = append(checked, checkedImage{img.Name(), img.Digest.String(), append([]store.Problem{}, problems...)})
	}
	if err := a.printChecked(checked, asJSON); err != nil {
		return err
	}
	if damaged > 0 {
		return withStatus(exitLocal, fmt.Errorf("%s damaged", plural(damaged, "image")))
	}
	return nil
}

// chosen resolves names, all images if there is none.
func chosen(ctx context.Context, s *store.Store, names []string) ([]store.Image, error) {
	if len(names) == 0 {
		return s.List(ctx)
	}
	var list []store.Image
	for _, name := range names {
		img, err := s.Resolve(ctx, name)
		if err != nil {
			return nil, imageError(err)
		}
		list = append(list, img)
	}
	return list, nil
}

func (a *app) printChecked(checked []checkedImage, asJSON bool) error {
	if asJSON {
		return writeJSON(a.out, map[string]any{"schema": 1, "images": append([]checkedImage{}, checked...)})
	}
	var rows [][]string
	for _, c := range checked {
		if len(c.Problems) == 0 {
			rows = append(rows, []string{c.Name, "ok", "", ""})
		}
		for _, p := range c.Problems {
			rows = append(rows, []string{c.Name, "damaged", p.What + " " + report.ShortDigest(p.Digest.String()), p.Detail})
		}
	}
	return report.Table(a.out, a.term(), []report.Column{
		{Title: "NAME"}, {Title: "STATE", Kind: report.State}, {Title: "BLOB"}, {Title: "PROBLEM", Kind: report.Free},
	}, rows)
}
