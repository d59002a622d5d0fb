package buildkit

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/policy"
)

// facts asks the engine about sources that policies judge. It has a session of its
// own, which is opened when first needed: no policy binds what is asked in it.
type facts struct {
	client  *client.Client
	session []session.Attachable

	mu   sync.Mutex
	gw   gwclient.Client
	err  error
	stop func()
}

// end closes the session if there is one.
func (f *facts) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stop != nil {
		f.stop()
	}
	f.gw, f.err, f.stop = nil, nil, nil
}

// gateway opens the session, which lives until end.
func (f *facts) gateway(ctx context.Context) (gwclient.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gw != nil || f.err != nil {
		return f.gw, f.err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	opened := make(chan gwclient.Client, 1)
	done := make(chan error, 1)
	go func() {
		_, err := f.client.Build(ctx, client.SolveOpt{Internal: true, Session: f.session}, "strata",
			func(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
				opened <- gw
				<-ctx.Done()
				return nil, context.Cause(ctx)
			}, nil)
		done <- err
	}()
	select {
	case f.gw = <-opened:
		f.stop = func() { cancel(); <-done }
	case f.err = <-done:
		cancel()
	}
	return f.gw, f.err
}

// Resolve implements [policy.Engine].
func (f *facts) Resolve(ctx context.Context, req *gwpb.ResolveSourceMetaRequest) (*gwpb.ResolveSourceMetaResponse, error) {
	gw, err := f.gateway(ctx)
	if err != nil {
		return nil, err
	}
	opt := sourceresolver.Opt{}
	if img := req.Image; img != nil {
		opt.ImageOpt = &sourceresolver.ResolveImageOpt{
			NoConfig: img.NoConfig, AttestationChain: img.AttestationChain, ResolveAttestations: img.ResolveAttestations,
			Platform: &ocispec.Platform{OS: req.Platform.GetOS(), Architecture: req.Platform.GetArchitecture(), Variant: req.Platform.GetVariant()},
		}
	}
	if git := req.Git; git != nil {
		opt.GitOpt = &sourceresolver.ResolveGitOpt{ReturnObject: git.ReturnObject}
	}
	resp, err := gw.ResolveSourceMetadata(ctx, req.Source, opt)
	if err != nil {
		return nil, err
	}
	return gateway.ToPBResolveSourceMetaResponse(resp), nil
}

// Fetch implements [policy.Engine].
func (f *facts) Fetch(ctx context.Context, url, accept string) ([]byte, error) {
	const name = "file"
	return f.read(ctx, llb.HTTP(url, llb.Filename(name), llb.Header(llb.HTTPHeader{Accept: accept})), name)
}

// read reads a file of what a definition makes.
func (f *facts) read(ctx context.Context, st llb.State, name string) ([]byte, error) {
	gw, err := f.gateway(ctx)
	if err != nil {
		return nil, err
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := gw.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	fi, err := ref.StatFile(ctx, gwclient.StatRequest{Path: name})
	switch {
	case err != nil && (strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "not found")):
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case err != nil:
		return nil, err
	case fi.Size > policy.MaxFile:
		return nil, fmt.Errorf("%s is larger than %d MiB", name, policy.MaxFile>>20)
	}
	return ref.ReadFile(ctx, gwclient.ReadRequest{Filename: name})
}

// context reads files of a context that is a repository or an archive.
func (f *facts) context(at string) (policy.Reader, error) {
	keep := false
	st, ok, _ := dockerui.DetectGitContext(at, &keep)
	if !ok {
		archive, name, isURL := dockerui.DetectHTTPContext(at)
		if !isURL {
			return nil, fmt.Errorf("%s is no repository and no URL", at)
		}
		unpacked := llb.Scratch().File(llb.Copy(*archive, name, "/", &llb.CopyInfo{AttemptUnpack: true}))
		st = &unpacked
	}
	return func(ctx context.Context, name string) ([]byte, error) { return f.read(ctx, *st, name) }, nil
}
