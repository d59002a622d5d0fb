package policy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/types"
	digest "github.com/opencontainers/go-digest"
)

// A function is one that policies can call beside those of OPA.
type function struct {
	name string
	does string
	decl *types.Function
	call func(*evaluation, rego.BuiltinContext, []*ast.Term) (any, error)
}

var functions = []function{
	{"load_json", "reads a JSON file", types.NewFunction(types.Args(types.S), types.A), (*evaluation).loadJSON},
	{"pin_image", "has the image used by a digest", types.NewFunction(types.Args(types.A, types.S), types.B), (*evaluation).pinImage},
	{"verify_git_signature", "checks the signature of a commit or tag", types.NewFunction(types.Args(types.A, types.S), types.B), (*evaluation).verifyGit},
	{"verify_http_pgp_signature", "checks the detached signature of a file", types.NewFunction(types.Args(types.A, types.S, types.S), types.B), (*evaluation).verifyHTTP},
	{"artifact_attestation", "is the signature in a sigstore bundle", types.NewFunction(types.Args(types.A, types.S), types.A), (*evaluation).artifactAttestation},
	{"github_attestation", "is the signature that GitHub keeps", types.NewFunction(types.Args(types.A, types.S), types.A), (*evaluation).githubAttestation},
}

// An evaluation is one run of the rules over a source.
type evaluation struct {
	src  *source
	opts Options
	say  func(format string, args ...any)

	want  []string              // fields of the source that functions missed
	sum   *gwpb.ChecksumRequest // checksum that a function missed
	pins  []digest.Digest
	notes []string // why functions gave no result
}

// errUnknown ends a function that has to be called again with more facts.
var errUnknown = errors.New("more has to be known of the source")

// bind are the functions as OPA takes them. What goes wrong in one leaves its
// result undefined, as in buildx; it is noted, for whoever wonders about the
// decision.
func (e *evaluation) bind() []func(*rego.Rego) {
	var out []func(*rego.Rego)
	for _, f := range functions {
		out = append(out, rego.FunctionDyn(&rego.Function{Name: f.name, Decl: f.decl},
			func(bctx rego.BuiltinContext, args []*ast.Term) (*ast.Term, error) {
				result, err := f.call(e, bctx, args)
				if errors.Is(err, errUnknown) {
					return nil, nil
				}
				if err != nil {
					if bctx.Context.Err() != nil {
						return nil, rego.NewHaltError(context.Cause(bctx.Context))
					}
					e.note(bctx, f.name, err)
					return nil, nil
				}
				if result == nil {
					return nil, nil
				}
				v, err := ast.InterfaceToValue(result)
				return ast.NewTerm(v), err
			}))
	}
	return out
}

func (e *evaluation) note(bctx rego.BuiltinContext, name string, err error) {
	text := fmt.Sprintf("%s: %v", name, err)
	if at := bctx.Location; at != nil {
		text = fmt.Sprintf("%s:%d:%d: %s", at.File, at.Row, at.Col, text)
	}
	for _, n := range e.notes {
		if n == text {
			return
		}
	}
	e.notes = append(e.notes, text)
}

// same checks that the argument is the part of the input that it has to be, for a
// function can tell only of the source in question.
func same(arg *ast.Term, part any, name string) error {
	v, err := ast.InterfaceToValue(part)
	if err != nil {
		return err
	}
	if arg.Value.Compare(v) != 0 {
		return fmt.Errorf("its first argument is not input.%s", name)
	}
	return nil
}

func text(arg *ast.Term) (string, error) {
	s, ok := arg.Value.(ast.String)
	if !ok {
		return "", fmt.Errorf("%s is not a string", arg)
	}
	return string(s), nil
}

// file reads the file that an argument names.
func (e *evaluation) file(ctx context.Context, arg *ast.Term) ([]byte, error) {
	name, err := text(arg)
	if err != nil {
		return nil, err
	}
	data, err := e.opts.Read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return data, nil
}

func (e *evaluation) loadJSON(bctx rego.BuiltinContext, args []*ast.Term) (any, error) {
	data, err := e.file(bctx.Context, args[0])
	if err != nil {
		return nil, err
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", args[0], err)
	}
	if v == nil {
		return ast.Null{}, nil
	}
	return v, nil
}

func (e *evaluation) pinImage(_ rego.BuiltinContext, args []*ast.Term) (any, error) {
	img := e.src.full.Image
	if img == nil {
		return false, nil
	}
	if err := same(args[0], img, "image"); err != nil {
		return nil, err
	}
	s, err := text(args[1])
	if err != nil {
		return nil, err
	}
	d, err := digest.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a digest: %w", s, err)
	}
	if img.Checksum != d.String() {
		e.pins = append(e.pins, d)
	}
	return true, nil
}
