package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/delivery"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/registry"
)

// planFlags are the flags by which a user overrules the plan.
type planFlags struct {
	force        bool
	maxAge       time.Duration
	refreshBases bool
	verify       bool
	cache        sharedOptions
	inEngine     bool // the engine's front end has to read all Dockerfiles
}

func (o *planFlags) flags(f *pflag.FlagSet) {
	f.BoolVar(&o.force, "force", false, "solve what was asked for even if nothing has changed")
	f.Var((*ageFlag)(&o.maxAge), "max-age", "solve what was built longer ago than this `age`: 12h, 7d, 2w")
	f.BoolVar(&o.refreshBases, "refresh-bases", false, "fail if a registry can not say what a base image is now, instead of taking it as it was")
	o.cache.flags(f)
	f.BoolVar(&o.verify, "verify", false, "read every file again, whatever its size and times say")
}

// A planning is all that a plan is made with. Opening one asks no engine unless
// it must.
type planning struct {
	app  *app
	cfg  *config.Config
	sel  *config.Selection
	opts planFlags

	engineOptions func(*engine.Options) // what the command asks of the engine; may be nil
	kind          engine.Kind
	address       string
	engine        *engine.Engine // nil until it is needed

	files    *files.Cache
	memo     *cache.Memo
	index    *planIndex
	shared   *cache.Shared // layers in a registry; nil if none are shared
	places   *delivery.Places
	client   *registry.Client
	bases    *registry.Resolver
	lowerer  *lower.Lowerer
	policy   *spb.Policy // of the environment, nil if there is none
	signed   bool        // the environment wants Docker's images to be signed
	runID    string
	tell     atomic.Pointer[func(error)] // where warnings go while progress is shown
	workers  []gwclient.WorkerInfo
	unsaved  sync.Once         // the warning that nothing could be kept
	offline  sync.Map          // references that were taken as they were
	haste    registry.Patience // with base images of which is known what they were
	probing  registry.Patience // with layer caches
	askMu    sync.Mutex
	ask      *buildkit.Resolver // through the engine
	fromHere bool               // base images are resolved by this process
}

// userCache is a directory of this user's cache, "" if there is none.
func (a *app) userCache(name string) string {
	dir := index.DefaultDir(a.lookupEnv)
	if dir == "" {
		return ""
	}
	return filepath.Join(filepath.Dir(dir), name)
}

// newPlanning opens what a plan of sel is made with.
func (a *app) newPlanning(ctx context.Context, cfg *config.Config, sel *config.Selection, opts planFlags, eng func(*engine.Options)) (*planning, error) {
	p := &planning{app: a, cfg: cfg, sel: sel, opts: opts, engineOptions: eng, runID: newID(), haste: registry.Patience{Answer: patience}, probing: registry.Patience{Answer: patience}}
	settings, err := a.registries()
	if err != nil {
		return nil, err
	}
	keys := registry.NewKeychain(a.lookupEnv)
	p.client = registry.NewClient(settings, keys)
	p.bases = registry.NewResolver(settings, keys)
	a.onClose(func() error { p.client.Close(); p.bases.Close(); return nil })
	p.files = files.Open(a.userCache("files"), files.Options{Verify: opts.verify, Warn: a.warn})
	sum := sha256.Sum256([]byte(cfg.Dir))
	if dir := a.userCache("memo"); dir != "" {
		p.memo = cache.OpenMemo(filepath.Join(dir, hex.EncodeToString(sum[:8])))
	} else {
		p.memo = cache.OpenMemo("")
	}
	a.onClose(p.save)
	if p.policy, err = buildkit.SourcePolicy(a.lookupEnv); err != nil {
		return nil, withStatus(exitUsage, err)
	}
	p.signed = buildkit.SignedImages(a.lookupEnv)
	p.index = newPlanIndex(a, cfg.Dir)
	if err := p.openShared(&p.opts.cache); err != nil {
		return nil, err
	}
	if err := p.expectEngine(ctx); err != nil {
		return nil, err
	}
	p.lowerer = lower.NewLowerer(ctx, sel.Targets, p.memo, p.lowerOptions())
	return p, p.openPlaces()
}

// warn tells what a person should know, beside a progress screen if there is one.
func (p *planning) warn(err error) {
	if tell := p.tell.Load(); tell != nil {
		(*tell)(err)
		return
	}
	p.app.warn(err)
}

// save keeps what the next command need not find out again. That it can not be
// kept is no failure.
func (p *planning) save() error {
	for _, err := range []error{p.files.Save(), p.memo.Save()} {
		if err != nil {
			p.unsaved.Do(func() { p.app.warn(fmt.Errorf("the next command will be slower: %w", err)) })
		}
	}
	return nil
}

