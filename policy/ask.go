package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown/print"
	digest "github.com/opencontainers/go-digest"
	"github.com/sirupsen/logrus"
)

// An Engine finds out what policies want to know of sources that a build does not
// read itself. No policy binds it.
type Engine interface {
	// Resolve asks for the metadata of a source.
	Resolve(context.Context, *gwpb.ResolveSourceMetaRequest) (*gwpb.ResolveSourceMetaResponse, error)
	// Fetch reads the file at a URL.
	Fetch(ctx context.Context, url, accept string) ([]byte, error)
}

// An answer is what one policy says of one source: a decision or, as long as
// request is not nil, what has to be known before.
type answer struct {
	request  *gwpb.ResolveSourceMetaRequest
	allow    bool
	messages []string
	notes    []string
	pin      digest.Digest
	caps     map[string]bool
}

const (
	query    = "data.docker.decision"
	capProxy = "exec.proxy" // a capability that a policy can ask for
)

// maxRounds is how often facts may be fetched for one question.
const maxRounds = 32

// ask evaluates the policy for a source.
func (r *rules) ask(ctx context.Context, src *source, opts Options) (answer, error) {
	name := src.name()
	r.say(opts, logrus.InfoLevel, "checking policy for source %s", name)
	for range maxRounds {
		e := r.evaluation(src, opts)
		input, err := src.document(opts.Env)
		if err != nil {
			return answer{}, err
		}
		if r.Level >= logrus.DebugLevel {
			text, _ := json.MarshalIndent(src.full, "", "  ") // it was encoded above
			r.say(opts, logrus.DebugLevel, "policy input: %s", text)
		}
		missing := src.missing("input")
		want, err := r.wants(ctx, e, input, missing)
		if err == nil && len(want) == 0 {
			want, err = r.wantsOfMaterials(ctx, e, input)
		}
		if err != nil {
			return answer{}, err
		}
		more, err := e.fetch(ctx, r, want)
		if err != nil || more.request != nil {
			return more.answer, err
		}
		if more.again {
			continue
		}
		e = r.evaluation(src, opts)
		a, err := r.decide(ctx, e, input)
		if err != nil {
			return a, err
		}
		if more, err = e.fetch(ctx, r, nil); err != nil || more.request != nil {
			return more.answer, err
		}
		if more.again {
			continue
		}
		r.tell(opts, name, a)
		return a, nil
	}
	return answer{}, fmt.Errorf("%s: the policy wants to know more and more of it", name)
}

// askCaps evaluates the policy for no source, as it does what it asks of the build.
func (r *rules) askCaps(ctx context.Context, opts Options) (map[string]bool, error) {
	if r.builtin {
		return nil, nil
	}
	env := opts.Env
	env.Caps = true
	src := &source{}
	input, err := src.document(env)
	if err != nil {
		return nil, err
	}
	a, err := r.decide(ctx, r.evaluation(src, opts), input)
	return a.caps, err
}

func (r *rules) evaluation(src *source, opts Options) *evaluation {
	return &evaluation{src: src, opts: opts, say: func(format string, args ...any) { r.say(opts, logrus.InfoLevel, format, args...) }}
}

// run prepares the query over an input.
func (r *rules) run(e *evaluation, input ast.Value, more ...func(*rego.Rego)) *rego.Rego {
	opts := append(e.bind(), rego.Query(query), rego.SetRegoVersion(ast.RegoV1), rego.Compiler(r.compiler), rego.ParsedInput(input),
		rego.SkipPartialNamespace(true), rego.EnablePrintStatements(true))
	return rego.New(append(opts, more...)...)
}

// printer shows what policies print.
type printer func(format string, args ...any)

// Print implements [print.Hook].
func (p printer) Print(c print.Context, msg string) error {
	if at := c.Location; at != nil {
		msg = fmt.Sprintf("%s:%d: %s", at.File, at.Row, msg)
	}
	p("%s", msg)
	return nil
}

// A field is one part of the input that is not known.
type field struct {
	ref  ast.Ref
	src  *source
	name string
}

