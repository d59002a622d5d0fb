package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	slsa02 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v0.2"
	slsa1 "github.com/in-toto/in-toto-golang/in_toto/slsa_provenance/v1"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	provenance "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/gitutil"
	"github.com/moby/buildkit/util/purl"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// predicates are the kinds of provenance that are read.
var predicates = []string{slsa02.PredicateSLSAProvenance, slsa1.PredicateSLSAProvenance}

const annotationPredicate = "in-toto.io/predicate-type"

// A material is what an image was built of, by its provenance.
type material struct {
	uri    string
	digest map[string]string
}

// provenanceOf reads the first provenance among the blobs, nil if there is none
// that can be read.
func provenanceOf(chain *gwpb.AttestationChain) (*ProvenanceInput, []material) {
	for _, key := range slices.Sorted(maps.Keys(chain.Blobs)) {
		blob := chain.Blobs[key]
		kind := blob.GetDescriptor_().GetAnnotations()[annotationPredicate]
		if !slices.Contains(predicates, kind) {
			continue
		}
		var statement struct {
			Kind      string          `json:"predicateType"`
			Predicate json.RawMessage `json:"predicate"`
		}
		if json.Unmarshal(blob.Data, &statement) != nil {
			continue
		}
		if statement.Kind != "" {
			kind = statement.Kind
		}
		read := map[string]func([]byte) (*ProvenanceInput, []material){predicates[0]: readSLSA02, predicates[1]: readSLSA1}[kind]
		if read == nil {
			continue
		}
		if p, materials := read(statement.Predicate); p != nil {
			p.PredicateType = kind
			return p, materials
		}
	}
	return nil, nil
}

func readSLSA1(data []byte) (*ProvenanceInput, []material) {
	var in provenance.ProvenancePredicateSLSA1
	if json.Unmarshal(data, &in) != nil || in.BuildDefinition.BuildType == "" && in.RunDetails.Builder.ID == "" {
		return nil, nil
	}
	asked := in.BuildDefinition.ExternalParameters
	out := &ProvenanceInput{
		BuildType: in.BuildDefinition.BuildType, BuilderID: in.RunDetails.Builder.ID,
		ConfigSource: &ConfigSourceInput{URI: asked.ConfigSource.URI, Digest: asked.ConfigSource.Digest, Path: asked.ConfigSource.Path},
		Frontend:     asked.Request.Frontend, BuildArgs: buildArgs(asked.Request.Args), RawArgs: asked.Request.Args,
	}
	if md := in.RunDetails.Metadata; md != nil {
		out.InvocationID, out.StartedOn, out.FinishedOn = md.InvocationID, utc(md.StartedOn), utc(md.FinishedOn)
		out.Reproducible, out.Hermetic = &md.Reproducible, &md.Hermetic
		out.Completeness = &CompletenessInput{Parameters: &md.Completeness.Request, Materials: &md.Completeness.ResolvedDependencies}
	}
	var materials []material
	for _, d := range in.BuildDefinition.ResolvedDependencies {
		materials = append(materials, material{d.URI, d.Digest})
	}
	return out, materials
}

func readSLSA02(data []byte) (*ProvenanceInput, []material) {
	var in provenance.ProvenancePredicateSLSA02
	if json.Unmarshal(data, &in) != nil || in.BuildType == "" && in.Builder.ID == "" {
		return nil, nil
	}
	from, asked := in.Invocation.ConfigSource, in.Invocation.Parameters
	out := &ProvenanceInput{
		BuildType: in.BuildType, BuilderID: in.Builder.ID,
		ConfigSource: &ConfigSourceInput{URI: from.URI, Digest: from.Digest, Path: from.EntryPoint},
		Frontend:     asked.Frontend, BuildArgs: buildArgs(asked.Args), RawArgs: asked.Args,
	}
	if md := in.Metadata; md != nil {
		out.InvocationID, out.StartedOn, out.FinishedOn = md.BuildInvocationID, utc(md.BuildStartedOn), utc(md.BuildFinishedOn)
		out.Reproducible, out.Hermetic = &md.Reproducible, &md.Hermetic
		out.Completeness = &CompletenessInput{
			Parameters: &md.Completeness.Parameters, Environment: &md.Completeness.Environment, Materials: &md.Completeness.Materials,
		}
	}
	var materials []material
	for _, m := range in.Materials {
		materials = append(materials, material{m.URI, m.Digest})
	}
	return out, materials
}

