// Package history holds the layer history of images: which instruction made
// which layer, how large it is, and what became of it in the run that made it.
//
// It reads images and keeps records; it never builds and never prints.
package history

import "time"

// Schema is the version of the JSON form of a Record. In version 1, which is read
// too, SharedWith had all targets and SharedCount was not there.
const Schema = 2

// MaxShared is how many targets a Layer names that share it. All targets of a run
// may share their base: the records of a thousand of them would name a million.
const MaxShared = 10

// A Record is one build of one target, or one image read from a registry, an
// archive or the local store. Its JSON form is public: see docs.
type Record struct {
	Schema  int       `json:"schema"`
	Target  string    `json:"target,omitempty"` // "" for an image nobody here built
	Ref     string    `json:"ref,omitempty"`    // how the image was named: first tag, or what was asked for
	Tags    []string  `json:"tags,omitempty"`
	Run     string    `json:"run,omitempty"`    // id of the run
	BuiltAt time.Time `json:"builtAt,omitzero"` // when the run made it
	Digest  string    `json:"digest,omitempty"` // index digest when there are several platforms or attestations
	Images  []Image   `json:"images"`           // one a platform
}

// An Image is the history of one platform's image.
type Image struct {
	Platform string    `json:"platform"`
	Digest   string    `json:"digest,omitempty"` // manifest; "" if no image was made (cacheonly, local)
	Config   string    `json:"config,omitempty"` // config digest
	Size     int64     `json:"size"`             // sum of layers; see SizeKind
	SizeKind string    `json:"sizeKind"`         // "compressed" (bytes in a registry) or "disk" (bytes unpacked)
	Created  time.Time `json:"created,omitzero"`
	Base     string    `json:"base,omitempty"` // "python:3.8-alpine", "target:base", "scratch"
	Layers   []Layer   `json:"layers"`         // oldest first, config-only steps included
}

// LayerState says what became of a layer.
type LayerState string

// The states of a layer. A layer of an image that was read, not built, has
// none of them but Config and "".
const (
	Built  LayerState = "built"
	Cached LayerState = "cached"
	Config LayerState = "config" // changes the image config only: CMD, ENV
	Base   LayerState = "base"   // comes with the base image or the parent target
)

// A Layer is one line of an image's history.
type Layer struct {
	Step       int           `json:"step,omitempty"`  // number within the target, from 1; 0 for base layers
	CreatedBy  string        `json:"createdBy"`       // instruction as written, or the history text
	Place      string        `json:"place,omitempty"` // "Dockerfile:4", "build.hcl:12"
	Created    time.Time     `json:"created,omitzero"`
	Size       int64         `json:"size"`             // bytes, -1 if unknown; 0 for config
	Time       time.Duration `json:"timeNs,omitempty"` // how long the step ran in the run that made the record
	State      LayerState    `json:"state,omitempty"`
	Empty      bool          `json:"empty,omitempty"`      // changes the image config only, of the base too
	Digest     string        `json:"digest,omitempty"`     // of the compressed layer; "" for config or unknown
	SharedWith []string      `json:"sharedWith,omitempty"` // other targets of the run that contain it, the first MaxShared in graph order

	SharedCount int `json:"sharedCount,omitempty"` // how many other targets contain it
}

// Sharers is how many other targets contain the layer, whatever version of Schema
// tells of it.
func (l Layer) Sharers() int { return max(l.SharedCount, len(l.SharedWith)) }
