package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Fields of an image that its config tells, and those that its attestations do.
var (
	configured = []string{"image.labels", "image.env", "image.user", "image.volumes", "image.workingDir", "image.createdTime"}
	attested   = []string{"image.hasProvenance", "image.provenance", "image.signatures"}
)

func (s *source) image(ref string, facts *gwpb.ResolveSourceImageResponse) error {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return err
	}
	img := &ImageInput{
		Ref: named.String(), Host: reference.Domain(named), Repo: reference.FamiliarName(named), FullRepo: named.Name(),
		Platform: platforms.Format(s.platform), OS: s.platform.OS, Architecture: s.platform.Architecture, Variant: s.platform.Variant,
	}
	s.input.Image = img
	if c, ok := named.(reference.Canonical); ok {
		img.Checksum, img.IsCanonical = c.Digest().String(), true
	}
	if t, ok := named.(reference.Tagged); ok {
		img.Tag = t.Tag()
	}
	if facts == nil {
		if !img.IsCanonical {
			s.miss("image.checksum")
		}
		s.miss(configured...)
		s.miss(attested...)
		return nil
	}
	img.Checksum = facts.Digest
	if facts.AttestationChain == nil {
		s.miss(attested...)
	}
	if facts.Config == nil {
		s.miss(configured...)
		return nil
	}
	var config ocispec.Image
	if err := json.Unmarshal(facts.Config, &config); err != nil {
		return fmt.Errorf("reading the image config: %w", err)
	}
	if config.Created != nil {
		img.CreatedTime = config.Created.Format(time.RFC3339)
	}
	img.Labels, img.Env, img.User, img.WorkingDir = config.Config.Labels, config.Config.Env, config.Config.User, config.Config.WorkingDir
	img.Volumes = slices.Sorted(maps.Keys(config.Config.Volumes))
	return nil
}

// attested reads provenance and signatures.
func (s *source) attested(r *reading, chain *gwpb.AttestationChain) error {
	if chain == nil {
		return nil
	}
	img := s.input.Image
	provenance, materials := provenanceOf(chain)
	img.Provenance = provenance
	img.HasProvenance = chain.AttestationManifest != "" || provenance != nil
	img.Signatures = s.signatures(r.ctx, chain)
	return s.builtOf(r, materials)
}
