// Package config turns build files into targets: HCL, JSON and compose, in
// Strata's own mode (build.hcl) and in the language of docker buildx bake.
//
// It is the only place that reads HCL and the only maker of diagnostics. Every
// value keeps the range it was declared at, so that a failure found much later,
// in a Dockerfile or in a registry, can still be shown at the user's line. It
// knows no BuildKit, no command line and no network.
//
// The way through the package is Load (files to blocks, variables evaluated),
// [Config.Resolve] (blocks to the chosen targets, with inherits merged, the
// matrix expanded and overrides applied) and [Config.Diagnose] (an error of a
// later stage to a place in the files).
package config

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/graph"
)

// A Mode is the dialect the files are read in.
type Mode int

const (
	// ModeAuto is ModeStrata if every file is named build.hcl or *.build.hcl, or
	// if a file has a strata block or steps; else ModeBake.
	ModeAuto Mode = iota
	// ModeStrata is the strict language of build.hcl: what is not known is an error.
	ModeStrata
	// ModeBake is what docker buildx bake accepts: what is not known is ignored
	// with a warning.
	ModeBake
)

// LoadOptions say what to read and what the files may see of the outside.
type LoadOptions struct {
	// Dir is the directory that relative names start from; "" is the current one.
	Dir string
	// Files are the names given by the user, "-" for Stdin. Empty means the
	// default: build.hcl if there is one, else all of bake's default names.
	Files []string
	// Overlay is text that counts instead of what the files of these paths hold,
	// an editor's unsaved text for instance. A path is absolute or relative to
	// Dir. It need not exist on disk, but patterns find only what does.
	Overlay map[string][]byte
	// Stdin is read when Files has "-".
	Stdin io.Reader
	// LookupEnv answers for environment variables; nil means those in Environ.
	LookupEnv func(string) (string, bool)
	// Environ are environment variables as from os.Environ. Compose files need
	// the list, all else LookupEnv.
	Environ []string
	// Vars are values of variables that win over the environment.
	Vars map[string]string
	// AllowEnv are names of environment variables that env() may read.
	AllowEnv []string
	// Mode is the dialect; the zero value chooses by the files.
	Mode Mode
	// Targets are the targets that will be asked for, as in a [Request]: those
	// with a path make the build files be read that it leads to.
	Targets []string
	// References reads the Dockerfile of a target, for link = "auto". It is called
	// for targets that ask for it only; nil links none.
	References func(*Target) []Reference
	// Remote is a definition from elsewhere, nil if there is none.
	Remote *Remote
	// Branch is the value of git.branch where HEAD names no branch.
	Branch string
	// CmdContext is the value of BAKE_CMD_CONTEXT; "" is the current directory.
	CmdContext string
}

// A Config is what the files declare, with variables evaluated. It does not
// change after Load.
type Config struct {
	// Dir is the directory that paths of targets are relative to.
	Dir string
	// Mode is the dialect that was used, never ModeAuto.
	Mode Mode
	// Files are the parsed files by name, for printing source excerpts.
	Files map[string]*hcl.File
	// Loaded are the files that were read from this machine, in order, as they
	// were named; those that others include are not among them.
	Loaded []string
	// Warnings are what is suspicious but not wrong.
	Warnings hcl.Diagnostics
	// Reads are the files that expressions have read, sorted, relative to Dir.
	Reads []string
	// Pools are the sizes of the pools that targets can be in.
	Pools map[string]int
	// Cache is the cache that all targets share, nil if none is declared.
	Cache *CacheBlock

	order  []string         // names of targets, as declared
	specs  map[string]*spec // by name; blocks of one name merged, inherits not
	groups []*group
	byName map[string]*group // groups; the first of a name counts
	remote *Remote
	env    func(string) (string, bool)
	varEnv func(string) (string, bool) // nil if variables may not come from there

	references func(*Target) []Reference // see LoadOptions

	variables []ListedVariable
	resolved  map[string]*spec // with inherits, without overrides; may be nil
}

// A group is a name for several targets and groups.
type group struct {
	name, description string
	targets           []string
	rng               hcl.Range
	places            []hcl.Range // of each of targets; may be shorter
}

