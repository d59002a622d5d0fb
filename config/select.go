package config

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/graph"
)

// Resolve returns the targets that req asks for and all they need. Problems are
// joined in an *Error.
func (c *Config) Resolve(req Request) (sel *Selection, err error) {
	w := &watch{}
	if gaveUp := w.run(context.Background(), func() { sel, err = c.resolve(w, req) }); gaveUp != nil {
		return nil, &Error{Diags: hcl.Diagnostics{gaveUp}, Files: c.Files}
	}
	return sel, err
}

func (c *Config) resolve(w *watch, req Request) (*Selection, error) {
	r := newResolver(c, w)
	r.overrides = r.parseOverrides(req)
	names := r.names(req.Targets)
	for _, name := range names {
		r.choose(name, r.requestRange(name))
	}
	r.follow()
	return r.selection(names)
}

// A resolver answers one request.
type resolver struct {
	*Config
	overrides map[string]*override // by target
	done      map[string]*spec     // with inherits and overrides applied
	chosen    map[string]*spec
	queue     []string // chosen, in the order met
	implicit  map[string]bool
	from      map[string]hcl.Range // which entry of a group asked for a target
	allowed   []string             // by overrides
	noPolicy  bool                 // policies are switched off
	asked     []string             // groups and targets, patterns resolved
	seen      map[string]bool      // groups among them and in them
	plain     map[string][]string  // see plainTargets; nil if not needed yet
	tags      map[string][]string  // targets by tag; nil if not needed yet
	texts     map[string]*hcl.File // Dockerfiles in which references were found
	unlinked  bool                 // Dockerfiles are not to be read
	inGroup   map[string][]string  // the members of groups that are not in themselves
	size      int                  // how much the chosen targets say
	watch     *watch
	diags     hcl.Diagnostics
}

func newResolver(c *Config, w *watch) *resolver {
	return &resolver{
		Config: c, done: map[string]*spec{}, chosen: map[string]*spec{},
		implicit: map[string]bool{}, from: map[string]hcl.Range{}, seen: map[string]bool{}, texts: map[string]*hcl.File{},
		inGroup: map[string][]string{}, watch: w,
	}
}

func (r *resolver) report(d ...*hcl.Diagnostic) { r.diags = append(r.diags, d...) }

func (r *resolver) failure() *Error {
	errs, _ := collect(r.diags)
	files := r.Files
	if len(r.texts) > 0 {
		files = maps.Clone(files)
		maps.Copy(files, r.texts)
	}
	return &Error{Diags: errs, Files: files}
}

func (r *resolver) requestRange(name string) hcl.Range { return r.from[name] }

// names are the targets that the arguments stand for, each once, in order.
func (r *resolver) names(args []string) []string {
	if len(args) == 0 {
		args = []string{"default"}
		if r.findGroup("default") == nil && r.specs["default"] == nil {
			r.report(r.noDefault())
			return nil
		}
	}
	var out []string
	r.asked = nil
	for _, arg := range args {
		r.asked = append(r.asked, r.match(arg)...)
	}
	r.asked = dropRepeats(r.asked)
	for _, name := range r.asked {
		inner, _ := r.members(name, map[string]bool{})
		out = append(out, inner...)
	}
	return dropRepeats(out)
}

// printedGroups are the groups that print shows: those that were asked for, with
// the groups in them, and as "default" all that was asked for.
func (r *resolver) printedGroups() map[string]*group {
	out := map[string]*group{}
	for name := range r.seen {
		out[name] = r.findGroup(name)
	}
	whole, there := group{name: "default"}, false
	if def := out["default"]; def != nil {
		whole, there = *def, true
		whole.targets = slices.Clone(def.targets)
	}
	for _, name := range r.asked {
		if !there || name != "default" {
			whole.targets, there = append(whole.targets, name), true
		}
	}
	if there {
		if whole.targets != nil {
			whole.targets = dropRepeats(whole.targets)
			slices.Sort(whole.targets)
		}
		out["default"] = &whole
	}
	return out
}

