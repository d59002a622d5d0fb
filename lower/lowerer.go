package lower

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
)

// A Memo keeps briefs from one run to the next. It may forget, and must answer
// with nothing else than what was put in.
type Memo interface {
	Load(key string) ([]byte, bool)
	Store(key string, value []byte)
}

// A Lowerer lowers the targets of one run, each at most once and only as far as
// it is asked: a brief that the memo still has costs no more than looking at
// the files it was made from. It may be used by many goroutines.
type Lowerer struct {
	opts    Options
	memo    Memo
	order   []string
	targets map[string]*config.Target
	briefs  map[string]func() (*Brief, error)

	mu      sync.Mutex // held while lowering, since LLB of one target goes into others
	results map[string]*outcome
}

type outcome struct {
	res *Result
	err error
}

// NewLowerer returns a Lowerer of targets, which hold all that they need. memo
// may be nil.
func NewLowerer(ctx context.Context, targets []*config.Target, memo Memo, opts Options) *Lowerer {
	l := &Lowerer{
		opts: opts, memo: memo,
		targets: map[string]*config.Target{}, briefs: map[string]func() (*Brief, error){}, results: map[string]*outcome{},
	}
	for _, t := range targets {
		l.order = append(l.order, t.Name)
		l.targets[t.Name] = t
		l.briefs[t.Name] = sync.OnceValues(func() (*Brief, error) { return l.newBrief(ctx, t) })
	}
	return l
}

// A NeedError says that a target was not looked at because one it needs is in
// error.
type NeedError struct{ Target, Need string }

func (e *NeedError) Error() string {
	return fmt.Sprintf("target %q needs %q, which is in error", e.Target, e.Need)
}

// Brief returns what there is to know of a target. Errors are those of [Lower],
// or a *NeedError.
func (l *Lowerer) Brief(name string) (*Brief, error) { return l.briefs[name]() }

// Targets are the names of all targets, in the order they were given.
func (l *Lowerer) Targets() []string { return l.order }

// Target is the target called name, nil if there is none.
func (l *Lowerer) Target(name string) *config.Target { return l.targets[name] }

// Options are what l was made with.
func (l *Lowerer) Options() Options { return l.opts }

func (l *Lowerer) newBrief(ctx context.Context, t *config.Target) (*Brief, error) {
	parents := map[string]needed{}
	for _, id := range t.Needs {
		b, err := l.Brief(string(id))
		if err != nil {
			return nil, &NeedError{t.Name, string(id)}
		}
		parents[string(id)] = needed{shape: b.Shape, platforms: b.Platforms, brief: b}
	}
	req, err := newRequest(t, parents, l.opts)
	if err != nil {
		return nil, err
	}
	if reason := req.deferred(); reason != "" {
		return l.deferredBrief(req, reason)
	}
	key := l.key(req)
	if b, ok := l.recall(ctx, key); ok {
		b.Target = t.Name
		return b, nil
	}
	res, err := l.Result(ctx, t.Name)
	if err != nil {
		return nil, err
	}
	b, err := res.brief()
	if err != nil {
		return nil, err
	}
	if len(b.Platforms) == 0 {
		b.Platforms = platformsOf(req, l.opts)
	}
	b.Inputs = append(b.Inputs, parentInputs(req)...)
	l.remember(key, b)
	return b, nil
}

// parentInputs are the needed targets as parts of what a target is made of.
func parentInputs(req *Request) []Input {
	var out []Input
	for _, name := range slices.Sorted(maps.Keys(req.parents)) {
		in := Input{Kind: "parent", Name: name, Value: req.parents[name].shape}
		for key, target := range req.names {
			if target == name {
				if rng := req.target.Place("contexts." + key); rng.Filename != "" {
					in.Place = Place{rng.Filename, rng.Start.Line}.String()
				}
			}
		}
		out = append(out, in)
	}
	return out
}

