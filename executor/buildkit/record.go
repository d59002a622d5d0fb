package buildkit

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/content/proxy"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/lower"
)

func engineContent(c *client.Client) content.Provider {
	return proxy.NewContentStore(c.ContentClient())
}

// record writes down the layer history of a finished target. What the engine
// does not tell stays unknown; a record never fails a build.
func (s *solve) record(ctx context.Context, desc *ocispec.Descriptor, res *executor.TargetResult) {
	rec := &history.Record{
		Schema: history.Schema, Target: s.t.Name, Tags: s.t.Tags, Run: s.b.Run, BuiltAt: now(), Digest: res.Digest,
	}
	if len(s.t.Tags) > 0 {
		rec.Ref = s.t.Tags[0]
	}
	manifests := s.manifests(ctx, desc)
	total := int64(0)
	for _, p := range s.r.Platforms {
		img := s.image(p, manifests)
		if img.Size < 0 || img.SizeKind != "compressed" {
			total = -1
		} else if total >= 0 {
			total += img.Size
		}
		rec.Images = append(rec.Images, img)
	}
	if desc != nil {
		res.Size = total
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.records[s.t.Name] = rec
}

// A manifest is one platform's manifest as read back.
type manifest struct {
	digest   string
	config   string
	image    ocispec.Image
	layers   []ocispec.Descriptor
	platform ocispec.Platform
}

// manifests reads the manifests under desc, attestations left out.
func (s *solve) manifests(ctx context.Context, desc *ocispec.Descriptor) []manifest {
	if desc == nil {
		return nil
	}
	for _, from := range s.contents() {
		if list, err := readManifests(ctx, from, *desc); err == nil {
			return list
		}
	}
	return nil
}

func readManifests(ctx context.Context, from content.Provider, desc ocispec.Descriptor) ([]manifest, error) {
	if images.IsIndexType(desc.MediaType) {
		var index ocispec.Index
		if err := readJSON(ctx, from, desc, &index); err != nil {
			return nil, err
		}
		var out []manifest
		for _, m := range index.Manifests {
			if m.Platform != nil && m.Platform.OS == "unknown" {
				continue // an attestation
			}
			list, err := readManifests(ctx, from, m)
			if err != nil {
				return nil, err
			}
			out = append(out, list...)
		}
		return out, nil
	}
	var m ocispec.Manifest
	if err := readJSON(ctx, from, desc, &m); err != nil {
		return nil, err
	}
	one := manifest{digest: desc.Digest.String(), config: m.Config.Digest.String(), layers: m.Layers}
	if err := readJSON(ctx, from, m.Config, &one.image); err != nil {
		return nil, err
	}
	one.platform = platforms.Normalize(one.image.Platform)
	return []manifest{one}, nil
}

func readJSON(ctx context.Context, from content.Provider, desc ocispec.Descriptor, into any) error {
	data, err := content.ReadBlob(ctx, from, desc)
	if err != nil {
		return fmt.Errorf("reading %s: %w", desc.Digest, err)
	}
	return json.Unmarshal(data, into)
}

// image is the history of one platform.
func (s *solve) image(p lower.Platform, all []manifest) history.Image {
	img := history.Image{Platform: p.ID, Base: p.Base, SizeKind: "compressed", Size: -1}
	var m *manifest
	for i := range all {
		if len(s.r.Platforms) == 1 || platforms.OnlyStrict(p.Platform).Match(all[i].platform) {
			m = &all[i]
		}
	}
	entries := p.History
	if m != nil {
		img.Digest, img.Config = m.digest, m.config
		if m.image.Created != nil {
			img.Created = *m.image.Created
		}
		if len(entries) == 0 { // lowered by the engine: the config is all there is
			for _, h := range m.image.History {
				entries = append(entries, lower.Entry{CreatedBy: h.CreatedBy, Empty: h.EmptyLayer})
			}
		}
	}
	var unpacked []engine.Layer
	if m == nil {
		if unpacked = s.unpacked(p.ID); unpacked != nil {
			img.SizeKind = "disk"
		}
	}
	img.Layers, img.Size = s.rows(entries, m, unpacked)
	return img
}

// unpacked are the layers of a result that was not exported as an image, as
// they lie on the engine's disk, oldest first; nil if unknown.
func (s *solve) unpacked(platform string) []engine.Layer {
	if len(s.layers) > 0 {
		if l, ok := s.layers[platform]; ok {
			return l
		}
		return s.layers[""]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.noted
}

// rows lines the entries up with the layers, both from their ends: what the
// front end did not write down belongs to the base.
func (s *solve) rows(entries []lower.Entry, m *manifest, unpacked []engine.Layer) ([]history.Layer, int64) {
	rows := make([]history.Layer, len(entries))
	total, known := int64(0), m != nil || unpacked != nil
	fromEnd := 0 // layers consumed
	for i := len(entries) - 1; i >= 0; i-- {
		e := entries[i]
		row := history.Layer{Step: e.Number, CreatedBy: history.Instruction(e.CreatedBy), Place: placeOf(s.r, e.Line), State: history.Base, Empty: e.Empty}
		if m != nil && i < len(m.image.History) && len(entries) == len(m.image.History) && m.image.History[i].Created != nil {
			row.Created = *m.image.History[i].Created
		}
		if e.Number > 0 {
			row.State = history.Config
		}
		if !e.Empty {
			row.Size = -1
			if m != nil && fromEnd < len(m.layers) {
				d := m.layers[len(m.layers)-1-fromEnd]
				row.Size, row.Digest = d.Size, d.Digest.String()
			} else if fromEnd < len(unpacked) {
				l := unpacked[len(unpacked)-1-fromEnd]
				row.Size, row.Digest = l.Size, l.Blob
			}
			if row.Size < 0 {
				known = false
			}
			total += max(row.Size, 0)
			fromEnd++
			row.SharedWith, row.SharedCount = s.b.tracker.sharers(s.t.Name, e.Layer)
			s.fillStep(&row, e)
		}
		rows[i] = row
	}
	if !known {
		return rows, -1
	}
	return rows, total
}

// fillStep adds what the run knows of the vertex that makes a layer.
func (s *solve) fillStep(row *history.Layer, e lower.Entry) {
	k, ok := s.b.tracker.find(e.Vertex)
	if !ok {
		if e.Number > 0 {
			row.State = history.Cached
		}
		return
	}
	if e.Number == 0 {
		return
	}
	row.State = history.Cached
	if k.state == executor.Built {
		row.State = history.Built
		row.Time = k.completed.Sub(k.started)
	}
}

// A usage asks an engine without LayersExporter how large its records are: once
// per run, and again when a newer result is not in the answer.
type usage struct {
	client *client.Client
	mu     sync.Mutex
	known  map[string]*client.UsageInfo
}

// of lists the layers under the cache record id, oldest first.
func (u *usage) of(ctx context.Context, id string) []engine.Layer {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.known[id]; !ok {
		list, err := u.client.DiskUsage(ctx)
		if err != nil {
			return nil
		}
		u.known = make(map[string]*client.UsageInfo, len(list))
		for _, r := range list {
			u.known[r.ID] = r
		}
	}
	var out []engine.Layer
	for at := id; at != ""; {
		r, ok := u.known[at]
		if !ok {
			break
		}
		out = append(out, engine.Layer{ID: at, Size: r.Size})
		at = ""
		if len(r.Parents) > 0 {
			at = r.Parents[0]
		}
	}
	slices.Reverse(out)
	return out
}

// trimError drops BuildKit's wrapping around a step's failure.
func trimError(msg string) string {
	for _, prefix := range []string{"failed to solve: ", "failed to run Build function: "} {
		msg = strings.TrimPrefix(msg, prefix)
	}
	return msg
}
