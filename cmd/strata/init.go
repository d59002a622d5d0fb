package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/draft"
	"github.com/strata-build/strata/report"
)

type initOptions struct {
	dir    string
	from   string
	force  bool
	dryRun bool
}

func newInitCmd(a *app) *cobra.Command {
	opts := initOptions{dir: "."}
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a build.hcl from what is there",
		Long: `Write a build.hcl from what is in DIR, the current directory without one: bake's
files if there are any, else a compose file, else all Dockerfiles in the tree.

Of Dockerfiles each becomes a target that is named after its directory. Its
context is the directory that has what it copies, and a FROM that names the
image of another Dockerfile in the tree is linked to its target. All of these
are guesses, to be looked at before they are kept: strata check helps.
` + exitStatusHelp,
		Example: "  strata init\n  strata init --dry-run --from dockerfiles",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.dir = args[0]
			}
			return a.init(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.from, "from", "auto", "what to start `from`: bake, compose, dockerfiles or auto")
	cmd.Flags().BoolVar(&opts.force, "force", false, "replace a build.hcl that is there")
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "print the text and write nothing")
	return cmd
}

// A draftText is a build.hcl to be written, and what to say of it.
type draftText struct {
	text    []byte
	targets []string
	notes   []string
	from    string
}

func (a *app) init(ctx context.Context, opts initOptions) error {
	file := filepath.Join(opts.dir, config.OwnFile)
	if !opts.force && !opts.dryRun {
		if _, err := os.Lstat(file); err == nil {
			return existsError(file)
		}
	}
	d, err := a.draft(ctx, opts)
	if err != nil {
		return err
	}
	a.notes(d.notes)
	if opts.dryRun {
		_, err := a.out.Write(d.text)
		return err
	}
	if err := writeNew(file, d.text, opts.force); err != nil {
		return err
	}
	fmt.Fprintf(a.out, "%s has %s, from %s. See strata list, and strata check before strata build.\n",
		file, plural(len(d.targets), "target"), d.from)
	return nil
}

func existsError(file string) error {
	return usageError("%s is there already; --force replaces it, --dry-run prints what would be written", file)
}

// notes prints what is worth knowing on standard error.
func (a *app) notes(list []string) {
	for _, n := range list {
		fmt.Fprintf(a.err, "Note: %s.\n", report.SanitizeLine(n))
	}
}

// draft finds what to start from and makes a build.hcl of it.
func (a *app) draft(ctx context.Context, opts initOptions) (*draftText, error) {
	if fi, err := os.Stat(opts.dir); err != nil {
		return nil, withStatus(exitLocal, err)
	} else if !fi.IsDir() {
		return nil, usageError("%s is no directory", opts.dir)
	}
	found, err := draft.Find(opts.dir)
	if err != nil {
		return nil, withStatus(exitLocal, err)
	}
	from := opts.from
	switch from {
	case "bake", "compose", "dockerfiles":
	case "auto":
		from = "dockerfiles"
		if len(found.Compose) > 0 {
			from = "compose"
		}
		if len(found.Bake) > 0 {
			from = "bake"
		}
	default:
		return nil, usageError("--from %q is not known; use bake, compose, dockerfiles or auto", from)
	}
	files := map[string][]string{"bake": found.Bake, "compose": found.Compose, "dockerfiles": found.Dockerfiles}[from]
	if len(files) == 0 {
		return nil, usageError("there is no %s in %s", map[string]string{
			"bake": "bake file", "compose": "compose file", "dockerfiles": "Dockerfile, compose file or bake file",
		}[from], opts.dir)
	}
	if from != "dockerfiles" {
		if from == "bake" { // bake reads both
			files = append(found.Compose, files...)
		}
		return a.imported(ctx, opts.dir, files)
	}
	d, err := draft.FromDockerfiles(ctx, opts.dir, files)
	if err != nil {
		return nil, usageError("%w", err)
	}
	if !found.Whole {
		d.Notes = append(d.Notes, "the tree is too large to be looked at as a whole; there may be more Dockerfiles")
	}
	return &draftText{d.Text, d.Targets, d.Notes, plural(len(d.Targets), "Dockerfile")}, nil
}

// imported rewrites files that lie in dir.
func (a *app) imported(ctx context.Context, dir string, files []string) (*draftText, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, withStatus(exitLocal, err)
	}
	im, err := config.Import(ctx, config.LoadOptions{
		Dir: abs, Files: files, Stdin: a.in, LookupEnv: a.lookupEnv, Environ: os.Environ(),
	})
	if err != nil {
		if _, ok := errors.AsType[*config.Error](err); ok || ctx.Err() != nil {
			return nil, err
		}
		return nil, withStatus(exitUsage, err)
	}
	term := a.term()
	if len(im.Warnings) > 0 {
		width, _ := term.Size()
		if err := config.WriteDiagnostics(a.err, im.Warnings, im.Files, term.Color, width); err != nil {
			return nil, err
		}
	}
	return &draftText{im.Text, im.Targets, im.Notes, strings.Join(files, ", ")}, nil
}

// writeNew writes a file, which must not be there yet unless force is set.
func writeNew(name string, data []byte, force bool) error {
	if force {
		if err := replaceFile(name, data); err != nil {
			return withStatus(exitLocal, err)
		}
		return nil
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return existsError(name)
	}
	if err != nil {
		return withStatus(exitLocal, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(name)
		return withStatus(exitLocal, err)
	}
	return nil
}
