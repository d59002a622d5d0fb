package index

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Schema is the version of the form of entries and details. An entry of
// another version is a miss.
const Schema = 1

// A Fingerprint is the hash of all inputs of a target: SHA-256 in lower-case
// hex, 64 characters.
type Fingerprint string

// raw returns the bytes of f, ok if f is a fingerprint.
func (f Fingerprint) raw() (key [sha256.Size]byte, ok bool) {
	if len(f) != hex.EncodedLen(len(key)) {
		return key, false
	}
	for i := range len(f) {
		if c := f[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return key, false
		}
	}
	_, err := hex.Decode(key[:], []byte(f))
	return key, err == nil
}

// An Entry is one success: a target with this fingerprint was built, and this
// is what came of it. Its JSON form is public: see docs/reference/cache.md.
type Entry struct {
	Schema      int         `json:"schema"` // set by Put
	Fingerprint Fingerprint `json:"fingerprint"`
	Project     string      `json:"project,omitempty"` // whose target; what it is called is the caller's affair
	Target      string      `json:"target"`
	Platforms   []string    `json:"platforms,omitempty"`

	Digest       string   `json:"digest,omitempty"` // of the manifest or index; "" if no image was made
	MediaType    string   `json:"mediaType,omitempty"`
	Size         int64    `json:"size,omitempty"`         // bytes of that manifest or index
	Total        int64    `json:"total,omitempty"`        // compressed bytes of all layers of all platforms; 0 if unknown
	Tags         []string `json:"tags,omitempty"`         // complete references
	Repositories []string `json:"repositories,omitempty"` // where the image was pushed: "host/repo"
	Outputs      []Output `json:"outputs,omitempty"`

	// Engine is the engine that has made it, as it calls itself; "" if unknown.
	Engine string `json:"engine,omitempty"`
	// Images are those that it was made on, in the place of the steps of needed
	// targets, by target.
	Images map[string]string `json:"images,omitempty"`

	Built    time.Time     `json:"built"`
	Duration time.Duration `json:"durationNs,omitempty"`
	Run      string        `json:"run,omitempty"`      // id of the run
	Revision string        `json:"revision,omitempty"` // of the checkout
	Branch   string        `json:"branch,omitempty"`

	Detail string   `json:"detail,omitempty"` // digest of the Detail; set by Put
	Trees  []string `json:"trees,omitempty"`  // digests of the file listings; set by Put
}

// An Output is an archive or a directory that was written.
type Output struct {
	Type   string `json:"type"` // as in the build file: oci, docker, local, tar
	Dest   string `json:"dest"`
	Digest string `json:"digest,omitempty"` // of its content
	Stat   string `json:"stat,omitempty"`   // what lets a later run skip reading it; the caller's affair
}

// A Detail is what explains an entry: the inputs by name, and the layer
// history. It is read only when somebody asks.
type Detail struct {
	Schema int             `json:"schema"` // set by Put
	Inputs []Input         `json:"inputs,omitempty"`
	Record json.RawMessage `json:"record,omitempty"` // the record of package history
}

// An Input is one named thing a fingerprint was made of.
type Input struct {
	Kind  string `json:"kind"` // file, base, arg, step, parent, config...
	Name  string `json:"name"`
	Value string `json:"value,omitempty"` // a digest or a short text; never a secret
	Place string `json:"place,omitempty"` // file:line
}

// DigestOf is the digest under which a blob is kept: "sha256:" and hex.
func DigestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// maxEntry bounds the JSON of an entry.
const maxEntry = 256 << 10

// seal completes e with its schema, and the digests of what belongs to it. It
// returns the blobs by digest.
func (e *Entry) seal(d *Detail, trees [][]byte) (map[string][]byte, error) {
	e.Schema = Schema
	e.Detail, e.Trees = "", nil
	blobs := make(map[string][]byte, len(trees)+1)
	if d != nil {
		sealed := *d
		sealed.Schema = Schema
		data, err := json.Marshal(sealed)
		if err != nil {
			return nil, fmt.Errorf("the detail of %q: %w", e.Target, err)
		}
		e.Detail = DigestOf(data)
		blobs[e.Detail] = data
	}
	for _, tree := range trees {
		digest := DigestOf(tree)
		if _, twice := blobs[digest]; !twice {
			e.Trees = append(e.Trees, digest)
		}
		blobs[digest] = tree
	}
	return blobs, nil
}

// marshal is the JSON of a sealed entry.
func (e Entry) marshal() ([]byte, error) {
	if _, ok := e.Fingerprint.raw(); !ok {
		return nil, fmt.Errorf("%q is not a fingerprint", e.Fingerprint)
	}
	if e.Target == "" {
		return nil, errors.New("an entry without a target")
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	if len(data) > maxEntry {
		return nil, fmt.Errorf("an entry of %d bytes; %d are the most", len(data), maxEntry)
	}
	return data, nil
}

// A SchemaError says that something was written by another version of strata.
type SchemaError struct{ Schema int }

// Error names the version.
func (e *SchemaError) Error() string {
	return fmt.Sprintf("its schema is %d and not %d", e.Schema, Schema)
}

// parseEntry reads the entry of the fingerprint want.
func parseEntry(data []byte, want Fingerprint) (Entry, error) {
	e, err := parseAny(data)
	if err == nil && e.Fingerprint != want {
		return Entry{}, fmt.Errorf("it is the entry of fingerprint %q", e.Fingerprint)
	}
	return e, err
}

// parseAny reads an entry.
func parseAny(data []byte) (Entry, error) {
	var e Entry
	if len(data) > maxEntry {
		return e, fmt.Errorf("an entry of %d bytes", len(data))
	}
	if err := json.Unmarshal(data, &e); err != nil {
		var version struct {
			Schema int `json:"schema"`
		}
		if json.Unmarshal(data, &version) == nil && version.Schema != Schema {
			return Entry{}, &SchemaError{version.Schema}
		}
		return Entry{}, err
	}
	if e.Schema != Schema {
		return Entry{}, &SchemaError{e.Schema}
	}
	return e, nil
}

// parseDetail reads a detail.
func parseDetail(data []byte) (Detail, error) {
	var d Detail
	if err := json.Unmarshal(data, &d); err != nil {
		return Detail{}, err
	}
	if d.Schema != Schema {
		return Detail{}, &SchemaError{d.Schema}
	}
	return d, nil
}
