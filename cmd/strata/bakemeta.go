package main

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor/buildkit"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/report"
)

// This file tells programs what docker buildx tells them of a build.

// bakeProgress is what bake shows beside the events.
func (r *buildRun) bakeProgress() report.Bake {
	b := report.Bake{Title: "[internal] load local bake definitions", Results: r.opts.keepGoing}
	if len(r.opts.files) == 0 && r.opts.remote == nil && len(config.FilesFromEnv(r.app.lookupEnv)) > 0 {
		b.Title += " from BUILDX_BAKE_FILE env"
	}
	for _, name := range r.cfg.Loaded {
		if name == "-" {
			name = "from stdin"
		}
		b.Definitions = append(b.Definitions, name)
	}
	return b
}

// provenance is what the metadata file of bake is to tell of how targets are made.
func (r *buildRun) provenance() buildkit.Provenance {
	if !r.opts.bakes() || r.opts.metadata == "" {
		return buildkit.NoProvenance
	}
	return buildkit.MetadataProvenance(r.app.lookupEnv)
}

// writeMetadata writes what is known of the results, as docker buildx does. For
// a target that was there before it is what was said when it was made.
func (r *buildRun) writeMetadata(ctx context.Context) error {
	all := map[string]any{}
	for _, pt := range r.plan.Targets {
		t := r.target(pt.Name)
		switch {
		case pt.Action == plan.Solve:
			if response := r.builder.Response(pt.Name); response != nil {
				all[pt.Name] = buildkit.Metadata(r.planning.runID, t, response)
			}
		case pt.Entry != nil:
			all[pt.Name] = buildkit.Metadata(pt.Entry.Run, t, r.response(ctx, pt))
		}
	}
	wanted, _ := r.app.lookupEnv("BUILDX_METADATA_WARNINGS")
	if yes, err := strconv.ParseBool(wanted); err == nil && yes && r.opts.bakes() {
		if list := r.metadataWarnings(); len(list) > 0 {
			all["buildx.build.warnings"] = list
		}
	}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(r.opts.metadata, append(data, '\n'))
}

// response is what the exporters said when a target was made, and of how it was
// made what is wanted now.
func (r *buildRun) response(ctx context.Context, pt *plan.Target) map[string]string {
	out := map[string]string{}
	if pt.Entry.Digest != "" {
		out["containerimage.digest"] = pt.Entry.Digest
	}
	d, _ := r.planning.index.Detail(ctx, *pt.Entry)
	for _, in := range d.Inputs {
		if in.Kind != plan.KindResponse {
			continue
		}
		value := in.Value
		if strings.HasPrefix(in.Name, buildkit.ProvenanceKey) {
			if value = r.provenance().Of(value); value == "" {
				continue
			}
		}
		out[in.Name] = value
	}
	return out
}

// A metadataWarning is a finding in a Dockerfile, in BuildKit's form.
type metadataWarning struct {
	Level      int              `json:"level"`
	Short      []byte           `json:"short"`
	Detail     [][]byte         `json:"detail,omitempty"`
	URL        string           `json:"url,omitempty"`
	SourceInfo *metadataSource  `json:"sourceInfo,omitempty"`
	Range      []*metadataRange `json:"range,omitempty"`
}

type metadataSource struct {
	Filename string `json:"filename"`
}

type metadataRange struct {
	Start metadataPosition `json:"start"`
	End   metadataPosition `json:"end"`
}

type metadataPosition struct {
	Line int `json:"line"`
}

// metadataWarnings are the findings in all Dockerfiles, each once.
func (r *buildRun) metadataWarnings() []metadataWarning {
	var out []metadataWarning
	var told []string
	for _, t := range r.sel.Targets {
		b, err := r.planning.lowerer.Brief(t.Name)
		if err != nil {
			continue
		}
		for i, w := range b.Warnings {
			place := b.WarningPlace(i)
			key := place.String() + " " + w.Text
			if slices.Contains(told, key) {
				continue
			}
			told = append(told, key)
			one := metadataWarning{Level: 1, Short: []byte(w.Text), URL: w.URL, SourceInfo: &metadataSource{place.File}}
			if w.Detail != "" {
				one.Detail = [][]byte{[]byte(w.Detail)}
			}
			if place.Line > 0 {
				at := metadataPosition{place.Line}
				one.Range = []*metadataRange{{at, at}}
			}
			out = append(out, one)
		}
	}
	return out
}
