package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/docker/go-units"
	"github.com/hashicorp/hcl/v2"
	"golang.org/x/crypto/ssh"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// This file checks values that are text in the files and must mean something
// later. What depends on the machine is checked apart, by [Selection.Check].

// complete fills in what is assumed when nothing is said and cleans the context.
func (s *spec) complete() {
	context := "."
	switch {
	case s.context != nil:
		context = *s.context
	case s.base.assumed:
		context = rebased(*s.base.def, context)
	}
	if !strings.HasPrefix(context, "cwd://") && !isRemote(context) {
		clean := path.Clean(context)
		if !s.base.assumed || !isRemote(clean) { // else ./ says that it is a directory
			context = clean
		}
	}
	if local, ok := strings.CutPrefix(context, "cwd://"); ok {
		context = path.Clean(local)
	}
	s.context = &context
	if s.dockerfile == nil || *s.dockerfile == "" {
		name := "Dockerfile"
		s.dockerfile = &name
	}
	for i, o := range s.outputs {
		if o.isFile() && o.Dest == "" && o.Type != "docker" {
			s.outputs[i].Dest = "-"
		}
	}
	if len(s.ssh) == 0 && isGitSSH(context) {
		s.implicitSSH = true
	}
}

// isFile and isDir say what an output writes on this machine; an image that goes
// to a registry or an engine writes neither.
func (o Output) isFile() bool {
	switch o.Type {
	case "tar":
		return true
	case "oci", "docker":
		tar, err := strconv.ParseBool(o.Attrs["tar"])
		return tar || err != nil
	}
	return false
}

func (o Output) isDir() bool {
	return o.Type == "local" || (o.Type == "oci" || o.Type == "docker") && !o.isFile()
}

var (
	protocol = lazyregexp.New(`^([a-zA-Z0-9]+)://`)
	scpStyle = lazyregexp.New(`^[a-zA-Z0-9-_]+@[a-zA-Z0-9-.]+:`)
)

// isRemote says whether a context is a URL or a git reference, as BuildKit
// tells them from directories.
func isRemote(c string) bool {
	if strings.HasPrefix(c, "https://") || strings.HasPrefix(c, "http://") {
		return true
	}
	if strings.HasPrefix(c, "./") || strings.HasPrefix(c, "../") {
		return false
	}
	if strings.HasPrefix(c, "github.com/") {
		_, err := url.Parse(c)
		return err == nil
	}
	m := protocol.FindStringSubmatch(c)
	if m == nil {
		return scpStyle.MatchString(c)
	}
	u, err := url.Parse(c)
	if err != nil {
		return false
	}
	switch strings.ToLower(m[1]) {
	case "ssh", "git":
		return true
	case "http", "https":
		return strings.HasSuffix(u.Path, ".git")
	}
	return false
}

func isGitSSH(c string) bool {
	return strings.HasPrefix(strings.ToLower(c), "ssh://") || protocol.FindString(c) == "" && scpStyle.MatchString(c)
}

// A checker reports what is wrong with the values of one target.
type checker struct {
	*spec
	diags hcl.Diagnostics
}

func (c *checker) fail(attr, format string, args ...any) {
	c.diags = append(c.diags, problem(c.place(attr), "Unsuitable value",
		"Target %q: "+format, append([]any{c.name}, args...)...))
}

// check reports values that can mean nothing anywhere.
func (s *spec) check() hcl.Diagnostics {
	c := &checker{spec: s}
	if *s.context == "-" {
		c.fail("context", "the context can not come from standard input.")
	}
	if *s.dockerfile == "-" {
		c.fail("dockerfile", "the Dockerfile can not come from standard input.")
	}
	if s.shmSize != nil {
		if _, err := units.RAMInBytes(*s.shmSize); err != nil {
			c.fail("shm-size", "%q is not a size such as 64m.", *s.shmSize)
		}
	}
	c.checkPlatforms()
	c.checkOutputs()
	c.checkAnnotations()
	c.checkResources()
	for _, u := range s.ulimits {
		if _, err := units.ParseUlimit(u); err != nil {
			c.fail("ulimits", "%q is not a limit such as nofile=1024:2048: %v.", u, err)
		}
	}
	for _, x := range s.secrets {
		if x.ID == "" {
			c.fail("secret", "a secret needs an id.")
		}
	}
	ids := map[string]bool{}
	for _, x := range s.ssh {
		id := x.ID
		if id == "" {
			id = "default"
		}
		if ids[id] {
			c.fail("ssh", "the id %q is there twice.", id)
		}
		ids[id] = true
	}
	return c.diags
}

