package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/report"
)

// bakeOptions are the flags of docker buildx bake.
type bakeOptions struct {
	buildOptions
	jobs       string
	call       string
	check      bool
	list       string
	listTargs  bool
	listVars   bool
	print      bool
	sbom       string
	provenance string
	builder    string
	debug      bool
	method     config.Call
}

func newBakeCmd(a *app) *cobra.Command {
	var opts bakeOptions
	cmd := &cobra.Command{
		Use:     "bake [URL [URL]] [TARGET...]",
		Aliases: []string{"f"},
		Short:   "Build as docker buildx bake does, from its files",
		Long: `Read bake and compose files as docker buildx bake does, with its flags, and build.

Without -f all of bake's default names are read. What bake ignores is ignored
with a warning. The exit status is bake's: 1 for every failure.

A first argument that is a URL is where the files are: a git repository, an
archive, or one file. Contexts are then relative to the repository or archive;
what starts with cwd:// is in this directory. A second URL is the value of
BAKE_CMD_CONTEXT.
`,
		Example: "  strata bake --print\n  strata bake -f docker-bake.hcl release --push\n  strata bake --list=targets\n  strata bake https://github.com/docker/buildx.git#v0.38.2 binaries",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return bakeStatus(a.bake(cmd.Context(), cmd, opts))
		},
	}
	opts.flags(cmd.Flags())
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return withStatus(exitFailed, err) })
	cmd.ValidArgsFunction = a.completeTargets
	return cmd
}

func (o *bakeOptions) flags(f *pflag.FlagSet) {
	o.selectOptions.flags(f)
	f.StringArrayVar(&o.allow, "allow", nil, "grant the build file a privilege: `KEY[=VALUE]`, repeatable")
	f.StringVar(&o.builder, "builder", "", "`name` of a builder of docker buildx")
	f.StringVar(&o.call, "call", "build", "what to do with the targets: build, check, outline or targets `method`")
	f.BoolVar(&o.check, "check", false, "the same as --call=check")
	f.StringVarP(&o.jobs, "jobs", "j", "fail-fast", "how to run targets: a number, or `mode[,parallel=N]` with mode fail-fast, defer-output or defer-error")
	f.BoolVarP(&o.debug, "debug", "D", false, "accepted as by docker buildx; strata prints no more for it")
	f.StringVar(&o.list, "list", "", "print targets or variables: `what`, or type=what,format=table|json")
	f.BoolVar(&o.load, "load", false, "load the images into Docker, or keep them here")
	f.StringVar(&o.metadata, "metadata-file", "", "write digests and more to `file`")
	f.BoolVar(&o.noCache, "no-cache", false, "use no cached step")
	policyFlag(f, &o.policy)
	f.BoolVar(&o.print, "print", false, "print the targets as JSON and build nothing")
	f.StringVar(&o.progress, "progress", "auto", "how to show progress: auto, none, plain, quiet, rawjson or tty `mode`")
	f.StringVar(&o.provenance, "provenance", "", "provenance for all targets: a bool or `parameters`")
	f.BoolVar(&o.pull, "pull", false, "look for newer base images")
	f.BoolVar(&o.push, "push", false, "push the images under their tags")
	f.StringVar(&o.sbom, "sbom", "", "a bill of materials for all targets: a bool or `parameters`")
	f.BoolVar(&o.listTargs, "list-targets", false, "the same as --list=targets")
	f.BoolVar(&o.listVars, "list-variables", false, "the same as --list=variables")
	for _, old := range []string{"list-targets", "list-variables"} {
		f.Lookup(old).Hidden = true
	}
}

// bakeStatus gives every failure the status that bake has for it.
func bakeStatus(err error) error {
	if err == nil {
		return nil
	}
	if st, ok := errors.AsType[*statusError](err); ok {
		if err = st.Err; err == nil {
			return withStatus(exitFailed, nil)
		}
	}
	return withStatus(exitFailed, &bakeError{err})
}

// A bakeError is an error that is told as docker buildx tells it: on a line that
// begins with ERROR.
type bakeError struct{ error }

func (e *bakeError) Unwrap() error { return e.error }

// bake does what docker buildx bake does.
func (a *app) bake(ctx context.Context, cmd *cobra.Command, opts bakeOptions) error {
	jobs, err := opts.normalize(a.lookupEnv)
	if err != nil {
		return err
	}
	if err := a.readRemote(ctx, &opts); err != nil {
		return err
	}
	if opts.list != "" {
		return a.bakeList(ctx, opts)
	}
	if !opts.print {
		if err := opts.attest(a.lookupEnv); err != nil {
			return err
		}
	}
	opts.request = func(req *config.Request) {
		req.Push, req.Load = opts.push, opts.load
		req.NoCache, req.Pull = changed(cmd.Flags(), "no-cache", opts.noCache), changed(cmd.Flags(), "pull", opts.pull)
		req.Call, req.SBOM, req.Provenance, req.Policy = opts.call, opts.sbom, opts.provenance, opts.policy
	}
	if opts.print {
		return a.bakePrint(ctx, opts)
	}
	if err := a.useBuilder(opts.builder); err != nil {
		return err
	}
	if opts.method.Method != "" {
		if err := callMethod(opts.method); err != nil {
			return usageError("--call %s: %w", opts.method.Method, err)
		}
		return a.bakeCall(ctx, cmd, opts)
	}
	opts.buildOptions.jobs = jobs.Parallel
	opts.keepGoing = jobs.Mode == "defer-error"
	opts.holdExports = jobs.Mode == "defer-output"
	return a.build(ctx, cmd, opts.buildOptions)
}

