package buildkit

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
	"github.com/strata-build/strata/lower"
	"github.com/strata-build/strata/policy"
)

// SourcePolicy reads the policy that every solve is bound to, nil if there is
// none: the file that EXPERIMENTAL_BUILDKIT_SOURCE_POLICY names, in JSON or as a
// protocol buffer.
func SourcePolicy(lookup func(string) (string, bool)) (*spb.Policy, error) {
	name, _ := lookup("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY")
	if name == "" {
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the source policy: %w", err)
	}
	out := &spb.Policy{}
	if err := json.Unmarshal(data, out); err != nil && proto.Unmarshal(data, out) != nil {
		return nil, fmt.Errorf("reading the source policy %s: %w", name, err)
	}
	return out, nil
}

// SignedImages reports whether BUILDX_DEFAULT_POLICY wants Docker's own images to be
// signed.
func SignedImages(lookup func(string) (string, bool)) bool {
	text, _ := lookup("BUILDX_DEFAULT_POLICY")
	on, err := strconv.ParseBool(text)
	return err == nil && on
}

// UnderPolicy is why a target is left to the engine that a policy binds: it may
// change what a name stands for, and only the engine knows to what.
const UnderPolicy = "a source policy is in force"

// Bound says which targets are [UnderPolicy], for [lower.Options]. dir is where
// their paths start.
func Bound(dir string, all *spb.Policy, signed bool) func(*config.Target) string {
	return func(t *config.Target) string {
		if all != nil {
			return UnderPolicy
		}
		if list, err := policiesOf(t, dir, signed); err != nil || len(list) > 0 {
			return UnderPolicy
		}
		return ""
	}
}

// policiesOf are the policies that bind t.
func policiesOf(t *config.Target, dir string, signed bool) ([]policy.Policy, error) {
	here, remote, err := lower.Dockerfile(t, dir)
	if err != nil {
		return nil, nil // lowering says what is wrong
	}
	list, err := policy.Of(t, policy.Place{Path: here, Remote: remote}, signed)
	if err != nil {
		return nil, policyError(t, err)
	}
	return list, nil
}

func policyError(t *config.Target, err error) error {
	attr := "dockerfile"
	if len(t.Policy) > 0 {
		attr = "policy"
	}
	return &graph.TargetError{ID: graph.ID(t.Name), Attr: attr, Err: err}
}

// A judge answers the engine's questions about the sources of one target, by its
// policies.
type judge struct {
	b     *Builder
	t     *config.Target
	list  []policy.Policy
	facts *facts
	set   *policy.Set // nil until it is loaded, or if no file is there
	ready bool        // it was loaded
	proxy bool        // it wants the network of steps to go through the engine

	mu    sync.Mutex
	heard bool          // what policies say is told: a solve is under way
	step  digest.Digest // under which it is told
}

// judgeOf is the judge of t, nil if no policy binds it. Policies that are files
// here are loaded.
func (b *Builder) judgeOf(ctx context.Context, t *config.Target, p *target) (*judge, error) {
	list, err := policiesOf(t, b.Lower.Dir, b.SignedImages)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	j := &judge{b: b, t: t, list: list, facts: &facts{client: b.Client, session: p.session}}
	if lower.RemoteContext(t.Context) {
		return j, nil // what is in the context is known when the engine has it
	}
	return j, j.load(ctx, policy.Local(b.path(t.Context), b.Lower.Dir))
}

// load reads and compiles the policies.
func (j *judge) load(ctx context.Context, read policy.Reader) error {
	opts := policy.Options{
		Read: read, Log: j.log, Engine: j.facts, Verifier: j.b.trust,
		Locals: func(name string) []string {
			if r := j.b.Lowered(j.t.Name); r != nil {
				return r.LocalNames(name)
			}
			return nil
		},
		Env: policy.Env{
			Args: j.t.Args, Labels: j.t.Labels, Target: j.t.Stage, Filename: path.Base(cmp.Or(j.t.Dockerfile, "Dockerfile")),
		},
	}
	if w := j.b.Lower.Workers; len(w) > 0 && len(w[0].Platforms) > 0 {
		p := platforms.Normalize(w[0].Platforms[0])
		opts.Platform = &p
	}
	var err error
	if j.set, err = policy.Load(ctx, j.list, opts); err != nil {
		return policyError(j.t, err)
	}
	j.ready = true
	if j.set != nil {
		if j.proxy, err = j.set.Proxy(ctx); err != nil {
			return policyError(j.t, err)
		}
	}
	return nil
}

