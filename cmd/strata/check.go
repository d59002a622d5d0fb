package main

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/lint"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
)

type checkOptions struct {
	selectOptions
	allowBase []string
	ignore    []string
	enable    []string
	format    string
	json      bool
	failOn    string
	resolve   bool
	rules     bool
}

func newCheckCmd(a *app) *cobra.Command {
	var opts checkOptions
	cmd := &cobra.Command{
		Use:   "check [TARGET...]",
		Short: "Look for mistakes in build files and Dockerfiles",
		Long: `Look for mistakes in build files and Dockerfiles, without building: what does not
load, the checks of BuildKit, and rules about what experience says ends badly.
--rules lists the rules; docs/reference/check.md explains them.

Without a TARGET the group or target "default" is checked, or all targets if
there is none. Nothing is asked of the network unless --resolve is given; what
depends on base images is not judged then.

A comment silences a rule, on the line or above it, or above a target's header
for all of the target:  # strata:ignore=unpinned-base

The exit status is 2 if there is a finding of the severity of --fail-on.
` + exitStatusHelp,
		Example: "  strata check\n  strata check '*' --allow-base official\n  strata check --format sarif > strata.sarif",
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.targets = args
			return a.check(cmd.Context(), opts)
		},
		ValidArgsFunction: a.completeTargets,
	}
	f := cmd.Flags()
	opts.flags(f)
	f.StringArrayVar(&opts.allow, "allow", nil, "let targets be looked at outside of this directory, fs.read=`PATH`, or env() read a variable, env=NAME; repeatable")
	f.StringArrayVar(&opts.allowBase, "allow-base", nil, "report base images other than these: official, or a `pattern` such as ghcr.io/acme/**, repeatable")
	f.StringArrayVar(&opts.ignore, "ignore", nil, "leave out the findings of this `rule`, repeatable")
	f.StringArrayVar(&opts.enable, "enable", nil, "apply this `rule`, which is off by default, repeatable")
	f.StringVar(&opts.format, "format", "text", "text, json, github or sarif `format`")
	f.BoolVar(&opts.json, "json", false, "print JSON, as --format json")
	f.StringVar(&opts.failOn, "fail-on", "warning", "least `severity` that makes the exit status 2: error, warning, info or never")
	f.BoolVar(&opts.resolve, "resolve", false, "ask the registries for base images, so that all of BuildKit's checks can be judged")
	f.BoolVar(&opts.rules, "rules", false, "list the rules and check nothing")
	return cmd
}

func (a *app) check(ctx context.Context, opts checkOptions) error {
	if opts.json {
		opts.format = "json"
	}
	if err := opts.valid(); err != nil {
		return err
	}
	if opts.rules {
		return a.listRules(opts.format == "json")
	}
	rep, err := a.lint(ctx, opts)
	if err != nil {
		return err
	}
	if err := a.writeReport(a.out, rep, opts.format); err != nil {
		return withStatus(exitLocal, err)
	}
	if s, err := lint.ParseSeverity(opts.failOn); err == nil && rep.Reaches(s) {
		return withStatus(exitUsage, nil)
	}
	return nil
}

func (o *checkOptions) valid() error {
	if !slices.Contains([]string{"text", "json", "github", "sarif"}, o.format) {
		return usageError("--format %q is not known; use text, json, github or sarif", o.format)
	}
	if _, err := lint.ParseSeverity(o.failOn); err != nil && o.failOn != "never" {
		return usageError("--fail-on: %w, or never", err)
	}
	known := lint.Known()
	for _, id := range slices.Concat(o.ignore, o.enable) {
		if !slices.Contains(known, id) {
			return usageError("there is no rule %q; strata check --rules lists them", id)
		}
	}
	return nil
}

