package graph

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parse reads "app: lib base\nlib: base\nbase:".
func parse(text string) []Node {
	var nodes []Node
	for line := range strings.Lines(text) {
		name, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		n := Node{ID: ID(name)}
		for _, f := range strings.Fields(needs) {
			n.Needs = append(n.Needs, ID(f))
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func must(t *testing.T, text string) *Graph {
	t.Helper()
	g, err := New(parse(text))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOrder(t *testing.T) {
	g := must(t, "gateway: api web\napi: base\nweb: base assets\nassets:\nbase:")
	if got := fmt.Sprint(g.Order()); got != "[assets base api web gateway]" {
		t.Error(got)
	}
	if got := fmt.Sprint(g.Dependents("base")); got != "[api web gateway]" {
		t.Error(got)
	}
	if got := fmt.Sprint(g.Ancestors("web")); got != "[assets base]" {
		t.Error(got)
	}
	if got := fmt.Sprint(g.Subset("api").Order()); got != "[base api]" {
		t.Error(got)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct{ graph, want string }{
		{"a: a", "targets need one another: a -> a"},
		{"a: b\nb: c\nc: a\nd: a", "targets need one another: a -> b -> c -> a"},
		{"a: b c\nb: c\nc: a", "targets need one another: a -> c -> a"},
		{"a: b\nb: a\nx: y\ny: x", "targets need one another: a -> b -> a\ntargets need one another: x -> y -> x"},
		{"a: nope\na:", "\"a\" is declared twice\n\"a\" needs \"nope\", which does not exist"},
	}
	for _, tt := range tests {
		_, err := New(parse(tt.graph))
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q: error %v, want %q", tt.graph, err, tt.want)
		}
	}
}

// Random graphs against the definition: New fails if and only if some target
// reaches itself, and then names a real cycle; else the order is a valid one.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(7)
		nodes := make([]Node, n)
		for i := range nodes {
			nodes[i].ID = ID(rune('a' + i))
			for j := range n {
				if r.IntN(5) == 0 {
					nodes[i].Needs = append(nodes[i].Needs, ID(rune('a'+j)))
				}
			}
		}
		g, err := New(nodes)
		if cyclic(nodes) != (err != nil) {
			t.Fatalf("seed %d: %v: error %v", seed, nodes, err)
		}
		if err != nil {
			checkCycle(t, nodes, err)
			continue
		}
		checkOrder(t, nodes, g)
	}
}

func cyclic(nodes []Node) bool {
	reach := map[ID]map[ID]bool{}
	for _, n := range nodes {
		reach[n.ID] = map[ID]bool{}
		for _, need := range n.Needs {
			reach[n.ID][need] = true
		}
	}
	for _, k := range nodes {
		for _, i := range nodes {
			for _, j := range nodes {
				if reach[i.ID][k.ID] && reach[k.ID][j.ID] {
					reach[i.ID][j.ID] = true
				}
			}
		}
	}
	return slices.ContainsFunc(nodes, func(n Node) bool { return reach[n.ID][n.ID] })
}

func checkCycle(t *testing.T, nodes []Node, err error) {
	t.Helper()
	cycle, ok := errors.AsType[*CycleError](err)
	if !ok || len(cycle.Path) < 2 || cycle.Path[0] != cycle.Path[len(cycle.Path)-1] {
		t.Fatalf("%v: %v", nodes, err)
	}
	for i := range cycle.Path[:len(cycle.Path)-1] {
		n := nodes[slices.IndexFunc(nodes, func(n Node) bool { return n.ID == cycle.Path[i] })]
		if !slices.Contains(n.Needs, cycle.Path[i+1]) {
			t.Fatalf("%v: %v is no path", nodes, cycle.Path)
		}
	}
}

func checkOrder(t *testing.T, nodes []Node, g *Graph) {
	t.Helper()
	at := map[ID]int{}
	for i, id := range g.Order() {
		at[id] = i
	}
	for _, n := range nodes {
		for _, need := range n.Needs {
			if at[need] >= at[n.ID] {
				t.Fatalf("%v: order %v has %s before %s", nodes, g.Order(), n.ID, need)
			}
		}
	}
	if len(at) != len(nodes) {
		t.Fatalf("%v: order %v", nodes, g.Order())
	}
}

func TestText(t *testing.T) {
	g := must(t, "gateway: api web\napi: base\nweb: base assets\nbase: root\nroot:\nassets:")
	want := "gateway\n├─ api\n│  └─ base\n│     └─ root\n└─ web\n   ├─ base (above)\n   └─ assets\n"
	if got := g.Tree(); got != want {
		t.Errorf("tree is\n%s\nwant\n%s", got, want)
	}
	odd := must(t, "a\"b: c#d\nc#d:")
	if got := odd.DOT(); !strings.Contains(got, `"a\"b" -> "c#d"`) {
		t.Error(got)
	}
	if got := odd.Mermaid(); !strings.Contains(got, `t0["a#quot;b"]`) || !strings.Contains(got, "t0 --> t1") {
		t.Error(got)
	}
}
