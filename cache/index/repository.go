package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-build/strata/registry"
)

// A Repository is all that indexes keep in one repository, for looking after
// it. Other than a Remote it fails when the registry does: somebody has asked.
// Tags that are no index's are left alone.
type Repository struct {
	repo  *registry.Repository
	codec codec
}

// A Stored is an entry as it lies in a repository.
type Stored struct {
	Tag     string
	Digest  string // of the manifest
	Size    int64  // bytes of the manifest
	Entry   Entry  // zero if Problem says why
	Problem string

	artifact artifact
}

// OpenRepository returns what indexes keep in the repository ref, "host/repo".
// Nothing is asked yet. Its error is a *registry.ReferenceError.
func OpenRepository(client *registry.Client, ref string) (*Repository, error) {
	repo, err := client.Repository(ref)
	if err != nil {
		return nil, err
	}
	return &Repository{repo: repo}, nil
}

// Name is the repository as "host/repo".
func (r *Repository) Name() string { return r.repo.Name() }

// requests is how many manifests are read at once.
const requests = 8

// List returns all entries, those built last first, and then those that cannot
// be read. It takes a request for each.
func (r *Repository) List(ctx context.Context) ([]Stored, error) {
	tags, err := r.repo.Tags(ctx)
	if err != nil {
		return nil, err
	}
	tags = slices.DeleteFunc(tags, func(t string) bool { return !strings.HasPrefix(t, entryPrefix) })
	all := make([]Stored, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(requests)
	for i, tag := range tags {
		g.Go(func() (err error) {
			all[i], err = r.read(ctx, tag)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(s Stored) bool { return s.Digest == "" }) // removed meanwhile
	slices.SortFunc(all, func(a, b Stored) int {
		return cmp.Or(b.Entry.Built.Compare(a.Entry.Built), strings.Compare(a.Entry.Target, b.Entry.Target), strings.Compare(a.Tag, b.Tag))
	})
	return all, nil
}

// read reads the entry under a tag. One that is not there is zero.
func (r *Repository) read(ctx context.Context, tag string) (Stored, error) {
	m, found, err := r.repo.Manifest(ctx, tag)
	if registry.IsDamaged(err) {
		return Stored{Tag: tag, Digest: "unknown", Problem: err.Error()}, nil
	}
	if err != nil || !found {
		return Stored{}, err
	}
	s := Stored{Tag: tag, Digest: m.Digest, Size: m.Size}
	s.artifact, err = parseArtifact(m.Raw)
	if err == nil {
		s.Entry, err = parseTagged(s.artifact.entry, tag)
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s, nil
}

// parseTagged reads an entry of which only the tag is known.
func parseTagged(data []byte, tag string) (Entry, error) {
	e, err := parseAny(data)
	if err != nil {
		return Entry{}, err
	}
	if _, ok := e.Fingerprint.raw(); !ok || entryTag(e.Fingerprint) != tag {
		return Entry{}, fmt.Errorf("it is the entry of fingerprint %q", e.Fingerprint)
	}
	return e, nil
}

// Usage tells what the entries take in the registry. Blobs that other
// repositories of the registry share count here too.
func (r *Repository) Usage(ctx context.Context) (Usage, error) {
	all, err := r.List(ctx)
	if err != nil {
		return Usage{}, err
	}
	count := newCounter()
	for _, s := range all {
		if s.Problem != "" {
			continue
		}
		blobs := map[string]int64{}
		for _, l := range s.artifact.layers {
			if l.MediaType == blobType {
				blobs[l.Digest.String()] = l.Size
			}
		}
		count.add(s.Entry, s.Size, blobs)
	}
	return count.usage(), nil
}

// Prune removes entries until p holds; those built last are kept first, and
// those that cannot be read go. The registry frees the space when it collects
// its garbage. With a p that keeps nothing the snapshots go too.
func (r *Repository) Prune(ctx context.Context, p Policy, all bool) (Pruned, error) {
	stored, err := r.List(ctx)
	if err != nil {
		return Pruned{}, err
	}
	var gone []Stored
	if all {
		gone = stored
	} else {
		gone = outdated(stored, p, time.Now())
	}
	var done Pruned
	for _, s := range gone {
		if s.Digest == "unknown" {
			continue // the registry does not say what it is
		}
		if err := r.repo.DeleteManifest(ctx, s.Digest); err != nil {
			return done, err
		}
		done.Entries++
		done.Bytes += s.Size
	}
	if all {
		return done, r.removeSnapshots(ctx)
	}
	return done, nil
}

// outdated lists what of stored p does not keep.
func outdated(stored []Stored, p Policy, now time.Time) (gone []Stored) {
	kept, bytes := 0, int64(0)
	blobs := map[string]bool{}
	for _, s := range stored { // those built last come first
		more := s.Size
		for _, l := range s.artifact.layers {
			if !blobs[l.Digest.String()] {
				more += l.Size
			}
		}
		if s.Problem != "" || p.MaxEntries > 0 && kept == p.MaxEntries ||
			p.MaxAge > 0 && now.Sub(s.Entry.Built) > p.MaxAge || p.MaxBytes > 0 && bytes+more > p.MaxBytes {
			gone = append(gone, s)
			continue
		}
		for _, l := range s.artifact.layers {
			blobs[l.Digest.String()] = true
		}
		kept++
		bytes += more
	}
	return gone
}

// snapshots lists the tags of all snapshots.
func (r *Repository) snapshots(ctx context.Context) ([]string, error) {
	tags, err := r.repo.Tags(ctx)
	return slices.DeleteFunc(tags, func(t string) bool { return !strings.HasPrefix(t, snapshotPrefix) }), err
}

func (r *Repository) removeSnapshots(ctx context.Context) error {
	tags, err := r.snapshots(ctx)
	if err != nil {
		return err
	}
	for _, tag := range tags {
		m, found, err := r.repo.Head(ctx, tag)
		if err == nil && found {
			err = r.repo.DeleteManifest(ctx, m.Digest)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Verify reads all entries with their blobs, and the snapshots, and tells what
// is wrong with them. Signatures are checked if scope has keys; its name is
// part of what is signed.
func (r *Repository) Verify(ctx context.Context, scope Scope) ([]Problem, error) {
	scope.Repository = r.Name()
	all, err := r.List(ctx)
	if err != nil {
		return nil, err
	}
	found := make([][]Problem, len(all))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(requests)
	for i, s := range all {
		g.Go(func() (err error) {
			found[i], err = r.verify(gctx, s, scope)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	problems := slices.Concat(found...)
	more, err := r.verifySnapshots(ctx)
	return append(problems, more...), err
}

func (r *Repository) verify(ctx context.Context, s Stored, scope Scope) (problems []Problem, failed error) {
	if s.Problem != "" {
		return []Problem{{What: "entry", Name: s.Tag, Detail: s.Problem}}, nil
	}
	if err := scope.verify(s.artifact.entry, s.artifact.signature); err != nil {
		problems = append(problems, Problem{What: "signature", Name: s.Tag, Target: s.Entry.Target, Detail: err.Error()})
	}
	layers := map[string]ocispec.Descriptor{}
	for _, l := range s.artifact.layers {
		layers[l.Annotations[annContent]] = l
	}
	more := blobProblems(s.Entry, func(digest string) error {
		l, ok := layers[digest]
		if !ok {
			return fs.ErrNotExist
		}
		packed, found, err := r.repo.ReadBlob(ctx, l.Digest.String(), maxSnapshot)
		switch {
		case registry.IsDamaged(err):
			return err
		case err != nil:
			failed = err
			return nil
		case !found:
			return fs.ErrNotExist
		}
		_, err = r.codec.unpack(packed, digest)
		return err
	})
	return append(problems, more...), failed
}

func (r *Repository) verifySnapshots(ctx context.Context) (problems []Problem, err error) {
	tags, err := r.snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for _, tag := range tags {
		wrong, err := r.verifySnapshot(ctx, tag)
		if err != nil {
			return nil, err
		}
		if wrong != nil {
			problems = append(problems, Problem{What: "snapshot", Name: tag, Detail: wrong.Error()})
		}
	}
	return problems, nil
}

// verifySnapshot returns what is wrong with a snapshot, and an error if the
// registry fails.
func (r *Repository) verifySnapshot(ctx context.Context, tag string) (wrong, failed error) {
	split := func(err error) (wrong, failed error) {
		if registry.IsDamaged(err) {
			return err, nil
		}
		return nil, err
	}
	raw, found, err := r.repo.Manifest(ctx, tag)
	if err != nil || !found {
		return split(err)
	}
	m, err := parseManifest(raw.Raw, snapshotArtifact)
	if err != nil {
		return err, nil
	}
	if len(m.Layers) != 1 {
		return errors.New("it has not the one layer of a snapshot"), nil
	}
	packed, found, err := r.repo.ReadBlob(ctx, m.Layers[0].Digest.String(), maxSnapshot)
	if err != nil {
		return split(err)
	}
	if !found {
		return errors.New("its layer is missing"), nil
	}
	data, err := r.codec.unpack(packed, "")
	if err == nil {
		_, err = parseSnapshot(data)
	}
	return err, nil
}
