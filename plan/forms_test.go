package plan

import (
	"slices"
	"testing"

	"github.com/strata-build/strata/config"
)

// The names of an image are no part of its form, but for an archive, which has them
// in it.
func TestFormsOfOtherNames(t *testing.T) {
	for _, tt := range []struct {
		name    string
		outputs []config.Output
		same    bool
	}{
		{"none", nil, true},
		{"kept", []config.Output{{Type: "image"}}, true},
		{"pushed", []config.Output{{Type: "registry"}}, true},
		{"loaded", []config.Output{{Type: "docker"}}, true},
		{"files", []config.Output{{Type: "tar", Dest: "x.tar"}, {Type: "local", Dest: "x"}}, true},
		{"docker archive", []config.Output{{Type: "docker", Dest: "x.tar"}}, false},
		{"oci archive", []config.Output{{Type: "image"}, {Type: "oci", Dest: "x.tar"}}, false},
		{"archive with a name of its own", []config.Output{{Type: "oci", Dest: "x.tar", Attrs: map[string]string{"name": "n"}}}, true},
	} {
		one := forms(&config.Target{Tags: []string{"a:1"}, Outputs: tt.outputs})
		two := forms(&config.Target{Tags: []string{"a:2"}, Outputs: tt.outputs})
		if same := slices.Equal(one, two); same != tt.same {
			t.Errorf("%s: the forms are %q and %q", tt.name, one, two)
		}
	}
}
