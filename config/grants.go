package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/tonistiigi/go-csvvalue"
)

// Grants are what the user lets targets use that could do harm. They come from
// the command line only: what is asked for in a checkout is a request.
type Grants struct {
	NetworkHost      bool
	SecurityInsecure bool
	SSH              bool // the default agent
	LocalDelete      bool // deleting what is stale in a local output
	AllDevices       bool
	Devices          []string
	Read, Write      []string // paths; "*" is any
}

// ParseGrants reads --allow.
func ParseGrants(list []string) (Grants, error) {
	var g Grants
	for _, text := range list {
		if err := g.parse(text); err != nil {
			return g, fmt.Errorf("allow %q: %w", text, err)
		}
	}
	return g, nil
}

func (g *Grants) parse(text string) error {
	key, value, hasValue := strings.Cut(text, "=")
	if flag := g.flag(key); flag != nil {
		if hasValue {
			return errNoValue
		}
		*flag = true
		return nil
	}
	switch key {
	case "device":
		return g.device(value)
	case "fs.read":
		g.Read = append(g.Read, value)
	case "fs.write":
		g.Write = append(g.Write, value)
	case "fs":
		g.Read, g.Write = append(g.Read, value), append(g.Write, value)
	case "image.push", "image.load", "image":
	default:
		return errors.New("there is no such privilege")
	}
	return nil
}

func (g *Grants) flag(key string) *bool {
	switch key {
	case "network.host":
		return &g.NetworkHost
	case "security.insecure":
		return &g.SecurityInsecure
	case "ssh":
		return &g.SSH
	case "buildx.local.delete":
		return &g.LocalDelete
	}
	return nil
}

func (g *Grants) device(value string) error {
	if value == "" {
		g.AllDevices = true
		return nil
	}
	list, err := csvvalue.Fields(value, nil)
	if err != nil {
		return err
	}
	g.Devices = append(g.Devices, list[0])
	return nil
}

// A Privilege is something that a target asks for and that must be granted.
type Privilege struct {
	// Grant is the value of --allow that grants it: network.host, fs.read=../x.
	Grant string
	// Target asks for it at Range.
	Target string
	Range  hcl.Range
}

// Missing returns what the targets ask for and g does not grant, each once. The
// directory of the build file is granted for reading and writing, and so is what
// was named by an override. Symbolic links are followed.
func (s *Selection) Missing(g Grants) ([]Privilege, error) {
	p := &privileges{config: s.config}
	for _, t := range s.Targets {
		p.target(t)
	}
	g.Read = append(slices.Clone(g.Read), append(s.granted.Read, s.config.dir())...)
	g.Write = append(slices.Clone(g.Write), append(s.granted.Write, s.config.dir())...)
	g.NetworkHost = g.NetworkHost || s.granted.NetworkHost
	g.SecurityInsecure = g.SecurityInsecure || s.granted.SecurityInsecure
	return p.missing(g)
}

func (c *Config) dir() string {
	if c.Dir == "" {
		return "."
	}
	return c.Dir
}

// privileges collects what targets ask for.
type privileges struct {
	config *Config
	asked  []asked
}

// asked is one thing asked for; kind is read or write for a path.
type asked struct {
	kind, value string
	target      string
	rng         hcl.Range
}

func (p *privileges) ask(t *Target, attr, kind, value string) {
	p.asked = append(p.asked, asked{kind, value, t.Name, t.Place(attr)})
}

func (p *privileges) target(t *Target) {
	for _, e := range t.Entitlements {
		p.ask(t, "entitlements", "entitlement", e)
	}
	if !isRemote(t.Context) {
		p.ask(t, "context", "read", t.Context)
		if t.DockerfileInline == nil && t.Steps == nil && !isRemote(t.Dockerfile) {
			p.ask(t, "dockerfile", "read", p.dockerfile(t))
		}
	}
	for _, key := range sortedKeys(t.Contexts) {
		if dir, ok := localContext(t.Contexts[key]); ok {
			p.ask(t, "contexts."+key, "read", dir)
		}
	}
	for _, o := range t.Outputs {
		if o.Dest != "" && o.Dest != "-" && (o.isFile() || o.isDir()) {
			p.ask(t, "output", "write", o.Dest)
		}
		if o.Type == "local" && o.Attrs["mode"] == "delete" {
			p.ask(t, "output", "delete", o.Dest)
		}
	}
	p.files(t)
}

