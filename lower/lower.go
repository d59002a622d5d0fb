// Package lower turns one target into LLB without asking a daemon.
//
// It runs the parts of BuildKit's own Dockerfile front end in this process
// against a gateway client whose files come from disk and whose image configs come from a
// resolver, and records the definition that the front end would have sent. What
// it knows of a target is therefore exactly what the daemon would know.
//
// A target that the front end in this process cannot read (a front end named by
// # syntax=, a git or http context) is returned with Foreign set; the engine's
// gateway has to lower it. This package never talks to an engine.
package lower

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/solver/result"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
)

// Options are what all targets of a run share.
type Options struct {
	Dir      string                           // directory that relative paths start from, absolute
	Resolver sourceresolver.ImageMetaResolver // base images, each asked for once per run
	Workers  []gwclient.WorkerInfo            // the engine's platforms; the first is the default
	// Digest asks for the digest that an image reference has now; known is the
	// one it had before, which may be returned if nobody can be asked. It is
	// nil if there is no way that is cheaper than Resolver.
	Digest func(ctx context.Context, ref string, known digest.Digest) (digest.Digest, error)
	// Generation is a word that changes when the engine's copy of a directory
	// must not be updated but sent anew; nil if there is none.
	Generation func(dir string) string
	RunID      string // the same in all targets of a run, so that equal local sources are one vertex
	InEngine   bool   // the engine's front end reads every target too, see Request
	// Foreign says why a target is left to the engine though it could be lowered
	// here, "" if it is not; nil leaves none.
	Foreign func(*config.Target) string
}

// foreign is what Foreign says of t.
func (o Options) foreign(t *config.Target) string {
	if o.Foreign == nil {
		return ""
	}
	return o.Foreign(t)
}

// A Result is one target as the engine will see it.
type Result struct {
	Target  string
	Request Request // what the front end was told

	// Foreign says, for people, why only the engine can lower this target; all
	// below is empty then.
	Foreign string
	// Frontend is the image that will read the Dockerfile, if it names one that
	// this process does not stand for.
	Frontend string

	// Builtin is the front end that the Dockerfile names and that the one in
	// this process stands for; an engine's need not fetch it either.
	Builtin string

	Platforms    []Platform // in the order asked for; one unless several were
	Multi        bool       // the result is an index even with one platform
	Metadata     map[string][]byte
	Attestations map[string][]Attestation // by platform ID, as the front end gave them
	Warnings     []Warning
	Images       map[string]digest.Digest // base images by reference as resolved
	Source       *Source                  // the Dockerfile that was read

	Locals map[string]string        // local name -> absolute directory, parents' included
	Stores map[string]content.Store // OCI layout stores by id, parents' included

	reads       []Read            // files that were read to lower it
	asked       []BaseImage       // images that were asked for
	files       imageFiles        // of them, parents' included
	generations map[string]string // Options.Generation of the directories, then

	vertices atomic.Pointer[map[digest.Digest]vertex] // see index
}

// clone is r with platforms of its own.
func (r *Result) clone() *Result {
	return &Result{
		Platforms:    slices.Clone(r.Platforms),
		Target:       r.Target,
		Request:      r.Request,
		Foreign:      r.Foreign,
		Frontend:     r.Frontend,
		Builtin:      r.Builtin,
		Multi:        r.Multi,
		Metadata:     r.Metadata,
		Attestations: r.Attestations,
		Warnings:     r.Warnings,
		Images:       r.Images,
		Source:       r.Source,
		Locals:       r.Locals,
		Stores:       r.Stores,
		reads:        r.reads,
		asked:        r.asked,
		files:        r.files,
		generations:  r.generations,
	}
}

// A vertex is one of a definition, with what is said of it.
type vertex struct {
	op       []byte
	metadata *llb.OpMetadata // nil if there is none
}

// A Platform is one platform's part of a Result.
type Platform struct {
	ID       string // "linux/amd64"
	Platform ocispec.Platform
	Def      *llb.Definition
	Config   []byte // image config as JSON
	Steps    []Step // the target's own vertices, needs first
	History  []Entry
	Base     string // what the last stage starts from: image, "target:x", "scratch"

	metadata string // Config as the front end of a target that needs it is told it; "" as long as none is
}

// An Attestation is a statement the front end attached, with its definition.
type Attestation struct {
	result.Attestation[gwclient.Reference]
	Def *llb.Definition
}

// A Step is one vertex of a target's own.
type Step struct {
	Digest   digest.Digest
	Number   int    // position among the numbered steps of all platforms, from 1; 0 for internal ones
	Name     string // "RUN go build ./..."
	Vertex   string // the front end's own name of it: "[build 2/4] RUN go build ./..."
	Source   bool   // reads an image, a repository or files; nothing runs
	Stage    string // "build", "" for the only stage
	Line     int    // line in the Dockerfile, 0 if none
	Internal bool   // "[internal] load build context"
	Platform string // set when there are several platforms
}

