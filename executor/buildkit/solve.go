package buildkit

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/exporter"
	"github.com/moby/buildkit/session/exporter/exporterprovider"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/staticfs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
)

// Solve builds one target in one gateway session: its platforms are solved and
// evaluated, then ready is called, then BuildKit exports.
func (b *Builder) Solve(ctx context.Context, id graph.ID, ready func() error) (executor.TargetResult, error) {
	t := b.targets[string(id)]
	r, err := b.loweredNow(ctx, t)
	if err != nil {
		return b.failed(t, nil, err)
	}
	s := &solve{b: b, t: t, r: r, plan: b.plans[t.Name], ready: ready}
	if err := s.takeImages(); err != nil {
		return b.failed(t, r, err)
	}
	s.findCaches(ctx)
	resp, err := s.run(ctx)
	if err != nil && (len(s.imports) == 0 || s.namesImage(err.Error())) {
		resp, err = s.withoutImages(ctx, err)
	}
	if err != nil {
		resp, err = s.retry(ctx, err)
	}
	if err != nil {
		resp, err = s.withoutImages(ctx, err)
	}
	if err != nil {
		for _, abort := range s.plan.exports.abort {
			abort()
		}
		if s.held != nil {
			return executor.TargetResult{}, s.held
		}
		return b.failed(t, s.r, err)
	}
	if s.ref != "" {
		told, err := b.provenance(ctx, s.ref)
		if err != nil {
			s.warn("its provenance is not told: %v", err)
		}
		if resp.ExporterResponse == nil {
			resp.ExporterResponse = map[string]string{}
		}
		maps.Copy(resp.ExporterResponse, told)
	}
	b.mu.Lock()
	b.responses[t.Name], b.took[t.Name] = resp.ExporterResponse, s.images
	b.mu.Unlock()
	res, err := s.result(ctx, resp)
	if err == nil {
		s.exportCache(ctx)
	}
	return res, err
}

// loweredNow lowers t if that had to wait for the engine's answer to a parent.
func (b *Builder) loweredNow(ctx context.Context, t *config.Target) (*lower.Result, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.lowered[t.Name]; ok {
		return r, nil
	}
	if err := b.lower(ctx, t); err != nil {
		return nil, err
	}
	r, ok := b.lowered[t.Name]
	if !ok {
		return nil, fmt.Errorf("a target that %q needs has no result", t.Name)
	}
	return r, nil
}

// A solve is one target under way.
type solve struct {
	b     *Builder
	t     *config.Target
	r     *lower.Result
	sent  *lower.Result // r as it is sent: with images in the place of needed targets
	plan  *target
	ready func() error
	held  error // why nothing may be exported
	told  bool  // ready was called

	ref    string            // under which the engine keeps a record; "" if nobody wants it
	images map[string]string // that are in the place of needed targets, by target

	imports []client.CacheOptionsEntry // caches to read
	shared  []client.CacheOptionsEntry // those of them that the cache block stands for
	anew    bool                       // no step is taken from a cache

	layers map[string][]engine.Layer // by platform, if the engine told

	mu    sync.Mutex
	noted []engine.Layer // of the only platform, from an engine that tells less
}

func (s *solve) run(ctx context.Context) (*client.SolveResponse, error) {
	mounts, err := s.mounts()
	if err != nil {
		return nil, err
	}
	opt := client.SolveOpt{
		Exports:             s.plan.exports.entries,
		LocalMounts:         mounts,
		OCIStores:           maps.Clone(s.r.Stores),
		SharedKey:           s.sharedKey(),
		CacheImports:        s.imports,
		CacheExports:        s.plan.cacheTo,
		Session:             append([]session.Attachable(nil), s.plan.session...),
		AllowedEntitlements: s.b.Entitlements,
		SourcePolicy:        s.b.SourcePolicy,
		FrontendAttrs:       map[string]string{},
		Internal:            !s.r.InEngine() && s.b.Docker == nil,
	}
	if s.b.Provenance.Wanted() {
		s.ref = identity.NewID()
		opt.Ref = s.ref
	}
	for k, v := range s.r.Request.Attrs {
		if strings.HasPrefix(k, "attest:") || k == "build-arg:SOURCE_DATE_EPOCH" || k == "platform" {
			opt.FrontendAttrs[k] = v
		}
	}
	switch {
	case s.plan.exports.hasImage || s.b.Docker != nil: // the manifest tells all
	case s.b.Layers:
		opt.Exports = append(slices.Clone(opt.Exports), client.ExportEntry{Type: engine.LayersExporter})
	default:
		opt.EnableSessionExporter = true
		opt.Session = append(opt.Session, exporterprovider.New(s.noteRefs))
	}
	if j := s.plan.judge; j != nil {
		end, err := j.attach(ctx, &opt)
		if err != nil {
			return nil, err
		}
		defer end()
	}
	status := make(chan *client.SolveStatus, 16)
	var group errgroup.Group
	group.Go(func() error {
		for st := range status {
			s.b.tracker.update(s.t.Name, st)
		}
		return nil
	})
	resp, err := s.b.Client.Build(ctx, opt, "strata", s.build, status)
	return resp, errors.Join(err, group.Wait())
}