func (c *checker) checkPlatforms() {
	for _, list := range c.platforms {
		for p := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(p, "local") {
				continue
			}
			if _, err := platforms.Parse(p); err != nil {
				c.fail("platforms", "%q is not a platform such as linux/arm64.", p)
			}
		}
	}
}

func (c *checker) checkOutputs() {
	stdout := 0
	for _, o := range c.outputs {
		if o.isDir() && (o.Dest == "" || o.Dest == "-") {
			c.fail("output", "an output of type %s needs a directory as dest.", o.Type)
		}
		if o.isFile() && o.Dest == "-" {
			stdout++
		}
	}
	if stdout > 1 {
		c.fail("output", "only one output can go to standard output.")
	}
}

var annotationType = lazyregexp.New(`^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$`)

func (c *checker) checkAnnotations() {
	for _, a := range c.annotations {
		key, _, ok := strings.Cut(a, "=")
		if !ok {
			c.fail("annotations", "%q is not key=value.", a)
			continue
		}
		types, _, ok := strings.Cut(key, ":")
		if !ok {
			continue
		}
		for t := range strings.SplitSeq(types, ",") {
			m := annotationType.FindStringSubmatch(t)
			if m == nil {
				c.fail("annotations", "%q is not a type of annotation with a platform in brackets.", t)
				continue
			}
			switch m[1] {
			case "index", "index-descriptor", "manifest", "manifest-descriptor":
			default:
				c.fail("annotations", "%q is not one of index, index-descriptor, manifest, manifest-descriptor.", m[1])
			}
			if m[2] != "" {
				if _, err := platforms.Parse(m[2]); err != nil {
					c.fail("annotations", "%q is not a platform.", m[2])
				}
			}
		}
	}
}

func (c *checker) checkResources() {
	r := c.resources
	if r == nil {
		return
	}
	if r.memory != nil {
		if _, err := units.RAMInBytes(strings.TrimSpace(*r.memory)); err != nil {
			c.fail("resources", "memory is %q, not a size such as 512m.", *r.memory)
		}
	}
	if r.memorySwap != nil && strings.TrimSpace(*r.memorySwap) != "-1" {
		if _, err := units.RAMInBytes(strings.TrimSpace(*r.memorySwap)); err != nil {
			c.fail("resources", "memory-swap is %q, not a size such as 1g or -1.", *r.memorySwap)
		}
	}
}

// Check looks at what the targets need of this machine: secrets, ssh agents and
// keys, and places to write to. It returns nil if all is there.
func (s *Selection) Check() *Error {
	var diags hcl.Diagnostics
	for _, t := range s.Targets {
		m := &machine{checker: checker{spec: t.spec}, config: s.config}
		m.secretsThere()
		m.sshThere()
		m.outputsFit()
		diags = append(diags, m.diags...)
	}
	if len(diags) == 0 {
		return nil
	}
	errs, _ := collect(diags)
	return &Error{Diags: errs, Files: s.config.Files}
}

// A machine checks one target against what is here.
type machine struct {
	checker
	config *Config
}

func (m *machine) env(name string) (string, bool) {
	if m.config.env == nil {
		return "", false
	}
	return m.config.env(name)
}

func (m *machine) path(name string) string {
	return LoadOptions{Dir: m.config.Dir}.path(name)
}

