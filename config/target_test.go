package config

import (
	"slices"
	"testing"
)

// The tags of a target count, not the name that its output has by itself.
func TestNames(t *testing.T) {
	named := Output{Type: "image", Attrs: map[string]string{"name": "a:1,b:1"}}
	for _, tt := range []struct {
		tags []string
		out  Output
		want []string
	}{
		{nil, Output{}, nil},
		{nil, named, []string{"a:1", "b:1"}},
		{[]string{"c:1"}, Output{}, []string{"c:1"}},
		{[]string{"c:1"}, named, []string{"c:1"}},
	} {
		if got := (&Target{Tags: tt.tags}).Names(tt.out); !slices.Equal(got, tt.want) {
			t.Errorf("tags %q, output %v: %q, want %q", tt.tags, tt.out.Attrs, got, tt.want)
		}
	}
}