// An Entry is one line of the image's history, oldest first.
type Entry struct {
	CreatedBy string        // instruction as written, or the history text for base layers
	Line      int           // in the Dockerfile, 0 for base entries
	Empty     bool          // changes the config only
	Vertex    digest.Digest // what makes the layer; "" if empty or of the base image
	Layer     string        // the same in all targets that share the layer; "" if empty
	Number    int           // among the target's own entries, from 1; 0 for base entries
}

// A Warning is a lint finding of the front end.
type Warning struct {
	Line   int
	Text   string
	Detail string // what the rule is about, "" if that is not known
	URL    string
}

// errNeedsEngine is what the recording gateway answers to a question that only
// a daemon can answer.
var errNeedsEngine = errors.New("only the engine can read this source")

// Lower lowers t. parents holds the results of all t.Needs by target name; they
// may not be Foreign unless the engine's answer was put in (see [Result.Adopt]).
// Problems in a Dockerfile come back as *SourceError, all others as
// *graph.TargetError.
func Lower(ctx context.Context, t *config.Target, parents map[string]*Result, opts Options) (*Result, error) {
	req, err := newRequest(t, needs(parents), opts)
	if err != nil {
		return nil, err
	}
	return lowerRequest(ctx, req, opts)
}

// lowerRequest lowers what req asks for; all that it needs is lowered.
func lowerRequest(ctx context.Context, req *Request, opts Options) (*Result, error) {
	if err := req.attach(); err != nil {
		return nil, err
	}
	res := &Result{
		Target:  req.target.Name,
		Request: *req,
		Locals:  map[string]string{},
		Stores:  map[string]content.Store{},
		Images:  map[string]digest.Digest{},
		files:   imageFiles{},
	}
	req.collect(res)
	res.noteGenerations(opts)
	g := newGateway(req, opts)
	if req.foreign != "" {
		res.Foreign, res.Frontend = req.foreign, g.namedFrontend()
		return res, nil
	}
	if reason := opts.foreign(req.target); reason != "" {
		res.Foreign, res.Source, res.Frontend = reason, g.source(req), g.namedFrontend()
		if name := builtinSyntax(req.Attrs, res.Source); isBuiltin(name) {
			res.Builtin = name
		}
		return res, nil
	}
	out, err := runFrontend(ctx, g)
	res.Source = g.source(req)
	res.reads, res.asked = g.reads.list(), g.asked
	res.files.add(g.asked)
	if err != nil {
		if errors.Is(err, errNeedsEngine) {
			res.Foreign, res.Frontend = g.foreignReason(), g.frontend
			return res, nil
		}
		return nil, req.sourceError(err, res.Source)
	}
	req.pins = g.images
	res.Images, res.Builtin = g.images, builtinSyntax(req.Attrs, res.Source)
	res.Warnings = g.warnings
	if !req.InEngine {
		res.Request.Inputs = nil // they are in the definitions
	}
	return res, res.fill(out, req, opts)
}

// fill reads the front end's answer into r.
func (r *Result) fill(out *gwclient.Result, req *Request, opts Options) error {
	r.Metadata = out.Metadata
	refs := map[string]gwclient.Reference{}
	plats, err := exptypes.ParsePlatforms(out.Metadata)
	if err != nil {
		return fmt.Errorf("reading the platforms of target %q: %w", r.Target, err)
	}
	if out.Ref != nil {
		refs[plats.Platforms[0].ID] = out.Ref
	} else {
		r.Multi = true
		refs = out.Refs
	}
	for _, p := range plats.Platforms {
		one, err := r.platform(p, refs[p.ID], req, opts)
		if err != nil {
			return fmt.Errorf("lowering target %q for %s: %w", r.Target, p.ID, err)
		}
		r.Platforms = append(r.Platforms, one)
	}
	r.number()
	r.Attestations = map[string][]Attestation{}
	for id, list := range out.Attestations {
		for _, a := range list {
			att := Attestation{Attestation: a}
			if ref, ok := a.Ref.(*defRef); ok {
				if att.Def, err = rewrite(ref.def, req, opts); err != nil {
					return err
				}
			}
			r.Attestations[id] = append(r.Attestations[id], att)
		}
	}
	return nil
}

func (r *Result) platform(p exptypes.Platform, ref gwclient.Reference, req *Request, opts Options) (Platform, error) {
	one := Platform{ID: p.ID, Platform: p.Platform}
	key := exptypes.ExporterImageConfigKey
	baseKey := exptypes.ExporterImageBaseConfigKey
	if r.Multi {
		key, baseKey = key+"/"+p.ID, baseKey+"/"+p.ID
	}
	one.Config = r.Metadata[key]
	d, ok := ref.(*defRef)
	if !ok {
		return one, fmt.Errorf("the front end returned no definition")
	}
	def, err := rewrite(d.def, req, opts)
	if err != nil {
		return one, err
	}
	one.Def = def
	v, err := newVertices(def)
	if err != nil {
		return one, err
	}
	one.Steps = v.steps(req.parentVertices())
	if r.Multi && len(req.Platforms) > 1 {
		for i := range one.Steps {
			one.Steps[i].Platform = p.ID
		}
	}
	one.Base, one.History = r.history(v, one.Config, r.Metadata[baseKey], req)
	return one, nil
}

