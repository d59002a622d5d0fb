package main

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write golden text into the scripts")

// TestMain lets scripts run this test's own binary as strata.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"strata":        func() { os.Exit(run(os.Args[1:], osStreams())) },
		"strata-record": recordMain,
	})
}

// TestScripts runs what needs no engine.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME"} {
				env.Setenv(name, filepath.Join(env.WorkDir, ".home", strings.ToLower(name)))
			}
			env.Setenv("HOME", filepath.Join(env.WorkDir, ".home"))
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: scriptCmds(),
	})
}

// scriptCmds are the commands that scripts have beside those of testscript.
func scriptCmds() map[string]func(*testscript.TestScript, bool, []string) {
	cmds := cacheCmds()
	cmds["status"] = status
	return cmds
}

// status runs a command and checks its exit status: status 2 strata check.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = strings.TrimPrefix(err.Error(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("the exit status is %s, not %s", got, args[0])
	}
}
