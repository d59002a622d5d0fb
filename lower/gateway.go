package lower

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// A gateway is the client that BuildKit's front end believes to be a daemon.
// It answers reads from disk and records what it is asked to solve.
type gateway struct {
	req      *Request
	opts     Options
	mu       sync.Mutex
	warnings []Warning
	images   map[string]digest.Digest
	script   *Source // the Dockerfile as read
	reads    reads
	asked    []BaseImage
	foreign  string
	frontend string // image of the front end that the Dockerfile names
}

var _ gwclient.Client = (*gateway)(nil)

func newGateway(req *Request, opts Options) *gateway {
	return &gateway{req: req, opts: opts, images: map[string]digest.Digest{}}
}

func (g *gateway) BuildOpts() gwclient.BuildOpts {
	attrs := map[string]string{}
	for k, v := range g.req.Attrs {
		attrs[k] = v
	}
	return gwclient.BuildOpts{
		Opts:    attrs,
		Workers: workers(g.opts),
		Product: "strata",
		LLBCaps: capsOfLLB(),
		Caps:    capsOfGateway(),
	}
}

// What an engine of the linked BuildKit can do: some hundred entries, which each
// definition refers to. They are never changed.
var (
	capsOfLLB     = sync.OnceValue(func() apicaps.CapSet { return pb.Caps.CapSet(pb.Caps.All()) })
	capsOfGateway = sync.OnceValue(func() apicaps.CapSet { return gwpb.Caps.CapSet(gwpb.Caps.All()) })
)

// dockerfile reads the Dockerfile once.
func (g *gateway) dockerfile() ([]byte, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.script == nil {
		data := g.req.Dockerfile
		if data == nil {
			var err error
			name := filepath.Join(g.req.Locals[localDockerfile], g.req.Attrs["filename"])
			data, err = g.reads.file(name)
			if err != nil {
				return nil, err
			}
		}
		g.script = &Source{Data: data}
	}
	return g.script.Data, nil
}

func (g *gateway) source(req *Request) *Source {
	data, err := g.dockerfile()
	if err != nil {
		return nil
	}
	return newSource(req, data)
}

// foreignReason says why the engine is needed, for the plan and the log.
func (g *gateway) foreignReason() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.foreign != "" {
		return g.foreign
	}
	return "it reads a source that only the engine can reach"
}

func (g *gateway) Inputs(context.Context) (map[string]llb.State, error) { return g.req.Inputs, nil }

func (g *gateway) Warn(_ context.Context, _ digest.Digest, msg string, opts gwclient.WarnOpts) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := Warning{Text: msg, URL: opts.URL}
	if len(opts.Range) > 0 {
		w.Line = int(opts.Range[0].Start.Line)
	}
	g.warnings = append(g.warnings, w)
	return nil
}

func (g *gateway) NewContainer(context.Context, gwclient.NewContainerRequest) (gwclient.Container, error) {
	return nil, errNeedsEngine
}

func (g *gateway) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	if opt.OCILayoutOpt != nil {
		d, cfg, err := g.layoutConfig(ctx, ref, opt)
		return ref, d, cfg, err
	}
	r, d, cfg, err := g.opts.Resolver.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		return "", "", nil, err
	}
	g.mu.Lock()
	g.images[r] = d
	g.asked = append(g.asked, newBaseImage(ref, opt, d, cfg))
	g.mu.Unlock()
	return r, d, cfg, nil
}

// layoutConfig reads an image config from an OCI layout on disk.
func (g *gateway) layoutConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (digest.Digest, []byte, error) {
	store, ok := g.req.Stores[opt.OCILayoutOpt.Store.StoreID]
	if !ok {
		return "", nil, fmt.Errorf("OCI layout %q is not declared", opt.OCILayoutOpt.Store.StoreID)
	}
	_, dgst, _ := strings.Cut(ref, "@")
	match := platforms.Default()
	if p := opt.OCILayoutOpt.Platform; p != nil {
		match = platforms.Only(*p)
	}
	desc, err := describe(ctx, store, digest.Digest(dgst))
	if err != nil {
		return "", nil, err
	}
	cfg, err := images.Config(ctx, store, desc, match)
	if err != nil {
		return "", nil, fmt.Errorf("reading the image config of %s: %w", ref, err)
	}
	data, err := content.ReadBlob(ctx, store, cfg)
	return desc.Digest, data, err
}