func (r *resolver) noDefault() *hcl.Diagnostic {
	return &hcl.Diagnostic{
		Severity: hcl.DiagError,
		Summary:  "Nothing to build by default",
		Detail: fmt.Sprintf("No target was named and there is no group or target named \"default\". There are: %s.",
			strings.Join(r.shown(30), ", ")),
		Subject: r.anyFile(),
	}
}

// anyFile is a range that names the file read, or nil.
func (r *resolver) anyFile() *hcl.Range {
	if len(r.Files) != 1 {
		return nil
	}
	return &hcl.Range{Filename: sortedKeys(r.Files)[0]}
}

// shown lists at most n names of groups and targets.
func (r *resolver) shown(n int) []string {
	var list []string
	for _, g := range r.groups {
		list = append(list, g.name)
	}
	list = dropRepeats(append(list, r.order...))
	if len(list) > n {
		return append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
	}
	return list
}

// members are the targets of a group, or name itself. A group that is inside of
// itself is cut and taken for a target; then the members depend on where the
// group was met, and cut is true.
func (r *resolver) members(name string, open map[string]bool) (out []string, cut bool) {
	g := r.findGroup(name)
	if g == nil || open[name] || r.watch.stopped.Load() {
		return []string{name}, open[name]
	}
	if known := r.inGroup[name]; known != nil {
		return known, false
	}
	r.watch.at.Store(&g.rng)
	r.seen[name] = true
	open[name] = true
	defer delete(open, name)
	for i, member := range g.targets {
		if i < len(g.places) && r.from[member].Filename == "" {
			r.from[member] = g.places[i]
		}
		inner, wasCut := r.members(member, open)
		cut = cut || wasCut
		if len(inner) == 0 && r.Mode == ModeBake {
			inner = []string{member} // bake takes an empty group for a target
		}
		out = append(out, inner...)
	}
	out = dropRepeats(out)
	if !cut {
		r.inGroup[name] = out
	}
	return out, cut
}

// choose adds the target called name to what is built.
func (r *resolver) choose(name string, from hcl.Range) {
	if r.chosen[name] != nil || r.watch.stopped.Load() {
		return
	}
	s := r.resolve(name, from, nil)
	if s == nil || !r.fits(s) {
		return
	}
	s = s.clone()
	if r.remote.mixesDockerfile(s, r.Dir) {
		r.report(problem(s.place("dockerfile"), "Dockerfile from another place",
			"reading a dockerfile for a remote build invocation is currently not supported with a local context: write dockerfile = \"cwd://%s\" to mean the one here.", s.dockerfileName()))
	}
	r.remote.rebase(s)
	s.complete()
	if r.noPolicy {
		s.policy = []Policy{{Disabled: true}}
	}
	r.sourceDate(s)
	r.autoLink(s)
	r.report(s.check()...)
	r.chosen[name] = s
	r.queue = append(r.queue, name)
}

// maxSize is how many values the chosen targets may have, all together.
const maxSize = 2_000_000

// fits counts the values of a target, with what it inherits.
func (r *resolver) fits(s *spec) bool {
	before := r.size
	r.size += s.size()
	if before <= maxSize && r.size > maxSize {
		r.report(problem(s.rng, "Too many values",
			"The targets chosen have more than %d tags, args, labels and the like. Choose fewer, or let them inherit less.", maxSize))
	}
	return r.size <= maxSize
}

// size is how many values s has in its lists and maps.
func (s *spec) size() int {
	return len(s.annotations) + len(s.attest) + len(s.contexts) + len(s.args) + len(s.labels) + len(s.tags) +
		len(s.cacheFrom) + len(s.cacheTo) + len(s.secrets) + len(s.ssh) + len(s.platforms) + len(s.outputs) +
		len(s.noCacheFilt) + len(s.ulimits) + len(s.entitlements) + len(s.extraHosts) + len(s.policy)
}

// maxInherits is how many targets may inherit from one another in a row.
const maxInherits = 1000

