package lint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/client/llb"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// A run is one check from start to end.
type run struct {
	sel     *config.Selection
	opts    Options
	made    map[string][]*config.Name // all targets there are, by what they make
	sources map[string][]byte
	texts   map[string]*text // the same, with their lines

	lowered map[string]*lower.Result
	unsure  map[string]bool // targets whose base images are not known
	parsed  map[string]*dockerfile
	trees   map[string]*tree
	scopes  []*scope
	marks   map[string]bool // see Finding.unless

	findings []Finding
	notes    []string
}

func newRun(cfg *config.Config, sel *config.Selection, opts Options) *run {
	r := &run{
		sel: sel, opts: opts, made: makers(cfg.Names()), sources: map[string][]byte{}, texts: map[string]*text{},
		lowered: map[string]*lower.Result{}, unsure: map[string]bool{},
		parsed: map[string]*dockerfile{}, trees: map[string]*tree{}, marks: map[string]bool{},
	}
	for name, f := range cfg.Files {
		r.sources[name] = f.Bytes
	}
	return r
}

func (r *run) add(f Finding) { r.findings = append(r.findings, f) }

func (r *run) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(r.notes, text) {
		r.notes = append(r.notes, text)
	}
}

// wants reports whether rule is on.
func (r *run) wants(rule *Rule) bool {
	if slices.Contains(r.opts.Ignore, rule.ID) {
		return false
	}
	return !rule.Off || slices.Contains(r.opts.Enable, rule.ID)
}

// target lowers t and applies all rules to it.
func (r *run) target(ctx context.Context, t *config.Target) {
	s := &scope{run: r, target: t}
	if allow, ok := r.opts.Denied[t.Name]; ok {
		r.note("target %q reads files outside of this directory and was not looked into; --allow %s grants it", t.Name, allow)
		r.unknown(ctx, t)
	} else if res := r.lower(ctx, t); res != nil {
		s.read(res)
	}
	r.scopes = append(r.scopes, s)
	for _, rule := range rules {
		if rule.check != nil && r.wants(rule) {
			rule.check(s, &reporter{run: r, rule: rule, target: t.Name})
		}
	}
}

// lower lowers t and reports BuildKit's findings. It returns nil if the
// Dockerfile can not be read.
func (r *run) lower(ctx context.Context, t *config.Target) *lower.Result {
	asked := &asking{ImageMetaResolver: r.opts.Resolver}
	res, err := r.lowerWith(ctx, t, asked)
	if err != nil && r.opts.Resolver != nil {
		offline := &asking{}
		if again, err2 := r.lowerWith(ctx, t, offline); err2 == nil {
			r.failures(t, unresolvedBase, err)
			res, err, asked = again, nil, offline
		}
	}
	if err != nil {
		r.failures(t, "", err)
		r.unknown(ctx, t)
		return nil
	}
	if res.Foreign != "" {
		r.note("target %q can only be read by the engine: %s", t.Name, res.Foreign)
		r.unknown(ctx, t)
		return res
	}
	r.lowered[t.Name] = res
	r.unsure[t.Name] = asked.asked.Load() && asked.ImageMetaResolver == nil || slices.ContainsFunc(t.Needs, func(id graph.ID) bool {
		return r.unsure[string(id)]
	})
	return res
}

// lowerWith lowers t without its attestations, whose tools are images too. A
// Dockerfile's wish to fail at its findings would hide all but their names.
func (r *run) lowerWith(ctx context.Context, t *config.Target, images *asking) (*lower.Result, error) {
	c := *t
	c.Attest = nil
	c.Args = maps.Clone(t.Args)
	if c.Args == nil {
		c.Args = map[string]string{}
	}
	if _, set := c.Args[checkArg]; !set {
		c.Args[checkArg] = "experimental=all;error=false"
	}
	parents := map[string]*lower.Result{}
	for _, id := range t.Needs {
		parents[string(id)] = r.lowered[string(id)]
	}
	res, err := lower.Lower(ctx, &c, parents, lower.Options{Dir: r.opts.Dir, Resolver: images, RunID: "check"})
	if err == nil && res.Source != nil {
		res.Source.Args = t.Args
	}
	return res, err
}

