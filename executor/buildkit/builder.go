// Package buildkit is the one adapter between the executor and a BuildKit
// daemon: it sends lowered targets, follows their status and reads results.
//
// It decides nothing about order; package executor does.
package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/session"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/policy"
)

// A Builder builds the targets of one run on one engine.
// Set the exported fields, call Prepare, then hand it to executor.Run.
type Builder struct {
	Client       *client.Client
	Address      string // of the engine, for errors
	Docker       Loader // not nil if the engine is a Docker Engine
	DockerPushes bool   // that Docker Engine has the containerd image store
	Layers       bool   // the engine has engine.LayersExporter
	Keep         Keeper
	Auth         func() session.Attachable // registry logins, asked for by the engine
	LookupEnv    func(string) (string, bool)
	Stdout       io.Writer                  // for outputs with dest=-
	Entitlements []string                   // granted to all targets
	Command      func(target string) string // how to build one target again
	BuildFile    func(name string) []byte   // the text of a build file, nil if it is none
	Lowerer      *lower.Lowerer
	Lower        lower.Options // those of Lowerer
	// Unchanged is asked before anything of a target is exported: its error
	// says that files were changed since they were looked at. It may be nil.
	Unchanged    func(ctx context.Context, target string) error
	SourcePolicy *spb.Policy // what sources may be read, and as what; nil is all
	SignedImages bool        // images of Docker's own have to be signed
	Trust        string      // directory where roots of trust for signatures are kept
	Run          string      // id of the run, in records
	Emit         func(executor.Event)
	Cache        *cache.Shared // layers of earlier builds in a registry; may be nil
	Provenance   Provenance    // what is told of how targets were made; "" is nothing

	targets map[string]*config.Target // those to solve
	needed  map[string]*config.Target // those that go into them without being solved
	plans   map[string]*target
	tracker *tracker

	mu        sync.Mutex
	lowered   map[string]*lower.Result
	records   map[string]*history.Record
	responses map[string]map[string]string // what the exporters said, by target
	usage     *usage
	images    *lower.StandIns              // in the place of needed targets
	onImage   map[string]bool              // targets that stand on one of them, as far as it was asked
	took      map[string]map[string]string // which were there when a target was solved
	trust     func() (policy.Verifier, error)
}

// A target is one target made ready before anything starts.
type target struct {
	exports *exports
	session []session.Attachable
	judge   *judge // nil if no policy binds it
	imports []client.CacheOptionsEntry
	cacheTo []client.CacheOptionsEntry
}

// Prepare lowers targets, which are those to solve, and checks everything that can be checked before
// a build starts: Dockerfiles, contexts, outputs, secrets, caches, platforms.
// All problems are joined. Targets come in graph order.
func (b *Builder) Prepare(ctx context.Context, targets []*config.Target) error {
	b.targets = map[string]*config.Target{}
	b.plans = map[string]*target{}
	b.needed = map[string]*config.Target{}
	b.lowered = map[string]*lower.Result{}
	b.records = map[string]*history.Record{}
	b.responses = map[string]map[string]string{}
	b.took = map[string]map[string]string{}
	b.usage = &usage{client: b.Client}
	b.tracker = newTracker(b.Emit)
	b.trust = sync.OnceValues(func() (policy.Verifier, error) { return policy.NewVerifier(b.Trust) })
	var errs []error
	if b.Lowerer == nil {
		b.Lower.Foreign = Bound(b.Lower.Dir, b.SourcePolicy, b.SignedImages)
		b.Lowerer = lower.NewLowerer(ctx, targets, nil, b.Lower)
	}
	for _, t := range targets {
		b.targets[t.Name] = t
		if err := b.prepare(ctx, t); err != nil {
			errs = append(errs, err)
		}
		if err := b.lower(ctx, t); err != nil {
			errs = append(errs, err)
		}
	}
	for _, t := range targets {
		b.hide(ctx, t.Needs)
	}
	b.shareLayers()
	return errors.Join(errs...)
}

// shareLayers notes which layers the images of all targets have.
func (b *Builder) shareLayers() {
	for _, name := range b.Lowerer.Targets() {
		brief, err := b.Lowerer.Brief(name)
		if err != nil {
			continue
		}
		b.tracker.addLayers(name, brief.Layers)
		if r := b.lowered[name]; r != nil {
			b.tracker.nameLayers(r, brief.Layers)
		}
	}
}

