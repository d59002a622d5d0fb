package config

import (
	"fmt"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// plainCache is c without its places, as text.
func plainCache(c *CacheBlock) string {
	if c == nil {
		return "none"
	}
	d := *c
	d.Range, d.Places = hcl.Range{}, nil
	return fmt.Sprintf("%s %v write=%v %s %q %q %q", d.Repository, d.Scopes, d.Write, d.Mode, d.Compression, d.Sign, d.Verify)
}

func TestCacheBlock(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"none", map[string]string{"build.hcl": `target "default" {}`}, "none"},
		{"least", map[string]string{"build.hcl": `cache { repository = "r.example:5000/shop" }`},
			`r.example:5000/shop [{main }] write=false max "" "" []`},
		{"all", map[string]string{"build.hcl": `
variable "BRANCH" { default = "feature/x" }
cache {
  repository  = "r.example/shop"
  scopes      = [BRANCH, { name = "main", repository = "r.example/trusted" }, "", BRANCH]
  write       = true
  mode        = "min"
  compression = "zstd"
  sign        = "key"
  verify      = ["pub"]
}`}, `r.example/shop [{feature/x } {main r.example/trusted}] write=true min "zstd" "key" ["pub"]`},
		{"a second file overrides", map[string]string{
			"build.hcl":       `cache { repository = "r.example/shop" }`,
			"local.build.hcl": `cache { write = true }`,
		}, `r.example/shop [{main }] write=true max "" "" []`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var names []string
			for _, n := range []string{"build.hcl", "local.build.hcl"} {
				if tt.files[n] != "" {
					names = append(names, n)
				}
			}
			c, err := load(t, tt.files, LoadOptions{Files: names})
			if err != nil {
				t.Fatal(err)
			}
			if got := plainCache(c.Cache); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestCacheFlags(t *testing.T) {
	yes, no := true, false
	block := &CacheBlock{Repository: "r/shop", Scopes: []CacheScope{{"x", ""}, {"main", "r/trusted"}}, Write: true, Mode: "min"}
	tests := []struct {
		name       string
		block      *CacheBlock
		repository string
		scopes     []string
		write      *bool
		want       string
	}{
		{"nothing", nil, "", nil, nil, "none"},
		{"the block", block, "", nil, nil, `r/shop [{x } {main r/trusted}] write=true min "" "" []`},
		{"no block", nil, "r/other", nil, &yes, `r/other [{main }] write=true max "" "" []`},
		{"over the block", block, "r/other", []string{"main", "y"}, &no, `r/other [{main r/trusted} {y }] write=false min "" "" []`},
	}
	for _, tt := range tests {
		got, err := ParseCacheBlock(tt.block, tt.repository, tt.scopes, tt.write)
		if err != nil || plainCache(got) != tt.want {
			t.Errorf("%s: %v: got %s, want %s", tt.name, err, plainCache(got), tt.want)
		}
	}
	for _, bad := range []struct {
		repository string
		scopes     []string
	}{{"", []string{"x"}}, {"R/Upper Case", nil}, {"r/x:tag", nil}} {
		if got, err := ParseCacheBlock(nil, bad.repository, bad.scopes, nil); err == nil {
			t.Errorf("%v: got %v, want an error", bad, got)
		}
	}
}
