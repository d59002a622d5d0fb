package index

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/registry"
)

// Put writes a success to the first scope, if that is to be written. The detail
// and the listings are there before the entry is. Flush makes it part of the
// snapshot.
func (r *Remote) Put(ctx context.Context, e Entry, detail *Detail, trees ...[]byte) {
	s := r.scopes[0]
	if !r.opts.Write || !r.writable(s) {
		return
	}
	if !r.believed(s) {
		s.mu.Lock()
		s.readOnly = true // an entry that nobody believes would take the place of one that is
		s.mu.Unlock()
		r.tell("write "+s.Repository, fmt.Errorf("cache: nothing is written to %s: entries there must be signed by one of its keys, and this run has none of them", s.Repository))
		return
	}
	blobs, err := e.seal(detail, trees)
	if err == nil {
		err = r.put(ctx, s, e, blobs)
	}
	if err != nil && ctx.Err() == nil {
		r.tell("write "+s.Repository, fmt.Errorf("cache: writing the entry of %q: %w", e.Target, err))
	}
}

// believed reports whether s will believe what is written here.
func (r *Remote) believed(s *scope) bool {
	if len(s.Keys) == 0 {
		return true
	}
	if r.opts.Sign == nil {
		return false
	}
	public, _ := r.opts.Sign.Public().(ed25519.PublicKey)
	return slices.ContainsFunc(s.Keys, func(k ed25519.PublicKey) bool { return k.Equal(public) })
}

// writable reports whether s may be written.
func (r *Remote) writable(s *scope) bool {
	s.mu.Lock()
	readOnly := s.readOnly
	s.mu.Unlock()
	return !readOnly && r.usable(s)
}

func (r *Remote) put(ctx context.Context, s *scope, e Entry, blobs map[string][]byte) error {
	data, err := e.marshal()
	if err != nil {
		return err
	}
	a := artifact{entry: data}
	if r.opts.Sign != nil {
		a.signature = sign(r.opts.Sign, s.Scope, data)
	}
	layers, ok, err := r.putBlobs(ctx, s, blobs)
	if err != nil || !ok {
		return err
	}
	a.layers = layers
	raw, err := a.manifest(e.Built)
	if err != nil {
		return err
	}
	if !r.putManifest(ctx, s, entryTag(e.Fingerprint), raw, func() bool { return r.hasEntry(ctx, s, e) }) {
		return nil
	}
	r.remember(e, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, snapshotItem{
		Fingerprint: e.Fingerprint, Target: e.Target, Built: e.Built.UnixMilli(), Entry: data, Signature: a.signature,
	})
	return nil
}

// putBlobs writes blobs and the empty config. They come back as layers, by
// digest of their content.
func (r *Remote) putBlobs(ctx context.Context, s *scope, blobs map[string][]byte) (layers []ocispec.Descriptor, ok bool, err error) {
	layers = make([]ocispec.Descriptor, len(blobs))
	written := make([]bool, len(blobs)+1)
	var g errgroup.Group
	for i, content := range slices.Sorted(maps.Keys(blobs)) {
		g.Go(func() error {
			packed, err := r.codec.pack(blobs[content])
			if err != nil {
				return err
			}
			layers[i] = ocispec.Descriptor{
				MediaType: blobType, Digest: digest.FromBytes(packed), Size: int64(len(packed)),
				Annotations: map[string]string{annContent: content},
			}
			written[i] = r.putBlob(ctx, s, packed)
			return nil
		})
	}
	g.Go(func() error {
		written[len(blobs)] = r.putBlob(ctx, s, ocispec.DescriptorEmptyJSON.Data)
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, false, err
	}
	return layers, !slices.Contains(written, false), nil
}

// putBlob writes a blob, unless it is known to be there.
func (r *Remote) putBlob(ctx context.Context, s *scope, data []byte) bool {
	dgst := digest.FromBytes(data).String()
	r.mu.Lock()
	there := r.sent[dgst]
	r.mu.Unlock()
	if there {
		return true
	}
	if !r.write(ctx, s, func(ctx context.Context) error {
		_, err := s.repo.WriteBlob(ctx, data)
		return err
	}) {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent[dgst] = true
	return true
}

// putManifest writes a manifest under a tag. Where a tag that is there cannot be
// moved, one that fits already is as good.
func (r *Remote) putManifest(ctx context.Context, s *scope, tag string, raw []byte, fits func() bool) bool {
	var refused error
	ok := r.write(ctx, s, func(ctx context.Context) error {
		_, err := s.repo.PutManifest(ctx, tag, ocispec.MediaTypeImageManifest, raw)
		switch registry.HTTPStatus(err) {
		case 400, 403, 405, 409, 412, 422: // what registries say of a tag that cannot be moved
			refused, err = err, nil
		}
		return err
	})
	if refused == nil || !ok {
		return ok
	}
	if fits() {
		return true
	}
	r.tell("immutable "+s.Repository, fmt.Errorf("cache: %w; others will not find it there", refused))
	return false
}

// hasEntry reports whether s has an entry of the same result as e.
func (r *Remote) hasEntry(ctx context.Context, s *scope, e Entry) bool {
	a, ok := r.readArtifact(ctx, s, e.Fingerprint)
	if !ok {
		return false
	}
	there, err := s.open(a.entry, a.signature, e.Fingerprint)
	return err == nil && there.Digest == e.Digest
}

// write sends one request that changes s. A refusal ends the writing, not the
// reading.
func (r *Remote) write(ctx context.Context, s *scope, send func(context.Context) error) bool {
	if !r.writable(s) {
		return false
	}
	var refused error
	ok := r.ask(ctx, s, 20*r.opts.Patience, func(ctx context.Context) error {
		err := send(ctx)
		if status := registry.HTTPStatus(err); status >= 400 && status < 500 && status != 429 {
			refused = err
			return nil
		}
		return err
	})
	if refused == nil {
		return ok
	}
	s.mu.Lock()
	s.readOnly = true
	s.mu.Unlock()
	r.tell("write "+s.Repository, fmt.Errorf("cache: %w; nothing is written to %s", refused, s.Repository))
	return false
}

// flushTries is how often Flush merges again when somebody else has written
// the snapshot meanwhile. What is lost then is found by its tag.
const flushTries = 3

// Flush adds what was put to the snapshot of the first scope. It is called once
// at the end of a run.
func (r *Remote) Flush(ctx context.Context) {
	r.mu.Lock()
	pending := r.pending
	r.pending = nil
	r.mu.Unlock()
	s := r.scopes[0]
	if len(pending) == 0 || !r.writable(s) {
		return
	}
	for range flushTries {
		if done, err := r.flush(ctx, s, pending); err != nil {
			r.tell("snapshot "+s.Repository, fmt.Errorf("cache: writing the snapshot of %s: %w", s.Repository, err))
			return
		} else if done {
			return
		}
	}
}

// flush merges pending into the snapshot of s once. It is done if there is
// nothing more to do.
func (r *Remote) flush(ctx context.Context, s *scope, pending []snapshotItem) (done bool, err error) {
	tag := snapshotTag(s.Name, r.opts.Project)
	now, _ := r.loadScope(ctx, s)
	if !r.writable(s) {
		return true, nil
	}
	merged := merge(now.Entries, pending)
	data, err := json.Marshal(snapshot{Schema: Schema, Entries: merged})
	if err != nil {
		return false, err
	}
	packed, err := r.codec.pack(data)
	if err != nil {
		return false, err
	}
	if !r.putBlob(ctx, s, packed) || !r.putBlob(ctx, s, ocispec.DescriptorEmptyJSON.Data) {
		return true, nil
	}
	raw, err := r.snapshotManifest(s, packed)
	if err != nil {
		return false, err
	}
	if !r.putManifest(ctx, s, tag, raw, func() bool { return false }) {
		return true, nil
	}
	s.take(snapshot{Entries: merged}, digest.FromBytes(raw).String())
	return r.isStill(ctx, s, tag, raw), nil
}

func (r *Remote) snapshotManifest(s *scope, packed []byte) ([]byte, error) {
	annotations := map[string]string{
		annScope:                  s.Name,
		ocispec.AnnotationCreated: time.Now().UTC().Format(time.RFC3339),
	}
	if r.opts.Project != "" {
		annotations[annProject] = r.opts.Project
	}
	return artifactManifest(snapshotArtifact, annotations, []ocispec.Descriptor{{
		MediaType: snapshotType, Digest: digest.FromBytes(packed), Size: int64(len(packed)),
	}})
}

// isStill reports whether a tag still names raw. If nobody can say, it does.
func (r *Remote) isStill(ctx context.Context, s *scope, tag string, raw []byte) bool {
	var m registry.Manifest
	found := false
	ok := r.ask(ctx, s, 5*r.opts.Patience, func(ctx context.Context) (err error) {
		m, found, err = s.repo.Head(ctx, tag)
		return err
	})
	return !ok || found && m.Digest == digest.FromBytes(raw).String()
}

// merge adds items to those of a snapshot: of each target the latest few, of
// all the latest many. The order is the same for the same items.
func merge(base, added []snapshotItem) []snapshotItem {
	seen := map[string]bool{}
	var all []snapshotItem
	for _, item := range slices.Backward(slices.Concat(base, added)) { // what is added counts more
		if build := string(item.Fingerprint) + " " + item.Target; !seen[build] {
			seen[build] = true
			all = append(all, item)
		}
	}
	slices.SortFunc(all, func(a, b snapshotItem) int {
		return cmp.Or(cmp.Compare(b.Built, a.Built), strings.Compare(string(a.Fingerprint), string(b.Fingerprint)))
	})
	perName := map[string]int{}
	all = slices.DeleteFunc(all, func(item snapshotItem) bool {
		perName[item.Target]++
		return perName[item.Target] > snapshotPerName
	})
	all = all[:min(len(all), snapshotEntries)]
	slices.SortStableFunc(all, func(a, b snapshotItem) int { return strings.Compare(a.Target, b.Target) })
	return all
}
