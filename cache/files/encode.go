package files

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strings"
)

// listing begins an encoded listing; it changes with the format.
const listing = "strata list 1\n"

const sumPrefix = "sha256:"

var errListing = errors.New("the list of files is damaged or of another version")

// Encode returns list in a compact form: the same list gives the same bytes. It
// ends with a SHA-256 of the rest.
func Encode(list []File) []byte {
	b := append(make([]byte, 0, 64+64*len(list)), listing...)
	b = binary.AppendUvarint(b, uint64(len(list)))
	var paths pathWriter
	for _, f := range list {
		b = paths.append(b, f.Path)
		b = binary.AppendUvarint(b, uint64(f.Mode))
		b = binary.AppendUvarint(b, uint64(f.Size))
		b = appendString(b, f.Link)
		if sum, ok := rawSum(f.Digest); ok {
			b = append(append(b, 1), sum...)
		} else {
			b = appendString(append(b, 0), f.Digest)
		}
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// rawSum is the 32 bytes of a digest in its usual form.
func rawSum(digest string) ([]byte, bool) {
	text, ok := strings.CutPrefix(digest, sumPrefix)
	if !ok || strings.ToLower(text) != text {
		return nil, false
	}
	sum, err := hex.DecodeString(text)
	return sum, err == nil && len(sum) == sha256.Size
}

// Decode returns the list that Encode was given, or an error if b is anything
// else.
func Decode(b []byte) ([]File, error) {
	n := len(b) - sha256.Size
	if n < len(listing) || string(b[:len(listing)]) != listing {
		return nil, errListing
	}
	if sum := sha256.Sum256(b[:n]); string(sum[:]) != string(b[n:]) {
		return nil, errListing
	}
	r := reader{b: b[len(listing):n]}
	list := make([]File, r.count(6))
	var paths pathReader
	for i := range list {
		f := File{Path: paths.next(&r), Mode: uint32(r.uvarint()), Size: int64(r.uvarint()), Link: r.string()}
		switch r.uvarint() {
		case 1:
			sum := r.sum()
			f.Digest = sumPrefix + hex.EncodeToString(sum[:])
		case 0:
			f.Digest = r.string()
		default:
			r.fail()
		}
		list[i] = f
	}
	if r.bad || len(r.b) != 0 {
		return nil, errListing
	}
	return list, nil
}
