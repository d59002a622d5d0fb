package engine

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-build/strata/internal/testkit"
)

// TestMain is the tests, or the engine that a test started by this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "engine" && os.Args[2] == "serve" {
		os.Exit(serveMain(os.Args[3:]))
	}
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

func serveMain(args []string) int {
	var opts ServeOptions
	flags := flag.NewFlagSet("engine serve", flag.ExitOnError)
	opts.Flags(flags)
	if err := flags.Parse(args); err != nil {
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := Serve(ctx, opts); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

const testPatience = 30 * time.Second

// testContext ends with the test, or when it hangs.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testPatience)
	t.Cleanup(cancel)
	return ctx
}

func envOf(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok && value != ""
	}
}
