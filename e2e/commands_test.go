package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-build/strata/internal/testkit"
)

// get is the script command "get URL": it asks until there is an answer with a
// good status, for half a minute at most, and prints the answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: get URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	body, err := fetch(ctx, args[0])
	if neg != (err != nil) {
		ts.Fatalf("get %s: %v", args[0], err)
	}
	fmt.Fprintln(ts.Stdout(), body)
}

// fetch asks again as long as nobody answers well and ctx lasts.
func fetch(ctx context.Context, url string) (string, error) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		body, err := fetchOnce(ctx, url)
		if err == nil {
			return body, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return "", err
		}
	}
}

func fetchOnce(ctx context.Context, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return string(body), err
}

// registry is the script command for the registry at $REGISTRY:
//
//	registry count PATTERN N         fails unless N requests matched PATTERN
//	registry fault PATTERN N STATUS  answers the next N such requests with STATUS
//	registry login USER PASSWORD     asks for this account from now on
//	registry forget                  starts counting again
//
// PATTERN is a regular expression over "METHOD /path".
func registry(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(registryKey{}).(*testkit.Registry)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry count|fault|login|forget")
	}
	switch verb, args := args[0], args[1:]; {
	case verb == "count" && len(args) == 2:
		if n := r.Count(args[0]); n != number(ts, args[1]) {
			ts.Fatalf("%d requests matched %s, not %s: %v", n, args[0], args[1], r.Requests())
		}
	case verb == "fault" && len(args) == 3:
		r.Inject(testkit.Status(args[0], number(ts, args[1]), number(ts, args[2])))
	case verb == "login" && len(args) == 2:
		r.RequireLogin(args[0], args[1])
	case verb == "forget" && len(args) == 0:
		r.Forget()
	default:
		ts.Fatalf("registry %s: wrong arguments %q", verb, args)
	}
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

// exits is the script command "exits STATUS PROGRAM [ARGS...]": it runs the
// program, which must end with just this status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS PROGRAM [ARGS...]")
	}
	want := number(ts, args[0])
	err := ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("running %s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s ended with status %d, want %d", args[1], got, want)
	}
}

// login is the script command "login HOST USER PASSWORD": it writes the account
// to Docker's configuration, as docker login does.
func login(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: login HOST USER PASSWORD")
	}
	account := base64.StdEncoding.EncodeToString([]byte(args[1] + ":" + args[2]))
	text := fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, args[0], account)
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("DOCKER_CONFIG"), "config.json"), []byte(text), 0o600))
}