// describe makes a descriptor of a manifest or index known by digest only.
func describe(ctx context.Context, store content.Store, d digest.Digest) (ocispec.Descriptor, error) {
	info, err := store.Info(ctx, d)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("looking for %s in the OCI layout: %w", d, err)
	}
	desc := ocispec.Descriptor{Digest: d, Size: info.Size}
	data, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return desc, err
	}
	var kind struct {
		MediaType string            `json:"mediaType"`
		Manifests []json.RawMessage `json:"manifests"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return desc, fmt.Errorf("reading %s: %w", d, err)
	}
	desc.MediaType = kind.MediaType
	if desc.MediaType == "" {
		desc.MediaType = ocispec.MediaTypeImageManifest
		if kind.Manifests != nil {
			desc.MediaType = ocispec.MediaTypeImageIndex
		}
	}
	return desc, nil
}

func (g *gateway) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	ref, ok := strings.CutPrefix(op.Identifier, "docker-image://")
	if !ok {
		g.mu.Lock()
		g.foreign = "it asks for the metadata of " + op.Identifier
		g.mu.Unlock()
		return nil, errNeedsEngine
	}
	_, d, cfg, err := g.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		return nil, err
	}
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{Digest: d, Config: cfg}}, nil
}

func (g *gateway) Solve(_ context.Context, req gwclient.SolveRequest) (*gwclient.Result, error) {
	if req.Frontend != "" {
		return nil, g.needsFrontend(req.FrontendOpt["source"])
	}
	res := gwclient.NewResult()
	if name, ok := singleLocal(req.Definition); ok {
		ref, err := g.local(name)
		if err != nil {
			return nil, err
		}
		res.SetRef(ref)
		return res, nil
	}
	def := &llb.Definition{}
	def.FromPB(req.Definition)
	res.SetRef(&defRef{def: def})
	return res, nil
}

// needsFrontend notes that image has to read the Dockerfile.
func (g *gateway) needsFrontend(image string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.frontend = image
	g.foreign = "its front end is " + image
	return errNeedsEngine
}

func (g *gateway) local(name string) (gwclient.Reference, error) {
	if name == localDockerfile && g.req.Dockerfile != nil {
		return &fileRef{name: g.req.Attrs["filename"], data: g.req.Dockerfile}, nil
	}
	dir, ok := g.req.Locals[name]
	if !ok {
		return nil, fmt.Errorf("local source %q is not declared", name)
	}
	return &dirRef{dir: dir, reads: &g.reads}, nil
}

// singleLocal reports whether d is one local source and nothing else.
func singleLocal(d *pb.Definition) (string, bool) {
	if d == nil || len(d.Def) != 2 {
		return "", false
	}
	var op pb.Op
	if op.UnmarshalVT(d.Def[0]) != nil || op.GetSource() == nil {
		return "", false
	}
	return strings.CutPrefix(op.GetSource().Identifier, "local://")
}

// A defRef stands for the result of a definition nobody has solved.
type defRef struct{ def *llb.Definition }

func (r *defRef) ToState() (llb.State, error) {
	op, err := llb.NewDefinitionOp(r.def.ToPB())
	if err != nil {
		return llb.State{}, err
	}
	return llb.NewState(op), nil
}
func (r *defRef) Evaluate(context.Context) error { return nil }
func (r *defRef) ReadFile(context.Context, gwclient.ReadRequest) ([]byte, error) {
	return nil, errNeedsEngine
}
func (r *defRef) StatFile(context.Context, gwclient.StatRequest) (*fstypes.Stat, error) {
	return nil, errNeedsEngine
}
func (r *defRef) ReadDir(context.Context, gwclient.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errNeedsEngine
}

// A dirRef reads from a directory of this machine.
type dirRef struct {
	defRef
	dir   string
	reads *reads
}

func (r *dirRef) path(p string) string { return filepath.Join(r.dir, filepath.Join("/", p)) }

func (r *dirRef) ReadFile(_ context.Context, req gwclient.ReadRequest) ([]byte, error) {
	b, err := r.reads.file(r.path(req.Filename))
	if err != nil {
		return nil, err
	}
	return part(b, req.Range), nil
}

func (r *dirRef) StatFile(_ context.Context, req gwclient.StatRequest) (*fstypes.Stat, error) {
	fi, err := r.reads.stat(r.path(req.Path))
	if err != nil {
		return nil, err
	}
	return &fstypes.Stat{Path: req.Path, Mode: uint32(fi.Mode()), Size: fi.Size(), ModTime: fi.ModTime().UnixNano()}, nil
}

// A fileRef is one file in memory.
type fileRef struct {
	defRef
	name string
	data []byte
}

func (r *fileRef) ReadFile(_ context.Context, req gwclient.ReadRequest) ([]byte, error) {
	if filepath.Clean(req.Filename) != r.name {
		return nil, fs.ErrNotExist
	}
	return part(r.data, req.Range), nil
}

func (r *fileRef) StatFile(_ context.Context, req gwclient.StatRequest) (*fstypes.Stat, error) {
	if filepath.Clean(req.Path) != r.name {
		return nil, fs.ErrNotExist
	}
	return &fstypes.Stat{Path: r.name, Mode: 0o644, Size: int64(len(r.data))}, nil
}

func part(b []byte, r *gwclient.FileRange) []byte {
	if r == nil {
		return b
	}
	b = b[min(r.Offset, len(b)):]
	if r.Length > 0 {
		b = b[:min(r.Length, len(b))]
	}
	return b
}
