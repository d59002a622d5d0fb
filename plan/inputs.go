package plan

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// A Tree is a set of files that the engine is sent for a target.
type Tree struct {
	Set  files.Set
	Name string // relative to the project, for people
	Tree *files.Tree
	Uses []string // what is taken of it, see [expand]; all of it if one is ""
	Own  []string // of these, what the target itself takes and not one it needs

	// Listing is what Own takes, in the form to keep. It is there for targets that are
	// solved.
	Listing []byte
	files   []files.File // what the engine's cache looks at; nil if it is not listed
	own     []files.File // what Own takes; nil if it is not listed
}

// A subject is a target under examination.
type subject struct {
	target *config.Target
	brief  *lower.Brief
	trees  []Tree
	uses   []string          // digests of what is taken of them
	core   index.Fingerprint // of what is made, whatever is done with it
	print  index.Fingerprint // with the form of the outputs
	on     string            // a needed target that is made afresh, "" if none is
	err    error
}

// setOf is a local source in the words of package files.
func setOf(l lower.Local) files.Set {
	return files.Set{Dir: l.Dir, Include: l.Include, Exclude: l.Exclude, Follow: l.Follow}
}

// examine finds out all that the fingerprint of t is made of.
func (p *Planner) examine(ctx context.Context, t *config.Target) *subject {
	s := &subject{target: t}
	if s.brief, s.err = p.Lowerer.Brief(t.Name); s.err != nil {
		return s
	}
	for _, l := range s.brief.Locals {
		set := setOf(l)
		tree, err := p.Files.Digest(ctx, set)
		if err != nil {
			s.err = p.fileError(t, l, err)
			return s
		}
		s.trees = append(s.trees, Tree{Set: set, Name: p.name(l), Tree: tree})
	}
	for _, u := range s.brief.Uses {
		tree := &s.trees[u.Local]
		d, selections, err := p.selected(ctx, tree, u)
		if err != nil {
			s.err = p.fileError(t, s.brief.Locals[u.Local], err)
			return s
		}
		tree.Uses = append(tree.Uses, selections...)
		if !u.Inherited {
			tree.Own = append(tree.Own, selections...)
		}
		s.uses = append(s.uses, d)
	}
	s.fingerprint()
	return s
}

// name says a local source shortly, and the same wherever the project lies.
func (p *Planner) name(l lower.Local) string {
	dir := l.Dir
	if rel, err := filepath.Rel(p.Dir, dir); err == nil && !strings.HasPrefix(rel, "..") {
		dir = filepath.ToSlash(rel)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q", l.Include, l.Exclude, l.Follow)
	return dir + "#" + hex.EncodeToString(h.Sum(nil)[:4])
}

// fingerprint hashes what was found out. The order of the inputs is part of the
// format.
func (s *subject) fingerprint() {
	var in cache.Inputs
	in.Add("shape", s.brief.Shape)
	for i, u := range s.brief.Uses {
		in.Add(fmt.Sprintf("files %d %s", u.Local, u.Src), s.uses[i])
	}
	for _, a := range s.target.Attest {
		if !a.Disabled {
			in.Add("attest "+a.Type, attrText(a.Attrs))
		}
	}
	ids := map[string]bool{}
	for _, x := range s.target.Secrets {
		ids["secret "+x.ID] = true
	}
	for _, x := range s.target.SSH {
		ids["ssh "+x.ID] = true
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		in.Add(id, "")
	}
	if slices.ContainsFunc(s.target.CacheTo, func(c config.CacheRef) bool { return c.Type == "inline" }) {
		in.Add("cache", "inline") // in the image config
	}
	s.core = in.Fingerprint()
	for _, form := range forms(s.target) {
		in.Add("output", form)
	}
	s.print = in.Fingerprint()
}

// plain are attributes of outputs that say where an image goes, not how it is
// made (BuildKit's exporter/containerimage/exptypes and exporter/oci).
var plain = []string{
	"name", "push", "push-by-digest", "registry.insecure", "store", "unpack", "dangling-name-prefix",
	"name-canonical", "tar", "platform-split",
}

// forms are the forms in which t's result leaves the engine, each once.
func forms(t *config.Target) []string {
	seen := map[string]bool{}
	for _, o := range t.Outputs {
		attrs := maps.Clone(o.Attrs)
		kind := o.Type
		switch {
		case kind == "cacheonly":
			continue
		case kind == "registry", kind == "docker" && o.Dest == "":
			kind = "image"
		case kind == "local" || kind == "tar":
			seen[kind+" "+attrText(attrs)] = true
			continue
		}
		for _, key := range plain {
			delete(attrs, key)
		}
		form := kind + " " + attrText(attrs) + " " + strings.Join(slices.Sorted(slices.Values(t.Annotations)), "\n")
		if kind != "image" && o.Dest != "" { // an archive has the names in it
			form += " " + cmp.Or(o.Attrs["name"], strings.Join(t.Tags, ","))
		}
		seen[form] = true
	}
	if len(seen) == 0 {
		seen["image  "+strings.Join(slices.Sorted(slices.Values(t.Annotations)), "\n")] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func attrText(attrs map[string]string) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		out = append(out, fmt.Sprintf("%s=%q", k, attrs[k]))
	}
	return strings.Join(out, ",")
}

// named lists what s is made of for a later comparison. Values of files are
// those of their listings, which the caller keeps.
func (p *Planner) named(s *subject, parents map[string]*subject) []index.Input {
	var out []index.Input
	for _, in := range s.brief.Inputs {
		if in.Kind == KindParent {
			if parent := parents[in.Name]; parent != nil {
				in.Value = string(parent.core)
			}
		}
		out = append(out, index.Input(in))
	}
	if s.brief.Frontend != "" {
		out = append(out, index.Input{Kind: KindFrontend, Name: s.brief.Frontend, Value: s.brief.Frontend})
	}
	for _, t := range s.trees {
		if len(t.Own) > 0 {
			out = append(out, index.Input{Kind: kindFiles, Name: t.Name, Value: t.Tree.Digest.String()})
		}
	}
	for _, form := range forms(s.target) {
		out = append(out, index.Input{Kind: KindOutput, Name: form, Value: form})
	}
	return out
}
