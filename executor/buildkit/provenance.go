package buildkit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	control "github.com/moby/buildkit/api/services/control"
	provenance "github.com/moby/buildkit/solver/llbsolver/provenance/types"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Provenance says how much of how a target was made is told beside what the
// exporters say. Its words are those of BUILDX_METADATA_PROVENANCE.
type Provenance string

// How much is told.
const (
	NoProvenance   Provenance = "disabled"
	MinProvenance  Provenance = "min"
	FullProvenance Provenance = "max"
)

// newestSLSA is the type of a predicate in the form after 0.2.
const newestSLSA = "https://slsa.dev/provenance/v1"

// ProvenanceKey is the key of it in [Builder.Response], followed by a slash and
// the platform if there are several.
const ProvenanceKey = "buildx.build.provenance"

// MetadataProvenance is what the environment asks for; as in docker buildx, what
// is not known means the least.
func MetadataProvenance(lookup func(string) (string, bool)) Provenance {
	text, _ := lookup("BUILDX_METADATA_PROVENANCE")
	if yes, err := strconv.ParseBool(text); err == nil && !yes || text == string(NoProvenance) {
		return NoProvenance
	}
	if text == string(FullProvenance) {
		return FullProvenance
	}
	return MinProvenance
}

// Wanted reports whether any is told. The targets must have been lowered with
// [lower.Options.InEngine] then.
func (p Provenance) Wanted() bool { return p == MinProvenance || p == FullProvenance }

// Of is what p tells of kept, which was told in an earlier run in the form of
// [Builder.Response]; "" is nothing.
func (p Provenance) Of(kept string) string {
	switch p {
	case FullProvenance:
		return kept
	case MinProvenance:
	default:
		return ""
	}
	data, err := base64.StdEncoding.DecodeString(kept)
	if err != nil {
		return ""
	}
	less, err := encodeProvenance(data, "", p)
	if err != nil {
		return ""
	}
	return less
}

// provenance asks the engine's record of the solve ref how the target was made.
// An engine without such records tells nothing.
func (b *Builder) provenance(ctx context.Context, ref string) (map[string]string, error) {
	stream, err := b.Client.ControlClient().ListenBuildHistory(ctx, &control.BuildHistoryRequest{Ref: ref, EarlyExit: true})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for {
		event, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if event.Record == nil {
			continue
		}
		results := map[string]*control.BuildResultInfo{}
		for platform, r := range event.Record.Results {
			results[ProvenanceKey+"/"+platform] = r
		}
		if len(results) == 0 && event.Record.Result != nil {
			results[ProvenanceKey] = event.Record.Result
		}
		for key, r := range results {
			text, err := b.predicate(ctx, r)
			if err != nil {
				return nil, fmt.Errorf("reading the provenance in the engine's record: %w", err)
			}
			if text != "" {
				out[key] = text
			}
		}
	}
}

// predicate is the provenance of a result, as base64 of JSON; "" if it has none.
func (b *Builder) predicate(ctx context.Context, r *control.BuildResultInfo) (string, error) {
	for _, a := range r.Attestations {
		kind := a.Annotations["in-toto.io/predicate-type"]
		if a.MediaType != "application/vnd.in-toto+json" || !strings.HasPrefix(kind, "https://slsa.dev/provenance/") {
			continue
		}
		data, err := content.ReadBlob(ctx, engineContent(b.Client), ocispec.Descriptor{MediaType: a.MediaType, Digest: digest.Digest(a.Digest), Size: a.Size})
		if err != nil {
			return "", err
		}
		return encodeProvenance(data, kind, b.Provenance)
	}
	return "", nil
}

// encodeProvenance brings a predicate to the form of docker buildx: SLSA 0.2, and
// of the least only what says where it came from.
func encodeProvenance(data []byte, kind string, mode Provenance) (string, error) {
	told := &provenance.ProvenancePredicateSLSA02{}
	if kind == newestSLSA {
		var newer provenance.ProvenancePredicateSLSA1
		if err := json.Unmarshal(data, &newer); err != nil {
			return "", err
		}
		told = newer.ConvertToSLSA02()
	} else if err := json.Unmarshal(data, told); err != nil {
		return "", err
	}
	if mode == MinProvenance {
		told.BuildConfig, told.Metadata = nil, nil
	}
	out, err := json.Marshal(told)
	return base64.StdEncoding.EncodeToString(out), err
}
