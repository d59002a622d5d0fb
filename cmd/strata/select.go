package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/report"
)

// selectOptions say which build files to read and which targets to take.
type selectOptions struct {
	files   []string
	set     []string
	vars    []string
	targets []string
	allow   []string // what the build files are granted

	mode    config.Mode           // the dialect; chosen by file name if not set
	request func(*config.Request) // what more a command asks for, may be nil

	remote     *config.Remote         // a definition from elsewhere, may be nil
	dir        string                 // where relative names start from, "" lets the targets say: see start
	branch     string                 // git.branch where HEAD names none
	stdin      []byte                 // what standard input held, nil if it was not read
	cmdContext string                 // BAKE_CMD_CONTEXT, "" is the current directory
	prepare    func([]*config.Target) // what is added to the targets, may be nil
}

// flags defines the flags that all commands which read build files have.
func (o *selectOptions) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.files, "file", "f", nil, "build `file` to read, - for standard input, repeatable; default build.hcl, then bake's names")
	f.StringArrayVar(&o.set, "set", nil, "override an attribute: `PATTERN.KEY[+]=VALUE`, repeatable")
	f.StringArrayVar(&o.vars, "var", nil, "set a variable: `NAME=VALUE`, repeatable")
}

// allowFlags defines --allow for commands that look at what targets need.
func (o *selectOptions) allowFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.allow, "allow", nil, "grant the build file something: fs.read=PATH, fs.write=PATH, fs=PATH, ssh, env=NAME, frontend=IMAGE, network.host, security.insecure, device; repeatable")
}

// envFlags defines --allow for commands that only read.
func (o *selectOptions) envFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.allow, "allow", nil, "let build files read an environment variable by env(): `env=NAME`, repeatable")
}

// readingMemory is what the program may use while it reads build files, of the 512
// MiB that config promises: near to it the collector of garbage works harder.
const readingMemory = 384 << 20

// frugal keeps memory small until the function that it returns is called, unless
// the user has said by GOMEMLIMIT what is right.
func frugal() func() {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func() {}
	}
	debug.SetMemoryLimit(readingMemory)
	return func() { debug.SetMemoryLimit(math.MaxInt64) }
}

// load reads the build files.
func (a *app) load(ctx context.Context, opts selectOptions) (*config.Config, error) {
	dir, err := opts.start()
	if err != nil {
		return nil, err
	}
	in := a.in
	if opts.stdin != nil {
		in = bytes.NewReader(opts.stdin)
	}
	vars, err := config.ParseVars(opts.vars)
	if err != nil {
		return nil, usageError("--var: %w", err)
	}
	grants, err := grant.Parse(dir, allowedFrom(dir, opts.allow))
	if err != nil {
		return nil, usageError("%w", err)
	}
	references := func(t *config.Target) []config.Reference {
		if !readable(grants, dir, t) {
			return nil // what is denied is said before anything is built
		}
		return lower.References(dir, t)
	}
	cfg, err := config.Load(ctx, config.LoadOptions{
		Dir: dir, Files: opts.files, Targets: opts.targets, Stdin: in, Mode: opts.mode,
		LookupEnv: a.lookupEnv, Environ: os.Environ(), Vars: vars, AllowEnv: grants.Env(),
		Remote: opts.remote, CmdContext: opts.cmdContext, Branch: opts.branch, References: references,
	})
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	return cfg, nil
}

// start is the directory that relative names start from: the current one, or the
// top of the checkout if a target is named from there.
func (o *selectOptions) start() (string, error) {
	if o.dir != "" {
		return o.dir, nil
	}
	here, err := os.Getwd()
	if err != nil {
		return "", withStatus(exitLocal, err)
	}
	if o.mode == config.ModeBake {
		return here, nil
	}
	dir := config.Root(here, o.targets)
	if dir != here && len(o.files) > 0 {
		return "", usageError("a target that starts with // is looked for from the top of the checkout, %s: leave --file out, or the //", dir)
	}
	return dir, nil
}

// fromTop reports whether targets are named from the top of the checkout.
func (o *selectOptions) fromTop() bool {
	return slices.ContainsFunc(o.targets, func(t string) bool { return strings.HasPrefix(t, "//") })
}

// named is the name of a target as another command here must be told it.
func (o *selectOptions) named(target string) string {
	switch {
	case !o.fromTop():
		return target
	case strings.Contains(target, ":"):
		return "//" + target
	}
	return "//:" + target
}

// readable reports whether the Dockerfile of t may be looked into.
func readable(grants *grant.Grants, dir string, t *config.Target) bool {
	denied, ok := errors.AsType[*grant.DeniedError](grants.Check(dir, []*config.Target{t}))
	return !ok || !slices.ContainsFunc(denied.Requests, func(r grant.Request) bool {
		return r.Attr == "context" || r.Attr == "dockerfile"
	})
}

// allowedFrom are --allow values with paths that are relative to dir instead of
// the directory of the command.
func allowedFrom(dir string, allow []string) []string {
	here, err := os.Getwd()
	if err != nil || here == dir {
		return allow
	}
	out := slices.Clone(allow)
	for i, a := range out {
		key, value, _ := strings.Cut(a, "=")
		if strings.HasPrefix(key, "fs") && value != "" && value != "*" && !filepath.IsAbs(value) {
			out[i] = key + "=" + filepath.Join(here, value)
		}
	}
	return out
}

// selectTargets reads the build files and resolves the chosen targets; change
// adds what a command's own flags ask for. Warnings are printed.
func (a *app) selectTargets(ctx context.Context, opts selectOptions, change func(*config.Request)) (*config.Config, *config.Selection, error) {
	defer frugal()()
	cfg, err := a.load(ctx, opts)
	if err != nil {
		return nil, nil, err
	}
	req := config.Request{Targets: opts.targets, Set: opts.set}
	for _, ask := range []func(*config.Request){change, opts.request} {
		if ask != nil {
			ask(&req)
		}
	}
	sel, err := cfg.Resolve(req)
	if err != nil {
		return nil, nil, err
	}
	if opts.prepare != nil {
		opts.prepare(sel.Targets)
	}
	term := a.term()
	width, _ := term.Size()
	if warnings := append(cfg.Warnings[:len(cfg.Warnings):len(cfg.Warnings)], sel.Warnings...); len(warnings) > 0 {
		if err := config.WriteDiagnostics(a.err, warnings, cfg.Files, term.Color, width); err != nil {
			return nil, nil, err
		}
	}
	return cfg, sel, nil
}

// completeTargets offers the names of targets and groups to the shell.
// A path that begins with // is completed from the top of the checkout.
func (a *app) completeTargets(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	files, _ := cmd.Flags().GetStringArray("file")
	// cobra reads the flags twice, so that each file is here twice.
	slices.Sort(files)
	if slices.Contains(files, "-") { // standard input is the user's terminal
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	opts := selectOptions{files: slices.Compact(files)}
	rooted := ""
	switch {
	case cmd.Name() == "bake":
		opts.mode = config.ModeBake
	case strings.HasPrefix(prefix, "//"):
		rooted = "//"
		opts.targets = []string{prefix[:strings.LastIndexByte(prefix, '/')+1] + "..."}
	}
	cfg, err := a.load(cmd.Context(), opts)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, n := range cfg.Names() {
		offered := rooted + n.Name
		if !strings.HasPrefix(offered, prefix) || n.Short != n.Name && !strings.ContainsAny(prefix, "/:") {
			offered = n.Short
		}
		if strings.HasPrefix(offered, prefix) {
			out = append(out, fmt.Sprintf("%s\t%s", offered, report.SanitizeLine(n.Description)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