// A Request names what to build and what to change about it.
type Request struct {
	// Targets are names of targets or groups, or patterns as in path.Match.
	// Empty means the group or target named "default".
	Targets []string
	// Set are overrides as in bake's --set: pattern.key[.sub][+]=value.
	Set []string
	// Push and Load ask for the outputs that bake's --push and --load ask for.
	Push, Load bool
	// NoCache and Pull override the attributes of the same name when not nil.
	NoCache, Pull *bool
	// Call is what to do instead of building: check, outline, targets. "" and
	// build override nothing.
	Call string
	// SBOM and Provenance are attestations for all targets: true, false or
	// parameters such as mode=max.
	SBOM, Provenance string
	// Policy are options of source policies for all targets.
	Policy []string
}

// A Selection is the answer to a Request.
type Selection struct {
	// Targets are the chosen targets and all they need, needs first.
	Targets []*Target
	// Requested are the names of the targets asked for, groups and patterns
	// resolved, in the order asked.
	Requested []string
	// Graph has all Targets.
	Graph *graph.Graph
	// Warnings are what is suspicious but not wrong in the chosen targets.
	Warnings hcl.Diagnostics
	// Allowed are the privileges that overrides grant by naming them, as values
	// of --allow: fs.read=PATH, fs.write=PATH, network.host, security.insecure.
	Allowed []string

	groups map[string]*group // to print
	config *Config
}

