package policy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	helpers "github.com/moby/policy-helpers"
	"github.com/moby/policy-helpers/image"
	"github.com/moby/policy-helpers/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Verifier checks signatures of sigstore. It is one of moby/policy-helpers.
type Verifier interface {
	VerifyImage(context.Context, image.ReferrersProvider, ocispec.Descriptor, *ocispec.Platform) (*types.SignatureInfo, error)
	VerifyArtifact(context.Context, digest.Digest, []byte, ...helpers.ArtifactVerifyOpt) (*types.SignatureInfo, error)
}

// NewVerifier returns a Verifier that keeps the roots of trust in dir.
func NewVerifier(dir string) (Verifier, error) {
	return helpers.NewVerifier(helpers.Config{StateDir: dir})
}

// signatures are those of an image's provenance that are valid. Why one is not
// becomes a note.
func (s *source) signatures(ctx context.Context, chain *gwpb.AttestationChain) []SignatureInput {
	if chain.Root == "" || chain.AttestationManifest == "" || len(chain.SignatureManifests) == 0 {
		return nil
	}
	info, err := s.verified(ctx, chain)
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf("the signature of %s: %v", s.input.Image.Ref, err))
	}
	if err != nil || info == nil {
		return nil
	}
	return []SignatureInput{signatureInput(info)}
}

func (s *source) verified(ctx context.Context, chain *gwpb.AttestationChain) (*types.SignatureInfo, error) {
	if s.verifier == nil {
		return nil, errors.New("there is nothing to check it with")
	}
	root, ok := chain.Blobs[chain.Root]
	if !ok {
		return nil, fmt.Errorf("the engine did not tell the index %s", chain.Root)
	}
	desc := descriptor(root)
	if desc.MediaType != ocispec.MediaTypeImageIndex {
		return nil, nil
	}
	told := &told{chain}
	found, err := image.ResolveSignatureChain(ctx, told, desc, &s.platform)
	if err != nil || found.AttestationManifest == nil || found.SignatureManifest == nil {
		return nil, err
	}
	if got := found.AttestationManifest.Digest.String(); got != chain.AttestationManifest {
		return nil, fmt.Errorf("the engine told the attestations %s, the index has %s", chain.AttestationManifest, got)
	}
	v, err := s.verifier()
	if err != nil {
		return nil, err
	}
	return v.VerifyImage(ctx, told, desc, &s.platform)
}

func signatureInput(info *types.SignatureInfo) SignatureInput {
	out := SignatureInput{Kind: kinds[info.Kind], Type: forms[info.SignatureType], DockerReference: info.DockerReference, IsDHI: info.IsDHI}
	for _, t := range info.Timestamps {
		out.Timestamps = append(out.Timestamps, TimestampInput(t))
	}
	if c := info.Signer; c != nil {
		out.Signer = &SignerInput{
			CertificateIssuer: c.CertificateIssuer, SubjectAlternativeName: c.SubjectAlternativeName,
			Issuer: c.Issuer, BuildSignerURI: c.BuildSignerURI, BuildSignerDigest: c.BuildSignerDigest, RunnerEnvironment: c.RunnerEnvironment,
			SourceRepositoryURI: c.SourceRepositoryURI, SourceRepositoryDigest: c.SourceRepositoryDigest, SourceRepositoryRef: c.SourceRepositoryRef,
			SourceRepositoryIdentifier: c.SourceRepositoryIdentifier, SourceRepositoryOwnerURI: c.SourceRepositoryOwnerURI,
			SourceRepositoryOwnerIdentifier: c.SourceRepositoryOwnerIdentifier, BuildConfigURI: c.BuildConfigURI, BuildConfigDigest: c.BuildConfigDigest,
			BuildTrigger: c.BuildTrigger, RunInvocationURI: c.RunInvocationURI,
			SourceRepositoryVisibilityAtSigning: c.SourceRepositoryVisibilityAtSigning,
		}
	}
	return out
}

// The names that policies have for kinds and forms of signatures.
var (
	kinds = map[types.Kind]string{
		types.KindDockerGithubBuilder: "docker-github-builder", types.KindDockerHardenedImage: "docker-hardened-image",
		types.KindSelfSignedGithubRepo: "self-signed-github-repo", types.KindSelfSigned: "self-signed", types.KindUntrusted: "untrusted",
	}
	forms = map[types.SignatureType]string{
		types.SignatureBundleV03: "bundle-v0.3", types.SignatureSimpleSigningV1: "simplesigning-v1",
	}
)

func descriptor(b *gwpb.Blob) ocispec.Descriptor {
	d := b.GetDescriptor_()
	return ocispec.Descriptor{MediaType: d.GetMediaType(), Digest: digest.Digest(d.GetDigest()), Size: d.GetSize()}
}

// told is what the engine told of an image, as content with referrers.
type told struct{ chain *gwpb.AttestationChain }

// FetchReferrers are the signatures of the attestations; nothing else has any.
func (t *told) FetchReferrers(_ context.Context, d digest.Digest, _ ...remotes.FetchReferrersOpt) ([]ocispec.Descriptor, error) {
	if d.String() != t.chain.AttestationManifest {
		return nil, nil
	}
	var out []ocispec.Descriptor
	for _, key := range t.chain.SignatureManifests {
		blob, ok := t.chain.Blobs[key]
		if !ok {
			continue
		}
		var m ocispec.Manifest
		if err := json.Unmarshal(blob.Data, &m); err != nil {
			return nil, fmt.Errorf("reading the signature %s: %w", key, err)
		}
		desc := descriptor(blob)
		if desc.ArtifactType = m.ArtifactType; desc.ArtifactType == "" {
			desc.ArtifactType = image.ArtifactTypeCosignSignature // the older form has none
		}
		out = append(out, desc)
	}
	return out, nil
}

// ReaderAt reads a blob that was told.
func (t *told) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	blob, ok := t.chain.Blobs[desc.Digest.String()]
	if !ok {
		return nil, fmt.Errorf("the engine did not tell %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	if desc.Digest.Algorithm().FromBytes(blob.Data) != desc.Digest {
		return nil, fmt.Errorf("what the engine told of %s is something else", desc.Digest)
	}
	return readerAt{bytes.NewReader(blob.Data)}, nil
}

type readerAt struct{ *bytes.Reader }

// Close does nothing.
func (readerAt) Close() error { return nil }
