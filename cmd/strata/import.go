package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/draft"
)

type importOptions struct {
	files  []string
	output string
	force  bool
}

func newImportCmd(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "import",
		Example: "  strata import bake -o build.hcl\n  strata import compose -o build.hcl",
		Short:   "Rewrite bake and compose files as a build.hcl",
		Long:    "Rewrite bake and compose files as a build.hcl.\n" + exitStatusHelp,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newImportKindCmd(a, "bake", "Rewrite bake files as a build.hcl", `Print a build.hcl that says what bake files say. Several files are merged as bake
merges them. Without a FILE bake's default names are read, compose files too.

What is printed has been read again and means the same for every target. Its
variables, functions and references are those of the files. Where bake reads
them otherwise than a build.hcl is read, values take their place, with a note.
Comments are kept of a single file in HCL.
`),
		newImportKindCmd(a, "compose", "Rewrite compose files as a build.hcl", `Print a build.hcl with a target for every service that is built. Several files
are merged as compose merges them. Without a FILE compose's default names are
read.

What is printed has been read again and means the same for every target.
Variables with a default stay variables; others are replaced by their values.
`),
	)
	return cmd
}

func newImportKindCmd(a *app, kind, short, long string) *cobra.Command {
	var opts importOptions
	cmd := &cobra.Command{
		Use:     kind + " [FILE...]",
		Short:   short,
		Long:    long + exitStatusHelp,
		Example: fmt.Sprintf("  strata import %s\n  strata import %s -o build.hcl FILE", kind, kind),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.files = args
			return a.importFiles(cmd.Context(), kind, opts)
		},
	}
	cmd.Flags().StringVarP(&opts.output, "output", "o", "-", "`file` to write, - for standard output")
	cmd.Flags().BoolVar(&opts.force, "force", false, "replace the file if it is there")
	return cmd
}

func (a *app) importFiles(ctx context.Context, kind string, opts importOptions) error {
	if opts.output != "-" && !opts.force {
		if _, err := os.Lstat(opts.output); err == nil {
			return existsError(opts.output)
		}
	}
	files, err := importedFiles(kind, opts.files)
	if err != nil {
		return err
	}
	d, err := a.imported(ctx, ".", files)
	if err != nil {
		return err
	}
	a.notes(d.notes)
	if opts.output == "-" {
		_, err := a.out.Write(d.text)
		return err
	}
	return writeNew(opts.output, d.text, opts.force)
}

// importedFiles are the files to read: those given, or the default names.
func importedFiles(kind string, given []string) ([]string, error) {
	if len(given) == 0 {
		compose, bake := draft.Defaults(".")
		given = compose
		if kind == "bake" {
			given = append(given, bake...)
		}
		if len(given) == 0 {
			return nil, usageError("there is no %s file here; name one", kind)
		}
		return given, nil
	}
	for _, f := range given {
		if kind == "compose" && f != "-" && !slices.Contains([]string{".yml", ".yaml"}, strings.ToLower(filepath.Ext(f))) {
			return nil, usageError("%s is no compose file: its name does not end in .yaml; see strata import bake", f)
		}
	}
	return given, nil
}
