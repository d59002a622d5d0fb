package files

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/moby/sys/atomicwriter"
)

// Save writes the stat cache, if it changed. Call it before files are sent: a
// generation means nothing to a later command that does not know what was seen.
// What another command wrote in the meantime is kept too; of two that write at
// once, one wins and the other's files are read again some day.
func (c *Cache) Save() error { return c.store.save() }

func (s *store) save() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	if s.path == "" || !s.takeDirty() {
		return nil
	}
	if err := s.write(); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		s.lose()
		return fmt.Errorf("writing the stat cache %s: %w", s.path, err)
	}
	s.mu.Lock()
	s.lost = nil
	s.mu.Unlock()
	return nil
}

// takeDirty says whether there is something to write, and resets it before what
// will be written is looked at: what changes after that is for the next Save.
func (s *store) takeDirty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	dirty := s.dirty
	s.dirty = false
	for _, d := range s.dirs {
		dirty = dirty || d.unsaved()
	}
	return dirty
}

func (s *store) write() error {
	if err := os.MkdirAll(filepath.Dir(s.path), 0o700); err != nil {
		return err
	}
	if other, err := load(s.path); err == nil && other.id != s.id {
		s.merge(other)
	}
	s.mu.Lock()
	out := image{sets: maps.Clone(s.sets), dirs: maps.Clone(s.dirs)}
	s.mu.Unlock()
	today := dayOf(s.now().UnixNano())
	dirs := out.pack(today, s.limit)
	if err := atomicwriter.WriteFile(s.path, out.encode(dirs, today), 0o600); err != nil {
		return err
	}
	for _, p := range dirs {
		out.dirs[p.dir].written(p)
	}
	s.mu.Lock()
	s.id = out.id
	s.mu.Unlock()
	return nil
}

// merge takes what another command saw and this one did not.
func (s *store) merge(other *image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, e := range other.sets {
		if mine := s.sets[k]; mine == nil || !mine.own {
			s.sets[k] = e
		}
	}
	for name, d := range other.dirs {
		if mine := s.dirs[name]; mine != nil {
			mine.merge(d)
		} else {
			s.dirs[name] = d
		}
	}
}

// merge takes from d the records that are newer. d is the other's alone.
func (s *section) merge(d *section) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.renewed {
		s.nonce = d.nonce
	}
	if s.edits == s.saved {
		s.entries, s.raw, s.sum = nil, d.raw, d.sum
		s.day = max(s.day, d.day)
		return
	}
	s.edits++
	d.load()
	for path, theirs := range d.entries {
		mine := s.entries[path]
		switch {
		case mine == nil:
			s.entries[path] = theirs
		case theirs.at > mine.at:
			if hidden(mine, theirs) {
				s.renew()
			}
			s.entries[path] = theirs
		case hidden(theirs, mine):
			s.renew()
		}
	}
}
