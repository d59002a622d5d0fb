package buildkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/strata-build/strata/config"
)

func TestClashes(t *testing.T) {
	target := func(name string, tags []string, outs ...config.Output) *config.Target {
		return &config.Target{Name: name, Tags: tags, Outputs: outs}
	}
	dir := t.TempDir()
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "o"), 0o700), os.Symlink("o", filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	named := func(name, byDigest string) config.Output {
		return config.Output{Type: "image", Attrs: map[string]string{"push": "true", "name": name, "push-by-digest": byDigest}}
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
		{"same archive by its whole path", []*config.Target{target("a", nil, oci("o/x.tar")), target("b", nil, oci(dir+"/o/x.tar"))}, true},
		{"same archive by a link", []*config.Target{target("a", nil, oci("o/x.tar")), target("b", nil, oci("link/x.tar"))}, true},
		{"standard output", []*config.Target{target("a", nil, oci("-")), target("b", nil, oci("-"))}, true},
		{"a device", []*config.Target{target("a", nil, oci("/dev/null")), target("b", nil, oci("/dev/null"))}, false},
		{"same name of outputs", []*config.Target{target("a", nil, named("r/x:1,r/y:1", "")), target("b", []string{"r/y:1"})}, true},
		{"tags that a name takes the place of", []*config.Target{target("a", []string{"r/x"}, named("r/y", "")), target("b", []string{"r/x"})}, false},
		{"pushed by digest", []*config.Target{target("a", nil, named("r/x", "true")), target("b", nil, named("r/x", "true"))}, false},
		{"shared directory", []*config.Target{
			target("a", nil, config.Output{Type: "local", Dest: "out"}), target("b", nil, config.Output{Type: "local", Dest: "out"}),
		}, false},
	}
	for _, tt := range tests {
		if err := Clashes(dir, tt.targets); (err != nil) != tt.clash {
			t.Errorf("%s: %v", tt.name, fmt.Sprint(err))
		}
	}
}
