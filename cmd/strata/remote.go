package main

import (
	"context"
	"os"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
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
	var err error
	opts.remote, err = reader.Read(ctx, definition, there)
	opts.prepare = func(targets []*config.Target) { a.shareGitSecrets(definition, targets) }
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
