// Package policy answers which sources a build may use, by rules in Rego.
//
// BuildKit asks about every source of a solve through the session. The rules are
// in files beside a Dockerfile or named by the build file; what they are told of
// a source, the functions they may call and the decision they give are those of
// docker buildx, so that its policies mean the same here.
//
// It talks to no engine. What the rules want to know of a source and BuildKit has
// not told yet is asked back; what they want to know of the sources of that source,
// an [Engine] is asked for.
package policy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
)

// Options are what the policies of a solve are evaluated with.
type Options struct {
	Read     Reader // files that are named, imported or loaded
	Env      Env
	Platform *ocispec.Platform // of images whose platform BuildKit does not name; nil is this machine's
	// Locals are the names that a local source has for policies; nil is its own.
	Locals   func(name string) []string
	Log      func(text string) // may be nil
	Verifier func() (Verifier, error)
	Engine   Engine // may be nil
}

// An Env is what policies know of the target.
type Env struct {
	Args     map[string]string `json:"args,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Filename string            `json:"filename,omitempty"` // of the Dockerfile, without directory
	Target   string            `json:"target,omitempty"`   // stage
	Caps     bool              `json:"capsRequest,omitempty"`
	Depth    int               `json:"depth"` // 0 for sources of the build, 1 for those of these
}

// A Set is all policies of a solve. A source may be used if each allows it.
// It may be asked by several goroutines.
type Set struct {
	rules []*rules
	opts  Options

	mu      sync.Mutex
	denials map[string]*Denial // by source
}

// A Denial is why a source may not be used.
type Denial struct {
	Source   string   // as BuildKit names it
	Name     string   // as the policy knows it
	Files    []string // of the policy that denied it
	Messages []string // what the policy says
	Notes    []string // why functions it called gave no result
}

func (d *Denial) Error() string {
	text := fmt.Sprintf("%s is denied by %s", d.Name, strings.Join(d.Files, ", "))
	if all := slices.Concat(d.Messages, d.Notes); len(all) > 0 {
		text += ": " + strings.Join(all, "; ")
	}
	return text
}

// Load reads and compiles the policies in list. It returns nil if there are none,
// because all files are optional and missing. Mistakes in files are *[Error],
// joined.
func Load(ctx context.Context, list []Policy, opts Options) (*Set, error) {
	s := &Set{opts: opts, denials: map[string]*Denial{}}
	for _, p := range list {
		r, err := load(ctx, p, opts)
		if err != nil {
			return nil, err
		}
		if r != nil {
			s.rules = append(s.rules, r)
		}
	}
	if len(s.rules) == 0 {
		return nil, nil
	}
	return s, nil
}

// Strict reports whether a policy wants to be refused rather than not asked.
func (s *Set) Strict() bool {
	return slices.ContainsFunc(s.rules, func(r *rules) bool { return r.Strict })
}

// Files are the names of all files that were read for the policies.
func (s *Set) Files() []string {
	var out []string
	for _, r := range s.rules {
		out = append(out, r.names()...)
	}
	return out
}

// Denied is why the source was denied, nil if it was not.
func (s *Set) Denied(source string) *Denial {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.denials[source]
}

// Denials are all denials, in the order of their sources.
func (s *Set) Denials() []*Denial {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*Denial
	for _, d := range s.denials {
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *Denial) int { return strings.Compare(a.Source, b.Source) })
	return out
}

// patience is how long one question may take. What it waits for is the engine and
// its registries; rules that count to a million are done by then.
const patience = 2 * time.Minute

// Check answers BuildKit's question: with a decision, or with what has to be known
// of the source before.
func (s *Set) Check(ctx context.Context, req *policysession.CheckPolicyRequest) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
	op := req.GetSource().GetSource()
	if op == nil {
		return nil, nil, fmt.Errorf("the engine asks about no source")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("evaluating the policy took longer than %s", patience))
	defer cancel()
	for _, facts := range s.variants(req.Source) {
		for _, r := range s.rules {
			src, err := newSource(ctx, facts, s.platformOf(req.Platform), s.opts.Verifier)
			if err != nil {
				return nil, nil, err
			}
			a, err := r.ask(ctx, src, s.opts)
			switch {
			case err != nil:
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				return nil, nil, fmt.Errorf("%s: %w", r.title(), err)
			case a.request != nil:
				a.request.Source = op
				return nil, a.request, nil
			case !a.allow:
				return s.deny(r, op.Identifier, src.op.Identifier, a), nil, nil
			case a.pin != "":
				pinned, err := pinnedTo(op, a.pin)
				if err != nil {
					return nil, nil, err
				}
				return &policysession.DecisionResponse{Action: spb.PolicyAction_CONVERT, Update: pinned}, nil, nil
			}
		}
	}
	return &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}, nil, nil
}

// variants are the facts about a source under each name that policies know it by.
func (s *Set) variants(facts *gwpb.ResolveSourceMetaResponse) []*gwpb.ResolveSourceMetaResponse {
	name, local := strings.CutPrefix(facts.Source.Identifier, "local://")
	if !local || s.opts.Locals == nil {
		return []*gwpb.ResolveSourceMetaResponse{facts}
	}
	var out []*gwpb.ResolveSourceMetaResponse
	for _, n := range s.opts.Locals(name) {
		out = append(out, &gwpb.ResolveSourceMetaResponse{Source: &pb.SourceOp{Identifier: "local://" + n, Attrs: facts.Source.Attrs}})
	}
	if len(out) == 0 {
		return []*gwpb.ResolveSourceMetaResponse{facts}
	}
	return out
}

func (s *Set) platformOf(p *pb.Platform) ocispec.Platform {
	switch {
	case p != nil:
		return platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
	case s.opts.Platform != nil:
		return platforms.Normalize(*s.opts.Platform)
	}
	return platforms.Normalize(platforms.DefaultSpec())
}

func (s *Set) deny(r *rules, id, name string, a answer) *policysession.DecisionResponse {
	d := &Denial{Source: id, Name: name, Files: r.names(), Messages: a.messages, Notes: a.notes}
	s.mu.Lock()
	s.denials[id] = d
	s.mu.Unlock()
	out := &policysession.DecisionResponse{Action: spb.PolicyAction_DENY}
	for _, m := range a.messages {
		out.DenyMessages = append(out.DenyMessages, &policysession.DenyMessage{Message: m})
	}
	return out
}

// Proxy reports whether a policy wants the network of steps to go through the
// engine's proxy, which asks about what they fetch.
func (s *Set) Proxy(ctx context.Context) (bool, error) {
	proxy := false
	for _, r := range s.rules {
		caps, err := r.askCaps(ctx, s.opts)
		if err != nil {
			return false, fmt.Errorf("%s: %w", r.title(), err)
		}
		proxy = proxy || caps[capProxy]
	}
	return proxy, nil
}

// say logs a line if the policy's level is as high.
func (r *rules) say(opts Options, level logrus.Level, format string, args ...any) {
	if opts.Log != nil && level <= r.Level {
		opts.Log(fmt.Sprintf(format, args...))
	}
}
