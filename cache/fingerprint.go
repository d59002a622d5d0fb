package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/strata-build/strata/cache/index"
)

// fingerprintVersion salts every fingerprint. It changes when equal inputs no
// longer mean equal images.
const fingerprintVersion = "1"

// An Input is one named part of a target's inputs.
type Input struct {
	Name  string
	Value string // a hash, or a short text
}

// Inputs are the named parts in an order that is the same for the same target.
type Inputs []Input

// Add appends an input.
func (in *Inputs) Add(name, value string) { *in = append(*in, Input{name, value}) }

// Fingerprint returns the fingerprint of in: equal fingerprints, equal images.
// Quoting keeps ("ab", "c") and ("a", "bc") apart.
func (in Inputs) Fingerprint() index.Fingerprint {
	h := sha256.New()
	fmt.Fprintf(h, "strata fingerprint %s\n", fingerprintVersion)
	for _, i := range in {
		fmt.Fprintf(h, "%q %q\n", i.Name, i.Value)
	}
	return index.Fingerprint(hex.EncodeToString(h.Sum(nil)))
}