// unknown puts an empty image in the place of a target that was not lowered, so
// that those that need it can be looked at.
func (r *run) unknown(ctx context.Context, t *config.Target) {
	r.unsure[t.Name] = true
	res := &lower.Result{Target: t.Name}
	r.lowered[t.Name] = res
	def, err := llb.Scratch().Marshal(ctx)
	if err != nil {
		return
	}
	local := platforms.Normalize(platforms.DefaultSpec())
	_ = res.Adopt([]lower.Platform{{ID: platforms.FormatAll(local), Platform: local, Def: def, Config: emptyConfig(&local)}}, false, nil, lower.Options{})
}

const unresolvedBase = "unresolved-base"

// failures turns what lowering says into findings: as id if that is given.
func (r *run) failures(t *config.Target, id string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			r.failures(t, id, e)
		}
		return
	}
	f := Finding{Severity: Error, Targets: []string{t.Name}}
	if se, ok := errors.AsType[*lower.SourceError](err); ok {
		if se.Text != nil {
			r.sources[se.Place.File] = se.Text
		}
		f.Rule, f.Title, f.Message = dockerfileProblem, "Dockerfile mistake", sentence(se.Err)
		f.Place = r.lines(se.Place.File, se.Place.Line, max(se.EndLine, se.Place.Line), "")
	} else {
		attr, cause := "", err
		if te, ok := errors.AsType[*graph.TargetError](err); ok {
			attr, cause = te.Attr, te.Err
		}
		f.Rule, f.Title, f.Message = targetProblem, "Target cannot be built", sentence(cause)
		f.Place = t.Place(attr)
	}
	if id != "" {
		f.Rule, f.Title = id, "Base image cannot be resolved"
	}
	r.add(f)
}

// sentence is err with a capital letter and a full stop.
func sentence(err error) string { return sentenceOf(err.Error()) }

// report sorts the findings, merges equal ones of several targets and leaves out
// what is silenced.
func (r *run) report() *Report {
	order := map[string]int{}
	for i, t := range r.sel.Targets {
		order[t.Name] = i + 1
	}
	out := &Report{Notes: r.notes, Targets: len(r.sel.Targets), Sources: r.sources}
	at := map[string]int{}
	for _, f := range r.silence(r.supersede(r.findings)) {
		if f.unless != "" && r.marks[f.unless] {
			continue
		}
		key := fmt.Sprint(f.Rule, f.Place, f.Message)
		i, had := at[key]
		if !had {
			at[key] = len(out.Findings)
			out.Findings = append(out.Findings, f)
			continue
		}
		for _, t := range f.Targets {
			if !slices.Contains(out.Findings[i].Targets, t) {
				out.Findings[i].Targets = append(out.Findings[i].Targets, t)
			}
		}
	}
	for i := range out.Findings {
		slices.SortStableFunc(out.Findings[i].Targets, func(a, b string) int { return order[a] - order[b] })
	}
	slices.SortStableFunc(out.Findings, func(a, b Finding) int {
		return cmp.Or(
			slices.CompareFunc(a.Targets, b.Targets, func(x, y string) int { return order[x] - order[y] }),
			strings.Compare(a.Place.Filename, b.Place.Filename),
			a.Place.Start.Line-b.Place.Start.Line,
			a.Place.Start.Column-b.Place.Start.Column,
			strings.Compare(a.Rule, b.Rule),
		)
	})
	return out
}

// supersede leaves out what BuildKit says of an instruction if a rule of ours
// says the same of it with more words.
func (r *run) supersede(list []Finding) []Finding {
	place := func(f Finding, rule string) string {
		return fmt.Sprint(rule, f.Place.Filename, cmp.Or(f.first, f.Place.Start.Line))
	}
	said := map[string]bool{}
	for _, f := range list {
		if rule := ruleNamed(f.Rule); rule != nil && rule.Supersedes != "" {
			said[place(f, rule.Supersedes)] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(f Finding) bool { return said[place(f, f.Rule)] })
}

// A spot is a place and the line where the instruction that it is in begins.
type spot struct {
	rng   hcl.Range
	first int
}

// A reporter makes the findings of one rule.
type reporter struct {
	run    *run
	rule   *Rule
	target string
}

// at reports something at p. The finding returned may be completed.
func (r *reporter) at(p spot, format string, args ...any) *Finding {
	f := Finding{
		Rule: r.rule.ID, Severity: r.rule.Severity, Place: p.rng, first: p.first,
		Title: r.rule.Title, Message: fmt.Sprintf(format, args...), Fix: r.rule.Fix, URL: "",
	}
	if r.target != "" {
		f.Targets = []string{r.target}
	}
	r.run.add(f)
	return &r.run.findings[len(r.run.findings)-1]
}
