// Package graph holds the shape of a build: which target needs which.
//
// It knows names and edges and nothing else: no HCL, no digests, no goroutines.
// A Graph is immutable once New returns it, so it may be shared freely.
package graph

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// An ID names one target of a build. IDs are compared byte by byte.
type ID string

// A Node is one target and the targets it needs, in the order declared.
type Node struct {
	ID    ID
	Needs []ID
}

// A Graph is a directed acyclic graph of targets.
type Graph struct {
	nodes []Node      // as given
	index map[ID]int  // position in nodes
	order []ID        // needs first
	back  map[ID][]ID // who needs it, in order
}

// A CycleError reports targets that need one another.
// Path starts and ends with the same ID.
type CycleError struct{ Path []ID }

func (e *CycleError) Error() string {
	return "targets need one another: " + join(e.Path, " -> ")
}

// An UnknownError reports a need that no node has.
type UnknownError struct{ From, Need ID }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%q needs %q, which does not exist", e.From, e.Need)
}

// A DuplicateError reports an ID that two nodes carry.
type DuplicateError struct{ ID ID }

func (e *DuplicateError) Error() string { return fmt.Sprintf("%q is declared twice", e.ID) }

// A TargetError is a failure of one target at one of its attributes, so that
// whoever knows the source text can point at the line. Attr may be empty.
type TargetError struct {
	ID   ID
	Attr string
	Err  error
}

func (e *TargetError) Error() string {
	if e.Attr == "" {
		return fmt.Sprintf("target %q: %v", e.ID, e.Err)
	}
	return fmt.Sprintf("target %q: %s: %v", e.ID, e.Attr, e.Err)
}

// Unwrap returns the cause.
func (e *TargetError) Unwrap() error { return e.Err }

// New checks nodes and orders them. All duplicate names, unknown needs and one
// shortest cycle per knot are joined into the error.
func New(nodes []Node) (*Graph, error) {
	g := &Graph{nodes: nodes, index: make(map[ID]int, len(nodes)), back: map[ID][]ID{}}
	var errs []error
	for i, n := range nodes {
		if _, ok := g.index[n.ID]; ok {
			errs = append(errs, &DuplicateError{n.ID})
			continue
		}
		g.index[n.ID] = i
	}
	for _, n := range nodes {
		for _, need := range unique(n.Needs) {
			if _, ok := g.index[need]; !ok {
				errs = append(errs, &UnknownError{n.ID, need})
				continue
			}
			g.back[need] = append(g.back[need], n.ID)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	g.sort()
	if len(g.order) < len(g.index) {
		return nil, g.cycles()
	}
	return g, nil
}

// sort is Kahn's algorithm with the ready nodes kept in declared order, so the
// same input always gives the same order.
func (g *Graph) sort() {
	open := make(map[ID]int, len(g.nodes))
	var ready []ID
	for _, n := range g.nodes {
		open[n.ID] = len(unique(n.Needs))
		if open[n.ID] == 0 {
			ready = append(ready, n.ID)
		}
	}
	for len(ready) > 0 {
		id := ready[0]
		ready = ready[1:]
		g.order = append(g.order, id)
		for _, b := range g.back[id] {
			if open[b]--; open[b] == 0 {
				ready = append(ready, b)
			}
		}
	}
}

// cycles reports one shortest cycle for every knot of targets left unordered.
func (g *Graph) cycles() error {
	done := make(map[ID]bool, len(g.order))
	for _, id := range g.order {
		done[id] = true
	}
	var errs []error
	for _, n := range g.nodes {
		if done[n.ID] {
			continue
		}
		path := g.shortest(n.ID)
		if path == nil {
			continue // waits for a cycle but is not part of one
		}
		// the rest of this knot: what n reaches and what reaches n
		down := reach(n.ID, func(id ID) []ID { return g.nodes[g.index[id]].Needs })
		up := reach(n.ID, func(id ID) []ID { return g.back[id] })
		for id := range down {
			done[id] = done[id] || up[id]
		}
		errs = append(errs, &CycleError{path})
	}
	return errors.Join(errs...)
}

// reach is the set of ids that can be reached from id, itself included.
func reach(id ID, next func(ID) []ID) map[ID]bool {
	seen := map[ID]bool{id: true}
	stack := []ID{id}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, n := range next(at) {
			if !seen[n] {
				seen[n] = true
				stack = append(stack, n)
			}
		}
	}
	return seen
}

// shortest finds the shortest path from id back to itself, or nil.
func (g *Graph) shortest(id ID) []ID {
	from := map[ID]ID{}
	queue := []ID{id}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, need := range g.nodes[g.index[at]].Needs {
			if need == id {
				path := []ID{id}
				for p := at; p != id; p = from[p] {
					path = append(path, p)
				}
				path = append(path, id)
				slices.Reverse(path)
				return path
			}
			if _, seen := from[need]; !seen {
				from[need] = at
				queue = append(queue, need)
			}
		}
	}
	return nil
}

// Order lists every target after the targets it needs. The order is the same
// for the same input. The caller must not change it.
func (g *Graph) Order() []ID { return g.order }

// Needs lists what id needs, each once, in the order declared.
func (g *Graph) Needs(id ID) []ID {
	i, ok := g.index[id]
	if !ok {
		return nil
	}
	return unique(g.nodes[i].Needs)
}

// NeededBy lists the targets that need id directly, in the order declared.
func (g *Graph) NeededBy(id ID) []ID { return slices.Clone(g.back[id]) }

// Has reports whether id is a node.
func (g *Graph) Has(id ID) bool { _, ok := g.index[id]; return ok }

// Len is the number of targets.
func (g *Graph) Len() int { return len(g.index) }

// Subset returns the graph of ids and all they need, in declared order.
// Unknown ids are left out.
func (g *Graph) Subset(ids ...ID) *Graph {
	keep := map[ID]bool{}
	for _, id := range ids {
		if g.Has(id) && !keep[id] {
			maps.Copy(keep, reach(id, g.Needs))
		}
	}
	var nodes []Node
	for _, n := range g.nodes {
		if keep[n.ID] {
			nodes = append(nodes, n)
		}
	}
	sub, err := New(nodes)
	if err != nil { // a closed subset of an acyclic graph is acyclic
		return &Graph{index: map[ID]int{}, back: map[ID][]ID{}}
	}
	return sub
}

// Ancestors is the set of all targets that id needs, directly or not, in order.
func (g *Graph) Ancestors(id ID) []ID {
	sub := g.Subset(id)
	return slices.DeleteFunc(slices.Clone(sub.order), func(x ID) bool { return x == id })
}

// Dependents lists all targets that need id, directly or not, in order.
func (g *Graph) Dependents(id ID) []ID {
	seen := reach(id, func(id ID) []ID { return g.back[id] })
	var out []ID
	for _, o := range g.order {
		if seen[o] && o != id {
			out = append(out, o)
		}
	}
	return out
}

func unique(ids []ID) []ID {
	out := make([]ID, 0, len(ids))
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

func join(ids []ID, sep string) string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = string(id)
	}
	return strings.Join(s, sep)
}