// lint looks at the chosen targets. Build files that do not load are a report
// too.
func (a *app) lint(ctx context.Context, opts checkOptions) (*lint.Report, error) {
	dir, err := opts.start()
	if err != nil {
		return nil, err
	}
	home, _ := a.lookupEnv("HOME")
	lo := lint.Options{Dir: dir, Home: home, AllowBase: opts.allowBase, Ignore: opts.ignore, Enable: opts.enable}
	cfg, sel, err := a.checked(ctx, opts)
	if e, ok := errors.AsType[*config.Error](err); ok {
		return lint.Problems(e, lo), nil
	}
	if err != nil {
		return nil, err
	}
	if lo.Denied, err = denied(dir, allowedFrom(dir, opts.allow), sel.Targets); err != nil {
		return nil, err
	}
	if opts.resolve {
		settings, err := a.registries()
		if err != nil {
			return nil, err
		}
		res := registry.NewResolver(settings, registry.NewKeychain(a.lookupEnv))
		defer res.Close()
		lo.Resolver = res
	}
	return lint.Check(ctx, cfg, sel, lo)
}

// checked reads the build files and resolves the targets to look at.
func (a *app) checked(ctx context.Context, opts checkOptions) (*config.Config, *config.Selection, error) {
	defer frugal()()
	cfg, err := a.load(ctx, opts.selectOptions)
	if err != nil {
		return nil, nil, err
	}
	req := config.Request{Set: opts.set}
	names := cfg.Names()
	if len(opts.targets) == 0 && !slices.ContainsFunc(names, func(n config.Name) bool { return n.Name == "default" }) {
		opts.targets = []string{"*"}
	}
	for _, t := range opts.targets {
		req.Targets = append(req.Targets, matching(t, names)...)
	}
	sel, err := cfg.Resolve(req)
	return cfg, sel, err
}

// matching are the targets that a pattern stands for. Private ones are not meant:
// they are there to be inherited from, and few of them build.
func matching(pattern string, names []config.Name) []string {
	if !strings.ContainsAny(pattern, "*?[") || strings.ContainsAny(pattern, "/:") {
		return []string{pattern}
	}
	var out []string
	for _, n := range names {
		plain := n.Name[strings.LastIndexByte(n.Name, ':')+1:]
		if ok, err := path.Match(pattern, plain); ok && err == nil && !n.Group && !strings.HasPrefix(plain, "_") {
			out = append(out, n.Name)
		}
	}
	if len(out) == 0 {
		return []string{pattern} // of which it is said that nothing matches
	}
	return out
}

// denied names the targets that may not be looked into: a checkout must not
// have this machine's files shown.
func denied(dir string, allow []string, targets []*config.Target) (map[string]string, error) {
	grants, err := grant.Parse(dir, allow)
	if err != nil {
		return nil, usageError("%w", err)
	}
	out := map[string]string{}
	if d, ok := errors.AsType[*grant.DeniedError](grants.Check(dir, targets)); ok {
		for _, r := range d.Requests {
			if r.Attr == "context" || r.Attr == "dockerfile" {
				out[r.Target] = r.Allow
			}
		}
	}
	return out, nil
}

func (a *app) writeReport(w io.Writer, rep *lint.Report, format string) error {
	switch format {
	case "json":
		return rep.WriteJSON(w)
	case "github":
		return rep.WriteGitHub(w)
	case "sarif":
		return rep.WriteSARIF(w, version())
	}
	term := a.term()
	width := 0
	if term.OutTTY && term.Size != nil {
		width, _ = term.Size()
	}
	return rep.WriteText(w, term.OutColor, width)
}

// A listedRule is one entry of check --rules --json.
type listedRule struct {
	ID       string        `json:"id"`
	Severity lint.Severity `json:"severity"`
	Off      bool          `json:"off,omitempty"`
	Title    string        `json:"title"`
	Fix      string        `json:"fix"`
}

func (a *app) listRules(asJSON bool) error {
	var list []listedRule
	var rows [][]string
	for _, r := range lint.Rules() {
		list = append(list, listedRule{r.ID, r.Severity, r.Off, r.Title, r.Fix})
		severity := r.Severity.String()
		if r.Off {
			severity += ", off"
		}
		rows = append(rows, []string{r.ID, severity, r.Title})
	}
	if asJSON {
		return writeJSON(a.out, map[string]any{"schema": 1, "rules": list})
	}
	return report.Table(a.out, a.term(), []report.Column{{Title: "RULE"}, {Title: "SEVERITY"}, {Title: "WHAT", Kind: report.Free}}, rows)
}
