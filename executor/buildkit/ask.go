package buildkit

import (
	"context"
	"maps"

	"github.com/moby/buildkit/client"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// Ask puts a question about t's Dockerfile to the engine's front end, see
// [lower.Call], and returns what it answers. Nothing is built.
func (b *Builder) Ask(ctx context.Context, t *config.Target, req *lower.Request) (map[string][]byte, error) {
	mounts, err := mountsOf(req.Locals, req)
	if err != nil {
		return nil, err
	}
	attach, err := b.attachables(t)
	if err != nil {
		return nil, err
	}
	var answer map[string][]byte
	_, err = b.Client.Build(ctx, client.SolveOpt{
		LocalMounts: mounts,
		OCIStores:   maps.Clone(req.Stores),
		SharedKey:   "strata",
		Session:     append([]session.Attachable(nil), attach...),
		Internal:    true,
	}, "strata", func(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
		inputs, err := inputsOf(ctx, req.Inputs)
		if err != nil {
			return nil, err
		}
		res, err := gw.Solve(ctx, gwclient.SolveRequest{Frontend: "dockerfile.v0", FrontendOpt: req.Attrs, FrontendInputs: inputs})
		if err != nil {
			return nil, err
		}
		answer = res.Metadata
		return gwclient.NewResult(), nil
	}, nil)
	return answer, err
}