// wants are the missing fields on which the decision depends: those that are left
// when the rules are evaluated as far as they can be.
func (r *rules) wants(ctx context.Context, e *evaluation, input ast.Value, missing []field) (map[*source][]string, error) {
	if len(missing) == 0 {
		return nil, nil
	}
	var unknown []*ast.Term
	for _, f := range missing {
		unknown = append(unknown, ast.NewTerm(f.ref))
	}
	out := map[*source][]string{}
	err := r.refsLeft(ctx, e, input, unknown, func(ref ast.Ref) {
		for _, f := range missing {
			if ref.HasPrefix(f.ref) && !slices.Contains(out[f.src], f.name) {
				out[f.src] = append(out[f.src], f.name)
			}
		}
	})
	return out, err
}

// refsLeft evaluates the rules as far as they can be without what is unknown, and
// visits what is left of them.
func (r *rules) refsLeft(ctx context.Context, e *evaluation, input ast.Value, unknown []*ast.Term, visit func(ast.Ref)) error {
	left, err := r.run(e, input, rego.ParsedUnknowns(unknown)).Partial(ctx)
	if err != nil {
		return err
	}
	each := func(ref ast.Ref) bool { visit(ref); return false }
	for _, body := range left.Queries {
		ast.WalkRefs(body, each)
	}
	for _, m := range left.Support {
		ast.WalkRefs(m, each)
	}
	return nil
}

// more is what came of fetching facts.
type more struct {
	answer
	again bool // something is known that was not before
}

// fetch has the engine find out what is wanted: of the source itself by an answer
// to its question, of those it was built of at once.
func (e *evaluation) fetch(ctx context.Context, r *rules, want map[*source][]string) (more, error) {
	own := slices.Concat(want[e.src], e.want)
	if len(own) > 0 || e.sum != nil {
		r.say(e.opts, logrus.InfoLevel, "policy decision for source %s: resolve missing fields %v", e.src.name(), own)
		req := e.src.request(own)
		if e.sum != nil {
			req.HTTP = &gwpb.ResolveSourceHTTPRequest{ChecksumRequest: e.sum}
		}
		return more{answer: answer{request: req}}, nil
	}
	again := false
	for child, fields := range want {
		if e.opts.Engine == nil {
			return more{}, errors.New("there is no engine to ask about what the image was built of")
		}
		facts, err := e.opts.Engine.Resolve(ctx, child.request(fields))
		if err != nil {
			return more{}, fmt.Errorf("asking about %s: %w", child.name(), err)
		}
		if facts.Source == nil {
			facts.Source = child.op
		}
		known, err := (&reading{ctx: ctx, verifier: child.verifier, above: child.above}).source(facts, child.platform)
		if err != nil {
			return more{}, err
		}
		*child = *known
		again = true
	}
	return more{again: again}, nil
}

// request asks for the facts that tell the fields.
func (s *source) request(fields []string) *gwpb.ResolveSourceMetaRequest {
	req := &gwpb.ResolveSourceMetaRequest{
		Source:   s.op,
		Platform: &pb.Platform{OS: s.platform.OS, Architecture: s.platform.Architecture, Variant: s.platform.Variant},
	}
	if s.input.Image != nil {
		req.Image = &gwpb.ResolveSourceImageRequest{NoConfig: true}
	}
	for _, f := range fields {
		switch {
		case slices.Contains(attested, f):
			req.Image.AttestationChain = true
			if f == "image.provenance" {
				req.Image.ResolveAttestations = predicates
			}
		case strings.HasPrefix(f, "image."):
			req.Image.NoConfig = false
		case strings.HasPrefix(f, "git."):
			if req.Git == nil {
				req.Git = &gwpb.ResolveSourceGitRequest{}
			}
			req.Git.ReturnObject = req.Git.ReturnObject || f == "git.commit" || f == "git.tag"
		}
	}
	return req
}

