package plan

import (
	"slices"
	"testing"

	"github.com/strata-build/strata/cache/index"
)

func TestCompareBases(t *testing.T) {
	base := func(value string) []index.Input { return []index.Input{{Kind: KindBase, Name: "go:1", Value: value}} }
	moved := []Reason{{Kind: KindBase, Path: "go:1", From: "d1", To: "d2"}}
	for _, c := range []struct {
		name     string
		was, now string
		want     []Reason
	}{
		{"the same", "d1\nc1", "d1\nc1", nil},
		{"other content", "d1\nc1", "d2\nc2", moved},
		{"another digest of the same content", "d1\nc1", "d2\nc1", nil},
		{"content not told before", "d1", "d2\nc1", moved},
		{"content not told now", "d1\nc1", "d2", moved},
		{"content never told", "d1", "d2", moved},
		{"content told since", "d1", "d1\nc1", nil},
	} {
		if got := compareBases(base(c.was), base(c.now)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestPairBases(t *testing.T) {
	base := func(path, from, to string) Reason { return Reason{Kind: KindBase, Path: path, From: from, To: to} }
	for name, test := range map[string]struct{ in, want []Reason }{
		"nothing":      {nil, nil},
		"a moved tag":  {[]Reason{base("go:1", "d1", "d2")}, []Reason{base("go:1", "d1", "d2")}},
		"another tag":  {[]Reason{base("go:2", "", "d2"), base("go:1", "d1", "")}, []Reason{base("go:2", "go:1", "go:2")}},
		"a digest":     {[]Reason{base("h:5/go@d2", "", "d2"), base("h:5/go:1", "d1", "")}, []Reason{base("h:5/go@d2", "h:5/go:1", "h:5/go@d2")}},
		"another one":  {[]Reason{base("debian", "", "d2"), base("go:1", "d1", "")}, []Reason{base("debian", "", "d2"), base("go:1", "d1", "")}},
		"two of three": {[]Reason{base("go:2", "", "a"), base("go:3", "", "b"), base("go:1", "c", "")}, []Reason{base("go:2", "go:1", "go:2"), base("go:3", "", "b")}},
	} {
		in := slices.Clone(test.in)
		if got := pairBases(test.in); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		if !slices.Equal(in, test.in) {
			t.Errorf("%s: the list was changed", name)
		}
	}
}
