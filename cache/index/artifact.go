package index

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// How an index lies in a repository. An entry is an artifact manifest (OCI image
// specification 1.1) under the tag fp-<first 32 digits of the fingerprint>. Its
// annotations hold the whole entry, so that one request answers; its layers are
// the detail and the listings, packed with zstd, which are read only when asked
// for. A snapshot is an artifact under the tag index-<scope>, whose one layer
// holds the latest entries of all targets.
const (
	entryArtifact    = "application/vnd.strata.index.entry.v1"
	snapshotArtifact = "application/vnd.strata.index.snapshot.v1"
	blobType         = "application/vnd.strata.index.blob.v1+zstd"
	snapshotType     = "application/vnd.strata.index.snapshot.v1+zstd"

	annEntry     = "build.strata.entry"
	annSignature = "build.strata.signature"
	annContent   = "build.strata.content" // of a layer: the digest of what is packed in it
	annScope     = "build.strata.scope"
	annProject   = "build.strata.project"
)

const (
	entryPrefix    = "fp-"
	snapshotPrefix = "index-"
)

// entryTag is the tag of an entry. Half the fingerprint is enough to tell all
// apart; the whole is checked when the entry is read.
func entryTag(fp Fingerprint) string { return entryPrefix + string(fp[:32]) }

// snapshotTag is the tag of the snapshot of a scope and a project.
func snapshotTag(scope, project string) string {
	tag := snapshotPrefix + slug(scope, 64)
	if project != "" {
		tag += "-" + slug(project, 40)
	}
	return tag
}

// slug makes a part of a tag of any name. Names that lose something get a hash,
// so that no two share a tag.
func slug(s string, most int) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '.':
			return r
		}
		return '_'
	}, s)
	if clean == s && len(clean) <= most {
		return clean
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return fmt.Sprintf("%s.%x", clean[:min(len(clean), most-17)], h.Sum64())
}

// An artifact is an entry as it lies in a repository.
type artifact struct {
	entry     []byte // JSON
	signature string
	layers    []ocispec.Descriptor
}

// manifest is the manifest of a.
func (a artifact) manifest(built time.Time) ([]byte, error) {
	annotations := map[string]string{
		annEntry:                  string(a.entry),
		ocispec.AnnotationCreated: built.UTC().Format(time.RFC3339),
	}
	if a.signature != "" {
		annotations[annSignature] = a.signature
	}
	return artifactManifest(entryArtifact, annotations, a.layers)
}

func artifactManifest(kind string, annotations map[string]string, layers []ocispec.Descriptor) ([]byte, error) {
	if len(layers) == 0 {
		layers = []ocispec.Descriptor{ocispec.DescriptorEmptyJSON} // as the specification advises
	}
	m := ocispec.Manifest{
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: kind,
		Config:       ocispec.DescriptorEmptyJSON,
		Layers:       layers,
		Annotations:  annotations,
	}
	m.SchemaVersion = 2
	return json.Marshal(m)
}

// parseArtifact reads the manifest of an entry.
func parseArtifact(raw []byte) (artifact, error) {
	m, err := parseManifest(raw, entryArtifact)
	if err != nil {
		return artifact{}, err
	}
	return artifact{entry: []byte(m.Annotations[annEntry]), signature: m.Annotations[annSignature], layers: m.Layers}, nil
}

func parseManifest(raw []byte, kind string) (ocispec.Manifest, error) {
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, err
	}
	if m.ArtifactType != kind {
		return m, fmt.Errorf("it is %q and not %q", m.ArtifactType, kind)
	}
	return m, nil
}

// A snapshot is the latest entries of a scope.
type snapshot struct {
	Schema  int            `json:"schema"`
	Entries []snapshotItem `json:"entries"`
}

// A snapshotItem is an entry with what is needed to find it. Nothing but Entry
// is believed.
type snapshotItem struct {
	Fingerprint Fingerprint     `json:"fingerprint"`
	Target      string          `json:"target"`
	Built       int64           `json:"built"` // Unix milliseconds
	Entry       json.RawMessage `json:"entry"` // as it was signed
	Signature   string          `json:"signature,omitempty"`
}

const (
	maxSnapshot     = 64 << 20 // bytes, packed
	snapshotEntries = 20_000
	snapshotPerName = 4 // entries of one target
)

func parseSnapshot(data []byte) (snapshot, error) {
	var s snapshot
	if err := json.Unmarshal(data, &s); err != nil {
		return snapshot{}, err
	}
	if s.Schema != Schema {
		return snapshot{}, &SchemaError{s.Schema}
	}
	return s, nil
}
