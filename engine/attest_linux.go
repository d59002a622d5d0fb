package engine

import (
	"context"
	"fmt"
	"runtime"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/pb"
)

// ResolveSourceMetadata implements worker.Worker. A policy may ask for the
// attestations of any image, and BuildKit ends in a nil pointer for one that is no
// OCI index and can have none (source/containerimage, ResolveImageMetadata in
// 0.34.2). Here these are told to be none.
func (w layersWorker) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (*sourceresolver.MetaResponse, error) {
	resp, err, died := w.resolve(ctx, op, opt, sm, job)
	if !died {
		return resp, err
	}
	img := *opt.ImageOpt
	img.NoConfig, img.AttestationChain, img.ResolveAttestations = false, false, nil // the config comes with the digest
	opt.ImageOpt = &img
	resp, err = w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
	if err == nil && resp.Image != nil {
		resp.Image.AttestationChain = &sourceresolver.AttestationChain{Root: resp.Image.Digest}
	}
	return resp, err
}

// resolve reports whether BuildKit died of attestations that are not there.
func (w layersWorker) resolve(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt, sm *session.Manager, job solver.JobContext) (resp *sourceresolver.MetaResponse, err error, died bool) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, ok := p.(runtime.Error); !ok || opt.ImageOpt == nil || !opt.ImageOpt.AttestationChain {
			panic(fmt.Sprintf("resolving %s: %v", op.Identifier, p))
		}
		died = true
	}()
	resp, err = w.Worker.ResolveSourceMetadata(ctx, op, opt, sm, job)
	return resp, err, false
}
