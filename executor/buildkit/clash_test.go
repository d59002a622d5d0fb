package buildkit

import (
	"fmt"
	"testing"

	"github.com/strata-build/strata/config"
)

func TestClashes(t *testing.T) {
	target := func(name string, tags []string, outs ...config.Output) *config.Target {
		return &config.Target{Name: name, Tags: tags, Outputs: outs}
	}
	oci := func(dest string) config.Output { return config.Output{Type: "oci", Dest: dest} }
	tests := []struct {
		name    string
		targets []*config.Target
		clash   bool
	}{
		{"different tags", []*config.Target{target("a", []string{"x:1"}), target("b", []string{"x:2"})}, false},
		{"same tag in two spellings", []*config.Target{target("a", []string{"x"}), target("b", []string{"docker.io/library/x:latest"})}, true},
		{"same tag twice in one target", []*config.Target{target("a", []string{"x", "x:latest"})}, false},
		{"tag that goes nowhere", []*config.Target{target("a", []string{"x"}), target("b", []string{"x"}, config.Output{Type: "cacheonly"})}, false},
		{"same archive", []*config.Target{target("a", nil, oci("o/x.tar")), target("b", nil, oci("./o/x.tar"))}, true},
		{"standard output", []*config.Target{target("a", nil, oci("-")), target("b", nil, oci("-"))}, false},
		{"shared directory", []*config.Target{
			target("a", nil, config.Output{Type: "local", Dest: "out"}), target("b", nil, config.Output{Type: "local", Dest: "out"}),
		}, false},
	}
	for _, tt := range tests {
		if err := Clashes(tt.targets); (err != nil) != tt.clash {
			t.Errorf("%s: %v", tt.name, fmt.Sprint(err))
		}
	}
}
