package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/grant"
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
	dir        string                 // where relative names start from, "" is the current directory
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
	dir, err := opts.dir, error(nil)
	if dir == "" {
		if dir, err = os.Getwd(); err != nil {
			return nil, withStatus(exitLocal, err)
		}
	}
	in := a.in
	if opts.stdin != nil {
		in = bytes.NewReader(opts.stdin)
	}
	vars, err := config.ParseVars(opts.vars)
	if err != nil {
		return nil, usageError("--var: %w", err)
	}
	grants, err := grant.Parse(dir, opts.allow)
	if err != nil {
		return nil, usageError("%w", err)
	}
	cfg, err := config.Load(ctx, config.LoadOptions{AllowEnv: grants.Env(), Dir: dir, Files: opts.files, Stdin: in, LookupEnv: a.lookupEnv, Environ: os.Environ(), Vars: vars, Mode: opts.mode, Remote: opts.remote, CmdContext: opts.cmdContext, Branch: opts.branch})
	if err != nil {
		return nil, err
	}
	cfg.Dir = dir
	return cfg, nil
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
func (a *app) completeTargets(cmd *cobra.Command, _ []string, prefix string) ([]string, cobra.ShellCompDirective) {
	files, _ := cmd.Flags().GetStringArray("file")
	// cobra reads the flags twice, so that each file is here twice.
	slices.Sort(files)
	if slices.Contains(files, "-") { // standard input is the user's terminal
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	opts := selectOptions{files: slices.Compact(files)}
	if cmd.Name() == "bake" {
		opts.mode = config.ModeBake
	}
	cfg, err := a.load(cmd.Context(), opts)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, n := range cfg.Names() {
		if strings.HasPrefix(n.Name, prefix) {
			out = append(out, fmt.Sprintf("%s\t%s", n.Name, report.SanitizeLine(n.Description)))
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
