package files

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	fileName    = "files"   // of the stat cache, in its directory
	keepDays    = 30        // what was not used for so long is dropped
	refreshDays = 7         // how exactly "used" is known
	maxBytes    = 128 << 20 // of the stat cache; about 1.5 million entries
	maxSets     = 100_000
)

// A store is the stat cache: what Sets and entries looked like, and what was
// in them then.
type store struct {
	path  string // "" if nothing is kept
	warn  func(error)
	now   func() time.Time
	limit int // bytes

	saving sync.Mutex

	mu    sync.Mutex
	id    [16]byte // of the file that was read or written last
	sets  map[key]*kept
	dirs  map[string]*section
	dirty bool
	lost  []byte // not nil: what was seen could not be written
}

// kept is what is remembered of a Tree.
type kept struct {
	dir    string
	sign   [32]byte
	digest [32]byte
	files  int
	bytes  int64
	at     int64
	racy   bool
	day    uint32 // last use
	own    bool   // looked at by this Cache
}

func openStore(dir string, opts Options) *store {
	s := &store{warn: opts.Warn, now: opts.Now, limit: maxBytes, sets: map[key]*kept{}, dirs: map[string]*section{}}
	if dir == "" {
		return s
	}
	s.path = filepath.Join(dir, fileName)
	in, err := load(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s
	case err != nil:
		s.warn(fmt.Errorf("stat cache %s is left out, all files are read: %w", s.path, err))
		return s
	}
	for _, d := range in.dirs {
		d.damaged = func() {
			s.warn(fmt.Errorf("stat cache %s is damaged, the files of %s are read", s.path, show(d.dir)))
		}
	}
	s.id, s.sets, s.dirs = in.id, in.sets, in.dirs
	return s
}

func load(path string) (*image, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeImage(b)
}

// section returns the section of dir.
func (s *store) section(dir string) *section {
	today := dayOf(s.now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.dirs[dir]
	if d == nil {
		d = newSection(dir, today)
		s.dirs[dir] = d
	}
	if d.use(today) {
		s.dirty = true
	}
	return d
}

// set returns what is remembered of the Set k, if its stamps had the sum sign
// and can be trusted. One that was not used for days is not, so that its records
// are looked up and stay.
func (s *store) set(k key, sign [32]byte, now time.Time) (*kept, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.sets[k]
	if e == nil || e.sign != sign || e.racy || e.at > now.UnixNano() || e.day+refreshDays < dayOf(now.UnixNano()) {
		return nil, false
	}
	return e, true
}

// keep remembers t as the content of the Set k of the directory dir.
func (s *store) keep(k key, dir string, t *Tree, now time.Time) {
	sum, _ := hex.DecodeString(t.Digest.Encoded())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[k] = &kept{
		dir: dir, sign: t.sign, digest: [32]byte(sum), files: t.Files, bytes: t.Bytes,
		at: t.at, racy: t.racy, day: dayOf(now.UnixNano()), own: true,
	}
	s.dirty = true
}

// generation is the nonce of dir's section. It may be used by later commands
// only if they will know what was seen under it: what could not be written
// makes it this command's own.
func (s *store) generation(dir string) string {
	d := s.section(dir)
	d.mu.Lock()
	nonce := d.nonce
	d.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost != nil {
		nonce = [16]byte(sha256.New().Sum(append(nonce[:], s.lost...)))
	}
	return hex.EncodeToString(nonce[:])
}

// lose marks that what was seen could not be written.
func (s *store) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = make([]byte, 16)
		_, _ = rand.Read(s.lost)
	}
}
