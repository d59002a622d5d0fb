package plan

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// A Chooser chooses for which needed targets an image stands in, when the engine
// is known that solves what stands on them. Set its fields and call Choose.
type Chooser struct {
	Plan    *Plan
	Lowerer *lower.Lowerer
	Index   Index
	Engine  string // that solves
	// Image finds the image of a success in a registry, nil if it is not to be
	// had.
	Image func(ctx context.Context, target string, e index.Entry) *Image
	// Shared reports whether the shared layer cache has layers of a target, made
	// on the steps of those it needs.
	Shared func(ctx context.Context, target string) bool

	targets map[string]*Target
	below   below
	used    bits // what something solved needs
	solved  []string
	results map[string]*lower.Result // of solved targets and candidates
	made    map[digest.Digest]bool   // steps of solved targets

	mu     sync.Mutex
	before []*resident
}

// A resident is what came of a target on this engine, as far as is known: it has the
// steps, with those that they stand on.
type resident struct {
	entry *index.Entry
	on    bits // what it stands on that is as it was then
}

// An Image is an image of a registry.
type Image struct {
	Ref       string // "host/repo@sha256:..."
	Platforms []ImagePlatform
}

// An ImagePlatform is an image for one platform: its history, oldest first.
type ImagePlatform struct {
	Platform ocispec.Platform
	Lines    []ImageLine
}

// An ImageLine is a line of an image's history.
type ImageLine struct {
	Empty bool  // changes the config only
	Size  int64 // compressed, of its layer
}

// Choose returns the images that stand in for needed targets, for all definitions
// of the run alike. Those that stand on others are chosen first: what an image
// stands in for needs nothing any more.
func (c *Chooser) Choose(ctx context.Context) (*lower.StandIns, error) {
	chosen := &lower.StandIns{}
	candidates := c.open(ctx)
	if len(candidates) == 0 {
		return chosen, nil
	}
	heads, err := c.look(ctx, candidates)
	if err != nil {
		return nil, err
	}
	var list []lower.StandIn
	for decided := map[string]bool{}; ; {
		users, err := c.reached(heads, chosen)
		if err != nil {
			return nil, err
		}
		open := func(name string) bool { return len(users[name]) > 0 && !decided[name] }
		var now []string
		for _, name := range candidates {
			if open(name) && !slices.ContainsFunc(candidates, func(other string) bool { return open(other) && c.below.needs(other, name) }) {
				now = append(now, name)
			}
		}
		if len(now) == 0 {
			return chosen, nil
		}
		found := make([]*lower.StandIn, len(now))
		var g errgroup.Group
		g.SetLimit(lookups)
		for i, name := range now {
			decided[name] = true
			g.Go(func() error {
				found[i] = c.decide(ctx, name, users[name])
				return nil
			})
		}
		_ = g.Wait() // it has no errors
		for _, in := range found {
			if in != nil {
				list = append(list, *in)
			}
		}
		if chosen, err = lower.NewStandIns(ctx, list); err != nil {
			return nil, err
		}
	}
}

// open looks at the plan and returns the targets for which an image may stand in, in
// graph order: those that something solved needs, and of which the engine does not
// seem to have the steps. On an engine that has made all there is none.
func (c *Chooser) open(ctx context.Context) []string {
	c.targets, c.results, c.below = map[string]*Target{}, map[string]*lower.Result{}, newBelow(c.Plan.Targets)
	for _, t := range c.Plan.Targets {
		c.targets[t.Name] = t
		if t.Action == Solve {
			c.solved = append(c.solved, t.Name)
			c.used = c.used.or(c.below.of(t.Name))
		}
	}
	for _, t := range c.Plan.Targets {
		if t.Action != Solve && t.Entry != nil && c.isUsed(t.Name) {
			c.note(&resident{t.Entry, c.below.of(t.Name)})
		}
	}
	var out []string
	for _, t := range c.Plan.Targets {
		if t.Action == Solve || t.Entry == nil && !t.Spared || !c.isUsed(t.Name) {
			continue
		}
		p := Parent{Engine: c.Engine}
		c.residents(t.Name, &p)
		if t.Entry != nil {
			p.Entry = *t.Entry
		}
		if p.Steps || t.Entry != nil && !p.TakeImage() {
			continue
		}
		if r, err := c.Lowerer.Result(ctx, t.Name); err == nil && r != nil && r.Replaceable() {
			out = append(out, t.Name) // what is wrong with another is told where it is built
		}
	}
	return out
}

