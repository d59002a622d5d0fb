package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"github.com/strata-build/strata/config"
)

func TestRepository(t *testing.T) {
	block := &config.CacheBlock{Repository: "r.example:5000/shop/cache"}
	for _, tt := range []struct {
		scope config.CacheScope
		want  string
	}{
		{config.CacheScope{Name: "main"}, "r.example:5000/shop/cache/main"},
		{config.CacheScope{Name: "v1.2_x-y"}, "r.example:5000/shop/cache/v1.2_x-y"},
		{config.CacheScope{Name: "feature/login"}, "r.example:5000/shop/cache/feature-login-"},
		{config.CacheScope{Name: "Main"}, "r.example:5000/shop/cache/main-"},
		{config.CacheScope{Name: "ä"}, "r.example:5000/shop/cache/x-"},
		{config.CacheScope{Name: "main", Repository: "r.example/trusted"}, "r.example/trusted"},
	} {
		got := Repository(block, tt.scope)
		if rest, ok := strings.CutPrefix(got, tt.want); !ok || rest != "" && (len(rest) != sumLength || !strings.HasSuffix(tt.want, "-")) {
			t.Errorf("%v is at %s, want %s", tt.scope, got, tt.want)
		}
	}
}

// Every name of a target, platform and branch gives a reference that a registry
// takes, and no two give the same.
func TestNamesAreLegalAndDifferent(t *testing.T) {
	block := &config.CacheBlock{Repository: "r.example/shop/cache"}
	s := NewShared(block, SharedOptions{})
	sum := strings.Repeat("0123456789abcdef", 2)
	scopes := []string{
		"main", "Main", "MAIN", "a/b", "a-b", "a_b", "a__b", "a--b", "a.b", "-a", "a-", "", " ", "a b", "ä", "ö", "x",
		"main-" + sum, "a/b-" + sum, strings.Repeat("l", 64), strings.Repeat("l", 65), strings.Repeat("l", 4000), strings.Repeat("/", 300),
		"latest@sha256:" + sum, "refs/pull/7/merge", "héllo/wörld", "..", "a..b", ":", "a:b",
	}
	targets := []string{"app", "App", "app_1", "app-1", "_base", "-", strings.Repeat("t", 72), strings.Repeat("t", 73), strings.Repeat("t", 500), "app-" + sum}
	platforms := []string{"linux/amd64", "linux/arm64", "linux/arm64/v8", "linux/arm/v7", "linux-arm/v7", "windows(10.0.17763)/amd64", strings.Repeat("p", 90), ""}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		name := make([]byte, 1+rnd.IntN(80))
		for i := range name {
			name[i] = "abcABC019-_./ ~"[rnd.IntN(15)]
		}
		scopes = append(scopes, string(name))
	}
	seen := map[string]string{}
	check := func(scope string, l Layers) {
		ref := s.Ref(config.CacheScope{Name: scope}, l)
		who := fmt.Sprintf("%q %q %q %v", scope, l.Target, l.Platform, l.OnImages)
		named, err := reference.ParseNormalizedNamed(ref)
		if err != nil {
			t.Errorf("%s: %q: %v", who, ref, err)
			return
		}
		if _, ok := named.(reference.Tagged); !ok {
			t.Errorf("%s: %q has no tag", who, ref)
		}
		if other, ok := seen[ref]; ok && other != who {
			t.Errorf("%s and %s are both at %s", who, other, ref)
		}
		seen[ref] = who
	}
	for _, scope := range scopes {
		check(scope, Layers{Target: "app", Platform: "linux/amd64"})
	}
	for _, target := range targets {
		for _, platform := range platforms {
			check("main", Layers{Target: target, Platform: platform})
			check("main", Layers{Target: target, Platform: platform, OnImages: true})
		}
	}
}