func utc(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// buildArgs are those of a front end's options that are arguments.
func buildArgs(attrs map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range attrs {
		if name, ok := strings.CutPrefix(k, "build-arg:"); ok && name != "" {
			out[name] = v
		}
	}
	return out
}

// maxDepth is how far the sources of sources are followed.
const maxDepth = 24

// builtOf makes sources of materials. One that can not be a source is left out; one
// that the image is itself below is empty.
func (s *source) builtOf(r *reading, materials []material) error {
	key := s.op.Identifier + " " + platforms.Format(s.platform)
	if len(materials) == 0 {
		return nil
	}
	if len(r.above) >= maxDepth {
		return fmt.Errorf("what it was built of goes deeper than %d images", maxDepth)
	}
	below := &reading{ctx: r.ctx, verifier: r.verifier, above: append(slices.Clone(r.above), key)}
	for _, m := range materials {
		op, platform, err := m.source()
		if err != nil {
			continue
		}
		if platform == nil {
			platform = &s.platform
		}
		if slices.Contains(below.above, op.Identifier+" "+platforms.Format(*platform)) {
			s.materials = append(s.materials, nil)
			continue
		}
		child, err := below.source(&gwpb.ResolveSourceMetaResponse{Source: op}, *platform)
		if err != nil {
			return err
		}
		s.materials = append(s.materials, child)
	}
	return nil
}

func (m material) source() (*pb.SourceOp, *ocispec.Platform, error) {
	if strings.HasPrefix(m.uri, "pkg:docker/") {
		return m.image()
	}
	u, err := gitutil.ParseURL(m.uri)
	isWeb := strings.HasPrefix(m.uri, "http://") || strings.HasPrefix(m.uri, "https://")
	switch {
	case err == nil && (!isWeb || strings.HasSuffix(strings.ToLower(u.Path), ".git")):
		id := "git://" + u.Host + path.Join("/", u.Path)
		if u.Opts != nil && u.Opts.Ref+u.Opts.Subdir != "" {
			id += "#" + u.Opts.Ref
			if u.Opts.Subdir != "" {
				id += ":" + u.Opts.Subdir
			}
		}
		return &pb.SourceOp{Identifier: id, Attrs: map[string]string{pb.AttrFullRemoteURL: m.uri}}, nil, nil
	case isWeb:
		return &pb.SourceOp{Identifier: m.uri}, nil, nil
	}
	return nil, nil, fmt.Errorf("%q is no source", m.uri)
}

func (m material) image() (*pb.SourceOp, *ocispec.Platform, error) {
	ref, platform, err := purl.PURLToRef(m.uri)
	if err != nil {
		return nil, nil, err
	}
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return nil, nil, err
	}
	if sum := strings.TrimPrefix(strings.TrimSpace(m.digest["sha256"]), "sha256:"); sum != "" {
		d := digest.NewDigestFromEncoded(digest.SHA256, sum)
		if err := d.Validate(); err != nil {
			return nil, nil, err
		}
		if c, ok := named.(reference.Canonical); ok && c.Digest() != d {
			return nil, nil, fmt.Errorf("%s has the digest %s in its provenance", named, d)
		}
		if named, err = reference.WithDigest(named, d); err != nil {
			return nil, nil, err
		}
	}
	return &pb.SourceOp{Identifier: "docker-image://" + named.String()}, platform, nil
}
