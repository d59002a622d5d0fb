package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/report"
)

type fmtOptions struct {
	check bool
	diff  bool
	paths []string
}

func newFmtCmd(a *app) *cobra.Command {
	var opts fmtOptions
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIR...]",
		Short: "Lay out build files",
		Long: `Lay out build files in the canonical way, and print the names of those that
changed. Of a DIR all .hcl files in it are taken, without going deeper; - is
standard input, whose text goes to standard output. Without an argument it is
the current directory. Files that do not parse are left as they are.

With --check nothing is written and the exit status is 1 if something would be.
` + exitStatusHelp,
		Example: "  strata fmt\n  strata fmt --check --diff build.hcl\n  strata fmt - < build.hcl",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.paths = args
			return a.fmt(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.check, "check", false, "write nothing; exit with 1 if a file would change")
	cmd.Flags().BoolVar(&opts.diff, "diff", false, "print what changes, and write nothing")
	return cmd
}

func (a *app) fmt(ctx context.Context, opts fmtOptions) error {
	files, err := formatted(opts.paths)
	if err != nil {
		return err
	}
	changed := false
	var errs []error
	for _, name := range files {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		one, err := a.fmtFile(name, opts)
		changed = changed || one
		if err != nil {
			errs = append(errs, err)
		}
	}
	if err := formatErrors(errs); err != nil {
		return err
	}
	if opts.check && changed {
		return withStatus(exitFailed, nil)
	}
	return nil
}

// formatErrors joins what is wrong with the files into one error, so that all of
// it is shown as configuration errors are.
func formatErrors(errs []error) error {
	all := &config.Error{}
	for _, err := range errs {
		e, ok := errors.AsType[*config.Error](err)
		if !ok {
			return errors.Join(errs...)
		}
		all.Diags = append(all.Diags, e.Diags...)
		if all.Files == nil {
			all.Files = e.Files
		}
		for name, f := range e.Files {
			all.Files[name] = f
		}
	}
	if len(all.Diags) == 0 {
		return nil
	}
	return all
}

// formatted lists the files that the arguments stand for.
func formatted(paths []string) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var out []string
	for _, p := range paths {
		if p == "-" {
			out = append(out, p)
			continue
		}
		fi, err := os.Stat(p)
		if err != nil {
			return nil, withStatus(exitLocal, err)
		}
		if !fi.IsDir() {
			out = append(out, p)
			continue
		}
		entries, err := os.ReadDir(p)
		if err != nil {
			return nil, withStatus(exitLocal, err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".hcl") && !e.IsDir() {
				out = append(out, filepath.Join(p, e.Name()))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// fmtFile lays out one file and reports whether that changes it.
func (a *app) fmtFile(name string, opts fmtOptions) (bool, error) {
	before, err := a.readFile(name)
	if err != nil {
		return false, err
	}
	after, err := config.Format(shownName(name), before)
	if err != nil {
		return false, err
	}
	changed := !bytes.Equal(before, after)
	switch {
	case opts.diff:
		name := shownName(name)
		_, err = io.WriteString(a.out, a.forScreen(diff.Diff(name, before, name+" (laid out)", after)))
	case name == "-" && !opts.check:
		_, err = a.out.Write(after)
	case !changed:
	case opts.check:
		_, err = fmt.Fprintln(a.out, shownName(name))
	default:
		if err = replaceFile(name, after); err == nil {
			_, err = fmt.Fprintln(a.out, name)
		}
	}
	if err != nil {
		return changed, withStatus(exitLocal, err)
	}
	return changed, nil
}

// forScreen is text as it is, unless a terminal would obey it.
func (a *app) forScreen(text []byte) string {
	if a.term().OutTTY {
		return report.Sanitize(string(text), false)
	}
	return string(text)
}

// shownName is the name of a file for people.
func shownName(name string) string {
	if name == "-" {
		return "<stdin>"
	}
	return name
}

func (a *app) readFile(name string) ([]byte, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(a.in)
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, withStatus(exitLocal, err)
	}
	return data, nil
}

// replaceFile writes data beside the file and renames it when it is whole, so
// that the file is never half written. A link stays a link.
func replaceFile(name string, data []byte) (err error) {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := fs.FileMode(0o644)
	fi, err := os.Stat(name)
	switch {
	case err == nil:
		mode = fi.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".strata-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}
