package main

import (
	"strings"
	"testing"
)

// TestEveryCommandHasAnExample of itself, hidden ones too.
func TestEveryCommandHasAnExample(t *testing.T) {
	all := allCommands(testRoot(t))
	if len(all) < 35 {
		t.Fatalf("there are only %d commands", len(all))
	}
	for _, c := range all {
		found := false
		for line := range strings.Lines(c.Example) {
			found = found || strings.Contains(line, c.CommandPath())
		}
		if !found {
			t.Errorf("%s has no example of itself; add one to its Example", c.CommandPath())
		}
	}
}
