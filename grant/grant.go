// Package grant decides what a build file may touch outside its checkout.
//
// A build file can only ask. The directory a command runs in is granted;
// everything else - contexts, Dockerfiles, secrets, keys, local caches and
// outputs elsewhere, ssh agents, dangerous entitlements - has to be granted on
// the command line with --allow, in the words of docker buildx bake
// (bake/entitlements.go there).
package grant

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/internal/realpath"
)

// localDelete lets outputs delete files, in the word of docker buildx bake.
const localDelete = "buildx.local.delete"

// Grants are what the command line allows.
type Grants struct {
	read, write  []string // absolute, symlinks resolved; "*" is anything
	ssh          bool
	deletes      bool // outputs may delete what they did not write
	entitlements []string
	frontends    []string // images that may read Dockerfiles
	env          []string // variables that env() of build files may read
}

// Parse reads --allow values. dir is granted for reading and writing.
func Parse(dir string, allow []string) (*Grants, error) {
	real := resolve(&realpath.Resolver{}, dir)
	g := &Grants{read: []string{real}, write: []string{real}}
	var errs []error
	for _, a := range allow {
		if err := g.add(dir, a); err != nil {
			errs = append(errs, err)
		}
	}
	return g, errors.Join(errs...)
}

func (g *Grants) add(dir, allow string) error {
	key, value, has := strings.Cut(allow, "=")
	switch key {
	case "network.host", "security.insecure", "device":
		if key == "device" && has {
			key = allow
		}
		g.entitlements = append(g.entitlements, key)
		return nil
	case "ssh":
		g.ssh = true
		return nil
	case localDelete:
		if has {
			return fmt.Errorf("--allow %q: %s does not accept a value", allow, localDelete)
		}
		g.deletes = true
		return nil
	case "image.push", "image.load", "image":
		return nil
	case "fs", "fs.read", "fs.write", "frontend", "env":
	default:
		return fmt.Errorf("--allow %q is not known; use fs.read=PATH, fs.write=PATH, fs=PATH, ssh, env=NAME, frontend=IMAGE, network.host, security.insecure, device or buildx.local.delete", allow)
	}
	if key == "frontend" && value != "" {
		g.frontends = append(g.frontends, value)
		return nil
	}
	if key == "env" {
		if value == "" {
			return errors.New("--allow env needs the name of a variable: env=NAME")
		}
		g.env = append(g.env, value)
		return nil
	}
	if value == "" {
		return fmt.Errorf("--allow %s needs a path: %s=PATH", key, key)
	}
	if value != "*" {
		value = resolve(&realpath.Resolver{}, absolute(dir, value))
	}
	if key != "fs.write" {
		g.read = append(g.read, value)
	}
	if key != "fs.read" {
		g.write = append(g.write, value)
	}
	return nil
}

// Entitlements are the dangerous ones granted, in BuildKit's words.
func (g *Grants) Entitlements() []string { return slices.Clone(g.entitlements) }

// Env are the environment variables that build files may read with env().
func (g *Grants) Env() []string { return slices.Clone(g.env) }

// A DeniedError says what targets ask for and nobody granted.
type DeniedError struct{ Requests []Request }

// A Request is one thing asked for.
type Request struct {
	Target string
	Attr   string // the attribute that asks
	What   string // "read /usr/local/go"
	Allow  string // the --allow value that grants it
}

func (e *DeniedError) Error() string {
	var b strings.Builder
	b.WriteString("the build asks for more than this command allows:")
	for _, r := range e.Requests {
		fmt.Fprintf(&b, "\n  target %s wants to %s (%s)", r.Target, r.What, r.Attr)
	}
	b.WriteString("\n  Grant it, if you trust the build file:")
	for _, a := range e.Allows() {
		fmt.Fprintf(&b, " --allow %s", quote(a))
	}
	return b.String()
}

// Allows lists the --allow values that would grant everything asked for.
func (e *DeniedError) Allows() []string {
	var out []string
	for _, r := range e.Requests {
		if !slices.Contains(out, r.Allow) {
			out = append(out, r.Allow)
		}
	}
	return out
}

