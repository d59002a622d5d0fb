package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-build/strata/internal/testkit"
)

// TestRootFileHasTheShop keeps the shop in the root build.hcl equal to the one
// that stands alone.
func TestRootFileHasTheShop(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, shop, ok := strings.Cut(read("examples/shop/build.hcl"), "\n\n")
	if !ok {
		t.Fatal("the shop's file has no comment at its head")
	}
	const here, there = `default     = "."`, `default     = "examples/shop"`
	if strings.Count(shop, here) != 1 {
		t.Fatalf("the shop's file does not say once where the shop is: %s", here)
	}
	if want := strings.Replace(shop, here, there, 1); !strings.HasSuffix(read("build.hcl"), want) {
		t.Error("build.hcl does not end with examples/shop/build.hcl (but for the default of SHOP): copy what has changed")
	}
}
