package cache

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/atomicfile"
)

// A Memo keeps small values by key in one file, from one command to the next.
// It may forget: a file that is damaged or of another version counts as far as
// it can be read, two commands that save at once keep what the later one knows,
// and what nobody asked for in a month is dropped. It may be used by many
// goroutines.
//
// The file is memoMagic, then entries: the lengths of key and value and the day
// of last use as 4 bytes each (big endian), key, value, and the CRC-32 of all
// that.
type Memo struct {
	file string
	now  func() time.Time

	mu      sync.Mutex
	loaded  bool
	changed bool
	entries map[string]*memoEntry
}

type memoEntry struct {
	value []byte
	day   uint32
}

const (
	memoMagic   = "strata memo 1\n"
	memoDays    = 30
	maxMemo     = 64 << 20 // bytes of the file
	maxMemoItem = 8 << 20
)

// OpenMemo returns the memo in file, which need not exist; "" keeps nothing.
// Nothing is read before something is asked for.
func OpenMemo(file string) *Memo {
	return &Memo{file: file, now: time.Now, entries: map[string]*memoEntry{}}
}

// Load returns the value of key.
func (m *Memo) Load(key string) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read()
	e, ok := m.entries[key]
	if !ok {
		return nil, false
	}
	if today := m.today(); e.day != today {
		// Only a file that is about to expire is worth writing for that.
		m.changed = m.changed || today-e.day > memoDays/4
		e.day = today
	}
	return e.value, true
}

// Store keeps value under key.
func (m *Memo) Store(key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.read()
	m.entries[key] = &memoEntry{value, m.today()}
	m.changed = true
}

func (m *Memo) today() uint32 { return uint32(m.now().Unix() / (24 * 60 * 60)) }

// read loads the file the first time.
func (m *Memo) read() {
	if m.loaded {
		return
	}
	m.loaded = true
	data, err := os.ReadFile(m.file)
	if err != nil || len(data) > maxMemo || len(data) < len(memoMagic) || string(data[:len(memoMagic)]) != memoMagic {
		return
	}
	m.decode(data[len(memoMagic):])
}

// decode takes entries until one is not whole.
func (m *Memo) decode(data []byte) {
	for len(data) >= 12 {
		k, v := int(binary.BigEndian.Uint32(data)), int(binary.BigEndian.Uint32(data[4:]))
		if k > maxMemoItem || v > maxMemoItem || len(data) < 16+k+v {
			return
		}
		body, rest := data[:12+k+v], data[12+k+v:]
		if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(rest) {
			return
		}
		m.entries[string(body[12:12+k])] = &memoEntry{body[12+k:], binary.BigEndian.Uint32(data[8:])}
		data = rest[4:]
	}
}

// Save writes what is new, and lets go of what it has in memory: it is read again
// if it is asked for. A file in the place appears whole or not at all.
func (m *Memo) Save() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.changed || m.file == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(m.file), 0o700); err != nil {
		return err
	}
	f, err := atomicfile.New(m.file, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<16)
	if err := errors.Join(m.encode(w), w.Flush()); err != nil {
		return errors.Join(err, f.Cancel())
	}
	if err := f.Close(); err != nil {
		return err
	}
	m.changed, m.loaded, m.entries = false, false, map[string]*memoEntry{}
	return nil
}

func (m *Memo) encode(w io.Writer) error {
	if _, err := io.WriteString(w, memoMagic); err != nil {
		return err
	}
	size, today := len(memoMagic), m.today()
	for key, e := range m.entries {
		if today > e.day+memoDays || len(key)+len(e.value) > maxMemoItem {
			continue
		}
		if size += 16 + len(key) + len(e.value); size > maxMemo {
			break
		}
		b := make([]byte, 0, 16+len(key)+len(e.value))
		b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
		b = binary.BigEndian.AppendUint32(b, uint32(len(e.value)))
		b = binary.BigEndian.AppendUint32(b, e.day)
		b = append(append(b, key...), e.value...)
		b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}