// Resolved returns the secret with its source chosen: without one it is the
// environment variable named as the secret if there is one, else such a file.
func (s Secret) Resolved(env func(string) (string, bool)) Secret {
	if s.Env != "" || s.Source != "" {
		return s
	}
	if env != nil {
		if _, ok := env(s.ID); ok {
			s.Env = s.ID
			return s
		}
	}
	s.Source = moved(s.ID, s.dir, "")
	return s
}

// maxSecret is what BuildKit takes.
const maxSecret = 500 << 10

func (m *machine) secretsThere() {
	for _, x := range m.secrets {
		x = x.Resolved(m.env)
		if x.Source == "" || x.ID == "" {
			continue
		}
		st, err := os.Stat(m.path(x.Source))
		switch {
		case err != nil:
			m.fail("secret", "the file of secret %q can not be read: %s.", x.ID, cause(err))
		case st.Size() > maxSecret:
			m.fail("secret", "the file of secret %q is larger than %d kB.", x.ID, maxSecret>>10)
		}
	}
}

func cause(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("%s: %v", p.Path, p.Err)
	}
	return err.Error()
}

func (m *machine) sshThere() {
	list := m.ssh
	if m.implicitSSH {
		list = []SSH{{ID: "default"}}
	}
	for _, x := range list {
		if err := m.agent(x); err != nil {
			attr := "ssh"
			if m.implicitSSH {
				attr = "context"
			}
			m.fail(attr, "ssh %q: %s.", x.ID, cause(err))
		}
	}
}

// agent checks that x is one socket, or private keys.
func (m *machine) agent(x SSH) error {
	paths := x.Paths
	if len(paths) == 0 || len(paths) == 1 && paths[0] == "" {
		sock, _ := m.env("SSH_AUTH_SOCK")
		paths = []string{sock}
	}
	if paths[0] == "" {
		return errors.New("there is no agent: SSH_AUTH_SOCK is not set")
	}
	sockets, keys := 0, 0
	for _, p := range paths {
		if sockets > 0 {
			return errors.New("an agent's socket can not be combined with others")
		}
		st, err := os.Stat(m.path(p))
		if err != nil {
			return err
		}
		if st.Mode()&fs.ModeSocket != 0 {
			sockets++
			continue
		}
		if err := privateKey(m.path(p)); err != nil {
			return err
		}
		keys++
	}
	if sockets > 0 && keys > 0 {
		return errors.New("an agent's socket can not be combined with keys")
	}
	return nil
}

func privateKey(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 100<<10))
	if err != nil {
		return err
	}
	if _, err := ssh.ParseRawPrivateKey(data); err != nil {
		return fmt.Errorf("%s is not a private key without a passphrase: %w", file, err)
	}
	return nil
}

func (m *machine) outputsFit() {
	for _, o := range m.outputs {
		if o.Dest == "" || o.Dest == "-" || !o.isFile() && !o.isDir() {
			continue
		}
		st, err := os.Stat(m.path(o.Dest))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			m.fail("output", "%s.", cause(err))
		case o.isDir() && !st.IsDir():
			m.fail("output", "%s is a file, the output needs a directory.", o.Dest)
		case o.isFile() && st.IsDir():
			m.fail("output", "%s is a directory, the output needs a file.", o.Dest)
		}
	}
}

// contextsForBuild are the named contexts as the build uses them.
func (s *spec) contextsForBuild() map[string]string {
	if s.contexts == nil {
		return nil
	}
	out := make(map[string]string, len(s.contexts))
	for k, v := range s.contexts {
		if local, ok := strings.CutPrefix(v, "cwd://"); ok {
			v = path.Clean(local)
		}
		out[k] = v
	}
	return out
}

// dockerfileForBuild is relative to the context, or absolute for cwd://.
func (s *spec) dockerfileForBuild(dir string) string {
	name := deref(s.dockerfile)
	local, ok := strings.CutPrefix(name, "cwd://")
	if !ok {
		return name
	}
	abs, err := filepath.Abs(LoadOptions{Dir: dir}.path(path.Clean(local)))
	if err != nil {
		return local
	}
	return abs
}
