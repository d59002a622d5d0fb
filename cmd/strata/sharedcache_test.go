package main

import (
	"testing"

	"github.com/strata-build/strata/config"
)

func TestOnlyAScopeOfOnesOwnIsReadUnsigned(t *testing.T) {
	for _, tt := range []struct {
		name   string
		scopes int
		write  bool
		sign   string
		first  bool // the first scope needs signatures
	}{
		{"main without a key", 1, true, "", true},
		{"main with one", 1, true, "key", true},
		{"a pull request", 2, true, "", false},
		{"a pull request with a key", 2, true, "key", true},
		{"one that only reads", 2, false, "", true},
	} {
		block := &config.CacheBlock{Scopes: make([]config.CacheScope, tt.scopes), Write: tt.write, Sign: tt.sign}
		if got := verified(block, 0); got != tt.first {
			t.Errorf("%s: the first scope is verified: %v", tt.name, got)
		}
		if !verified(block, 1) {
			t.Errorf("%s: another scope is read unsigned", tt.name)
		}
	}
}
