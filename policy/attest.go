package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"

	slsa "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	"github.com/klauspost/compress/s2"
	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	digest "github.com/opencontainers/go-digest"
)

// artifact is the digest of the file in question, once it is known.
func (e *evaluation) artifact(arg *ast.Term) (digest.Digest, error) {
	file := e.src.full.HTTP
	if err := same(arg, file, "http"); err != nil {
		return "", err
	}
	if file.Checksum == "" {
		e.want = append(e.want, "http.checksum")
		return "", errUnknown
	}
	return digest.Parse(file.Checksum)
}

// verifier is what checks signatures of sigstore.
func (e *evaluation) verifier() (Verifier, error) {
	if e.opts.Verifier == nil {
		return nil, errors.New("there is nothing to check signatures of sigstore with")
	}
	return e.opts.Verifier()
}

// artifactAttestation is who signed a file, by a bundle that is here. It is
// undefined if the bundle does not prove it.
func (e *evaluation) artifactAttestation(bctx rego.BuiltinContext, args []*ast.Term) (any, error) {
	if e.src.full.HTTP == nil {
		return nil, nil
	}
	d, err := e.artifact(args[0])
	if err != nil {
		return nil, err
	}
	bundle, err := e.file(bctx.Context, args[1])
	if err != nil {
		return nil, err
	}
	v, err := e.verifier()
	if err != nil {
		return nil, err
	}
	info, err := v.VerifyArtifact(bctx.Context, d, bundle)
	if err != nil {
		return nil, err
	}
	return signatureInput(info), nil
}

// githubAttestation is who signed a file, by the first valid bundle that GitHub
// keeps for a repository.
func (e *evaluation) githubAttestation(bctx rego.BuiltinContext, args []*ast.Term) (any, error) {
	if e.src.full.HTTP == nil {
		return nil, nil
	}
	repo, err := text(args[1])
	if err != nil {
		return nil, err
	}
	d, err := e.artifact(args[0])
	if err != nil {
		return nil, err
	}
	v, err := e.verifier()
	if err != nil {
		return nil, err
	}
	if e.opts.Engine == nil {
		return nil, errors.New("there is no engine to ask GitHub")
	}
	bundles, err := e.githubBundles(bctx.Context, repo, d)
	if err != nil {
		return nil, err
	}
	for _, bundle := range bundles {
		info, verr := v.VerifyArtifact(bctx.Context, d, bundle)
		if verr == nil {
			return signatureInput(info), nil
		}
		err = errors.Join(err, verr)
	}
	if err == nil {
		err = fmt.Errorf("GitHub has no attestation of %s in %s", d, repo)
	}
	return nil, err
}

// githubBundles asks GitHub for the attestations of a file. Some are in the answer,
// others at a URL that it names.
func (e *evaluation) githubBundles(ctx context.Context, repo string, d digest.Digest) ([][]byte, error) {
	api := fmt.Sprintf("https://api.github.com/repos/%s/attestations/%s?predicate_type=%s", repo, d, url.QueryEscape(slsa.PredicateSLSAProvenance))
	data, err := e.opts.Engine.Fetch(ctx, api, "application/vnd.github+json")
	if err != nil {
		return nil, fmt.Errorf("asking GitHub: %w", err)
	}
	var answer struct {
		Attestations []struct {
			Bundle json.RawMessage `json:"bundle"`
			URL    string          `json:"bundle_url"`
		} `json:"attestations"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return nil, fmt.Errorf("reading GitHub's answer: %w", err)
	}
	var out [][]byte
	var errs []error
	for _, a := range answer.Attestations {
		if b := bytes.TrimSpace(a.Bundle); len(b) > 0 && !bytes.Equal(b, []byte("null")) {
			out = append(out, b)
		}
		if a.URL == "" {
			continue
		}
		b, err := e.bundleAt(ctx, a.URL)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		out = append(out, b)
	}
	if len(out) > 0 {
		return out, nil
	}
	return nil, errors.Join(errs...)
}

func (e *evaluation) bundleAt(ctx context.Context, at string) ([]byte, error) {
	data, err := e.opts.Engine.Fetch(ctx, at, "")
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(at)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(u.Path, ".json.sn") { // snappy
		return s2.Decode(nil, data)
	}
	return bytes.TrimSpace(data), nil
}
