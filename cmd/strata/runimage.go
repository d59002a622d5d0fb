package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/moby/buildkit/session"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

type runOptions struct {
	env         []string
	entrypoint  string
	dir, user   string
	interactive bool
	tty         bool
}

func newRunCmd(a *app) *cobra.Command {
	var opts runOptions
	cmd := &cobra.Command{
		Use:   "run IMAGE|TARGET [-- ARG...]",
		Short: "Run an image that was built, to try it",
		Long: `Run a kept image, or one from a registry, in a container on the engine and wait
for it to end. On the embedded engine it shares this machine's network, so a
service answers on localhost. Nothing of the container is kept.

The exit status is the program's own. Arguments replace the image's command.
` + exitStatusHelp,
		Example: "  strata run shop/api:dev\n  strata run python-hello-world -- python -c 'print(1)'",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			image, args := args[0], args[1:]
			if len(args) > 0 && args[0] == "--" {
				args = args[1:]
			}
			return a.runImage(cmd.Context(), image, args, opts)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false)
	f.StringArrayVarP(&opts.env, "env", "e", nil, "set an environment variable: `NAME=VALUE`, or NAME to pass it on; repeatable")
	f.StringVar(&opts.entrypoint, "entrypoint", "", "run this `program` instead of the image's entry point")
	f.StringVarP(&opts.dir, "workdir", "w", "", "start in this `directory`")
	f.StringVarP(&opts.user, "user", "u", "", "run as this `user[:group]`")
	f.BoolVarP(&opts.interactive, "interactive", "i", false, "pass standard input on")
	f.BoolVarP(&opts.tty, "tty", "t", false, "give the program a terminal")
	return cmd
}

func (a *app) runImage(ctx context.Context, image string, args []string, opts runOptions) error {
	p := buildkit.Process{Image: image, Args: args, Dir: opts.dir, User: opts.user, TTY: opts.tty, Stdout: nopCloser{a.out}, Stderr: nopCloser{a.err}}
	if opts.entrypoint != "" {
		p.Entrypoint = []string{opts.entrypoint}
	}
	for _, e := range opts.env {
		p.Env = append(p.Env, a.environment(e))
	}
	if opts.interactive {
		p.Stdin = io.NopCloser(a.in)
	}
	if err := a.findImage(ctx, &p); err != nil {
		return err
	}
	e, err := a.openEngine(ctx, nil)
	if err != nil {
		return err
	}
	if e.Kind() == engine.KindDocker {
		return usageError("images of a Docker Engine are run by Docker itself: docker run --rm %s", image)
	}
	signals := make(chan syscall.Signal, 4)
	p.Signals = signals
	stop := forward(signals)
	defer stop()
	restore, err := a.rawTerminal(opts)
	if err != nil {
		return err
	}
	defer restore()
	// a signal is the program's to answer: it must not cancel the engine's call
	ctx, unwatch := e.WatchHealth(context.WithoutCancel(ctx))
	defer unwatch()
	status, err := buildkit.RunProcess(ctx, e.Client(), p)
	if lost, ok := errors.AsType[*engine.UnreachableError](context.Cause(ctx)); ok {
		return lost
	}
	if err != nil {
		return err
	}
	if status != 0 {
		return withStatus(status, nil)
	}
	return nil
}

// findImage looks for the image among the kept ones; else it is a registry's.
func (a *app) findImage(ctx context.Context, p *buildkit.Process) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	img, err := s.Resolve(ctx, p.Image)
	if err == nil {
		p.Digest, p.Content = img.Digest, s.Content()
		return nil
	}
	if _, missing := errors.AsType[*store.NotFoundError](err); !missing {
		return err
	}
	settings, err := a.registries()
	if err != nil {
		return err
	}
	regs := registry.NewClient(settings, registry.NewKeychain(a.lookupEnv))
	a.onClose(func() error { regs.Close(); return nil })
	ref, err := regs.Parse(p.Image)
	if err != nil {
		return withStatus(exitUsage, err)
	}
	p.Image = ref.Name()
	p.Auth = func() session.Attachable { return regs.SessionAuth() }
	return nil
}

// environment completes NAME with this process's value.
func (a *app) environment(e string) string {
	for _, c := range e {
		if c == '=' {
			return e
		}
	}
	v, _ := a.lookupEnv(e)
	return e + "=" + v
}

// forward passes INT, TERM, HUP and QUIT on to the program.
func forward(to chan<- syscall.Signal) (stop func()) {
	ch := make(chan os.Signal, 4)
	signal.Notify(ch, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-ch:
				if n, ok := s.(syscall.Signal); ok {
					to <- n
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(ch)
		close(done)
	}
}

// rawTerminal hands the terminal to the program.
func (a *app) rawTerminal(opts runOptions) (restore func(), err error) {
	fd := int(a.std.in.Fd())
	if !opts.tty || !opts.interactive || !term.IsTerminal(fd) {
		return func() {}, nil
	}
	state, err := term.MakeRaw(fd)
	if err != nil {
		return nil, err
	}
	return func() { _ = term.Restore(fd, state) }, nil
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
