package lsp

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/config"
)

// names are what the files of a project declare.
type names struct {
	words    map[string][]config.Word // by path
	declared []declared               // by path and place
	dirs     map[string][]string      // of the files that declare a target or group, by name
}

// A declared is a declaration with the file it stands in.
type declared struct {
	config.Declaration
	path string
	dir  string // of the file, from that of the project
}

// index reads the words of all files, once.
func (p *project) index() *names {
	p.once.Do(func() {
		p.names = &names{words: map[string][]config.Word{}, dirs: map[string][]string{}}
		for _, path := range slices.Sorted(maps.Keys(p.files)) {
			if !strings.HasSuffix(path, ".hcl") {
				continue
			}
			words := config.Words(path, p.files[path].data)
			p.names.words[path] = words
			for _, d := range config.Declarations(words) {
				p.names.add(declared{d, path, p.dirOf(path)})
			}
		}
	})
	return p.names
}

func (n *names) add(d declared) {
	n.declared = append(n.declared, d)
	if isTarget(d.Kind) && !slices.Contains(n.dirs[d.Name], d.dir) {
		n.dirs[d.Name] = append(n.dirs[d.Name], d.dir)
	}
}

// find lists what a name that is mentioned in the file at path can mean: the
// nearest declarations of it.
func (p *project) find(m config.Mention, path string) []declared {
	from := p.dirOf(path)
	var out []declared
	for _, d := range p.index().declared {
		if d.isOf(m.Kind) && d.seen(m.Place, path) && (d.Name == m.Name || isTarget(d.Kind) && config.MatchName(m.Name, from, d.dir, d.Name)) {
			out = append(out, d)
		}
	}
	return nearest(out, path, from)
}

// isOf reports whether a mention of this kind can mean d.
func (d declared) isOf(kind config.NameKind) bool {
	switch kind {
	case config.NameAny:
		return isTarget(d.Kind)
	case config.NameVariable:
		return d.Kind == kind || d.Kind == config.NameInner
	}
	return d.Kind == kind
}

func isTarget(kind config.NameKind) bool {
	return kind == config.NameTarget || kind == config.NameGroup
}

// seen reports whether d can be meant at a place of the file at path: inner names
// mean nothing outside of their block, nor parameters outside of their template.
func (d declared) seen(place config.Place, path string) bool {
	if len(place.Blocks) == 0 {
		return d.Kind != config.NameInner && d.Kind != config.NameParam
	}
	outer := place.Blocks[0]
	switch d.Kind {
	case config.NameInner:
		return d.path == path && d.Scope.Start.Byte == outer.Header.Start.Byte
	case config.NameParam:
		return outer.Type != "template" || len(outer.Labels) > 0 && outer.Labels[0] == d.Block
	}
	return true
}

// nearest keeps the declarations that count most: inner names, those of the same
// file, of its directory, of directories above it, and then all others.
func nearest(list []declared, path, from string) []declared {
	rank := func(d declared) int {
		switch {
		case d.Kind == config.NameInner:
			return -2
		case d.path == path:
			return -1
		case d.dir == from:
			return 0
		case d.dir == "" || strings.HasPrefix(from, d.dir+"/"):
			return 1 + len(from) - len(d.dir)
		}
		return 1 << 20
	}
	if len(list) == 0 {
		return nil
	}
	best := rank(slices.MinFunc(list, func(a, b declared) int { return cmp.Compare(rank(a), rank(b)) }))
	return slices.DeleteFunc(list, func(d declared) bool { return rank(d) != best })
}

// written is how a file of directory from names a target or group: plainly if that
// can mean no other, else with its directory.
func (p *project) written(d declared, path string) string {
	switch {
	case d.dir == p.dirOf(path) || len(p.index().dirs[d.Name]) == 1:
		return d.Name
	case d.dir == "":
		return "//:" + d.Name
	}
	return d.dir + ":" + d.Name
}

// template is the label of the template of the target that a place is in, "" if it
// says none as text.
func (p *project) template(place config.Place, path string) string {
	for _, w := range p.index().words[path] {
		if w.Role == config.RoleText && w.Attribute == "template" && len(w.Keys) == 0 && sameBlock(w.Place, place) {
			return w.Text
		}
	}
	return ""
}

// sameBlock reports whether two places are in the same block of a file's top.
func sameBlock(a, b config.Place) bool {
	return len(a.Blocks) > 0 && len(b.Blocks) > 0 && start(a.Blocks[0].Header) == start(b.Blocks[0].Header)
}

func start(rng hcl.Range) int { return rng.Start.Byte }