// look looks at what is solved: its LLB, that of the candidates in it, and what the
// engine has of it from before.
func (c *Chooser) look(ctx context.Context, candidates []string) (*lower.Heads, error) {
	c.made = map[digest.Digest]bool{}
	for _, name := range append(slices.Clone(candidates), c.solved...) {
		r, err := c.Lowerer.Result(ctx, name)
		if err != nil || r == nil || r.Foreign != "" {
			continue // it can not be told what it needs
		}
		c.results[name] = r
		t := c.targets[name]
		if t.Action != Solve {
			continue
		}
		for _, p := range r.Platforms {
			for _, st := range p.Steps {
				c.made[st.Digest] = true
			}
		}
		if t.Last != nil && c.here(t.Last) {
			c.note(&resident{t.Last, c.unchanged(ctx, t)})
		}
	}
	results := map[string]*lower.Result{}
	for _, name := range candidates {
		results[name] = c.results[name]
	}
	return lower.HeadsOf(results)
}

// unchanged is what a solved target stands on that is as it was when it was made
// last.
func (c *Chooser) unchanged(ctx context.Context, t *Target) bits {
	var out bits
	d, _ := c.Index.Detail(ctx, *t.Last) // without one all have changed
	was := pick(d.Inputs, KindParent)
	for _, in := range pick(t.Inputs, KindParent) {
		if slices.ContainsFunc(was, func(w index.Input) bool { return w.Name == in.Name && w.Value == in.Value }) {
			out = out.or(c.below.of(in.Name)).with(c.below.number[in.Name])
		}
	}
	return out
}

// reached are the solved targets that need what candidates make, with chosen put in,
// by candidate.
func (c *Chooser) reached(heads *lower.Heads, chosen *lower.StandIns) (map[string][]string, error) {
	out := map[string][]string{}
	for _, user := range c.solved {
		r := c.results[user]
		if r == nil {
			continue
		}
		names, err := heads.Under(r, chosen)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			out[name] = append(out[name], user)
		}
	}
	return out, nil
}

// isUsed reports whether something solved needs name, by whatever way.
func (c *Chooser) isUsed(name string) bool { return c.used.has(c.below.number[name]) }

// decide returns what stands in for name, on which users stand; nil if nothing does.
func (c *Chooser) decide(ctx context.Context, name string, users []string) *lower.StandIn {
	p := Parent{Engine: c.Engine}
	if c.residents(name, &p); p.Steps || c.refused(name, users) {
		return nil
	}
	e := c.entry(ctx, name)
	if e == nil || e.Digest == "" {
		return nil
	}
	p = Parent{Engine: c.Engine, Entry: *e}
	c.residents(name, &p)
	if !p.TakeImage() { // whatever it costs
		return nil
	}
	if !p.Image {
		p.Shared, p.Took = c.shared(ctx, name, users), c.took(ctx, *e)
		if !p.TakeImage() {
			return nil
		}
	}
	img := c.Image(ctx, name, *e)
	if img == nil {
		return nil
	}
	r := c.results[name]
	var fits bool
	if p.Bytes, fits = fit(r, img); !fits || !p.TakeImage() {
		return nil
	}
	return &lower.StandIn{Result: r, Ref: img.Ref}
}

