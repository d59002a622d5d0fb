package graph

import (
	"fmt"
	"strings"
)

// Tree draws the graph for people: every target nobody needs is a root, with
// what it needs below it. A target drawn before is not drawn again but marked.
func (g *Graph) Tree() string {
	var b strings.Builder
	drawn := map[ID]bool{}
	for _, n := range g.nodes {
		if len(g.back[n.ID]) == 0 {
			g.draw(&b, n.ID, "", "", drawn)
		}
	}
	return b.String()
}

func (g *Graph) draw(b *strings.Builder, id ID, first, rest string, drawn map[ID]bool) {
	needs := g.Needs(id)
	if drawn[id] && len(needs) > 0 {
		fmt.Fprintf(b, "%s%s (above)\n", first, id)
		return
	}
	drawn[id] = true
	fmt.Fprintf(b, "%s%s\n", first, id)
	for i, need := range needs {
		if i == len(needs)-1 {
			g.draw(b, need, rest+"└─ ", rest+"   ", drawn)
		} else {
			g.draw(b, need, rest+"├─ ", rest+"│  ", drawn)
		}
	}
}

// DOT is the graph in the language of Graphviz
// (https://graphviz.org/doc/info/lang.html). Edges point at what is needed.
func (g *Graph) DOT() string {
	var b strings.Builder
	b.WriteString("digraph strata {\n  rankdir=RL\n")
	for _, n := range g.nodes {
		fmt.Fprintf(&b, "  %s\n", dotQuote(n.ID))
		for _, need := range g.Needs(n.ID) {
			fmt.Fprintf(&b, "  %s -> %s\n", dotQuote(n.ID), dotQuote(need))
		}
	}
	b.WriteString("}\n")
	return b.String()
}

func dotQuote(id ID) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(string(id)) + `"`
}

// Mermaid is the graph as a Mermaid flowchart
// (https://mermaid.js.org/syntax/flowchart.html).
func (g *Graph) Mermaid() string {
	var b strings.Builder
	b.WriteString("flowchart RL\n")
	for i, n := range g.nodes {
		fmt.Fprintf(&b, "  t%d[\"%s\"]\n", i, mermaidText(n.ID))
	}
	for i, n := range g.nodes {
		for _, need := range g.Needs(n.ID) {
			fmt.Fprintf(&b, "  t%d --> t%d\n", i, g.index[need])
		}
	}
	return b.String()
}

func mermaidText(id ID) string {
	return strings.NewReplacer(`"`, "#quot;", "\n", " ", "#", "#35;").Replace(string(id))
}