// expectEngine finds out which engine it will be and what it can run, from a
// former command if possible.
func (p *planning) expectEngine(ctx context.Context) error {
	opts, err := p.app.engineOptions()
	if err != nil {
		return err
	}
	var ok bool
	p.kind, p.address, ok = engine.Expected(opts)
	if ok && p.kind == engine.KindEmbedded {
		p.fromHere = true
		return nil // it runs what this machine runs
	}
	if ok && p.kind == engine.KindRemote {
		if data, found := p.memo.Load("engine " + p.address); found && json.Unmarshal(data, &p.workers) == nil {
			p.fromHere = true
			return nil
		}
	}
	return p.openEngine(ctx)
}

// openEngine connects to the engine if that has not been done.
func (p *planning) openEngine(ctx context.Context) error {
	if p.engine != nil {
		return nil
	}
	e, err := p.app.openEngine(ctx, p.engineOptions)
	if err != nil {
		return err
	}
	p.engine, p.kind = e, e.Kind()
	workers := workersOf(e)
	if p.kind == engine.KindRemote && p.address != "" {
		was := p.workers
		p.workers = workers
		p.fromHere = true
		if data, err := json.Marshal(workers); err == nil {
			p.memo.Store("engine "+p.address, data)
		}
		if was != nil && !sameDefault(was, workers) {
			if err := p.memo.Save(); err != nil {
				return err
			}
			return errReplan
		}
		return nil
	}
	if p.kind == engine.KindDocker {
		p.workers = workers
	} else {
		p.fromHere = true
	}
	return nil
}

// errReplan says that the engine is not what it was when the plan was made: its
// address leads to a machine of another platform. The next plan knows.
var errReplan = errors.New("the engine runs another platform than it did; run the command again")

func workersOf(e *engine.Engine) []gwclient.WorkerInfo {
	var out []gwclient.WorkerInfo
	for _, w := range e.Workers() {
		out = append(out, gwclient.WorkerInfo{ID: w.ID, Labels: w.Labels, Platforms: w.Platforms})
	}
	return out
}

// sameDefault reports whether what is built without naming a platform is the
// same for both.
func sameDefault(a, b []gwclient.WorkerInfo) bool {
	first := func(list []gwclient.WorkerInfo) ocispec.Platform {
		if len(list) == 0 || len(list[0].Platforms) == 0 {
			return ocispec.Platform{}
		}
		return list[0].Platforms[0]
	}
	x, y := first(a), first(b)
	return x.OS == y.OS && x.Architecture == y.Architecture && x.Variant == y.Variant
}

func (p *planning) lowerOptions() lower.Options {
	return lower.Options{
		Dir: p.cfg.Dir, RunID: p.runID, Workers: p.workers,
		Foreign: buildkit.Bound(p.cfg.Dir, p.policy, p.signed), Resolver: &baseResolver{p}, Digest: p.baseDigest, Generation: p.files.Generation,
		InEngine: p.opts.inEngine,
	}
}

func (p *planning) openPlaces() error {
	p.places = &delivery.Places{
		Dir: p.cfg.Dir, Project: p.cfg.Dir, Registry: p.client, Blob: p.index.Tree,
		Patience: &registry.Patience{Answer: patience, Limits: true},
	}
	if p.engine != nil && p.engine.Docker() != nil {
		p.places.Docker = p.engine.Docker()
		return nil
	}
	s, err := p.app.store()
	p.places.Store = s
	return err
}

// planner makes the plan.
func (p *planning) planner() *plan.Planner {
	planner := &plan.Planner{
		Dir: p.cfg.Dir, Graph: p.sel.Graph, Targets: p.sel.Targets,
		Lowerer: p.lowerer, Files: p.files, Index: p.index, Deliveries: p.places,
		Memo: p.memo, MaxAge: p.opts.maxAge, Now: time.Now(),
	}
	if p.opts.force {
		planner.Force = "--force"
	}
	return planner
}

// patience is how long a registry may keep a plan waiting that can do without it,
// or that fails without it.
const patience = 3 * time.Second

// baseDigest asks what a base image is now. If its registry can not be reached,
// it is taken as it was, with a warning; a host of which that is known is not asked
// again.
func (p *planning) baseDigest(ctx context.Context, ref string, known digest.Digest) (digest.Digest, error) {
	if !p.fromHere {
		_, d, _, err := (&baseResolver{p}).ResolveImageConfig(ctx, ref, resolveOpt(nil))
		return d, err
	}
	asked, dispensable := ctx, known != "" && !p.opts.refreshBases
	if dispensable {
		asked = p.haste.Context(ctx)
	}
	d, err := p.bases.Digest(asked, ref)
	var e *registry.Error
	if err == nil || !dispensable || ctx.Err() != nil || !errors.As(err, &e) || !e.Unreachable() {
		return d, err
	}
	if _, told := p.offline.LoadOrStore(ref, true); !told {
		p.warn(fmt.Errorf("%s can not be reached; %s is taken as it was, %s", e.Host, ref, known))
	}
	return known, nil
}

