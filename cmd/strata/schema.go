package main

import (
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
)

func newSchemaCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON schema of build files in JSON",
		Long: `Print the JSON schema, draft 2020-12, of build files in JSON such as
docker-bake.json and what strata print writes. Editors use it to complete names.
` + exitStatusHelp,
		Example: "  strata schema > build.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = a.out.Write(text)
			return err
		},
	}
}