// attach has the engine ask the policies during a solve. What it opens is closed by
// the function it returns.
func (j *judge) attach(ctx context.Context, opt *client.SolveOpt) (func(), error) {
	if !j.ready {
		read, err := j.facts.context(j.t.Context)
		if err != nil {
			j.facts.end()
			return nil, err
		}
		if err := j.load(ctx, policy.Remote(j.b.Lower.Dir, read)); err != nil {
			j.facts.end()
			return nil, err
		}
	}
	if j.set == nil {
		return j.facts.end, nil
	}
	j.mu.Lock()
	j.heard = true
	j.mu.Unlock()
	opt.ProxyNetwork = j.proxy
	opt.SourcePolicyProvider = policysession.NewPolicyProvider(j.set.Check)
	return func() { j.told(); j.facts.end() }, nil
}

// asked checks, in the gateway session, that the engine asks policies at all.
func (j *judge) asked(gw gwclient.Client) error {
	if j.set == nil {
		return nil
	}
	caps := gw.BuildOpts().LLBCaps
	if j.proxy && caps.Supports(pb.CapExecMetaNetworkProxy) != nil {
		return errors.New("its policy asks for exec.proxy, which this engine does not have: take a BuildKit of 0.31 or later")
	}
	if caps.Supports(pb.CapSourcePolicySession) == nil {
		return nil
	}
	text := fmt.Sprintf("the engine asks no policies, so that %s decided nothing: take a BuildKit of 0.27 or later", strings.Join(j.set.Files(), ", "))
	if j.set.Strict() {
		return policyError(j.t, errors.New(text))
	}
	j.b.Emit(executor.Warning{Time: time.Now(), Target: j.t.Name, Text: text})
	return nil
}

// denied is the denial that a solve failed of, nil if it is none.
func (j *judge) denied(err error) *policy.Denial {
	if j == nil || j.set == nil {
		return nil
	}
	for _, d := range j.set.Denials() {
		if strings.Contains(err.Error(), fmt.Sprintf("source %q not allowed by policy", d.Source)) {
			return d
		}
	}
	return nil
}

// refused is what the engine's proxy did not fetch for a step.
func (j *judge) refused() []*policy.Denial {
	if j == nil || j.set == nil || !j.proxy {
		return nil
	}
	return slices.DeleteFunc(j.set.Denials(), func(d *policy.Denial) bool { return !strings.HasPrefix(d.Source, "http") })
}

// log tells a line of a policy, as output of a step of its own.
func (j *judge) log(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.heard { // a question may outlive its solve
		return
	}
	now := time.Now()
	if j.step == "" {
		j.step = digest.FromString(identity.NewID())
		j.b.tracker.update(j.t.Name, &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: j.step, Name: j.title(), Started: &now}}})
	}
	j.b.tracker.update(j.t.Name, &client.SolveStatus{Logs: []*client.VertexLog{{Vertex: j.step, Stream: 1, Data: []byte(text + "\n"), Timestamp: now}}})
}

// told ends the step under which was told what policies say.
func (j *judge) told() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = false
	if j.step == "" {
		return
	}
	now := time.Now()
	j.b.tracker.update(j.t.Name, &client.SolveStatus{Vertexes: []*client.Vertex{{Digest: j.step, Name: j.title(), Started: &now, Completed: &now}}})
	j.step = ""
}

func (j *judge) title() string { return "policies " + strings.Join(j.set.Files(), ", ") }
