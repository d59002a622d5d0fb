package files

import "encoding/binary"

// A reader takes values off the front of b. After the first that is not there
// bad is set and all further values are zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) string() string { return string(r.bytes(r.uvarint())) }

func (r *reader) int64() int64 {
	if b := r.bytes(8); b != nil {
		return int64(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (r *reader) sum() (s [32]byte) {
	copy(s[:], r.bytes(32))
	return s
}

// count is a number of things that take at least size bytes each, so that a
// wrong number reserves no memory.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) fail() { r.b, r.bad = nil, true }

// A pathReader and a pathWriter leave out of each path what it shares with the
// path before.
type pathReader struct{ last []byte }

func (p *pathReader) next(r *reader) string {
	shared := r.uvarint()
	if shared > uint64(len(p.last)) {
		r.fail()
		return ""
	}
	p.last = append(p.last[:shared], r.bytes(r.uvarint())...)
	return string(p.last)
}

type pathWriter struct{ last string }

func (p *pathWriter) append(b []byte, path string) []byte {
	n := 0
	for n < len(path) && n < len(p.last) && path[n] == p.last[n] {
		n++
	}
	p.last = path
	b = binary.AppendUvarint(b, uint64(n))
	return appendString(b, path[n:])
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendInt64(b []byte, v int64) []byte {
	return binary.LittleEndian.AppendUint64(b, uint64(v))
}
