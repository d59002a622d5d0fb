package files

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
)

// An image is the stat cache as it is on disk:
//
//	magic  16 bytes
//	length of head, 8 bytes; SHA-256 of head
//	head   id, then directories (path, nonce, day, length and SHA-256 of their
//	       records), then Sets
//	records of each directory, in the order of the head
//
// The head is checked when it is read, the records when they are needed.
type image struct {
	id   [16]byte
	sets map[key]*kept
	dirs map[string]*section
}

const magic = "strata files 01\n"

var errDamaged = errors.New("it is damaged or of another version")

// setSize and dirSize are the least that one takes in the head.
const (
	setSize = 32 + 1 + 32 + 32 + 1 + 1 + 8 + 1 + 1
	dirSize = 1 + 16 + 1 + 1 + 32
)

func decodeImage(b []byte) (*image, error) {
	r := reader{b: b}
	if string(r.bytes(uint64(len(magic)))) != magic {
		return nil, errDamaged
	}
	n := uint64(r.int64())
	sum := r.sum()
	head := reader{b: r.bytes(n)}
	if r.bad || sha256.Sum256(head.b) != sum {
		return nil, errDamaged
	}
	in := &image{sets: map[key]*kept{}, dirs: map[string]*section{}}
	copy(in.id[:], head.bytes(16))
	names := make([]string, head.count(dirSize))
	for i := range names {
		d := &section{dir: head.string(), damaged: func() {}}
		copy(d.nonce[:], head.bytes(16))
		d.day, n, d.sum = uint32(head.uvarint()), head.uvarint(), head.sum()
		d.raw = r.bytes(n)
		names[i], in.dirs[d.dir] = d.dir, d
	}
	for range head.count(setSize) {
		k := key(head.sum())
		dir := head.uvarint()
		if dir >= uint64(len(names)) {
			return nil, errDamaged
		}
		in.sets[k] = &kept{
			dir: names[dir], sign: head.sum(), digest: head.sum(), files: int(head.uvarint()), bytes: int64(head.uvarint()),
			at: head.int64(), racy: head.uvarint() != 0, day: uint32(head.uvarint()),
		}
	}
	if head.bad || len(head.b) != 0 || r.bad || len(r.b) != 0 {
		return nil, errDamaged
	}
	return in, nil
}

// pack returns the sections to write: those used lately, and of them those used
// last if all would take more than limit bytes.
func (in *image) pack(today uint32, limit int) []packed {
	var dirs []packed
	for _, d := range in.dirs {
		dirs = append(dirs, d.pack(today))
	}
	slices.SortFunc(dirs, func(a, b packed) int {
		return cmp.Or(-cmp.Compare(a.day, b.day), cmp.Compare(a.dir, b.dir))
	})
	total := 0
	return slices.DeleteFunc(dirs, func(d packed) bool {
		drop := d.day+keepDays < today || total+len(d.raw) > limit
		if !drop {
			total += len(d.raw)
		}
		return drop
	})
}

// encode returns dirs and their Sets as a file, with a new id.
func (in *image) encode(dirs []packed, today uint32) []byte {
	_, _ = rand.Read(in.id[:]) // never fails since Go 1.24
	head := append(make([]byte, 0, 64*len(dirs)+160*len(in.sets)), in.id[:]...)
	head = binary.AppendUvarint(head, uint64(len(dirs)))
	index := map[string]int{}
	total := 0
	for i, d := range dirs {
		total += len(d.raw)
		index[d.dir] = i
		head = appendString(head, d.dir)
		head = append(head, d.nonce[:]...)
		head = binary.AppendUvarint(head, uint64(d.day))
		head = binary.AppendUvarint(head, uint64(len(d.raw)))
		head = append(head, d.sum[:]...)
	}
	head = in.appendSets(head, index, today)

	b := append(make([]byte, 0, len(magic)+40+len(head)+total), magic...)
	b = appendInt64(b, int64(len(head)))
	sum := sha256.Sum256(head)
	b = append(b, sum[:]...)
	b = append(b, head...)
	for _, d := range dirs {
		b = append(b, d.raw...)
	}
	return b
}

func (in *image) appendSets(b []byte, dirs map[string]int, today uint32) []byte {
	var keys []key
	for k, e := range in.sets {
		if _, ok := dirs[e.dir]; ok && e.day+keepDays >= today {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(-cmp.Compare(in.sets[a].day, in.sets[b].day), slices.Compare(a[:], b[:]))
	})
	keys = keys[:min(len(keys), maxSets)]
	b = binary.AppendUvarint(b, uint64(len(keys)))
	for _, k := range keys {
		e := in.sets[k]
		b = append(b, k[:]...)
		b = binary.AppendUvarint(b, uint64(dirs[e.dir]))
		b = append(b, e.sign[:]...)
		b = append(b, e.digest[:]...)
		b = binary.AppendUvarint(b, uint64(e.files))
		b = binary.AppendUvarint(b, uint64(e.bytes))
		b = appendInt64(b, e.at)
		racy := uint64(0)
		if e.racy {
			racy = 1
		}
		b = binary.AppendUvarint(b, racy)
		b = binary.AppendUvarint(b, uint64(min(e.day, today)))
	}
	return b
}