func (p *privileges) files(t *Target) {
	for _, c := range t.CacheTo {
		if dest, ok := c.Attrs["dest"]; ok && c.Type == "local" {
			p.ask(t, "cache-to", "write", dest)
		}
	}
	for _, c := range t.CacheFrom {
		if src, ok := c.Attrs["src"]; ok && c.Type == "local" {
			p.ask(t, "cache-from", "read", src)
		}
	}
	for _, x := range t.Secrets {
		if file := x.Resolved(p.config.env).Source; file != "" {
			p.ask(t, "secret", "read", file)
		}
	}
	for _, x := range t.SSH {
		for _, key := range x.Paths {
			p.ask(t, "ssh", "read", key)
		}
		if len(x.Paths) == 0 {
			p.ask(t, "ssh", "ssh", "")
		}
	}
}

func (p *privileges) dockerfile(t *Target) string {
	if filepath.IsAbs(t.Dockerfile) {
		return t.Dockerfile
	}
	return filepath.Join(t.Context, t.Dockerfile)
}

// localContext is the directory that a named context reads, if it reads one.
func localContext(v string) (string, bool) {
	if layout, ok := strings.CutPrefix(v, "oci-layout://"); ok {
		layout, _, _ = strings.Cut(layout, "@")
		if i := strings.LastIndex(layout, ":"); i > strings.LastIndex(layout, "/") {
			layout = layout[:i]
		}
		return layout, true
	}
	if isRemote(v) || strings.HasPrefix(v, "target:") || strings.HasPrefix(v, "docker-image:") {
		return "", false
	}
	return v, true
}

func (p *privileges) missing(g Grants) ([]Privilege, error) {
	read, err := p.roots(g.Read)
	if err != nil {
		return nil, err
	}
	write, err := p.roots(g.Write)
	if err != nil {
		return nil, err
	}
	var out []Privilege
	for _, a := range p.asked {
		grant, err := p.lacking(a, g, read, write)
		if err != nil {
			return nil, err
		}
		known := slices.ContainsFunc(out, func(o Privilege) bool { return o.Grant == grant })
		if grant != "" && !known {
			out = append(out, Privilege{grant, a.target, a.rng})
		}
	}
	return out, nil
}

// lacking is the grant that a needs and does not have, or "".
func (p *privileges) lacking(a asked, g Grants, read, write []string) (string, error) {
	switch a.kind {
	case "read", "write":
		roots := read
		if a.kind == "write" {
			roots = write
		}
		if slices.Contains(roots, "*") {
			return "", nil
		}
		real, err := existing(LoadOptions{Dir: p.config.Dir}.path(a.value))
		if err != nil || slices.ContainsFunc(roots, func(r string) bool { return inside(real, r) }) {
			return "", err
		}
		return "fs." + a.kind + "=" + p.short(real), nil
	case "ssh":
		return unless(g.SSH, "ssh"), nil
	case "delete":
		return unless(g.LocalDelete, "buildx.local.delete"), nil
	}
	key, value, _ := strings.Cut(a.value, "=")
	switch {
	case a.value == "network.host":
		return unless(g.NetworkHost, a.value), nil
	case a.value == "security.insecure":
		return unless(g.SecurityInsecure, a.value), nil
	case key == "device" && value == "":
		return unless(g.AllDevices, "device"), nil
	case key == "device":
		name, _, _ := strings.Cut(value, ",")
		return unless(g.AllDevices || slices.Contains(g.Devices, name), "device="+name), nil
	}
	return "", nil
}

func unless(granted bool, grant string) string {
	if granted {
		return ""
	}
	return grant
}

// short is a path as a person would write it.
func (p *privileges) short(path string) string {
	dir, err := existing(p.config.dir())
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(dir, path)
	if up := ".." + string(filepath.Separator) + ".."; err != nil || strings.HasPrefix(rel, up) {
		return path
	}
	return rel
}

// roots are the granted paths, made absolute with links followed.
func (p *privileges) roots(list []string) ([]string, error) {
	var out []string
	for _, path := range list {
		if path == "*" {
			return []string{"*"}, nil
		}
		abs, err := filepath.Abs(LoadOptions{Dir: p.config.Dir}.path(path))
		if path == p.config.dir() {
			abs, err = filepath.Abs(path)
		}
		if err != nil {
			return nil, err
		}
		real, err := existing(abs)
		if err != nil {
			return nil, err
		}
		rest, err := filepath.Rel(nearest(abs), abs)
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.Join(real, rest))
	}
	return out, nil
}

// existing is path with links followed, or its nearest parent that exists.
func existing(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(nearest(abs))
}

func nearest(abs string) string {
	for {
		if _, err := os.Lstat(abs); !errors.Is(err, fs.ErrNotExist) || abs == filepath.Dir(abs) {
			return abs
		}
		abs = filepath.Dir(abs)
	}
}

// inside says whether path is dir or below it.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
