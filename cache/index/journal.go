package index

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"
)

// The journal is a header and then records, each
//
//	length of the body  4 bytes, little endian
//	CRC-32C             4 bytes, of the length and the body
//	body
//
// A body is a kind and what belongs to it. Records are only appended; the whole
// file is replaced when it is compacted. The name of the file holds the
// version of this form, so that two versions of strata do not disturb one
// another.
const (
	journalFile   = "journal.v1"
	journalHeader = "strata index 1\n"

	recordHead = 8
	maxRecord  = maxEntry + 1<<10

	kindEntry = 'e' // when used, fingerprint, hash of project and target, JSON of the entry
	kindUsed  = 'u' // when used, fingerprints
)

// A key is a fingerprint, in bytes.
type key = [sha256.Size]byte

// A name is the hash of a project and a target.
type name = [16]byte

func nameOf(project, target string) name {
	sum := sha256.Sum256([]byte(project + "\x00" + target))
	return name(sum[:16])
}

// entryHead is the length of an entry's body before its JSON.
const entryHead = 1 + 8 + sha256.Size + 16

// A slot is an entry as the journal holds it. Its JSON is parsed when somebody
// asks.
type slot struct {
	key  key
	name name
	used int64 // Unix seconds
	json []byte
}

// size is how many bytes s takes in the journal.
func (s *slot) size() int64 { return int64(recordHead + entryHead + len(s.json)) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends the record of a body to to.
func appendRecord(to, body []byte) []byte {
	at := len(to)
	to = binary.LittleEndian.AppendUint32(to, uint32(len(body)))
	sum := crc32.Update(crc32.Checksum(to[at:], castagnoli), castagnoli, body)
	to = binary.LittleEndian.AppendUint32(to, sum)
	return append(to, body...)
}

func (s *slot) appendTo(to []byte) []byte {
	body := make([]byte, 0, entryHead+len(s.json))
	body = append(body, kindEntry)
	body = binary.LittleEndian.AppendUint64(body, uint64(s.used))
	body = append(body, s.key[:]...)
	body = append(body, s.name[:]...)
	return appendRecord(to, append(body, s.json...))
}

func appendUsed(to []byte, keys []key, now time.Time) []byte {
	const most = (maxRecord - 9) / sha256.Size
	for len(keys) > 0 {
		n := min(len(keys), most)
		body := make([]byte, 0, 9+n*sha256.Size)
		body = append(body, kindUsed)
		body = binary.LittleEndian.AppendUint64(body, uint64(now.Unix()))
		for _, k := range keys[:n] {
			body = append(body, k[:]...)
		}
		to, keys = appendRecord(to, body), keys[n:]
	}
	return to
}

// errDamaged says that the journal has bytes that are no record. What comes
// before them is good.
var errDamaged = errors.New("is damaged")

// A table is what a journal says.
type table struct {
	slots  map[key]*slot
	latest map[name]*slot
	order  []*slot // as they were appended; those replaced are left in
	size   int64   // bytes of the journal that were understood
}

func newTable(entries int) *table {
	return &table{slots: make(map[key]*slot, entries), latest: make(map[name]*slot, entries)}
}

// read adds the records in data, which goes on where t ends. It keeps data. On
// errDamaged t holds what came before the damage.
func (t *table) read(data []byte) error {
	if t.size == 0 && len(data) > 0 {
		if len(data) < len(journalHeader) || string(data[:len(journalHeader)]) != journalHeader {
			return fmt.Errorf("%w from the start", errDamaged)
		}
		t.size = int64(len(journalHeader))
		data = data[len(journalHeader):]
	}
	for len(data) > 0 {
		body, ok := nextRecord(data)
		if !ok || !t.record(body) {
			return fmt.Errorf("%w from byte %d on", errDamaged, t.size)
		}
		n := recordHead + len(body)
		t.size += int64(n)
		data = data[n:]
	}
	return nil
}

// nextRecord is the body of the record that data begins with.
func nextRecord(data []byte) (body []byte, ok bool) {
	if len(data) < recordHead {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(data)
	if n == 0 || n > maxRecord || int(n) > len(data)-recordHead {
		return nil, false
	}
	body = data[recordHead : recordHead+int(n)]
	sum := crc32.Update(crc32.Checksum(data[:4], castagnoli), castagnoli, body)
	return body, sum == binary.LittleEndian.Uint32(data[4:])
}

// record takes in one body. Kinds that a later version may add are passed over.
func (t *table) record(body []byte) bool {
	switch body[0] {
	case kindEntry:
		if len(body) <= entryHead {
			return false
		}
		t.add(&slot{
			used: int64(binary.LittleEndian.Uint64(body[1:])),
			key:  key(body[9:]),
			name: name(body[9+sha256.Size:]),
			json: body[entryHead:],
		})
	case kindUsed:
		if len(body) < 9 || (len(body)-9)%sha256.Size != 0 {
			return false
		}
		at := int64(binary.LittleEndian.Uint64(body[1:]))
		for keys := body[9:]; len(keys) > 0; keys = keys[sha256.Size:] {
			if s := t.slots[key(keys)]; s != nil {
				s.used = max(s.used, at)
			}
		}
	}
	return true
}

func (t *table) add(s *slot) {
	t.slots[s.key] = s
	t.latest[s.name] = s
	t.order = append(t.order, s)
}

// A build is what an entry is told apart by: targets with equal inputs have one
// fingerprint.
type build struct {
	key  key
	name name
}

// live lists the slots that count, those of each build that were put last,
// oldest first.
func (t *table) live() []*slot {
	list := make([]*slot, 0, len(t.slots))
	seen := make(map[build]bool, len(t.slots))
	for _, s := range slices.Backward(t.order) {
		if b := (build{s.key, s.name}); !seen[b] {
			seen[b] = true
			list = append(list, s)
		}
	}
	slices.Reverse(list)
	return list
}

// of lists the slots of a target that count, latest first.
func (t *table) of(n name) []*slot {
	var list []*slot
	seen := map[key]bool{}
	for _, s := range slices.Backward(t.order) {
		if s.name == n && !seen[s.key] {
			seen[s.key] = true
			list = append(list, s)
		}
	}
	return list
}

// find is the slot of a fingerprint: that of the target if there is one, else
// that which was put last.
func (t *table) find(k key, n name) *slot {
	s := t.slots[k]
	if s == nil || s.name == n {
		return s
	}
	if own := t.latest[n]; own != nil && own.key == k {
		return own
	}
	for _, own := range slices.Backward(t.order) {
		if own.key == k && own.name == n {
			return own
		}
	}
	return s
}

// encode is a whole journal of slots.
func encode(slots []*slot) []byte {
	data := []byte(journalHeader)
	for _, s := range slots {
		data = s.appendTo(data)
	}
	return data
}
