package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/grant"
	"github.com/strata-build/strata/report"
)

// This file asks for privileges in the words of docker buildx bake, which
// programs and people look for (bake/entitlements.go there).

// errPrivileges ends a bake that wants more than it was granted.
var errPrivileges = errors.New("additional privileges requested")

// bakeDenied decides about what nobody granted by the rules of bake: the
// environment can set paths and agents free, and a person at a terminal can say
// yes. A nil error grants all of it.
func (r *buildRun) bakeDenied(ctx context.Context, d *grant.DeniedError) error {
	check, err := checksPaths(r.app.lookupEnv, r.opts.remote != nil)
	if err != nil {
		return err
	}
	if !check {
		d.Requests = slices.DeleteFunc(d.Requests, aboutPaths)
	}
	if len(d.Requests) == 0 {
		return nil
	}
	wanted := privilegesOf(r.cfg.Dir, d.Requests)
	if r.mode == report.RawJSON {
		return fmt.Errorf("%w: pass %q to grant requested privileges", errPrivileges, wanted.flags())
	}
	if places, ok := errors.AsType[*config.Error](r.denied(d)); ok {
		width, _ := r.app.term().Size()
		places.Write(r.app.err, r.app.term().Color, width)
	}
	if err := wanted.write(r.app.err); err != nil {
		return withStatus(exitLocal, err)
	}
	if in := r.app.std.in; in == nil || !term.IsTerminal(int(in.Fd())) || !saysYes(ctx, r.app.err, in) {
		return errPrivileges
	}
	return nil
}

// allowedByOverrides is what overrides on the command line grant by naming it. As
// in bake a directory elsewhere must be there already.
func (r *buildRun) allowedByOverrides() []string {
	if !r.opts.bakes() {
		return r.sel.Allowed
	}
	return slices.DeleteFunc(slices.Clone(r.sel.Allowed), func(allow string) bool {
		path, writes := strings.CutPrefix(allow, "fs.write=")
		if !filepath.IsAbs(path) {
			path = filepath.Join(r.cfg.Dir, path)
		}
		_, err := os.Stat(path)
		return writes && err != nil
	})
}

// aboutPaths reports whether q is of the kind that the environment can set free.
func aboutPaths(q grant.Request) bool { return q.Allow == "ssh" || strings.HasPrefix(q.Allow, "fs.") }

// checksPaths reports whether paths and agents are checked: not if the environment
// says so, for a definition from elsewhere also by a variable of its own.
func checksPaths(lookup func(string) (string, bool), remote bool) (bool, error) {
	check := true
	for _, s := range []struct {
		name    string
		counts  bool
		meaning bool // of true
	}{
		{"BAKE_ALLOW_REMOTE_FS_ACCESS", remote, false},
		{"BUILDX_BAKE_ENTITLEMENTS_FS", true, true},
	} {
		text, set := lookup(s.name)
		if !set || !s.counts {
			continue
		}
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return false, usageError("%s: %q is neither true nor false", s.name, text)
		}
		check = yes == s.meaning
	}
	return check, nil
}

// privileges are requests as bake tells them.
type privileges []privilege

type privilege struct{ about, allow string }

// privilegesOf sorts and words requests. A path in a directory that is asked for
// as well is left out, and one that is to be read and written is told once.
func privilegesOf(dir string, requests []grant.Request) privileges {
	var out privileges
	var read, write []string
	for _, q := range requests {
		key, value, _ := strings.Cut(q.Allow, "=")
		switch key {
		case "fs.read":
			read = append(read, value)
		case "fs.write":
			write = append(write, value)
		default:
			out = append(out, privilege{aboutPrivilege(key, value), q.Allow})
		}
	}
	read, write = outermost(read), outermost(write)
	for _, p := range read {
		if slices.Contains(write, p) {
			out = append(out, privilege{"Read and write access to path " + near(dir, p), "fs=" + near(dir, p)})
		}
	}
	for _, p := range read {
		if !slices.Contains(write, p) {
			out = append(out, privilege{"Read access to path " + near(dir, p), "fs.read=" + near(dir, p)})
		}
	}
	for _, p := range write {
		if !slices.Contains(read, p) {
			out = append(out, privilege{"Write access to path " + near(dir, p), "fs.write=" + near(dir, p)})
		}
	}
	told := map[string]bool{}
	return slices.DeleteFunc(out, func(p privilege) bool {
		again := told[p.allow]
		told[p.allow] = true
		return again
	})
}

func aboutPrivilege(key, value string) string {
	switch key {
	case "network.host":
		return "Running build containers that can access host network"
	case "security.insecure":
		return "Running privileged containers that can make system changes"
	case "ssh":
		return "Forwarding default SSH agent socket"
	case "buildx.local.delete":
		return "Deleting stale files from local output destinations"
	case "device":
		if value == "" {
			return "Access to CDI devices"
		}
		return "Access to device " + value
	}
	return "Use of " + key + " " + value
}

// outermost sorts paths and leaves out those below another.
func outermost(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, p := range paths {
		if n := len(out); n == 0 || p != out[n-1] && !strings.HasPrefix(p, strings.TrimSuffix(out[n-1], "/")+"/") {
			out = append(out, p)
		}
	}
	return out
}

// near is path from dir if it is not far from there.
func near(dir, path string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	rel, err := filepath.Rel(dir, path)
	if err != nil || strings.HasPrefix(rel, filepath.Join("..", "..")) {
		return path
	}
	return rel
}

// flags are the arguments that grant all of it.
func (p privileges) flags() string {
	var out []string
	for _, w := range p {
		out = append(out, "--allow="+w.allow)
	}
	return strings.Join(out, " ")
}

func (p privileges) write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("Your build is requesting privileges for following possibly insecure capabilities:\n\n")
	for _, one := range p {
		fmt.Fprintf(&b, " - %s\n", report.SanitizeLine(one.about))
	}
	fmt.Fprintf(&b, "\nPass %q to grant requested privileges.\n", p.flags())
	if slices.ContainsFunc(p, func(one privilege) bool {
		return aboutPaths(grant.Request{Allow: one.allow}) || strings.HasPrefix(one.allow, "fs=")
	}) {
		b.WriteString("To switch off the checks of paths and agents, set BUILDX_BAKE_ENTITLEMENTS_FS=0.\n")
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// saysYes asks the person at the terminal.
func saysYes(ctx context.Context, w io.Writer, in *os.File) bool {
	fmt.Fprint(w, "Do you want to grant requested privileges and continue? [y/N] ")
	answer := make(chan string, 1)
	go func() { // ends with the process if nobody answers
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		return strings.EqualFold(strings.TrimSpace(line), "y")
	case <-ctx.Done():
		return false
	}
}