// deferred says why a target can not be lowered before others are built.
func (req *Request) deferred() string {
	for _, name := range slices.Sorted(maps.Keys(req.parents)) {
		if b := req.parents[name].brief; b != nil && b.Foreign != "" {
			return fmt.Sprintf("it stands on target %q, which only the engine can read", name)
		}
	}
	return ""
}

// deferredBrief is the brief of a target that stands on one that only the
// engine can lower. FROM and ADD in its Dockerfile are not looked at.
func (l *Lowerer) deferredBrief(req *Request, reason string) (*Brief, error) {
	b := &Brief{Target: req.target.Name, Foreign: reason, Platforms: platformsOf(req, l.opts), Frontend: newGateway(req, l.opts).namedFrontend()}
	var err error
	if b.Locals, err = wholeLocals(req); err != nil {
		return nil, at(req.target, "context", err)
	}
	b.Uses = wholeUses(b.Locals)
	b.Shape = requestHash(req)
	b.Unpinned = []string{"what its Dockerfile names"}
	b.Inputs = parentInputs(req)
	return b, nil
}

// requestHash covers what a front end is told, but for what is in files.
// Directories are told by their number in localNames.
func requestHash(req *Request) string {
	h := sha256.New()
	fmt.Fprintf(h, "request 2 %s\n", sum(req.Dockerfile))
	names := req.localNames()
	for _, key := range slices.Sorted(maps.Keys(req.Attrs)) {
		v := req.Attrs[key]
		if name, ok := strings.CutPrefix(v, "local:"); ok && strings.HasPrefix(key, "context:") && req.Locals[name] != "" {
			v = fmt.Sprintf("local %d", slices.Index(names, name))
		}
		if rest, ok := strings.CutPrefix(v, "oci-layout://"); ok && strings.HasPrefix(key, "context:") {
			_, v, _ = strings.Cut(rest, "@")
		}
		fmt.Fprintf(h, "%q %q\n", key, v)
	}
	for _, name := range slices.Sorted(maps.Keys(req.parents)) {
		fmt.Fprintf(h, "parent %q %s\n", name, req.parents[name].shape)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// memoVersion changes when a brief, or what lowering makes of the same input,
// does.
const memoVersion = "8 buildkit 0.34.2"

// key names all that a brief is made from, but for files and images; these are
// noted in the brief.
func (l *Lowerer) key(req *Request) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%q %q\n", memoVersion, requestHash(req), l.opts.Dir, l.opts.foreign(req.target))
	for _, name := range req.localNames() {
		fmt.Fprintf(h, "local %q %q\n", name, req.Locals[name])
	}
	// A needed target of the same shape may read other directories.
	for _, name := range slices.Sorted(maps.Keys(req.parents)) {
		if b := req.parents[name].brief; b != nil {
			for _, local := range b.Locals {
				fmt.Fprintf(h, "parent %q %s\n", name, local.key())
			}
		}
	}
	for _, w := range workers(l.opts) {
		for _, p := range w.Platforms {
			fmt.Fprintf(h, "worker %s\n", platforms.FormatAll(p))
		}
	}
	t := req.target
	fmt.Fprintf(h, "place %v\n", t.Range)
	if t.Steps != nil {
		for _, r := range t.Steps.Lines {
			fmt.Fprintf(h, "%s %d\n", r.Filename, r.Start.Line)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(t.Places)) {
		fmt.Fprintf(h, "%s %s %d\n", name, t.Places[name].Filename, t.Places[name].Start.Line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A memoEntry is a Brief as the memo keeps it.
type memoEntry struct {
	Brief  *Brief  `json:"brief"`
	Places []Place `json:"places,omitempty"`
}

// recall is the memo's brief if the files and images it was made from are as
// they were.
func (l *Lowerer) recall(ctx context.Context, key string) (*Brief, bool) {
	if l.memo == nil {
		return nil, false
	}
	data, ok := l.memo.Load(key)
	if !ok {
		return nil, false
	}
	var e memoEntry
	if json.Unmarshal(data, &e) != nil || e.Brief == nil {
		return nil, false
	}
	for _, r := range e.Brief.Reads {
		if !r.unchanged() {
			return nil, false
		}
	}
	for _, img := range e.Brief.Images {
		if img.pinned() {
			continue
		}
		d, err := l.resolve(ctx, img)
		if err != nil || d != img.Digest {
			return nil, false // lowering says what is wrong
		}
	}
	e.Brief.places = e.Places
	return e.Brief, true
}

func (l *Lowerer) resolve(ctx context.Context, img BaseImage) (digest.Digest, error) {
	if l.opts.Digest == nil {
		return "", errors.New("no way to ask for digests alone")
	}
	return l.opts.Digest(ctx, img.Ref, img.Digest)
}

func (l *Lowerer) remember(key string, b *Brief) {
	if l.memo == nil || b.Foreign != "" {
		return
	}
	data, err := json.Marshal(memoEntry{b, b.places})
	if err == nil {
		l.memo.Store(key, data)
	}
}

// WarningPlace is where the i-th warning was found.
func (b *Brief) WarningPlace(i int) Place {
	if i >= len(b.places) {
		return Place{}
	}
	return b.places[i]
}

// Result lowers a target wholly, and what it needs. It is nil without an error
// if the target stands on one that only the engine can lower and has not yet
// (see [Result.Adopt]).
func (l *Lowerer) Result(ctx context.Context, name string) (*Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.result(ctx, name)
}

func (l *Lowerer) result(ctx context.Context, name string) (*Result, error) {
	if o, ok := l.results[name]; ok {
		return o.res, o.err
	}
	t := l.targets[name]
	parents := map[string]*Result{}
	for _, id := range t.Needs {
		p, err := l.result(ctx, string(id))
		if err != nil {
			return nil, &NeedError{name, string(id)}
		}
		if p == nil || p.Foreign != "" && len(p.Platforms) == 0 {
			if standsOn(t, string(id)) {
				return nil, nil
			}
			continue // it is only built before
		}
		parents[string(id)] = p
	}
	res, err := Lower(ctx, t, parents, l.opts)
	l.results[name] = &outcome{res, err}
	return res, err
}

// standsOn reports whether t is made of another target and not just built after it.
func standsOn(t *config.Target, need string) bool {
	contexts := t.Contexts
	if t.Steps != nil {
		contexts = merge(contexts, t.Steps.Contexts)
	}
	for _, v := range contexts {
		if v == "target:"+need {
			return true
		}
	}
	return false
}

// A ChangedError says that what a target is lowered from was changed after its
// brief was made.
type ChangedError struct {
	Target string
	What   string // a file or an image; "" if it can not be told
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("what target %q is made from was changed meanwhile: %s", e.Target, cmp.Or(e.What, "an image"))
}

// Agree checks that the target's LLB is what its brief tells, which may have
// been made of older files or by an earlier run. Its error is a *ChangedError.
func (l *Lowerer) Agree(ctx context.Context, name string) error {
	b, err := l.Brief(name)
	if err != nil || b.Foreign != "" {
		return err
	}
	r, err := l.Result(ctx, name)
	if err != nil || r == nil {
		return err
	}
	shape, _, err := shapeOf(r)
	if err != nil || shape == b.Shape {
		return err
	}
	changed := &ChangedError{Target: name}
	for _, read := range b.Reads {
		if !read.unchanged() {
			changed.What = rel(l.opts.Dir, read.Path)
		}
	}
	return changed
}

// Renew forgets what was lowered before the generation of one of its directories
// changed. It is called when the content of all Locals has been looked at.
func (l *Lowerer) Renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, o := range l.results {
		if o.res != nil && o.res.outdated(l.opts) {
			delete(l.results, name)
		}
	}
}

// Adopt puts the engine's answer for a target that only it can lower into the
// target's result.
func (l *Lowerer) Adopt(name string, adopt func(*Result) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.results[name]
	if !ok || o.res == nil {
		return fmt.Errorf("target %q has not been lowered", name)
	}
	return adopt(o.res)
}
