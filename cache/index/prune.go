package index

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A Policy says what of an index is kept. A zero field sets no limit. What was
// used last is kept first.
type Policy struct {
	MaxAge     time.Duration // since the last use
	MaxBytes   int64         // on disk, details and listings included
	MaxEntries int
}

// Pruned is what Prune removed.
type Pruned struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"`
}

// Prune removes entries until p holds, and what only they needed, and compacts
// the journal. Blobs stay while another command writes some.
func (l *Local) Prune(ctx context.Context, p Policy) (Pruned, error) {
	var done Pruned
	if l.dir == "" {
		return done, nil
	}
	err := l.prune(ctx, p, &done)
	if errors.Is(err, fs.ErrNotExist) {
		return done, nil
	}
	if err != nil {
		return done, fmt.Errorf("index: pruning: %w", err)
	}
	return done, nil
}

func (l *Local) prune(ctx context.Context, p Policy, done *Pruned) error {
	if err := checkDir(l.dir); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// The lease comes before the lock, as in Put.
	sweep, leaseErr := l.tryLease()
	if leaseErr == nil {
		defer sweep()
	}
	release, err := l.lock(ctx, lockFile, true)
	if err != nil {
		return err
	}
	defer release()
	f, err := l.openJournal()
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	before := l.table.size
	kept, blobs := l.keep(p)
	done.Entries = len(l.table.live()) - len(kept)
	if len(l.table.order) > len(kept) {
		if err := l.rewrite(kept); err != nil {
			return err
		}
	}
	done.Bytes = before - l.table.size
	if leaseErr == nil {
		freed, err := l.sweep(blobs)
		done.Bytes += freed
		if err != nil {
			return err
		}
	}
	return l.stampTrim()
}

// tryLease takes the lease for itself, if nobody writes.
func (l *Local) tryLease() (release func(), err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*lockPoll)
	defer cancel()
	return l.lock(ctx, leaseFile, true)
}

// keep picks the entries that p keeps, oldest first as in the journal, and the
// blobs they need.
func (l *Local) keep(p Policy) (kept []*slot, blobs map[string]int64) {
	live := l.table.live()
	byUse := slices.Clone(live)
	slices.Reverse(byUse) // of those used at the same time, the one put last
	now := l.now().Unix()
	slices.SortStableFunc(byUse, func(a, b *slot) int { return cmp.Compare(min(b.used, now), min(a.used, now)) })
	keep := make(map[*slot]bool, len(byUse))
	blobs = map[string]int64{}
	bytes := int64(len(journalHeader))
	for _, s := range byUse {
		if p.MaxEntries > 0 && len(keep) == p.MaxEntries || p.MaxAge > 0 && now-s.used > int64(p.MaxAge/time.Second) {
			break
		}
		e, err := parseEntry(s.json, fingerprint(s.key))
		if err != nil {
			continue // another version's, of no use to anybody
		}
		sizes := l.blobSizes(e, blobs)
		bytes += s.size()
		for _, n := range sizes {
			bytes += n
		}
		if p.MaxBytes > 0 && bytes > p.MaxBytes {
			break
		}
		for d, n := range sizes {
			blobs[d] = n
		}
		keep[s] = true
	}
	for _, s := range live {
		if keep[s] {
			kept = append(kept, s)
		}
	}
	return kept, blobs
}

// blobSizes are the blobs that e needs and known lacks, with their sizes on
// disk.
func (l *Local) blobSizes(e Entry, known map[string]int64) map[string]int64 {
	sizes := map[string]int64{}
	for _, d := range append([]string{e.Detail}, e.Trees...) {
		if _, ok := known[d]; ok || d == "" {
			continue
		}
		path, err := l.blobPath(d)
		if err != nil {
			continue
		}
		if fi, err := os.Lstat(path); err == nil {
			sizes[d] = fi.Size()
		}
	}
	return sizes
}

// sweep removes all blobs but keep. The caller holds the lease for itself.
func (l *Local) sweep(keep map[string]int64) (freed int64, err error) {
	err = filepath.WalkDir(l.path(blobDir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, ok := keep["sha256:"+d.Name()]; ok {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		freed += fi.Size()
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return freed, err
}

// trimEvery is how often Close prunes by age and size.
const trimEvery = 24 * time.Hour

// due reports whether Close shall prune.
func (l *Local) due() bool {
	l.mu.Lock()
	entries, appended := len(l.table.slots), len(l.table.order)
	l.mu.Unlock()
	if entries == 0 {
		return false
	}
	if most := l.limits.MaxEntries; most > 0 && entries > most+most/8 || appended > 2*entries+1000 {
		return true
	}
	fi, err := os.Lstat(l.path(trimFile))
	return err != nil || l.now().Sub(fi.ModTime()).Abs() > trimEvery
}

func (l *Local) stampTrim() error {
	f, err := openOwn(l.path(trimFile), os.O_WRONLY|os.O_CREATE)
	if err != nil {
		return err
	}
	now := l.now()
	return errors.Join(f.Close(), os.Chtimes(l.path(trimFile), now, now))
}
