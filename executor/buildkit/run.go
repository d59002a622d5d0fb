package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Process is a program to run in a container made of an image. The container
// is gone when it ends.
type Process struct {
	Image      string        // name for messages, or a reference if Content is nil
	Digest     digest.Digest // of a manifest or index in Content
	Content    content.Store // where the image is kept; nil pulls Image
	Args       []string      // instead of the image's command
	Entrypoint []string      // instead of the image's entry point; nil keeps it
	Env        []string      // added to the image's
	Dir, User  string        // instead of the image's
	TTY        bool
	Stdin      io.ReadCloser
	Stdout     io.WriteCloser
	Stderr     io.WriteCloser
	Signals    <-chan syscall.Signal // passed on to the program
	Auth       func() session.Attachable
}

// storeID names Process.Content within its session.
const storeID = "kept"

// RunProcess runs p on the engine and returns its exit status. An embedded
// engine gives it the host's network.
func RunProcess(ctx context.Context, c *client.Client, p Process) (status int, err error) {
	opt := client.SolveOpt{Internal: true}
	if p.Content != nil {
		opt.OCIStores = map[string]content.Store{storeID: p.Content}
	}
	if p.Auth != nil {
		opt.Session = []session.Attachable{p.Auth()}
	}
	_, err = c.Build(ctx, opt, "strata", func(ctx context.Context, gw gwclient.Client) (*gwclient.Result, error) {
		status, err = p.run(ctx, gw)
		return gwclient.NewResult(), err
	}, nil)
	return status, err
}

func (p *Process) run(ctx context.Context, gw gwclient.Client) (int, error) {
	st, config, err := p.source(ctx, gw)
	if err != nil {
		return 0, err
	}
	def, err := st.Marshal(ctx)
	if err != nil {
		return 0, err
	}
	res, err := gw.Solve(ctx, gwclient.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return 0, fmt.Errorf("unpacking %s: %w", p.Image, err)
	}
	ctr, err := gw.NewContainer(ctx, gwclient.NewContainerRequest{
		Mounts: []gwclient.Mount{{Dest: "/", MountType: pb.MountType_BIND, Ref: res.Ref}},
	})
	if err != nil {
		return 0, fmt.Errorf("making a container of %s: %w", p.Image, err)
	}
	defer func() { _ = ctr.Release(context.WithoutCancel(ctx)) }()
	return p.start(ctx, ctr, config)
}

// source is the image as LLB, and its config.
func (p *Process) source(ctx context.Context, gw gwclient.Client) (llb.State, ocispec.ImageConfig, error) {
	ref, opt := p.Image, sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{}}
	if p.Content != nil {
		ref = "docker.io/library/kept@" + p.Digest.String()
		opt = sourceresolver.Opt{OCILayoutOpt: &sourceresolver.ResolveOCILayoutOpt{Store: sourceresolver.ResolveImageConfigOptStore{
			SessionID: gw.BuildOpts().SessionID, StoreID: storeID,
		}}}
	}
	ref, _, raw, err := gw.ResolveImageConfig(ctx, ref, opt)
	if err != nil {
		return llb.State{}, ocispec.ImageConfig{}, fmt.Errorf("reading %s: %w", p.Image, err)
	}
	var img ocispec.Image
	if err := json.Unmarshal(raw, &img); err != nil {
		return llb.State{}, img.Config, fmt.Errorf("reading the config of %s: %w", p.Image, err)
	}
	if p.Content != nil {
		return llb.OCILayout(ref, llb.OCIStore(gw.BuildOpts().SessionID, storeID)), img.Config, nil
	}
	return llb.Image(ref), img.Config, nil
}

func (p *Process) start(ctx context.Context, ctr gwclient.Container, config ocispec.ImageConfig) (int, error) {
	req := gwclient.StartRequest{
		Args: p.command(config), Env: append(config.Env, p.Env...), Cwd: or(p.Dir, config.WorkingDir, "/"), User: or(p.User, config.User),
		Tty: p.TTY, Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
	}
	if len(req.Args) == 0 {
		return 0, fmt.Errorf("%s has no command; name one: strata run %s -- COMMAND", p.Image, p.Image)
	}
	if !hasPath(req.Env) {
		req.Env = append(req.Env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	proc, err := ctr.Start(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("starting %q: %w", strings.Join(req.Args, " "), err)
	}
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-p.Signals:
				_ = proc.Signal(ctx, s) // one that has ended needs none
			case <-done:
				return
			}
		}
	}()
	err = proc.Wait()
	if exit, ok := errors.AsType[*gatewaypb.ExitError](err); ok && exit.ExitCode != gatewaypb.UnknownExitStatus {
		return int(exit.ExitCode), nil
	}
	return 0, err
}

// command is what the container runs, as Docker puts it together: arguments
// replace the image's command, not its entry point.
func (p *Process) command(config ocispec.ImageConfig) []string {
	entry, args := config.Entrypoint, config.Cmd
	if p.Entrypoint != nil {
		entry, args = p.Entrypoint, nil
	}
	if len(p.Args) > 0 {
		args = p.Args
	}
	return append(append([]string(nil), entry...), args...)
}

func hasPath(env []string) bool {
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") {
			return true
		}
	}
	return false
}

func or(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