// entry is the success that name is not solved for. For one that was spared it is
// looked for now.
func (c *Chooser) entry(ctx context.Context, name string) *index.Entry {
	t := c.targets[name]
	if t.Entry != nil || !t.Spared {
		return t.Entry
	}
	e, ok := c.Index.Get(ctx, t.Fingerprint, name)
	if !ok {
		return nil
	}
	c.note(&resident{&e, c.below.of(name)})
	return &e
}

// refused reports whether something that stands on name has to have its steps.
func (c *Chooser) refused(name string, users []string) bool {
	if slices.ContainsFunc(c.results[name].MadeBy(), func(d digest.Digest) bool { return c.made[d] }) {
		return true // it makes them itself
	}
	for _, u := range c.solved {
		if c.results[u] == nil && c.below.needs(u, name) {
			return true // only the engine can tell what it takes of it
		}
	}
	return slices.ContainsFunc(users, func(u string) bool { return c.results[u].InEngine() || keepsSteps(c.Lowerer.Target(u)) })
}

// keepsSteps reports whether t has layer caches of its own: steps are found there
// under what they stand on, and it is not known what that was.
func keepsSteps(t *config.Target) bool { return len(t.CacheFrom)+len(t.CacheTo) > 0 }

// here reports whether this engine has made e, or may have.
func (c *Chooser) here(e *index.Entry) bool { return e.Engine == "" || e.Engine == c.Engine }

// note keeps r if it is one.
func (c *Chooser) note(r *resident) {
	if !c.here(r.entry) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.before = append(c.before, r)
}

// residents notes in p on what those stand that this engine has, and that need name.
func (c *Chooser) residents(name string, p *Parent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.before {
		if !r.on.has(c.below.number[name]) {
			continue
		}
		_, dgst, onImage := strings.Cut(r.entry.Images[name], "@")
		p.Steps = p.Steps || !onImage
		p.Image = p.Image || onImage && (p.Entry.Digest == "" || p.Entry.Digest == dgst) // another image finds nothing again
	}
}

// shared reports whether the shared layer cache has steps of name, or of what stands
// on it up to users: these come with those below them, and are found on them only.
func (c *Chooser) shared(ctx context.Context, name string, users []string) bool {
	users = slices.DeleteFunc(slices.Clone(users), func(t string) bool { return c.Lowerer.Target(t).NoCache })
	holds := func(t string) bool {
		return t == name || slices.Contains(users, t) ||
			c.below.needs(t, name) && slices.ContainsFunc(users, func(u string) bool { return c.below.needs(u, t) })
	}
	return len(users) > 0 && slices.ContainsFunc(c.Plan.Targets, func(t *Target) bool { return holds(t.Name) && c.Shared(ctx, t.Name) })
}

// took is how long the steps of a success ran, 0 if that is not known of all.
func (c *Chooser) took(ctx context.Context, e index.Entry) time.Duration {
	var sum time.Duration
	d, _ := c.Index.Detail(ctx, e)
	for _, in := range pick(d.Inputs, KindKey) {
		took, err := time.ParseDuration(in.Value)
		if err != nil || took == 0 {
			return 0
		}
		sum += took
	}
	return sum
}

// fit compares an image with what r says its history is, and returns the bytes of
// the layers that its own steps have made: those below are fetched or made in any
// case. An exporter lines the history of what stands on
// it up with layers: there must be as many as it tells.
func fit(r *lower.Result, img *Image) (bytes int64, ok bool) {
	for _, p := range r.Platforms {
		i := slices.IndexFunc(img.Platforms, func(have ImagePlatform) bool {
			return len(r.Platforms) == 1 && len(img.Platforms) == 1 || samePlatform(have.Platform, p.Platform)
		})
		if i < 0 || len(img.Platforms[i].Lines) != len(p.History) {
			return 0, false
		}
		for j, line := range img.Platforms[i].Lines {
			if line.Empty != p.History[j].Empty {
				return 0, false
			}
			if p.History[j].Number > 0 {
				bytes += line.Size
			}
		}
	}
	return bytes, true
}

func samePlatform(have, want ocispec.Platform) bool { return platforms.OnlyStrict(want).Match(have) }