// sharedKey is part of the name of the engine's copies of directories. Those that
// were lowered here have the directory and its generation in their own names; the
// engine's front end calls all directories alike.
func (s *solve) sharedKey() string {
	if !s.r.InEngine() {
		return sharedKey
	}
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.r.Request.Locals)) {
		dir := s.r.Request.Locals[name]
		fmt.Fprintf(h, "%q %q", name, dir)
		if s.b.Lower.Generation != nil {
			fmt.Fprintf(h, " %s", s.b.Lower.Generation(dir))
		}
	}
	return sharedKey + "-" + hex.EncodeToString(h.Sum(nil)[:8])
}

// sharedKey is the part that all solves have in common.
const sharedKey = "strata"

// noteRefs learns the size of the result's layers and asks for no further
// export. It has to ask now, while the engine holds the result: a record that
// nobody holds and nothing is built on is not listed under its own name.
func (s *solve) noteRefs(ctx context.Context, _ map[string][]byte, refs []string) ([]*exporter.ExporterRequest, error) {
	if len(refs) != 1 || len(s.r.Platforms) > 1 {
		return nil, nil // the order of several is not told
	}
	layers := s.b.usage.of(ctx, refs[0])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted = layers
	return nil, nil
}

// mounts are the directories the engine may read.
func (s *solve) mounts() (map[string]fsutil.FS, error) {
	if !s.r.InEngine() {
		return mountsOf(s.r.Locals, nil)
	}
	dirs := maps.Clone(s.r.Locals)
	maps.Copy(dirs, s.r.Request.Locals)
	return mountsOf(dirs, &s.r.Request)
}

// mountsOf opens directories, and the Dockerfile of a request that has it as text.
func mountsOf(dirs map[string]string, req *lower.Request) (map[string]fsutil.FS, error) {
	out := map[string]fsutil.FS{}
	for name, dir := range dirs {
		f, err := fsutil.NewFS(dir)
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", dir, err)
		}
		out[name] = f
	}
	if req != nil && req.Dockerfile != nil {
		f := staticfs.NewFS()
		f.Add(req.Attrs["filename"], &fstypes.Stat{Mode: 0o644}, req.Dockerfile)
		out["dockerfile"] = f
	}
	return out, nil
}

// build runs inside the gateway session.
func (s *solve) build(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
	if j := s.plan.judge; j != nil {
		if err := j.asked(gw); err != nil {
			return nil, err
		}
	}
	var res *gwclient.Result
	var err error
	if s.r.InEngine() {
		res, err = s.frontend(ctx, gw)
	} else {
		res, err = s.definitions(ctx, gw)
	}
	if err != nil {
		return nil, err
	}
	if err := evaluate(ctx, res); err != nil {
		return nil, err
	}
	if s.r.Foreign != "" && !s.told {
		if err := s.adopt(res); err != nil {
			return nil, err
		}
	}
	if s.b.Unchanged != nil {
		if err := s.b.Unchanged(ctx, s.t.Name); err != nil {
			s.held = err
			return nil, err
		}
	}
	if !s.told { // by a solve that failed afterwards
		s.told = true
		s.held = s.ready()
	}
	if s.held != nil {
		return nil, s.held
	}
	return res, nil
}

// evaluate waits until every platform's result exists.
func evaluate(ctx context.Context, res *gwclient.Result) error {
	g, ctx := errgroup.WithContext(ctx)
	_ = res.EachRef(func(ref gwclient.Reference) error {
		g.Go(func() error { return ref.Evaluate(ctx) })
		return nil
	})
	return g.Wait()
}

// definitions solves what was lowered here.
func (s *solve) definitions(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
	imports, err := cacheImports(gw)
	if err != nil {
		return nil, err
	}
	out := gwclient.NewResult()
	for k, v := range s.r.Metadata {
		out.AddMeta(k, v)
	}
	refs := make([]gwclient.Reference, len(s.sent.Platforms))
	g, gctx := errgroup.WithContext(ctx)
	for i, p := range s.sent.Platforms {
		g.Go(func() error {
			var err error
			def := p.Def
			if s.anew {
				def = marked(def, true)
			}
			refs[i], err = solveDef(gctx, gw, def, imports)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, p := range s.r.Platforms {
		if !s.r.Multi {
			out.SetRef(refs[i])
			break
		}
		out.AddRef(p.ID, refs[i])
	}
	for id, list := range s.sent.Attestations {
		for _, a := range list {
			att := a.Attestation
			if a.Def != nil {
				if att.Ref, err = solveDef(ctx, gw, a.Def, nil); err != nil {
					return nil, err
				}
			}
			out.AddAttestation(id, att)
		}
	}
	return out, nil
}

// cacheImports are the imports as the client has completed them.
func cacheImports(gw gwclient.Client) ([]gwclient.CacheOptionsEntry, error) {
	text := gw.BuildOpts().Opts["cache-imports"]
	if text == "" {
		return nil, nil
	}
	var list []gwclient.CacheOptionsEntry
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("reading cache imports: %w", err)
	}
	return list, nil
}

// solveDef asks for one definition. The empty one is the empty image.
func solveDef(ctx context.Context, gw gwclient.Client, def *llb.Definition, imports []gwclient.CacheOptionsEntry) (gwclient.Reference, error) {
	if len(def.Def) == 0 {
		var err error
		if def, err = llb.Scratch().Marshal(ctx); err != nil {
			return nil, err
		}
	}
	res, err := gw.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), CacheImports: imports})
	if err != nil {
		return nil, err
	}
	return res.Ref, nil
}

