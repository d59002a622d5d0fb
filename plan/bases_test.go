package plan

import (
	"slices"
	"testing"
)

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
