package engine

import (
	"encoding/json"
	"fmt"
	"time"
)

// LayersExporter is an exporter that only embedded engines have. It writes
// nothing and compresses nothing; it answers with what is known of the result's
// layers. A remote buildkitd cannot tell the size of a layer that nothing has
// been built on yet.
const LayersExporter = "strata.layers"

// layersKey is where the answer stands in the exporter's response.
const layersKey = "strata.layers"

// A Layer is one layer of a result in an engine.
type Layer struct {
	ID      string    `json:"id"`             // of the cache record
	Size    int64     `json:"size"`           // bytes on the engine's disk, -1 if unknown
	Blob    string    `json:"blob,omitempty"` // digest of the compressed layer, if there is one
	Packed  int64     `json:"packed,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

// ParseLayers reads the answer of LayersExporter: the layers of each platform,
// oldest first, "" being the only platform. It is nil if the exporter did not run.
func ParseLayers(response map[string]string) (map[string][]Layer, error) {
	text, ok := response[layersKey]
	if !ok {
		return nil, nil
	}
	var out map[string][]Layer
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("reading the engine's layers: %w", err)
	}
	return out, nil
}