// frontend lets the engine's own front end read the target.
func (s *solve) frontend(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
	imports, err := cacheImports(gw)
	if err != nil {
		return nil, err
	}
	req := gwclient.SolveRequest{
		Frontend:     "dockerfile.v0",
		FrontendOpt:  s.r.Request.Attrs,
		CacheImports: imports,
	}
	if s.anew {
		req.FrontendOpt = maps.Clone(req.FrontendOpt)
		req.FrontendOpt["no-cache"] = "" // all stages
	}
	if s.r.Builtin != "" { // "you have been forwarded to": it is not fetched
		req.FrontendOpt = maps.Clone(req.FrontendOpt)
		req.FrontendOpt["cmdline"] = s.r.Builtin
	}
	if req.FrontendInputs, err = inputsOf(ctx, s.r.Request.Inputs); err != nil {
		return nil, err
	}
	return gw.Solve(ctx, req)
}

// inputsOf are the results of needed targets as a front end takes them.
func inputsOf(ctx context.Context, inputs map[string]llb.State) (map[string]*pb.Definition, error) {
	out := map[string]*pb.Definition{}
	for name, st := range inputs {
		def, err := st.Marshal(ctx)
		if err != nil {
			return nil, err
		}
		out[name] = def.ToPB()
	}
	return out, nil
}

// adopt learns from the engine's answer what could not be lowered here, so that
// targets which need this one can stand on it.
func (s *solve) adopt(res *gwclient.Result) error {
	plats, err := exptypes.ParsePlatforms(res.Metadata)
	if err != nil {
		return err
	}
	var out []lower.Platform
	for _, p := range plats.Platforms {
		ref, key := res.Ref, exptypes.ExporterImageConfigKey
		if res.Ref == nil {
			ref, key = res.Refs[p.ID], key+"/"+p.ID
		}
		one := lower.Platform{ID: p.ID, Platform: p.Platform, Config: res.Metadata[key], Def: &llb.Definition{}}
		if ref != nil {
			st, err := ref.ToState()
			if err != nil {
				return err
			}
			if one.Def, err = st.Marshal(context.Background()); err != nil {
				return err
			}
		}
		out = append(out, one)
	}
	return s.b.Lowerer.Adopt(s.t.Name, func(r *lower.Result) error {
		return r.Adopt(out, res.Ref == nil, res.Metadata, s.b.Lower)
	})
}

// result finishes the exports and reads what was made.
func (s *solve) result(ctx context.Context, resp *client.SolveResponse) (executor.TargetResult, error) {
	res := executor.TargetResult{Target: s.t.Name, State: executor.Cached, Size: -1, Tags: s.t.Tags}
	res.Steps, res.Ran = s.b.tracker.ran(s.t.Name)
	if res.Ran > 0 {
		res.State = executor.Built
	}
	desc, err := descriptor(resp)
	if err != nil {
		return res, err
	}
	if s.layers, err = engine.ParseLayers(resp.ExporterResponse); err != nil {
		return res, err
	}
	for _, finish := range s.plan.exports.finish {
		said, err := finish(ctx, desc)
		if err != nil {
			return res, err
		}
		if said != "" {
			res.Outputs = append(res.Outputs, said)
		}
	}
	if desc != nil {
		res.Digest = desc.Digest.String()
	}
	s.record(ctx, desc, &res)
	return res, nil
}

func descriptor(resp *client.SolveResponse) (*ocispec.Descriptor, error) {
	text := resp.ExporterResponse[exptypes.ExporterImageDescriptorKey]
	if text == "" {
		return nil, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("reading the engine's image descriptor: %w", err)
	}
	desc := &ocispec.Descriptor{}
	if err := json.Unmarshal(raw, desc); err != nil {
		return nil, fmt.Errorf("reading the engine's image descriptor: %w", err)
	}
	return desc, nil
}

// contents are where the blobs of a result may be read: here if they were kept
// here, else in the engine.
func (s *solve) contents() []content.Provider {
	var out []content.Provider
	for _, e := range s.plan.exports.entries {
		if e.OutputStore != nil {
			out = append(out, e.OutputStore)
		}
	}
	return append(out, engineContent(s.b.Client))
}

// now is the time of a record.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }
