package index

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-build/strata/registry"
)

// errPatience is the cause of a request that was given up.
var errPatience = errors.New("it does not answer")

// ask sends one request to the registry of s and tells what went wrong with
// it; ok if nothing did. Nothing is sent to a registry that is down.
func (r *Remote) ask(ctx context.Context, s *scope, patience time.Duration, send func(context.Context) error) (ok bool) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-r.slots }()
	if ctx.Err() != nil || !r.usable(s) {
		return false
	}
	limited, cancel := context.WithTimeoutCause(r.haste.Context(ctx), patience, errPatience)
	defer cancel()
	err := send(limited)
	switch {
	case err == nil:
		return true
	case ctx.Err() != nil:
		return false // the user has ended it
	case limited.Err() != nil:
		err = fmt.Errorf("%w within %s", errPatience, patience)
	}
	r.fail(s, err)
	return false
}

// usable reports whether s may be asked.
func (r *Remote) usable(s *scope) bool {
	r.mu.Lock()
	down := r.down[s.host]
	r.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return !down && !s.closed
}

// fail notes that s cannot be read: what is wrong with one answer is wrong
// with that alone; a refusal is one of the repository; anything else means that
// the registry is down.
func (r *Remote) fail(s *scope, err error) {
	status := registry.HTTPStatus(err)
	switch {
	case registry.IsDamaged(err):
		r.tell("damaged "+s.Repository, fmt.Errorf("cache: %w; it is passed over", err))
	case status >= 400 && status < 500 && status != 429:
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		r.tell("closed "+s.Repository, fmt.Errorf("cache: %w; %s is not asked again", err, s.Repository))
	default:
		r.mu.Lock()
		r.down[s.host] = true
		r.mu.Unlock()
		r.tell("down "+s.host, fmt.Errorf("cache: %w; %s is not asked again", err, s.host))
	}
}

// reject warns of an entry of s that is not to be believed.
func (r *Remote) reject(s *scope, fp Fingerprint, err error) {
	kind := "damaged "
	if errors.Is(err, errUnsigned) || errors.Is(err, errUnknownKey) || errors.Is(err, errForged) {
		kind = "signature "
	}
	r.tell(kind+s.Repository, fmt.Errorf("cache: the entry %s in %s is passed over: %w", fp, s.Repository, err))
}

// tell warns, once for each kind of fault.
func (r *Remote) tell(kind string, err error) {
	r.mu.Lock()
	twice := r.told[kind]
	r.told[kind] = true
	r.mu.Unlock()
	if !twice {
		r.opts.Warn(err)
	}
}

// readArtifact reads the entry of fp in s.
func (r *Remote) readArtifact(ctx context.Context, s *scope, fp Fingerprint) (artifact, bool) {
	m, found := r.readManifest(ctx, s, entryTag(fp))
	if !found {
		return artifact{}, false
	}
	a, err := parseArtifact(m.Raw)
	if err != nil {
		r.reject(s, fp, err)
		return artifact{}, false
	}
	return a, true
}

func (r *Remote) readManifest(ctx context.Context, s *scope, tag string) (m registry.Manifest, found bool) {
	ok := r.ask(ctx, s, 5*r.opts.Patience, func(ctx context.Context) (err error) {
		m, found, err = s.repo.Manifest(ctx, tag)
		return err
	})
	return m, ok && found
}

// readBlob reads a packed blob. want is the digest of what is packed in it, ""
// if that is not known.
func (r *Remote) readBlob(ctx context.Context, s *scope, digest, want string) ([]byte, bool) {
	var packed []byte
	found := false
	ok := r.ask(ctx, s, 20*r.opts.Patience, func(ctx context.Context) (err error) {
		packed, found, err = s.repo.ReadBlob(ctx, digest, maxSnapshot)
		return err
	})
	if !ok || !found {
		return nil, false
	}
	data, err := r.codec.unpack(packed, want)
	if err != nil {
		r.tell("damaged "+s.Repository, fmt.Errorf("cache: blob %s in %s is passed over: %w", digest, s.Repository, err))
		return nil, false
	}
	return data, true
}

// loadScope reads the snapshot of s, if it is another one than is known.
func (r *Remote) loadScope(ctx context.Context, s *scope) (snap snapshot, loaded bool) {
	m, found := r.readManifest(ctx, s, snapshotTag(s.Name, r.opts.Project))
	if !found {
		return snapshot{}, false
	}
	snap, err := r.readSnapshot(ctx, s, m.Raw)
	if err != nil {
		r.tell("snapshot "+s.Repository, fmt.Errorf("cache: the snapshot of %s is passed over: %w", s.Repository, err))
		return snapshot{}, false
	}
	if snap.Schema == 0 {
		return snapshot{}, false
	}
	s.take(snap, m.Digest)
	return snap, true
}

// readSnapshot reads the blob of the snapshot whose manifest is raw. A blob that
// is not to be had, of which has been told, is the zero snapshot.
func (r *Remote) readSnapshot(ctx context.Context, s *scope, raw []byte) (snapshot, error) {
	m, err := parseManifest(raw, snapshotArtifact)
	if err != nil {
		return snapshot{}, err
	}
	if len(m.Layers) != 1 || m.Layers[0].MediaType != snapshotType {
		return snapshot{}, errors.New("it has not the one layer of a snapshot")
	}
	data, ok := r.readBlob(ctx, s, m.Layers[0].Digest.String(), "")
	if !ok {
		return snapshot{}, nil
	}
	return parseSnapshot(data)
}

// take makes snap what is known of s.
func (s *scope) take(snap snapshot, digest string) {
	items := make(map[Fingerprint]*snapshotItem, len(snap.Entries))
	latest := make(map[string]*snapshotItem, len(snap.Entries))
	for i := range snap.Entries {
		item := &snap.Entries[i]
		items[item.Fingerprint] = item
		if last := latest[item.Target]; last == nil || item.Built > last.Built {
			latest[item.Target] = item
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items, s.latest, s.digest = items, latest, digest
}
