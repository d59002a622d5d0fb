package config

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestOverlayCountsInsteadOfFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("build.hcl", "target \"saved\" {\n")
	write("api/build.hcl", "target \"api\" { tags = nonsense }\n")
	write("web/README", "")
	tests := []struct {
		name    string
		files   []string
		targets []string
		overlay map[string][]byte
		want    []string
	}{
		{"relative", nil, nil, map[string][]byte{"build.hcl": []byte(`target "a" {}`)}, []string{"a"}},
		{"absolute", []string{"./build.hcl"}, nil, map[string][]byte{filepath.Join(dir, "build.hcl"): []byte("\ufefftarget \"b\" {}")}, []string{"b"}},
		{"included", nil, nil, map[string][]byte{
			"build.hcl":     []byte(`include { paths = ["api"] }`),
			"api/build.hcl": []byte(`target "new" {}`),
		}, []string{"api:new"}},
		{"included and not on disk", nil, nil, map[string][]byte{
			"build.hcl":     []byte(`include { paths = ["web", "new", "more.hcl"] }`),
			"web/build.hcl": []byte(`target "w" {}`),
			"new/build.hcl": []byte(`target "n" {}`),
			"more.hcl":      []byte(`target "m" {}`),
		}, []string{"m", "new:n", "web:w"}},
		{"named by path", nil, []string{"//web:w"}, map[string][]byte{
			"build.hcl":     []byte(`target "a" {}`),
			"web/build.hcl": []byte(`target "w" {}`),
		}, []string{"a", "web:w"}},
		{"bake", []string{"docker-bake.hcl"}, nil, map[string][]byte{"docker-bake.hcl": []byte(`target "c" {}`)}, []string{"c"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg, err := Load(t.Context(), LoadOptions{Dir: dir, Files: test.files, Targets: test.targets, Overlay: test.overlay})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range cfg.List() {
				got = append(got, l.Name)
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
