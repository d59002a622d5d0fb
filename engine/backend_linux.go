package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/defaults"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/moby/buildkit/cache/remotecache"
	"github.com/moby/buildkit/cache/remotecache/azblob"
	"github.com/moby/buildkit/cache/remotecache/gha"
	"github.com/moby/buildkit/cache/remotecache/inline"
	"github.com/moby/buildkit/cache/remotecache/local"
	"github.com/moby/buildkit/cache/remotecache/registry"
	"github.com/moby/buildkit/cache/remotecache/s3"
	"github.com/moby/buildkit/client"
	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	bkcontrol "github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/disk"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto" // BuildKit's messages on the wire
	"github.com/moby/buildkit/util/network/cniprovider"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/version"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/runc"
	bolt "go.etcd.io/bbolt"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
)

// buildkitModule is what BuildKit's version is recorded under in this program.
const buildkitModule = "github.com/moby/buildkit"

// backendOptions say how BuildKit is put together.
type backendOptions struct {
	root         string // for its state
	runtime      string
	rootless     bool
	entitlements []string
	hosts        docker.RegistryHosts
}

// A backend is BuildKit's controller, put together as buildkitd does it, less
// what an engine for one user has no need of: TCP, configuration files, CNI,
// and the recording of traces, whose cost grows with the square of a run.
type backend struct {
	controller  *bkcontrol.Controller
	version     string
	snapshotter string
	stopping    context.CancelFunc
}

func newBackend(ctx context.Context, opts backendOptions) (*backend, error) {
	setProduct()
	if err := mount.SetTempMountLocation(filepath.Join(os.TempDir(), "mounts")); err != nil {
		return nil, err
	}
	snapshotter := chooseSnapshotter(opts.root)
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	w, err := newWorker(ctx, opts, snapshotter)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c, err := newController(ctx, opts, sessions, w)
	if err != nil {
		cancel()
		return nil, errors.Join(err, w.Close())
	}
	return &backend{controller: c, version: version.Version, snapshotter: snapshotter.Name, stopping: cancel}, nil
}

