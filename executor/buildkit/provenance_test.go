package buildkit

import (
	"encoding/base64"
	"encoding/json"
	"testing"

	provenance "github.com/moby/buildkit/solver/llbsolver/provenance/types"
)

func TestMetadataProvenance(t *testing.T) {
	for text, want := range map[string]Provenance{
		"": MinProvenance, "min": MinProvenance, "max": FullProvenance, "disabled": NoProvenance, "0": NoProvenance,
		"false": NoProvenance, "true": MinProvenance, "more": MinProvenance,
	} {
		if got := MetadataProvenance(func(string) (string, bool) { return text, true }); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

// TestProvenanceOfAnEarlierRun brings what was kept to what is wanted now.
func TestProvenanceOfAnEarlierRun(t *testing.T) {
	full := provenance.ProvenancePredicateSLSA02{BuildConfig: &provenance.BuildConfig{}, Metadata: &provenance.ProvenanceMetadataSLSA02{}}
	full.BuildType = provenance.BuildKitBuildType02
	data, err := json.Marshal(full)
	if err != nil {
		t.Fatal(err)
	}
	kept := base64.StdEncoding.EncodeToString(data)
	for mode, want := range map[Provenance]struct{ told, config bool }{
		FullProvenance: {true, true}, MinProvenance: {true, false}, NoProvenance: {false, false}, "": {false, false},
	} {
		text := mode.Of(kept)
		if text == "" != !want.told {
			t.Errorf("%q tells %q", mode, text)
		}
		if text == "" {
			continue
		}
		var got provenance.ProvenancePredicateSLSA02
		raw, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		if got.BuildType != full.BuildType || (got.BuildConfig != nil) != want.config || (got.Metadata != nil) != want.config {
			t.Errorf("%q tells %s", mode, raw)
		}
	}
	if got := MinProvenance.Of("not base64"); got != "" {
		t.Errorf("damage is told as %q", got)
	}
}