// number numbers the steps of all platforms in one sequence. A step that
// several platforms share has one number and no platform.
func (r *Result) number() {
	count := map[digest.Digest]int{}
	for _, p := range r.Platforms {
		for _, s := range p.Steps {
			count[s.Digest]++
		}
	}
	seen := map[digest.Digest]int{}
	n := 0
	for i := range r.Platforms {
		for j := range r.Platforms[i].Steps {
			s := &r.Platforms[i].Steps[j]
			if count[s.Digest] > 1 {
				s.Platform = ""
			}
			if s.Internal {
				continue
			}
			if had, ok := seen[s.Digest]; ok {
				s.Number = had
				continue
			}
			n++
			s.Number = n
			seen[s.Digest] = n
		}
	}
}

// StepCount is the number of the target's own numbered steps.
func (r *Result) StepCount() int {
	n := 0
	for _, p := range r.Platforms {
		for _, s := range p.Steps {
			n = max(n, s.Number)
		}
	}
	return n
}

// index finds all vertices of r, parents' included, by digest. It is made when it
// is first asked for and must not be changed.
func (r *Result) index() map[digest.Digest]vertex {
	if all := r.vertices.Load(); all != nil {
		return *all
	}
	all := map[digest.Digest]vertex{}
	for _, p := range r.Platforms {
		for _, dt := range p.Def.Def {
			d := digest.FromBytes(dt)
			v := vertex{op: dt}
			if md, ok := p.Def.Metadata[d]; ok {
				v.metadata = &md
			}
			all[d] = v
		}
	}
	r.vertices.Store(&all)
	return all
}

// Adopt puts the engine's answer for a Foreign target into r, so that targets
// that need it can be lowered on top of it.
func (r *Result) Adopt(plats []Platform, multi bool, meta map[string][]byte, opts Options) error {
	r.Multi = multi
	r.Metadata = meta
	r.vertices.Store(nil)
	for _, p := range plats {
		if p.Def != nil {
			def, err := rewrite(p.Def, &r.Request, opts)
			if err != nil {
				return err
			}
			p.Def = def
		}
		r.Platforms = append(r.Platforms, p)
	}
	return nil
}

// platformList are the platforms of r as others refer to them.
func (r *Result) platformList() []exptypes.Platform {
	var out []exptypes.Platform
	for _, p := range r.Platforms {
		out = append(out, exptypes.Platform{ID: p.ID, Platform: p.Platform})
	}
	return out
}

// needs says results in the words of a request.
func needs(parents map[string]*Result) map[string]needed {
	out := make(map[string]needed, len(parents))
	for name, r := range parents {
		out[name] = needed{platforms: r.platformList(), result: r}
	}
	return out
}

// collect gathers the local directories and stores of req and its parents.
func (req *Request) collect(r *Result) {
	for _, p := range slices.Sorted(maps.Keys(req.parents)) {
		maps.Copy(r.Locals, req.parents[p].result.Locals)
		maps.Copy(r.Stores, req.parents[p].result.Stores)
		maps.Copy(r.files, req.parents[p].result.files)
	}
	for name, dir := range req.Locals {
		r.Locals[req.unique(name)] = dir
	}
	maps.Copy(r.Stores, req.Stores)
}

func (r *Result) noteGenerations(opts Options) {
	if opts.Generation == nil {
		return
	}
	r.generations = map[string]string{}
	for _, dir := range r.Locals {
		r.generations[dir] = opts.Generation(dir)
	}
}

// outdated reports whether a directory's generation has changed since.
func (r *Result) outdated(opts Options) bool {
	for dir, was := range r.generations {
		if opts.Generation(dir) != was {
			return true
		}
	}
	return false
}

// Unsupported lists the RUN steps for platforms that none of the engine's
// workers can execute, as the platform and the first such step.
func (r *Result) Unsupported(workers []gwclient.WorkerInfo) (platform string, line int, found bool) {
	var can []ocispec.Platform
	for _, w := range workers {
		can = append(can, w.Platforms...)
	}
	if len(can) == 0 {
		return "", 0, false
	}
	match := platforms.Any(can...)
	for _, p := range r.Platforms {
		lines := map[digest.Digest]int{}
		for _, s := range p.Steps {
			lines[s.Digest] = s.Line
		}
		for _, dt := range p.Def.Def {
			var op pb.Op
			if op.UnmarshalVT(dt) != nil || op.GetExec() == nil || op.Platform == nil {
				continue
			}
			spec := platforms.Normalize(op.Platform.Spec())
			if l, own := lines[digest.FromBytes(dt)]; own && !match.Match(spec) {
				return platforms.FormatAll(spec), l, true
			}
		}
	}
	return "", 0, false
}
