package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/report"
)

// Exit statuses. They are part of the interface: scripts branch on them.
const (
	exitOK       = 0
	exitFailed   = 1  // a target failed
	exitUsage    = 2  // usage, configuration or Dockerfile wrong; nothing was started
	exitDenied   = 3  // permission, policy or lock refused
	exitEngine   = 4  // engine unreachable or lost
	exitRegistry = 5  // registry, network or login
	exitLocal    = 6  // disk, file or lock of this machine
	exitPartly   = 7  // some outputs were published, others not
	exitInternal = 70 // a bug in strata
)

// exitStatusHelp ends the help of every command.
const exitStatusHelp = `
EXIT STATUS
  0 done   1 a target failed   2 usage, configuration or Dockerfile wrong
  3 denied   4 engine unreachable   5 registry or network   6 disk or file
  7 partly published   70 internal error   129, 130, 143 signals`

// A statusError gives an error the exit status that its kind deserves.
// A nil Err prints nothing: the command has said all there is to say.
type statusError struct {
	Status int
	Err    error
}

func (e *statusError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit status %d", e.Status)
	}
	return e.Err.Error()
}

func (e *statusError) Unwrap() error { return e.Err }

// withStatus wraps err so that the command ends with status.
func withStatus(status int, err error) error { return &statusError{status, err} }

// usageError is a mistake on the command line.
func usageError(format string, args ...any) error {
	return withStatus(exitUsage, fmt.Errorf(format, args...))
}

// streams are the three standard streams as the process got them.
type streams struct{ in, out, err *os.File }

func osStreams() streams { return streams{os.Stdin, os.Stdout, os.Stderr} }

// run is the whole program: it parses args, runs one command and returns the
// exit status. Tests call it as main does.
func run(args []string, std streams) (status int) {
	quietLibraries(args)
	a := newApp(std)
	defer a.close()
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(std.err, "strata: internal error: %v\nThis is a bug in strata. The trace below helps to mend it.\n%s", r, debug.Stack())
			status = exitInternal
		}
	}()
	ctx, sig, stop := notify(context.Background(), a.restoreTerminal)
	defer stop()
	root := newRootCmd(a)
	root.SetArgs(longOut(args))
	err := root.ExecuteContext(ctx)
	return a.finish(err, sig.Load())
}

// longOut lets plan -out FILE be written as users of other planners do; a flag
// library that knows short flags takes it for -o ut.
func longOut(args []string) []string {
	if len(args) == 0 || args[0] != "plan" {
		return args
	}
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == "-out" || strings.HasPrefix(arg, "-out=") {
			out[i] = "-" + arg
		}
	}
	return out
}

// quietLibraries drops what BuildKit's and containerd's client code logs; what
// matters of it comes back as errors. The engine's log is for the engine.
func quietLibraries(args []string) {
	if isEngine(args) {
		return
	}
	logrus.SetOutput(io.Discard)
	log.SetOutput(io.Discard)
}

// isEngine reports whether args make this process the embedded engine.
func isEngine(args []string) bool {
	return len(args) > 1 && args[0] == "engine" && args[1] == "serve"
}

// notify cancels the context at the first INT, TERM or HUP and remembers which;
// at the second the process ends at once, after last. A closed pipe must not
// end a build, so PIPE is received and forgotten; ignoring it would be
// inherited by child processes.
func notify(parent context.Context, last func()) (context.Context, *atomic.Int32, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got := new(atomic.Int32)
	ch := make(chan os.Signal, 2)
	watched := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup is honoured
		watched = append(watched, syscall.SIGHUP)
	}
	signal.Notify(ch, watched...)
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-ch:
				n, _ := s.(syscall.Signal)
				if got.Swap(int32(n)) != 0 {
					last()
					os.Exit(128 + int(n))
				}
				cancel(fmt.Errorf("stopped by %s", s))
			case <-done:
				return
			}
		}
	}()
	return ctx, got, func() {
		signal.Stop(ch)
		signal.Stop(pipes)
		close(done)
		cancel(nil)
	}
}

// finish prints err, if it still has something to say, and picks the status.
// It is the only place that does either.
func (a *app) finish(err error, sig int32) int {
	if err == nil {
		return exitOK
	}
	if st, ok := errors.AsType[*statusError](err); ok && st.Err == nil {
		return st.Status
	}
	if sig != 0 {
		if _, bake := errors.AsType[*bakeError](err); bake {
			fmt.Fprintln(a.err, "ERROR: got SIGTERM/SIGINT, forcing shutdown")
			return 128 + int(sig)
		}
		fmt.Fprintln(a.err, "strata: interrupted")
		return 128 + int(sig)
	}
	printError(a.err, a.term(), err)
	return statusOf(err)
}