func quote(s string) string {
	if strings.ContainsAny(s, " '\"$\\*?[]&;|<>()") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// officialFrontends are BuildKit's own, whatever their version.
var officialFrontends = []string{"docker/dockerfile", "docker/dockerfile-upstream"}

// Frontend returns a *DeniedError unless image may read the Dockerfile of
// target. A front end is a program of somebody's that sees the whole context
// and decides what is built.
func (g *Grants) Frontend(target, image string) error {
	name := strings.TrimPrefix(image, "docker.io/")
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	if slices.Contains(officialFrontends, name) || slices.Contains(g.frontends, image) {
		return nil
	}
	return &DeniedError{[]Request{{
		Target: target, Attr: "dockerfile", What: "let " + image + " read its Dockerfile", Allow: "frontend=" + image,
	}}}
}

// Check returns a *DeniedError if targets ask for anything not granted.
// dir is where their relative paths start.
func (g *Grants) Check(dir string, targets []*config.Target) error {
	c := &checker{grants: g, dir: dir}
	for _, t := range targets {
		c.target(t)
	}
	if len(c.denied) > 0 {
		return &DeniedError{c.denied}
	}
	return nil
}

type checker struct {
	grants *Grants
	dir    string
	denied []Request
	real   realpath.Resolver
}

func (c *checker) target(t *config.Target) {
	if !isRemote(t.Context) {
		c.path(t, "context", t.Context, false)
	}
	c.dockerfile(t)
	for _, name := range slices.Sorted(maps.Keys(t.Contexts)) {
		v := t.Contexts[name]
		if p, ok := strings.CutPrefix(v, "oci-layout://"); ok {
			v, _, _ = strings.Cut(p, "@")
			v, _, _ = strings.Cut(v, ":")
		} else if strings.HasPrefix(v, "target:") || isRemote(v) {
			continue
		}
		c.path(t, "contexts."+name, v, false)
	}
	for _, s := range t.Secrets {
		if s.Source != "" {
			c.path(t, "secret", s.Source, false)
		}
	}
	for _, s := range t.SSH {
		if len(s.Paths) == 0 && !c.grants.ssh {
			c.deny(t, "ssh", "use your ssh agent", "ssh")
		}
		for _, p := range s.Paths {
			c.path(t, "ssh", p, false)
		}
	}
	for _, o := range t.Outputs {
		if o.Dest != "" && o.Dest != "-" && !t.Implicit {
			c.path(t, "output", o.Dest, true)
			if o.Attrs["mode"] == "delete" && !c.grants.deletes {
				c.deny(t, "output", "delete all that it does not write itself in "+o.Dest, localDelete)
			}
		}
	}
	for _, r := range t.CacheFrom {
		if r.Type == "local" {
			c.path(t, "cache-from", r.Attrs["src"], false)
		}
	}
	for _, r := range t.CacheTo {
		if r.Type == "local" {
			c.path(t, "cache-to", r.Attrs["dest"], true)
		}
	}
	for _, e := range wanted(t) {
		if !slices.Contains(c.grants.entitlements, e) {
			c.deny(t, "entitlements", "use "+e, e)
		}
	}
}

// wanted are the entitlements of t; network = "host" asks for one.
func wanted(t *config.Target) []string {
	out := slices.Clone(t.Entitlements)
	if t.Network == "host" && !slices.Contains(out, "network.host") {
		out = append(out, "network.host")
	}
	return out
}

func (c *checker) dockerfile(t *config.Target) {
	if t.Steps != nil || t.DockerfileInline != nil {
		return
	}
	file := t.Dockerfile
	if file == "" {
		file = "Dockerfile"
	}
	if !strings.HasPrefix(file, "cwd://") && !filepath.IsAbs(file) {
		if isRemote(t.Context) {
			return // it is there
		}
		file = filepath.Join(strings.TrimPrefix(t.Context, "cwd://"), file)
	}
	c.path(t, "dockerfile", file, false)
}

func (c *checker) path(t *config.Target, attr, path string, write bool) {
	full := resolve(&c.real, absolute(c.dir, strings.TrimPrefix(path, "cwd://")))
	granted, verb, key := c.grants.read, "read ", "fs.read="
	if write {
		granted, verb, key = c.grants.write, "write ", "fs.write="
	}
	for _, g := range granted {
		if g == "*" || full == g || strings.HasPrefix(full, strings.TrimSuffix(g, "/")+"/") {
			return
		}
	}
	c.deny(t, attr, verb+full, key+full)
}

func (c *checker) deny(t *config.Target, attr, what, allow string) {
	c.denied = append(c.denied, Request{Target: t.Name, Attr: attr, What: what, Allow: allow})
}

// TargetErrors gives each denied request its place, for diagnostics.
func (e *DeniedError) TargetErrors() error {
	var errs []error
	for _, r := range e.Requests {
		errs = append(errs, &graph.TargetError{ID: graph.ID(r.Target), Attr: r.Attr, Err: fmt.Errorf("it wants to %s, which nobody granted; add --allow %s if you trust the build file", r.What, quote(r.Allow))})
	}
	return errors.Join(errs...)
}

func isRemote(s string) bool {
	for _, p := range []string{"docker-image://", "http://", "https://", "git://", "git@", "ssh://", "github.com/"} {
		if strings.HasPrefix(s, p) {
			return true
		}
	}
	return false
}

func absolute(dir, p string) string {
	if filepath.IsAbs(p) {
		return filepath.Clean(p)
	}
	return filepath.Join(dir, p)
}

// resolve follows symlinks. What does not exist yet is resolved by its nearest
// parent that does, so that a link cannot lead a new file elsewhere.
func resolve(r *realpath.Resolver, p string) string {
	abs, err := filepath.Abs(p)
	if err != nil {
		return p
	}
	rest := ""
	for at := abs; ; at = filepath.Dir(at) {
		real, err := r.Resolve(at)
		if err == nil {
			return filepath.Join(real, rest)
		}
		if fi, lerr := os.Lstat(at); lerr == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return at // dangling: wherever it points is not granted
		}
		if at == filepath.Dir(at) {
			return abs
		}
		rest = filepath.Join(filepath.Base(at), rest)
	}
}