// useBuilder makes a builder of docker buildx the engine, unless an engine is
// named.
func (a *app) useBuilder(name string) error {
	if a.flags.engine != "" && name == "" {
		return nil
	}
	if _, chosen := a.lookupEnv("STRATA_ENGINE"); chosen && name == "" {
		return nil
	}
	address, tls, err := engine.BuildxAddress(name, a.lookupEnv)
	if err != nil {
		return usageError("--builder: %w", err)
	}
	if address != "" {
		a.flags.engine, a.flags.tls = address, tls
	}
	return nil
}

// normalize checks the flags and brings those that say the same to one form.
func (o *bakeOptions) normalize(lookup func(string) (string, bool)) (config.Jobs, error) {
	o.mode = config.ModeBake
	o.history = "none"
	if text, set := lookup("BUILDKIT_PROGRESS"); set && text != "" && o.progress == "auto" {
		o.progress = text
	}
	if o.progress == "none" {
		o.progress = "quiet"
	}
	if o.check {
		o.call = "check"
	}
	switch {
	case o.list != "":
	case o.listTargs:
		o.list = "targets"
	case o.listVars:
		o.list = "variables"
	}
	if o.print && o.list != "" {
		return config.Jobs{}, usageError("--print and --list can not be combined")
	}
	call, err := config.ParseCall(o.call)
	if err != nil {
		return config.Jobs{}, usageError("--call: %w", err)
	}
	o.method = call
	jobs, err := config.ParseJobs(o.jobs)
	if err != nil {
		return jobs, usageError("--jobs: %w", err)
	}
	return jobs, o.checkAllow()
}

// checkAllow refuses what docker buildx bake does not know.
func (o *bakeOptions) checkAllow() error {
	known := []string{"network.host", "security.insecure", "device", "ssh", "fs", "fs.read", "fs.write", "image", "image.push", "image.load", "buildx.local.delete"}
	for _, a := range o.allow {
		if key, _, _ := strings.Cut(a, "="); !slices.Contains(known, key) {
			return usageError("--allow %q is not known; use one of %s", a, strings.Join(known, ", "))
		}
	}
	return nil
}

// bakePrint prints the resolved targets. Like bake it looks for the secrets and
// keys that they name.
func (a *app) bakePrint(ctx context.Context, opts bakeOptions) error {
	_, sel, err := a.selectTargets(ctx, opts.selectOptions, nil)
	if err != nil {
		return err
	}
	if missing := sel.Check(); missing != nil {
		return missing
	}
	out, err := sel.PrintJSON()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", out)
	return err
}

// bakeList prints targets or variables.
func (a *app) bakeList(ctx context.Context, opts bakeOptions) error {
	what, format, err := config.ParseList(opts.list)
	if err != nil {
		return usageError("--list: %w", err)
	}
	cfg, err := a.load(ctx, opts.selectOptions)
	if err != nil {
		return err
	}
	if what == "variables" {
		return printVariables(a.out, format, cfg.Variables())
	}
	return printTargets(a.out, format, cfg.List())
}

// listedTarget and listedVariable are the JSON of bake --list.
type listedTarget struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	Group       bool   `json:"group,omitempty"`
}

type listedVariable struct {
	Name        string  `json:"name"`
	Description string  `json:"description,omitempty"`
	Type        string  `json:"type,omitempty"`
	Value       *string `json:"value,omitempty"`
}

func printTargets(w io.Writer, format string, list []config.Listed) error {
	var out []listedTarget
	for _, l := range list {
		text := strings.Join(l.Members, ", ")
		if l.Description != "" && text != "" {
			text = l.Description + " (" + text + ")"
		} else if text == "" {
			text = l.Description
		}
		out = append(out, listedTarget{l.Name, text, l.Group})
	}
	if format == "json" {
		return printIndented(w, out)
	}
	tw := tabwriter.NewWriter(w, 1, 8, 1, '\t', 0)
	fmt.Fprintf(tw, "TARGET\tDESCRIPTION\n")
	for _, t := range out {
		fmt.Fprintf(tw, "%s\t%s\n", t.Name, report.SanitizeLine(t.Description))
	}
	return tw.Flush()
}

func printVariables(w io.Writer, format string, list []config.ListedVariable) error {
	var out []listedVariable // null in JSON, as in bake, if there can not be any
	if list != nil {
		out = make([]listedVariable, 0, len(list))
	}
	for _, v := range list {
		out = append(out, listedVariable{v.Name, v.Description, v.Type, v.Value})
	}
	if format == "json" {
		return printIndented(w, out)
	}
	tw := tabwriter.NewWriter(w, 1, 8, 1, '\t', 0)
	fmt.Fprintf(tw, "VARIABLE\tTYPE\tVALUE\tDESCRIPTION\n")
	for _, v := range out {
		value := "<null>"
		if v.Value != nil {
			value = *v.Value
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", v.Name, v.Type, report.SanitizeLine(value), report.SanitizeLine(v.Description))
	}
	return tw.Flush()
}

func printIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