// grant notes the paths and privileges that an override names: who writes them on
// the command line means them.
func (r *resolver) grant(o *override, s *spec) {
	if o == nil {
		return
	}
	for _, key := range o.keys {
		name, sub, _ := strings.Cut(key, ".")
		switch name {
		case "output":
			for _, out := range s.outputs {
				r.allow("fs.write", out.Dest)
			}
		case "cache-from":
			for _, c := range s.cacheFrom {
				r.allow("fs.read", c.Attrs["src"])
			}
		case "cache-to":
			for _, c := range s.cacheTo {
				r.allow("fs.write", c.Attrs["dest"])
			}
		case "ssh":
			for _, x := range s.ssh {
				r.allow("fs.read", x.Paths...)
			}
		case "secret":
			for _, x := range s.secrets {
				if sub == "" || sub == x.ID {
					r.allow("fs.read", x.Source)
				}
			}
		case "entitlement":
			for _, e := range o.values[key].list {
				if e == "network.host" || e == "security.insecure" {
					r.allowed = append(r.allowed, e)
				}
			}
		}
	}
}

func (r *resolver) allow(key string, paths ...string) {
	for _, p := range paths {
		if p != "" && p != "-" {
			r.allowed = append(r.allowed, key+"="+p)
		}
	}
}

// sourceDate hands SOURCE_DATE_EPOCH on to targets that do not set it.
func (r *resolver) sourceDate(s *spec) {
	const name = "SOURCE_DATE_EPOCH"
	if _, set := s.args[name]; set || r.env == nil {
		return
	}
	if v, ok := r.env(name); ok && v != "" {
		setEntry(&s.args, name, v)
	}
}

// resolve is the target called name with what it inherits and its overrides.
// open are the names it is inherited by.
func (r *resolver) resolve(name string, from hcl.Range, open []string) *spec {
	if s := r.done[name]; s != nil {
		return s
	}
	if s := r.resolved[name]; s != nil && len(r.overrides) == 0 {
		return s
	}
	declared := r.specs[name]
	if declared == nil {
		r.unknown(name, from)
		return nil
	}
	r.watch.at.Store(&declared.rng)
	if len(open) > maxInherits && !r.watch.stopped.Swap(true) {
		r.report(problem(from, "Nested too deeply", "More than %d targets inherit from one another in a row.", maxInherits))
	}
	if r.watch.stopped.Load() {
		return nil
	}
	open = append(open, name)
	out := &spec{}
	whole := true
	for _, parent := range declared.inherits {
		if slices.Contains(open, parent) {
			r.inheritsItself(declared, append(open, parent))
			whole = false
			continue
		}
		p := r.resolve(parent, declared.place("inherits"), open)
		if p != nil {
			out.merge(p, r.Mode)
		}
	}
	out.merge(declared, r.Mode)
	out.name, out.rng, out.owner, out.clear = declared.name, declared.rng, declared.owner, nil
	out.inherits = declared.inherits // those of parents would add up
	r.report(r.overrides[name].apply(out)...)
	r.grant(r.overrides[name], out)
	out.normalize()
	if whole {
		r.done[name] = out
	}
	return out
}

func (s *spec) place(attr string) hcl.Range { return placeOf(s.places, attr, s.rng) }

func (r *resolver) unknown(name string, from hcl.Range) {
	d := &hcl.Diagnostic{Severity: hcl.DiagError, Summary: unknownTarget, Detail: r.noTarget(name), Subject: r.anyFile()}
	if from.Filename != "" {
		d.Subject = from.Ptr()
	}
	if g := r.findGroup(name); g != nil {
		d.Detail = fmt.Sprintf("%q is a group (%s); only a target can stand here.", name, position(g.rng))
	}
	r.report(d)
}

// inheritsItself is an error in Strata's own mode; bake leaves such a parent out.
func (r *resolver) inheritsItself(s *spec, chain []string) {
	if r.Mode == ModeBake {
		return
	}
	first := slices.Index(chain, chain[len(chain)-1])
	r.report(problem(s.place("inherits"), "Inheritance cycle", "These targets inherit from one another: %s.",
		strings.Join(chain[first:], " -> ")))
}

