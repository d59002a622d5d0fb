package e2e

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/internal/testkit"
)

// TestRootFileHasTheShop: what the root build.hcl builds by default is the shop,
// target for target as the shop's own file says.
func TestRootFileHasTheShop(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	const shop = "examples/shop"
	all := selected(t, root)
	own := selected(t, filepath.Join(root, shop))
	want := make([]string, len(own.Requested))
	for i, name := range own.Requested {
		want[i] = shop + ":" + name
	}
	if !slices.Equal(all.Requested, want) {
		t.Errorf("the root builds %q, want %q", all.Requested, want)
	}
	for i, target := range all.Targets {
		alone := own.Targets[i]
		if target.Name != shop+":"+alone.Name || target.Context != filepath.Join(shop, alone.Context) ||
			target.Dockerfile != alone.Dockerfile || !slices.Equal(target.Tags, alone.Tags) || len(target.Needs) != len(alone.Needs) {
			t.Errorf("%s is not the shop's %s: %+v", target.Name, alone.Name, target)
		}
		if target.Steps != nil && target.Steps.Text != alone.Steps.Text {
			t.Errorf("the steps of %s are\n%s\nwant\n%s", target.Name, target.Steps.Text, alone.Steps.Text)
		}
	}
}

// selected is what strata build builds in dir.
func selected(t *testing.T, dir string) *config.Selection {
	t.Helper()
	cfg, err := config.Load(t.Context(), config.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(config.Request{})
	if err != nil {
		t.Fatal(err)
	}
	return sel
}
