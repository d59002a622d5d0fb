package graph

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func weights(m map[ID]int) func(ID) time.Duration {
	return func(id ID) time.Duration { return time.Duration(m[id]) * time.Second }
}

func TestRemainingAndCriticalPath(t *testing.T) {
	tests := []struct {
		name   string
		nodes  []Node
		weight map[ID]int
		path   string
		left   string
	}{
		{"none", nil, nil, "[] 0s", ""},
		{"one", []Node{{ID: "a"}}, map[ID]int{"a": 3}, "[a] 3s", "a=3s"},
		{
			"the longest and not the deepest",
			[]Node{{"app", []ID{"lib"}}, {"lib", []ID{"base"}}, {"base", nil}, {"slow", nil}},
			map[ID]int{"app": 1, "lib": 1, "base": 1, "slow": 9},
			"[slow] 9s", "app=1s base=3s lib=2s slow=9s",
		},
		{
			"a diamond goes by its heavy side",
			[]Node{{"top", []ID{"l", "r"}}, {"l", []ID{"base"}}, {"r", []ID{"base"}}, {"base", nil}},
			map[ID]int{"top": 1, "l": 2, "r": 5, "base": 1},
			"[base r top] 7s", "base=7s l=3s r=6s top=1s",
		},
		{
			"equal paths go by order, negative weights count as none",
			[]Node{{"a", nil}, {"b", nil}, {"c", []ID{"a", "b"}}},
			map[ID]int{"a": 1, "b": 1, "c": -4},
			"[a c] 1s", "a=1s b=1s c=0s",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := New(tt.nodes)
			if err != nil {
				t.Fatal(err)
			}
			path, took := g.CriticalPath(weights(tt.weight))
			if got := fmt.Sprint(path, " ", took); got != tt.path {
				t.Errorf("path is %s, want %s", got, tt.path)
			}
			left := g.Remaining(weights(tt.weight))
			var got []string
			for _, id := range slices.Sorted(slices.Values(g.Order())) {
				got = append(got, fmt.Sprintf("%s=%v", id, left[id]))
			}
			if s := fmt.Sprint(got); s != "["+tt.left+"]" {
				t.Errorf("remaining is %s, want [%s]", s, tt.left)
			}
		})
	}
}