// missing are the unknown fields of s, which is at, and of all that it was built of.
func (s *source) missing(at string) []field {
	var out []field
	for _, name := range s.unknown {
		out = append(out, field{ast.MustParseRef(at + "." + name), s, name})
	}
	for i, child := range s.materials {
		if child != nil {
			out = append(out, child.missing(fmt.Sprintf("%s.image.provenance.materials[%d]", at, i))...)
		}
	}
	return out
}

// withEnv is the input with what is known of the target.
func (s *source) withEnv(env Env, depth int) Input {
	in := s.input
	env.Depth = depth
	in.Env = env
	if len(s.materials) == 0 {
		return in
	}
	img, provenance := *in.Image, *in.Image.Provenance
	provenance.Materials = nil
	for _, child := range s.materials {
		if child == nil {
			child = &source{}
		}
		provenance.Materials = append(provenance.Materials, child.withEnv(env, depth+1))
	}
	img.Provenance = &provenance
	in.Image = &img
	return in
}

func (s *source) document(env Env) (ast.Value, error) {
	s.full = s.withEnv(env, 0)
	return ast.InterfaceToValue(s.full)
}

// name says the source to people.
func (s *source) name() string {
	if s.op == nil {
		return "none"
	}
	if s.input.Image == nil {
		return s.op.Identifier
	}
	return fmt.Sprintf("%s (%s)", s.op.Identifier, platforms.Format(s.platform))
}

// decide evaluates the rules with all that is known.
func (r *rules) decide(ctx context.Context, e *evaluation, input ast.Value) (answer, error) {
	results, err := r.run(e, input, rego.PrintHook(printer(e.say))).Eval(ctx)
	if err != nil {
		return answer{}, err
	}
	if len(results) == 0 || len(results[0].Expressions) == 0 {
		return answer{}, errors.New("it gives no decision: there is no rule decision in package docker, or it is undefined")
	}
	a, err := answerOf(results[0].Expressions[0].Value)
	if err != nil {
		return a, err
	}
	a.notes = slices.Concat(e.src.notes, e.notes)
	slices.Sort(e.pins)
	e.pins = slices.Compact(e.pins)
	switch {
	case !a.allow || len(e.pins) == 0:
	case len(e.pins) > 1:
		return a, fmt.Errorf("it pins %s to several digests: %v", e.src.name(), e.pins)
	default:
		a.pin = e.pins[0]
	}
	return a, nil
}

// answerOf reads a decision.
func answerOf(v any) (answer, error) {
	var a answer
	object, ok := v.(map[string]any)
	if !ok {
		return a, fmt.Errorf("its decision is %v, not an object with allow", v)
	}
	if allow, given := object["allow"]; given {
		if a.allow, ok = allow.(bool); !ok {
			return a, fmt.Errorf("allow in its decision is %v, not true or false", allow)
		}
	}
	if list, ok := object["deny_msg"].([]any); ok {
		for _, m := range list {
			if s, ok := m.(string); ok {
				a.messages = append(a.messages, s)
			}
		}
	}
	caps, given := object["caps"]
	if !given {
		return a, nil
	}
	list, ok := caps.(map[string]any)
	if !ok {
		return a, fmt.Errorf("caps in its decision is %v, not an object", caps)
	}
	a.caps = map[string]bool{}
	for name, v := range list {
		if name != capProxy {
			return a, fmt.Errorf("caps in its decision has %q; there is %q", name, capProxy)
		}
		if a.caps[name], ok = v.(bool); !ok {
			return a, fmt.Errorf("caps[%q] in its decision is %v, not true or false", name, v)
		}
	}
	return a, nil
}

// tell logs a decision.
func (r *rules) tell(opts Options, name string, a answer) {
	what := "DENY"
	switch {
	case a.allow && a.pin != "":
		what = "convert to " + a.pin.String()
	case a.allow:
		what = "ALLOW"
	}
	r.say(opts, logrus.InfoLevel, "policy decision for source %s: %s", name, what)
	if !a.allow {
		for _, m := range a.messages {
			r.say(opts, logrus.InfoLevel, " - %s", m)
		}
	}
	for _, n := range a.notes {
		r.say(opts, logrus.WarnLevel, " - %s", n)
	}
}