func printError(w io.Writer, t report.Terminal, err error) {
	_, bake := errors.AsType[*bakeError](err)
	if ce, ok := errors.AsType[*config.Error](err); ok {
		width, _ := t.Size()
		ce.Write(w, t.Color, width)
		if bake {
			fmt.Fprintf(w, "ERROR: %s\n", report.SanitizeLine(firstOf(ce)))
			return
		}
		fmt.Fprintf(w, "%s; nothing was built.\n", plural(len(ce.Diags.Errs()), "error"))
		return
	}
	label := "Error"
	if bake {
		label = "ERROR"
	}
	fmt.Fprintf(w, "%s: %s\n", label, report.Sanitize(err.Error(), false))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "  %s\n", report.Sanitize(hint, false))
	}
}

// firstOf is the first of several problems, and how many others there are.
func firstOf(e *config.Error) string {
	errs := e.Diags.Errs()
	text, _, _ := strings.Cut(e.Error(), "\n")
	if n := len(errs) - 1; n > 0 {
		text += ", and " + plural(n, "other problem")
	}
	return text
}

func hintOf(err error) string {
	if e, ok := errors.AsType[*engine.UnreachableError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*engine.RuntimeError](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*registry.Error](err); ok {
		return e.Hint
	}
	return ""
}

// statusOf maps the kind of an error to the exit status.
func statusOf(err error) int {
	if st, ok := errors.AsType[*statusError](err); ok {
		return st.Status
	}
	if _, ok := errors.AsType[*config.Error](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[*engine.UnreachableError](err); ok {
		return exitEngine
	}
	if _, ok := errors.AsType[*engine.RuntimeError](err); ok {
		return exitEngine
	}
	if _, ok := errors.AsType[*registry.Error](err); ok {
		return exitRegistry
	}
	if se, ok := errors.AsType[*buildkit.StepError](err); ok {
		switch {
		case se.Registry:
			return exitRegistry
		case se.Denied:
			return exitDenied
		}
		return exitFailed
	}
	if _, ok := errors.AsType[*registry.ReferenceError](err); ok {
		return exitUsage
	}
	for _, local := range []error{os.ErrNotExist, os.ErrPermission, syscall.ENOSPC, syscall.EROFS, syscall.EDQUOT} {
		if errors.Is(err, local) {
			return exitLocal
		}
	}
	return exitFailed
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// newRootCmd is the command tree. Every command is made by a constructor in a
// file of its own: newXCmd(a *app) *cobra.Command.
func newRootCmd(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:           "strata",
		Example:       "  strata init\n  strata build\n  strata build api --push\n  strata history api",
		Short:         "Build many container images as one graph",
		Long:          "Strata builds many container images as one graph, on an embedded BuildKit, Docker or a remote BuildKit,\nand shows every layer of every image afterwards.\n" + exitStatusHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		Version:       version(),
		Args:          knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetIn(a.in)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError("%w\n  See %s --help", err, cmd.CommandPath())
	})
	a.globalFlags(root.PersistentFlags())
	root.AddCommand(commands(a)...)
	cobrasCommands(root)
	for _, c := range allCommands(root) {
		c.Args = usageArgs(c.Args)
	}
	return root
}

// cobrasCommands adds the commands that cobra has, with examples.
func cobrasCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	examples := map[string]string{
		"strata help":                  "  strata help build",
		"strata completion":            "  strata completion bash > /etc/bash_completion.d/strata",
		"strata completion bash":       "  strata completion bash > /etc/bash_completion.d/strata",
		"strata completion zsh":        "  strata completion zsh > \"${fpath[1]}/_strata\"",
		"strata completion fish":       "  strata completion fish > ~/.config/fish/completions/strata.fish",
		"strata completion powershell": "  strata completion powershell | Out-String | Invoke-Expression",
	}
	for _, c := range allCommands(root) {
		if c.Example == "" {
			c.Example = examples[c.CommandPath()]
		}
	}
}

// knownCommand refuses words that are no command, with the nearest ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %q", args[0])
}

// usageArgs makes a wrong number of arguments a usage error.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.ArbitraryArgs
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError("%w\n  See %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

func allCommands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		all = append(all, allCommands(c)...)
	}
	return all
}
