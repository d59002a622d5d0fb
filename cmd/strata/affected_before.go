package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/internal/lazyregexp"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/plan"
)

// outsideWords are what a build file must hold for its targets to depend on more
// than the build files, Dockerfiles and variables: files that it reads, and git.
var outsideWords = lazyregexp.New(`\bgit\.|\b(file|filebase64|fileset|fileexists|templatefile)\(|\benv_file\b`)

// definesAnew reports whether a change may touch what targets are made of beside
// the files that their steps read. If so, the targets are looked at as they were.
func (r *buildRun) definesAnew(diff *config.Changes, touched []plan.Touched) bool {
	for _, f := range r.cfg.Files {
		if outsideWords.Match(f.Bytes) && (len(touched) > 0 || diff.Commit != diff.Head) {
			return true
		}
	}
	paths := map[string]bool{}
	for _, f := range touched {
		paths[f.Path] = true
		if len(r.cfg.Files) > 1 && slices.Contains([]string{".gitignore", ".strataignore"}, filepath.Base(f.Path)) {
			return true // it may have hidden a build file, or done so no more
		}
		if f.To == "" && slices.Contains([]string{".hcl", ".json", ".yaml", ".yml", ".env"}, filepath.Ext(f.Path)) {
			return true // it may have been a build file
		}
	}
	for name := range r.cfg.Files {
		if paths[r.absolute(name)] {
			return true
		}
	}
	for _, t := range r.sel.Targets {
		b, err := r.planning.lowerer.Brief(t.Name)
		if err == nil && slices.ContainsFunc(b.Reads, func(f lower.Read) bool { return paths[f.Path] }) {
			return true
		}
	}
	return false
}

func (r *buildRun) absolute(name string) string {
	name = strings.TrimPrefix(name, "cwd://")
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(r.cfg.Dir, name)
}

// declares reports whether a build file declares a part of a target.
func (r *buildRun) declares(t *config.Target, file string) bool {
	if r.absolute(t.Range.Filename) == file {
		return true
	}
	for _, rng := range t.Places {
		if rng.Filename != "" && r.absolute(rng.Filename) == file {
			return true
		}
	}
	return false
}

// before reads the build files and Dockerfiles of a revision. The error is one of
// this machine: what is wrong with the revision is in the answer.
func (x *affectedRun) before(ctx context.Context, diff *config.Changes) (*plan.Before, error) {
	root, err := os.MkdirTemp("", "strata-affected-")
	if err != nil {
		return nil, withStatus(exitLocal, fmt.Errorf("making a directory for the files of %s: %w", x.opts.since, err))
	}
	x.remove = func() { _ = os.RemoveAll(root) } // what is left there is in nobody's way
	b, err := x.beforeIn(ctx, diff, root)
	if err != nil {
		b = &plan.Before{Err: err}
	}
	return b, nil
}

func (x *affectedRun) beforeIn(ctx context.Context, diff *config.Changes, root string) (*plan.Before, error) {
	if err := diff.Checkout(ctx, root); err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(diff.Tree, x.r.cfg.Dir)
	if err != nil {
		return nil, err
	}
	opts := x.opts.selectOptions
	opts.dir, opts.branch = filepath.Join(root, rel), diff.Branch
	there := func(path string) string { return movedBelow(path, diff.Tree, root) }
	opts.files = slices.Clone(opts.files)
	for i, file := range opts.files {
		opts.files[i] = there(file)
	}
	opts.allow = slices.Clone(allowedFrom(opts.dir, opts.allow))
	for i, allow := range opts.allow {
		if key, path, ok := strings.Cut(allow, "="); ok && strings.HasPrefix(key, "fs") {
			opts.allow[i] = key + "=" + there(path)
		}
	}
	opts.targets = x.filesOf(opts.dir)
	cfg, err := x.r.app.load(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("its build files are in error: %w", err)
	}
	sel, err := &config.Selection{}, error(nil)
	if names := x.wanted(cfg); len(names) > 0 {
		if sel, err = cfg.Resolve(config.Request{Targets: names, Set: opts.set}); err != nil {
			return nil, fmt.Errorf("its build files are in error: %w", err)
		}
	}
	lowering := x.r.planning.lowerOptions()
	lowering.Dir, lowering.Generation = opts.dir, nil
	before := &plan.Before{Dir: opts.dir, Targets: map[string]*config.Target{}, Lowerer: lower.NewLowerer(ctx, sel.Targets, nil, lowering)}
	for _, t := range sel.Targets {
		before.Targets[t.Name] = t
	}
	return before, nil
}

// movedBelow is an absolute path below from as one below to; all others stay.
func movedBelow(path, from, to string) string {
	within, err := filepath.Rel(from, path)
	if !filepath.IsAbs(path) || err != nil || !filepath.IsLocal(within) {
		return path
	}
	return filepath.Join(to, within)
}

// filesOf names targets so that the build files of dir are read which the targets
// were found in, as far as they are there.
func (x *affectedRun) filesOf(dir string) []string {
	var out []string
	for _, t := range x.r.sel.Targets {
		at, _, _ := strings.Cut(t.Name, ":")
		if at == t.Name {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(at), config.OwnFile)); err == nil {
			out = append(out, x.opts.named(t.Name))
		}
	}
	return out
}

// wanted are the targets to look at as they were: those that were asked for, and
// what only these need, as far as they were there.
func (x *affectedRun) wanted(was *config.Config) []string {
	there := map[string]bool{}
	for _, n := range was.Names() {
		there[n.Name] = there[n.Name] || !n.Group
	}
	names := slices.Clone(x.r.sel.Requested)
	for _, t := range x.r.sel.Targets {
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return !there[name] })
}
