package main

import (
	"context"
	"os"
	"strings"
	"sync"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/report"
)

// remoteArgs takes the URLs off the arguments of bake: the first is where the
// definition is, the second what BAKE_CMD_CONTEXT is.
func remoteArgs(args []string) (definition, cmdContext string, targets []string) {
	if len(args) > 0 && buildkit.IsRemote(args[0]) {
		definition, args = args[0], args[1:]
		if len(args) > 0 && buildkit.IsRemote(args[0]) {
			cmdContext, args = args[0], args[1:]
		}
	}
	return definition, cmdContext, args
}

// readRemote reads the definition that the arguments name, if they do. Of the
// files named by -f those with cwd:// stay local.
func (a *app) readRemote(ctx context.Context, opts *bakeOptions) error {
	definition, cmdContext, targets := remoteArgs(opts.targets)
	if definition == "" {
		return nil
	}
	if err := a.useBuilder(opts.builder); err != nil {
		return err
	}
	opts.targets, opts.cmdContext = targets, cmdContext
	if len(opts.files) == 0 {
		opts.files = config.FilesFromEnv(a.lookupEnv)
	}
	var local, there []string
	for _, f := range opts.files {
		if strings.HasPrefix(f, "cwd://") {
			local = append(local, f)
		} else {
			there = append(there, f)
		}
	}
	opts.files = local
	reader := &buildkit.RemoteReader{
		LookupEnv: a.lookupEnv,
		Engine:    func(ctx context.Context) (*engine.Engine, error) { return a.openEngine(ctx, nil) },
		Dir: func() (string, error) {
			dir, err := os.MkdirTemp("", "strata-definition")
			if err == nil {
				a.onClose(func() error { return os.RemoveAll(dir) })
				opts.allow = append(opts.allow, "fs.read="+dir)
			}
			return dir, err
		},
	}
	err := a.showing(ctx, opts.progress, func(emit func(executor.Event)) (err error) {
		reader.Emit = emit
		opts.remote, err = reader.Read(ctx, definition, there)
		return err
	})
	opts.prepare = func(targets []*config.Target) { a.shareGitSecrets(definition, targets) }
	return err
}

// showing runs do and shows the events that it emits.
func (a *app) showing(ctx context.Context, progress string, do func(emit func(executor.Event)) error) error {
	mode, err := report.ParseMode(progress)
	if err != nil {
		return usageError("--progress: %w", err)
	}
	events := make(chan executor.Event)
	var shown sync.WaitGroup
	shown.Go(func() { _ = report.Bake{}.Progress(ctx, mode, a.term(), events) }) // a closed pipe is no failure
	err = do(func(e executor.Event) { events <- e })
	close(events)
	shown.Wait()
	return err
}

// shareGitSecrets gives the credentials for the definition's host to targets
// whose contexts are there too.
func (a *app) shareGitSecrets(definition string, targets []*config.Target) {
	for _, t := range targets {
		contexts := []string{t.Context}
		for _, c := range t.Contexts {
			contexts = append(contexts, c)
		}
		for _, c := range contexts {
			if secrets := buildkit.GitSecrets(definition, c, a.lookupEnv); len(secrets) > 0 {
				t.Secrets = append(t.Secrets[:len(t.Secrets):len(t.Secrets)], secrets...)
				break
			}
		}
	}
}
