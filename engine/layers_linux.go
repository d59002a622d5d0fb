package engine

import (
	"context"
	"encoding/json"

	"github.com/moby/buildkit/cache"
	cacheconfig "github.com/moby/buildkit/cache/config"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/util/compression"
	"github.com/moby/buildkit/worker"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A layersWorker is a worker with one exporter more, with a memory for the layers
// of caches, and with a label that tells when all was removed.
type layersWorker struct {
	worker.Worker
	chains *chains
	pruned *pruned
}

// FromRemote implements worker.Worker.
func (w layersWorker) FromRemote(ctx context.Context, remote *solver.Remote) (cache.ImmutableRef, error) {
	if !fit(remote) {
		return w.Worker.FromRemote(ctx, remote)
	}
	return w.chains.load(ctx, remote)
}

// Exporter implements worker.Worker.
func (w layersWorker) Exporter(name string, sm *session.Manager) (exporter.Exporter, error) {
	if name == LayersExporter {
		return layersExporter{w}, nil
	}
	return w.Worker.Exporter(name, sm)
}

// layersExporter implements exporter.Exporter.
type layersExporter struct{ worker worker.Worker }

func (e layersExporter) Resolve(_ context.Context, id int, attrs map[string]string) (exporter.ExporterInstance, error) {
	return &layersInstance{worker: e.worker, id: id, attrs: attrs}, nil
}

type layersInstance struct {
	worker worker.Worker
	id     int
	attrs  map[string]string
}

func (i *layersInstance) ID() int                  { return i.id }
func (i *layersInstance) Name() string             { return "[internal] reading layers" }
func (i *layersInstance) Type() string             { return LayersExporter }
func (i *layersInstance) Attrs() map[string]string { return i.attrs }
func (i *layersInstance) Config() *exporter.Config { return exporter.NewConfig() }

// Export lists the layers of every platform.
func (i *layersInstance) Export(ctx context.Context, src *exporter.Source, _ exporter.ExportBuildInfo) (map[string]string, exporter.FinalizeFunc, exporter.DescriptorReference, error) {
	out := map[string][]Layer{}
	if src.Ref != nil {
		out[""] = i.layersOf(ctx, src.Ref)
	}
	for platform, ref := range src.Refs {
		out[platform] = i.layersOf(ctx, ref)
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, nil, nil, err
	}
	return map[string]string{layersKey: string(text)}, nil, nil, nil
}

func (i *layersInstance) layersOf(ctx context.Context, ref cache.ImmutableRef) []Layer {
	chain := ref.LayerChain() // held: a record nobody holds may not be listed
	defer func() { _ = chain.Release(context.WithoutCancel(ctx)) }()
	sizes := i.sizes(ctx, chain)
	packed := packedLayers(ctx, chain)
	var out []Layer
	for n, r := range chain {
		l := Layer{ID: r.ID(), Size: -1, Created: r.GetCreatedAt().UTC()}
		if size, ok := sizes[l.ID]; ok {
			l.Size = size
		}
		l.Blob, l.Packed = packed[n].Digest.String(), packed[n].Size
		out = append(out, l)
	}
	return out
}

// packedLayers are the blobs of the layers of chain, lowest first, without a
// digest where there is none. A record tells those of all below it too, and that
// is looked up anew each time, so the highest is asked first. The layers of a
// merged record do not stand on those before them: each is asked.
func packedLayers(ctx context.Context, chain cache.RefList) []ocispec.Descriptor {
	conf := cacheconfig.RefConfig{Compression: compression.New(compression.Default)}
	out := make([]ocispec.Descriptor, len(chain))
	for n := len(chain); n > 0; n-- {
		remotes, err := chain[n-1].GetRemotes(ctx, false, conf, false, nil)
		if err != nil || len(remotes) == 0 || len(remotes[0].Descriptors) == 0 {
			continue
		}
		all := remotes[0].Descriptors
		if len(all) == n {
			copy(out, all)
			break
		}
		out[n-1] = all[len(all)-1]
	}
	return out
}

// sizes asks the cache for the bytes of each record of chain.
func (i *layersInstance) sizes(ctx context.Context, chain cache.RefList) map[string]int64 {
	var filter []string
	for _, r := range chain {
		filter = append(filter, "id=="+r.ID())
	}
	list, err := i.worker.DiskUsage(ctx, client.DiskUsageInfo{Filter: filter})
	if err != nil {
		return nil
	}
	out := make(map[string]int64, len(list))
	for _, u := range list {
		out[u.ID] = u.Size
	}
	return out
}