// Load reads and evaluates the files. Problems with what they say are joined in
// an *Error; all that could be found are reported, not just the first.
func Load(ctx context.Context, opts LoadOptions) (*Config, error) {
	opts, err := opts.withEnviron().withOverlay()
	if err != nil {
		return nil, err
	}
	files, mode, diags := opts.read(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m := newModule(mode)
	m.report(diags...)
	m.unread = diags.HasErrors()
	c, err := m.load(ctx, files, opts)
	if c != nil {
		c.Loaded = names(files, opts.Remote)
	}
	return c, err
}

// names are the names of files, those of a definition from elsewhere left out,
// which come first.
func names(files []source, r *Remote) []string {
	if r != nil {
		files = files[len(r.Files):]
	}
	var out []string
	for _, f := range files {
		out = append(out, strings.TrimPrefix(f.name, "cwd://"))
	}
	return out
}

// load parses and evaluates files, within the limits of time and memory.
func (m *module) load(ctx context.Context, files []source, opts LoadOptions) (c *Config, err error) {
	if gaveUp := m.watch.run(ctx, func() { c, err = m.loadAll(files, opts) }); gaveUp != nil {
		return nil, &Error{Diags: hcl.Diagnostics{gaveUp}, Files: m.unparsed(files)}
	}
	return c, err
}

// unparsed are files to show excerpts of, while what was parsed may still be in
// use.
func (m *module) unparsed(files []source) map[string]*hcl.File {
	out := make(map[string]*hcl.File, len(files))
	for _, f := range files {
		out[f.name] = &hcl.File{Bytes: f.data}
	}
	m.excerpts.Range(func(name, f any) bool {
		out[name.(string)] = f.(*hcl.File)
		return true
	})
	return out
}

func (m *module) loadAll(files []source, opts LoadOptions) (*Config, error) {
	services, err := newComposer(m, opts)
	if err != nil {
		return nil, err
	}
	empty := true
	for _, f := range files {
		empty = empty && len(f.data) == 0
		if len(f.data) == 0 && m.mode == ModeBake || services.add(f) {
			continue
		}
		m.parsed = true
		m.parse(f)
	}
	if empty && len(files) > 0 && m.mode == ModeBake {
		m.report(problem(hcl.Range{Filename: files[0].name}, "No build file", "The file is empty."))
	}
	if m.mode == ModeStrata {
		l := newIncluder(m, files, opts)
		defer l.close()
		l.include(m, nil)
		l.find(opts.addresses())
		m.includer = l
	}
	relative, err := opts.relativePaths()
	if err != nil {
		m.report(problem(hcl.Range{}, "Invalid setting", "BUILDX_BAKE_FILE_RELATIVE_PATHS is neither true nor false."))
	}
	return m.config(opts, services, relative)
}

// config evaluates what was read.
func (m *module) config(opts LoadOptions, services *composer, relative bool) (*Config, error) {
	c := &Config{
		Dir: opts.Dir, Mode: m.mode, Files: m.files, specs: map[string]*spec{}, byName: map[string]*group{}, remote: opts.Remote,
		references: opts.References, env: opts.LookupEnv, varEnv: opts.envForVariables(),
	}
	e := newEvaluator(m, outside{env: c.varEnv, vars: opts.Vars}, opts.builtins())
	done := e.addOwn(opts)
	defer done()
	e.addFiles(m.includer)
	e.evaluate()
	specs, all := services.targets()
	for _, s := range specs {
		if len(services.files) > 0 {
			s.composeBase(services.files[0].name)
		}
		c.addTarget(s)
	}
	if all != nil {
		c.addGroup(all)
	}
	for _, file := range e.all {
		c.declare(file)
	}
	if relative {
		c.rebase()
	}
	c.Pools, c.Cache = e.poolSizes, e.cacheBlock
	if m.mode == ModeStrata && !m.unread {
		m.report(c.checkPools()...)
		m.report(c.verify(m.watch, e.unnamed)...)
	}
	errs, warnings := collect(m.diags)
	if errs.HasErrors() {
		return nil, &Error{Diags: errs, Files: m.files}
	}
	c.Warnings = warnings
	if m.parsed {
		c.variables = []ListedVariable{}
	}
	for _, file := range e.all {
		c.variables = append(c.variables, file.listVariables()...)
	}
	if e.readable != nil {
		c.Reads = sortedKeys(e.readable.texts)
	}
	return c, nil
}

// verify resolves everything, so that a bad reference is found even where
// nobody asked for it. If some targets could not be named, nothing is said about
// unknown ones.
func (c *Config) verify(w *watch, unnamed bool) hcl.Diagnostics {
	r := newResolver(c, w)
	r.unlinked = true
	for _, g := range c.groups {
		for i, member := range g.targets {
			if c.findGroup(member) == nil && c.specs[member] == nil && i < len(g.places) {
				r.unknown(member, g.places[i])
			}
		}
	}
	for _, name := range c.order {
		r.choose(name, hcl.Range{})
	}
	r.follow()
	_, _ = r.selection(nil) // what is wrong is in r.diags
	c.resolved = r.done
	return slices.DeleteFunc(r.diags, func(d *hcl.Diagnostic) bool {
		return unnamed && d.Summary == unknownTarget
	})
}

const unknownTarget = "Unknown target"

// builtins are the variables that always exist.
func (o LoadOptions) builtins() map[string]string {
	cmdContext := o.CmdContext
	if cmdContext == "" {
		cmdContext = "cwd://"
	}
	return map[string]string{
		"BAKE_CMD_CONTEXT":    cmdContext,
		"BAKE_LOCAL_PLATFORM": platforms.Format(platforms.DefaultSpec()),
	}
}

// declare makes targets and groups of the blocks: blocks of one target are
// merged, the last block of a group counts, and the label of a matrix is a group.
func (c *Config) declare(e *evaluator) {
	made := map[string][]string{} // label to names, in order
	var labels []string
	for _, b := range e.targets {
		label := e.qualified(b.name)
		for _, in := range b.instances {
			in.noteBase()
			c.addTarget(in.spec.moved(e.dir, ""))
			if made[label] == nil {
				labels = append(labels, label)
			}
			made[label] = append(made[label], in.name)
		}
	}
	for _, b := range e.groups {
		if g := e.declaredGroup(b); g != nil {
			c.addGroup(&group{name: g.name, description: g.description, targets: g.members(), rng: g.rng, places: g.places})
		}
	}
	for _, label := range labels {
		names := dropRepeats(made[label])
		if len(names) == 1 && names[0] == label {
			continue
		}
		c.appendGroup(&group{name: label, targets: names, rng: c.specs[names[0]].rng})
	}
}

func (c *Config) addTarget(s *spec) {
	if old := c.specs[s.name]; old != nil {
		old.merge(s, c.Mode)
		return
	}
	c.specs[s.name] = s
	c.order = append(c.order, s.name)
}

// addGroup replaces a group of the same name.
func (c *Config) addGroup(g *group) {
	if old := c.byName[g.name]; old != nil {
		*old = *g
		return
	}
	c.appendGroup(g)
}

// appendGroup adds a group; one of the same name before it hides it.
func (c *Config) appendGroup(g *group) {
	c.groups = append(c.groups, g)
	if c.byName[g.name] == nil {
		c.byName[g.name] = g
	}
}

func (c *Config) findGroup(name string) *group { return c.byName[name] }

// members are the targets, each once; nil only if none were said.
func (g *groupDecl) members() []string {
	if g.targets == nil {
		return nil
	}
	return dropRepeats(g.targets)
}

// dropRepeats removes repeated strings and keeps empty ones.
func dropRepeats(list []string) []string {
	seen := make(map[string]bool, len(list))
	out := make([]string, 0, len(list))
	for _, s := range list {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