// A need is a reference to another target and where it stands.
type need struct {
	target string
	rng    hcl.Range
	order  bool // only to be built before
}

// needs lists what s needs in the order written.
func (s *spec) needs() []need {
	var out []need
	for _, key := range sortedKeys(s.contexts) {
		if name, ok := targetName(s.contexts[key]); ok {
			out = append(out, need{target: name, rng: s.place("contexts." + key)})
		}
	}
	for _, name := range s.after {
		out = append(out, need{target: name, rng: s.place("needs." + name), order: true})
	}
	slices.SortStableFunc(out, func(a, b need) int {
		if a.rng.Filename != b.rng.Filename {
			return strings.Compare(a.rng.Filename, b.rng.Filename)
		}
		return a.rng.Start.Byte - b.rng.Start.Byte
	})
	if s.steps != nil {
		out = append(out, s.steps.needs...)
	}
	return out
}

// follow chooses what the chosen targets need.
func (r *resolver) follow() {
	for i := 0; i < len(r.queue); i++ {
		for _, n := range r.chosen[r.queue[i]].needs() {
			if r.chosen[n.target] != nil {
				continue
			}
			r.choose(n.target, n.rng)
			if s := r.chosen[n.target]; s != nil {
				r.implicit[n.target] = true
				s.outputs = []Output{{Type: "cacheonly"}}
			}
		}
	}
}

// selection checks how the targets hang together.
func (r *resolver) selection(requested []string) (*Selection, error) {
	targets := map[graph.ID]*Target{}
	var nodes []graph.Node
	for _, name := range r.declaredOrder() {
		t := r.chosen[name].target(r.Dir)
		t.Implicit = r.implicit[name]
		for _, n := range t.spec.needs() {
			id := graph.ID(n.target)
			if r.chosen[n.target] == nil {
				continue // reported when it was looked for
			}
			if !slices.Contains(t.Needs, id) {
				t.Needs = append(t.Needs, id)
			}
		}
		targets[graph.ID(name)] = t
		nodes = append(nodes, graph.Node{ID: graph.ID(name), Needs: t.Needs})
	}
	g, err := graph.New(nodes)
	if err != nil {
		r.report(r.diagnose(err, targets)...)
		return nil, r.failure()
	}
	sel := &Selection{Requested: requested, Graph: g, groups: r.printedGroups(), config: r.Config, Allowed: dropRepeats(r.allowed)}
	for _, id := range g.Order() {
		sel.Targets = append(sel.Targets, targets[id])
	}
	r.link(sel.Targets, targets)
	if r.diags.HasErrors() {
		return nil, r.failure()
	}
	return sel, nil
}

func (r *resolver) declaredOrder() []string {
	var out []string
	for _, name := range r.order {
		if r.chosen[name] != nil {
			out = append(out, name)
		}
	}
	return out
}

// linked reports whether t stands on what id makes, and does not only wait for it.
func (t *Target) linked(id graph.ID) bool {
	return slices.ContainsFunc(t.spec.needs(), func(n need) bool { return n.target == string(id) && !n.order })
}

// link hands on what a target takes over from those it needs: entitlements. It
// also checks that what is needed is there for all platforms.
func (r *resolver) link(order []*Target, targets map[graph.ID]*Target) {
	for _, t := range order {
		for _, id := range t.Needs {
			base := targets[id]
			if len(t.spec.after) > 0 && !t.linked(id) {
				continue
			}
			for _, ent := range base.Entitlements {
				if !slices.Contains(t.Entitlements, ent) {
					t.Entitlements = concat(t.Entitlements, []string{ent})
				}
			}
			if len(t.Platforms) > 1 && len(base.Platforms) > 1 && !subset(t.Platforms, base.Platforms) {
				r.report(problem(r.needRange(targets, graph.ID(t.Name), id), "Missing platform",
					"Target %q is for %s and needs %q, which is for %s only.",
					t.Name, strings.Join(t.Platforms, ", "), id, strings.Join(base.Platforms, ", ")))
			}
		}
		t.spec.entitlements = t.Entitlements
	}
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}