// newController puts BuildKit together around its worker. It stops taking part
// in builds when ctx ends.
func newController(ctx context.Context, opts backendOptions, sessions *session.Manager, w *base.Worker) (*bkcontrol.Controller, error) {
	known, err := newChains(w.CacheManager())
	if err != nil {
		return nil, err
	}
	emptied, err := openPruned(opts.root)
	if err != nil {
		return nil, err
	}
	workers := new(worker.Controller)
	if err := workers.Add(layersWorker{w, known, emptied}); err != nil {
		return nil, err
	}
	frontends, err := newFrontends(workers)
	if err != nil {
		return nil, err
	}
	cacheStore, err := bboltcachestorage.NewStore(filepath.Join(opts.root, "cache.db"))
	if err != nil {
		return nil, err
	}
	history, err := boltutil.SafeOpen(filepath.Join(opts.root, "history.db"), 0o600,
		&bolt.Options{FreelistType: bolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, errors.Join(err, cacheStore.Close())
	}
	c, err := bkcontrol.NewController(bkcontrol.Opt{
		SessionManager:            sessions,
		WorkerController:          workers,
		Frontends:                 frontends,
		ResolveCacheExporterFuncs: cacheExporters(sessions, opts.hosts),
		ResolveCacheImporterFuncs: cacheImporters(sessions, w, opts.hosts),
		CacheManager:              solver.NewCacheManager(ctx, "local", cacheStore, worker.NewCacheResultStorage(workers)),
		Entitlements:              opts.entitlements,
		MeterProvider:             sdkmetric.NewMeterProvider(),
		HistoryDB:                 history,
		CacheStore:                cacheStore,
		LeaseManager:              w.LeaseManager(),
		ContentStore:              w.ContentStore(),
		GarbageCollect:            w.GarbageCollect,
		GracefulStop:              ctx.Done(),
	})
	if err != nil {
		return nil, errors.Join(err, history.Close(), cacheStore.Close())
	}
	return c, nil
}

func (b *backend) register(s *grpc.Server) { b.controller.Register(s) }

func (b *backend) close() error {
	b.stopping()
	return b.controller.Close()
}

// setProduct makes BuildKit tell the version that is linked in, as buildkitd's
// linker flags do.
func setProduct() {
	apicaps.ExportedProduct = "buildkit"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, m := range info.Deps {
		if m.Path == buildkitModule {
			version.Version = m.Version
		}
	}
}

// chooseSnapshotter takes overlayfs where the kernel has it for root.
func chooseSnapshotter(root string) runc.SnapshotterFactory {
	if overlayutils.Supported(root) != nil {
		return runc.SnapshotterFactory{Name: "native", New: native.NewSnapshotter}
	}
	return runc.SnapshotterFactory{Name: "overlayfs", New: func(dir string) (snapshots.Snapshotter, error) {
		return overlay.NewSnapshotter(dir, overlay.AsynchronousRemove)
	}}
}

func newWorker(ctx context.Context, opts backendOptions, snapshotter runc.SnapshotterFactory) (*base.Worker, error) {
	network := netproviders.Opt{Mode: "host", CNI: cniprovider.Opt{Root: opts.root}}
	opt, err := runc.NewWorkerOpt(opts.root, snapshotter, opts.rootless, oci.ProcessSandbox,
		nil, nil, network, nil, opts.runtime, "", false, nil, "", "", nil)
	if err != nil {
		return nil, fmt.Errorf("setting up the worker: %w", err)
	}
	opt.RegistryHosts = opts.hosts
	opt.BuildkitVersion = client.BuildkitVersion{Package: version.Package, Version: version.Version, Revision: version.Revision}
	opt.GCPolicy, err = gcPolicy(opts.root)
	if err != nil {
		return nil, err
	}
	return base.NewWorker(ctx, opt)
}

// gcPolicy is buildkitd's own: it keeps the cache within bounds of the disk.
func gcPolicy(root string) ([]client.PruneInfo, error) {
	space, err := disk.GetDiskStat(root)
	if err != nil {
		return nil, err
	}
	var policy []client.PruneInfo
	for _, rule := range bkconfig.DefaultGCPolicy(bkconfig.GCConfig{}, space) {
		policy = append(policy, client.PruneInfo{
			Filter:        rule.Filters,
			All:           rule.All,
			KeepDuration:  rule.KeepDuration.Duration,
			ReservedSpace: rule.ReservedSpace.AsBytes(space),
			MaxUsedSpace:  rule.MaxUsedSpace.AsBytes(space),
			MinFreeSpace:  rule.MinFreeSpace.AsBytes(space),
		})
	}
	return policy, nil
}

func newFrontends(workers *worker.Controller) (map[string]frontend.Frontend, error) {
	foreign, err := gateway.NewGatewayFrontend(workers.Infos(), nil)
	if err != nil {
		return nil, err
	}
	return map[string]frontend.Frontend{
		"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build),
		"gateway.v0":    foreign,
	}, nil
}

func cacheExporters(sessions *session.Manager, hosts docker.RegistryHosts) map[string]remotecache.ResolveCacheExporterFunc {
	return map[string]remotecache.ResolveCacheExporterFunc{
		"registry": registry.ResolveCacheExporterFunc(sessions, hosts),
		"local":    local.ResolveCacheExporterFunc(sessions),
		"inline":   inline.ResolveCacheExporterFunc(),
		"gha":      gha.ResolveCacheExporterFunc(nil, nil),
		"s3":       s3.ResolveCacheExporterFunc(),
		"azblob":   azblob.ResolveCacheExporterFunc(),
	}
}

func cacheImporters(sessions *session.Manager, w *base.Worker, hosts docker.RegistryHosts) map[string]remotecache.ResolveCacheImporterFunc {
	return map[string]remotecache.ResolveCacheImporterFunc{
		"registry": memoised(registry.ResolveCacheImporterFunc(sessions, w.ContentStore(), hosts)),
		"local":    local.ResolveCacheImporterFunc(sessions),
		"gha":      gha.ResolveCacheImporterFunc(nil, nil),
		"s3":       s3.ResolveCacheImporterFunc(),
		"azblob":   azblob.ResolveCacheImporterFunc(),
	}
}

// newGRPCServer makes a server with buildkitd's limits, that ends only when its
// calls have: a build must not outlive the state it works on.
func newGRPCServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor),
		grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor),
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.WaitForHandlers(true),
	)
	healthv1.RegisterHealthServer(s, health.NewServer())
	return s
}
