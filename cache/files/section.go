package files

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// A section holds the records of what is below one Set.Dir. Those that came
// from disk are decoded when the first is asked for.
type section struct {
	dir    string
	flight singleflight.Group // one reading of a path at a time

	mu      sync.Mutex
	nonce   [16]byte // changes when a change was hidden, see Cache.Generation
	renewed bool     // nonce is not that on disk
	day     uint32   // last use
	raw     []byte   // encoded records, not yet checked against sum; nil if they are decoded
	sum     [32]byte
	entries map[string]*record // nil until decoded
	edits   int                // how often entries changed
	saved   int                // edits that are on disk
	damaged func()             // called once if raw is not what sum says
}

func newSection(dir string, day uint32) *section {
	s := &section{dir: dir, day: day, entries: map[string]*record{}, edits: 1, damaged: func() {}}
	s.renew()
	return s
}

func (s *section) renew() {
	_, _ = rand.Read(s.nonce[:]) // never fails since Go 1.24
	s.renewed = true
}

// load decodes the records. Without them nobody can tell a hidden change any
// more, so that damaged ones are a new generation.
func (s *section) load() {
	if s.entries != nil {
		return
	}
	entries, ok := decodeRecords(s.raw, s.sum)
	if !ok {
		entries = map[string]*record{}
		s.edits++
		s.renew()
		s.damaged()
	}
	s.entries, s.raw = entries, nil
}

// records returns the record of each node, nil where there is none.
func (s *section) records(nodes []node, now time.Time) []*record {
	today := dayOf(now.UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	list := make([]*record, len(nodes))
	for i, n := range nodes {
		r := s.entries[n.path]
		if r != nil && r.day+refreshDays < today {
			fresh := *r
			fresh.day = today
			r = &fresh
			s.entries[n.path] = r
			s.edits++
		}
		list[i] = r
	}
	return list
}

func (s *section) record(path string) *record {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	return s.entries[path]
}

// put keeps r as the record of path.
func (s *section) put(path string, r *record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.load()
	if old := s.entries[path]; old != nil && hidden(old, r) {
		s.renew()
	}
	s.entries[path] = r
	s.edits++
}

// hidden says whether BuildKit's incremental transfer, which compares size,
// mtime and mode with the copy it has (moby/buildkit#2592), may take now for
// what it was at some time before: then, or before an earlier change that this
// one takes the mtime back from. A directory that stays one is brought up to date
// without a word to the cache that keeps its content's hash (fsutil's
// DiskWriter.HandleChange), so that every change of it is hidden.
func hidden(old, now *record) bool {
	a, b := old.stamp, now.stamp
	if old.sum == now.sum || a.isDir() != b.isDir() {
		return false
	}
	if a.isDir() {
		return true
	}
	return b.mtime < a.mtime || b.mtime == a.mtime && b.size == a.size && b.mode == a.mode
}

// packed is a section as it is written.
type packed struct {
	dir   string
	nonce [16]byte
	day   uint32
	raw   []byte
	sum   [32]byte
	edits int
}

// pack returns s as it is now. Records that were not used for long are left out,
// if there is anything to write at all.
func (s *section) pack(today uint32) packed {
	s.mu.Lock()
	defer s.mu.Unlock()
	raw := s.raw
	if s.edits != s.saved {
		maps.DeleteFunc(s.entries, func(_ string, r *record) bool { return r.day+keepDays < today })
	}
	if s.entries != nil {
		raw = encodeRecords(s.entries)
		s.raw, s.sum = nil, sha256.Sum256(raw) // what is decoded is not held twice
	}
	return packed{s.dir, s.nonce, min(s.day, today), raw, s.sum, s.edits}
}

// written marks that p is on disk.
func (s *section) written(p packed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saved = p.edits
	if s.nonce == p.nonce {
		s.renewed = false
	}
}

// unsaved says whether there is something to write.
func (s *section) unsaved() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.edits != s.saved || s.renewed
}

// use marks that s is used today, and says whether that is worth writing.
func (s *section) use(today uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.day+refreshDays >= today {
		return false
	}
	s.day = today
	return true
}

// recordSize is the least a record takes.
const recordSize = 2 + 1 + 1 + 8 + 8 + 1 + 1 + 8 + 1 + 32 + 1

func encodeRecords(entries map[string]*record) []byte {
	b := binary.AppendUvarint(make([]byte, 0, 100*len(entries)), uint64(len(entries)))
	var paths pathWriter
	for _, path := range slices.Sorted(maps.Keys(entries)) {
		r := entries[path]
		b = paths.append(b, path)
		b = binary.AppendUvarint(b, uint64(r.stamp.mode))
		b = binary.AppendUvarint(b, uint64(r.stamp.size))
		b = appendInt64(b, r.stamp.mtime)
		b = appendInt64(b, r.stamp.ctime)
		b = binary.AppendUvarint(b, r.stamp.ino)
		b = binary.AppendUvarint(b, r.stamp.dev)
		b = appendInt64(b, r.at)
		b = binary.AppendUvarint(b, uint64(r.day))
		b = append(b, r.sum[:]...)
		b = appendString(b, r.link)
	}
	return b
}

func decodeRecords(b []byte, sum [32]byte) (map[string]*record, bool) {
	if sha256.Sum256(b) != sum {
		return nil, false
	}
	r := reader{b: b}
	all := make([]record, r.count(recordSize))
	entries := make(map[string]*record, len(all))
	var paths pathReader
	for i := range all {
		path := paths.next(&r)
		all[i] = record{
			stamp: stamp{mode: uint32(r.uvarint()), size: int64(r.uvarint()), mtime: r.int64(), ctime: r.int64(), ino: r.uvarint(), dev: r.uvarint()},
			at:    r.int64(), day: uint32(r.uvarint()), sum: r.sum(), link: r.string(),
		}
		entries[path] = &all[i]
	}
	return entries, !r.bad && len(r.b) == 0
}
