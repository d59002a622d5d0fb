package engine

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"testing"

	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

// TestMain is the tests, or the engine that a test started by this binary.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "engine" && os.Args[2] == "serve" {
		os.Exit(serveMain(os.Args[3:]))
	}
	logrus.SetOutput(io.Discard) // the test registry's
	goleak.VerifyTestMain(m,
		// The test registry's notifications cannot be ended.
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"))
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
