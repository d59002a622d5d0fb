package e2e

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-build/strata/internal/testkit"
)

// get is the script command "get URL [PATTERN]": it asks until there is an
// answer with a good status that matches PATTERN, for half a minute at most, and
// prints the answer.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: get URL [PATTERN]")
	}
	pattern := regexp.MustCompile("")
	if len(args) == 2 {
		pattern = regexp.MustCompile(args[1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		body, err := request(ctx, http.MethodGet, args[0], "")
		if err == nil && pattern.MatchString(body) {
			fmt.Fprintln(ts.Stdout(), body)
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			ts.Fatalf("get %s: no good answer; the last one: %v %s", args[0], err, body)
		}
	}
}

// post is the script command "post URL BODY". It prints the answer.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: post URL BODY")
	}
	body, err := request(context.Background(), http.MethodPost, args[0], args[1])
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), body)
}

func request(ctx context.Context, method, url, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s", method, url, resp.Status)
	}
	return string(answer), err
}

// port is the script command "port NAME...": it sets each variable to the number
// of a loopback port that nobody listens at.
func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: port NAME...")
	}
	var taken []net.Listener // all are held until the last is found, so that no two are equal
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		taken = append(taken, l)
		_, number, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, number)
	}
	for _, l := range taken {
		ts.Check(l.Close())
	}
}

// registry is the script command for the registry at $REGISTRY_HOST:
//
//	registry count PATTERN N         fails unless N requests matched PATTERN
//	registry atmost PATTERN N        fails if more did
//	registry fault PATTERN N STATUS  answers the next N such requests with STATUS, all if N is 0;
//	                                 with a fourth number, that many are let through first
//	registry login USER PASSWORD     asks for this account from now on
//	registry down                    closes the port, for good
//	registry heal                    takes all faults away
//	registry forget                  starts counting again
//
// PATTERN is a regular expression over "METHOD /path".
func registry(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(registryKey{}).(*testkit.Registry)
	if neg || len(args) == 0 {
		ts.Fatalf("usage: registry atmost|count|down|fault|heal|login|forget")
	}
	switch verb, args := args[0], args[1:]; {
	case verb == "count" && len(args) == 2:
		if n := r.Count(args[0]); n != number(ts, args[1]) {
			ts.Fatalf("%d requests matched %s, not %s: %v", n, args[0], args[1], r.Requests())
		}
	case verb == "atmost" && len(args) == 2:
		if n := r.Count(args[0]); n > number(ts, args[1]) {
			ts.Fatalf("%d requests matched %s, more than %s: %v", n, args[0], args[1], r.Requests())
		}
	case verb == "fault" && len(args) == 3:
		r.Inject(testkit.Status(args[0], number(ts, args[1]), number(ts, args[2])))
	case verb == "fault" && len(args) == 4:
		r.Inject(testkit.After(number(ts, args[3]), testkit.Status(args[0], number(ts, args[1]), number(ts, args[2]))))
	case verb == "login" && len(args) == 2:
		r.RequireLogin(args[0], args[1])
	case verb == "down" && len(args) == 0:
		r.Down()
	case verb == "heal" && len(args) == 0:
		r.Heal()
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

// signal is the script command "signal NAME PATTERN STATUS [ARGS...]": it
// runs strata, sends it the signal as soon as its standard error matches
// PATTERN, and checks the status that it ends with.
func signal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: signal NAME PATTERN STATUS [ARGS...]")
	}
	pattern, want := regexp.MustCompile(args[1]), number(ts, args[2])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// a signal that this process was started to ignore would be ignored by strata
	// too; one that is caught here has its default in a child
	caught := make(chan os.Signal, 1)
	ossignal.Notify(caught, signals[args[0]])
	defer ossignal.Stop(caught)
	cmd := exec.CommandContext(ctx, filepath.Join(ts.Getenv("BIN"), "strata"), args[3:]...)
	cmd.Dir, cmd.Env, cmd.Stdout = ts.MkAbs("."), ts.Value(environKey{}).([]string), ts.Stdout()
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	sent := false
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		fmt.Fprintln(ts.Stderr(), lines.Text())
		if !sent && pattern.MatchString(lines.Text()) {
			sent = true
			ts.Check(cmd.Process.Signal(signals[args[0]]))
		}
	}
	err = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != want || !sent {
		ts.Fatalf("signal sent: %t; strata ended with status %d, want %d: %v", sent, got, want, err)
	}
}

var signals = map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}

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