// hide introduces the targets that go into others without being solved.
func (b *Builder) hide(ctx context.Context, needs []graph.ID) {
	for _, id := range needs {
		name := string(id)
		if b.targets[name] != nil || b.needed[name] != nil {
			continue
		}
		t := b.Lowerer.Target(name)
		b.needed[name] = t
		if r, err := b.Lowerer.Result(ctx, name); err == nil && r != nil {
			b.lowered[name] = r
			b.tracker.addHidden(r)
			b.hide(ctx, t.Needs)
		}
	}
}

func (b *Builder) prepare(ctx context.Context, t *config.Target) error {
	p := &target{}
	b.plans[t.Name] = p
	var errs [5]error
	p.exports, errs[0] = b.exportsOf(t)
	p.session, errs[1] = b.attachables(t)
	p.imports, errs[2] = cache.Imports(t)
	p.cacheTo, errs[3] = cache.Exports(t)
	p.judge, errs[4] = b.judgeOf(ctx, t, p)
	return errors.Join(errs[:]...)
}

// lower lowers t if all it needs is lowered. One that stands on a target which
// only the engine can lower is left for later; one that stands on a broken
// target is left alone.
func (b *Builder) lower(ctx context.Context, t *config.Target) error {
	r, err := b.Lowerer.Result(ctx, t.Name)
	if _, follows := errors.AsType[*lower.NeedError](err); follows {
		return nil
	}
	if err != nil || r == nil {
		return err
	}
	if plat, line, found := r.Unsupported(b.Lower.Workers); found {
		return r.Source.Error(t.Name, line, line, fmt.Errorf(
			"this step runs on %s, which the engine cannot execute; install emulation (binfmt_misc with qemu) on it, or run the step on the build platform with FROM --platform=$BUILDPLATFORM", plat))
	}
	b.lowered[t.Name] = r
	b.tracker.add(r)
	return nil
}

// Lowered returns what is known of a target before it is built, nil if only
// the engine can tell.
func (b *Builder) Lowered(name string) *lower.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lowered[name]
}

// StepTime is how long the step with this vertex digest ran, 0 if it did not.
func (b *Builder) StepTime(step digest.Digest) time.Duration {
	k, ok := b.tracker.find(step)
	if !ok || k.state != executor.Built {
		return 0
	}
	return k.completed.Sub(k.started)
}

// Image is the manifest or index that was made of a target, nil if none was.
func (b *Builder) Image(target string) *ocispec.Descriptor {
	b.mu.Lock()
	defer b.mu.Unlock()
	desc, err := descriptor(&client.SolveResponse{ExporterResponse: b.responses[target]})
	if err != nil {
		return nil
	}
	return desc
}

// Response is what the exporters said of a target.
func (b *Builder) Response(target string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.responses[target]
}

// Written are the files that the output o of a target wrote, from its place;
// nil if it is not a directory.
func (b *Builder) Written(target string, o config.Output) []string {
	if p := b.plans[target]; p != nil {
		return p.exports.written[o.Type+" "+o.Dest]
	}
	return nil
}

// Record is the layer history of a target that was built. The caller must not
// change it.
func (b *Builder) Record(target string) (*history.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rec, ok := b.records[target]
	return rec, ok
}

// Metadata is what docker buildx writes to --metadata-file for a target: what
// the exporters said, with values that are JSON decoded.
func Metadata(run string, t *config.Target, response map[string]string) map[string]any {
	entry := map[string]any{"buildx.build.ref": run + "/" + t.Name}
	for k, v := range response {
		if strings.HasPrefix(k, engine.LayersExporter) {
			continue
		}
		entry[k] = decoded(v)
	}
	if _, made := entry["containerimage.digest"]; made && entry["image.name"] == nil && len(t.Tags) > 0 {
		entry["image.name"] = strings.Join(t.Tags, ",")
	}
	return entry
}

// decoded is v, or the JSON that v holds in base64.
func decoded(v string) any {
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil || !json.Valid(raw) || len(raw) == 0 || raw[0] != '{' {
		return v
	}
	return json.RawMessage(raw)
}