// keeper is where images are kept, nil if that is Docker.
func (p *planning) keeper() *keeper {
	if p.places.Store == nil {
		return nil
	}
	return &keeper{p.places.Store, p.cfg.Dir}
}

// remember keeps a success for later plans. It never fails a build.
func (p *planning) remember(ctx context.Context, t *config.Target, pt *plan.Target, b *buildkit.Builder, made index.Entry) error {
	if pt.Unrecorded != "" || made.Run == "" {
		return nil
	}
	entry, detail, trees, err := p.entryOf(ctx, t, pt, b, made)
	if err != nil {
		return err
	}
	return p.index.put(ctx, entry, detail, trees)
}

// entryOf describes the success of a target that was solved.
func (p *planning) entryOf(ctx context.Context, t *config.Target, pt *plan.Target, b *buildkit.Builder, made index.Entry) (index.Entry, *index.Detail, [][]byte, error) {
	e := made
	e.Fingerprint, e.Project, e.Target = pt.Fingerprint, p.cfg.Dir, t.Name
	if desc := b.Image(t.Name); desc != nil {
		e.Digest, e.MediaType, e.Size = desc.Digest.String(), desc.MediaType, desc.Size
	}
	if had := pt.Last; e.Digest == "" && had != nil && had.Fingerprint == e.Fingerprint {
		// no image was exported this time; what was stays true
		e.Digest, e.MediaType, e.Size, e.Repositories = had.Digest, had.MediaType, had.Size, had.Repositories
	}
	e.Repositories = append(e.Repositories, p.places.Repositories(t)...)
	outputs, blobs, err := p.places.Record(ctx, t, b)
	if err != nil {
		return e, nil, nil, err
	}
	e.Outputs = outputs
	detail := &index.Detail{Inputs: append(pt.Inputs, pt.StepInputs(b.StepTime)...)}
	for key, value := range b.Response(t.Name) {
		detail.Inputs = append(detail.Inputs, index.Input{Kind: plan.KindResponse, Name: key, Value: value})
	}
	if rec, ok := b.Record(t.Name); ok {
		if detail.Record, err = json.Marshal(rec); err != nil {
			return e, nil, nil, err
		}
	}
	trees := blobs
	for _, tree := range pt.Trees {
		if len(tree.Own) > 0 && tree.Listing != nil {
			trees = append(trees, tree.Listing)
		}
	}
	return e, detail, trees, nil
}

// unchanged says which files were changed since the plan was made. Files that
// this run itself writes are no reason to stop: the result is not remembered.
func (p *planning) unchanged(ctx context.Context, pt *plan.Target) error {
	if err := p.lowerer.Agree(ctx, pt.Name); err != nil {
		if changed, ok := errors.AsType[*lower.ChangedError](err); ok {
			return &changedError{cmp.Or(changed.What, "an image"), 1}
		}
		return err
	}
	for _, tree := range pt.Trees {
		changed, written, err := p.files.Again(ctx, tree.Set, tree.Tree)
		if err != nil {
			return err
		}
		// What was written and is as it was may have been sent as it was in between.
		n := len(changed)
		for i, path := range append(changed, written...) {
			if !tree.Counts(path) {
				continue
			}
			full := filepath.Join(tree.Set.Dir, filepath.FromSlash(path))
			if fi, err := os.Lstat(full); err == nil && fi.IsDir() && i >= n {
				pt.Unrecorded = "a file came and went meanwhile"
				continue
			}
			if p.places.Writes(p.sel.Targets, full) {
				pt.Unrecorded = "it reads what this run writes"
				continue
			}
			return &changedError{p.relative(full), max(n, 1)}
		}
	}
	return nil
}

func (p *planning) relative(path string) string {
	if rel, err := filepath.Rel(p.cfg.Dir, path); err == nil {
		return rel
	}
	return path
}

// A changedError says that files were changed while a target was built of them.
type changedError struct {
	path string
	n    int
}

func (e *changedError) Error() string {
	more := ""
	if e.n > 1 {
		more = fmt.Sprintf(" and %d more", e.n-1)
	}
	return fmt.Sprintf("changed during build: %s%s; nothing was exported, run the command again", e.path, more)
}
