package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
)

// This file links what Dockerfiles name to the targets that make it, for targets
// with link = "auto".

// A Reference is an image that a Dockerfile reads from, by FROM, COPY --from or
// RUN --mount=from, and that is neither a stage of it nor a named context.
type Reference struct {
	Name string // with variables expanded
	File string // where it is written, for people
	Line int
	Text []byte // the content of File, nil if that is a build file
}

// The values of the attribute link.
const (
	linkAuto = "auto"
	linkNone = "none"
)

func badLink(value string) error {
	return fmt.Errorf("must be %q or %q, not %q", linkAuto, linkNone, value)
}

// readLink reads the attribute link of a strata block: the default of the file.
func (m *module) readLink(attr *hcl.Attribute) {
	if attr == nil {
		return
	}
	value, ok := m.literal(attr)
	if ok && value != linkAuto && value != linkNone {
		m.report(problem(attr.Expr.Range(), "Unsuitable value", "The attribute link %s.", badLink(value)))
		return
	}
	if ok {
		m.link = &value
	}
}

// linked reports whether what the Dockerfile of s names is to be linked: as it
// says itself or inherits, else as its file or one that includes that says.
func (s *spec) linked() bool {
	if s.link != nil {
		return *s.link == linkAuto
	}
	for at := s.owner; at != nil; at = at.parent {
		if at.module.link != nil {
			return *at.module.link == linkAuto
		}
	}
	return false
}

// autoLink adds a named context for everything that the Dockerfile of s names and
// another target makes.
func (r *resolver) autoLink(s *spec) {
	if r.references == nil || r.unlinked || !s.linked() {
		return
	}
	refs := r.references(s.target(r.Dir))
	if len(refs) == 0 {
		return
	}
	s.places = maps.Clone(s.places)
	for _, ref := range refs {
		rng := r.referenceRange(ref)
		makers := r.makers(s, ref.Name)
		switch {
		case s.contexts[ref.Name] != "" || len(makers) == 0 || slices.Contains(makers, s.name):
			// linked already, or the image that this target is made to replace
		case len(makers) > 1:
			r.report(problem(rng, "Ambiguous link", "Several targets make %q: %s. Say which one is meant: contexts = { %q = \"target:NAME\" }.",
				ref.Name, someOf(makers, 10), ref.Name))
		default:
			if s.contexts == nil {
				s.contexts = map[string]string{}
			}
			s.contexts[ref.Name] = "target:" + makers[0]
			s.places["contexts."+ref.Name] = rng
		}
	}
}

// makers are the targets that a reference in the Dockerfile of s can mean: those
// that the file would name so, else those with such a tag.
func (r *resolver) makers(s *spec, name string) []string {
	if validName(name) && s.owner != nil {
		list := slices.DeleteFunc(slices.Clone(s.owner.index.candidates(s.owner, name)), func(full string) bool { return r.specs[full] == nil })
		if len(list) > 0 {
			return list
		}
	}
	if r.tags == nil {
		r.readTags()
	}
	return r.tags[fullTag(name)]
}

// readTags finds out which targets have which tags.
func (r *resolver) readTags() {
	r.tags = map[string][]string{}
	all := newResolver(r.Config, r.watch) // apart, so that targets which are not built grant nothing
	all.overrides = r.overrides
	for _, name := range r.order {
		s := all.resolve(name, hcl.Range{}, nil)
		if s == nil {
			continue
		}
		for _, tag := range s.tags {
			if full := fullTag(tag); full != "" && !slices.Contains(r.tags[full], name) {
				r.tags[full] = append(r.tags[full], name)
			}
		}
	}
}

// fullTag is an image reference as a registry understands it, "" if it is none.
func fullTag(text string) string {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return ""
	}
	return reference.TagNameOnly(named).String()
}

// referenceRange is where a reference stands: its name, or else its line.
func (r *resolver) referenceRange(ref Reference) hcl.Range {
	text := ref.Text
	if text != nil {
		r.texts[ref.File] = &hcl.File{Bytes: text}
	} else if f := r.Files[ref.File]; f != nil {
		text = f.Bytes
	}
	rng := *lineRange(ref.File, text, ref.Line, ref.Line)
	if !rng.CanSliceBytes(text) {
		return rng
	}
	if i := bytes.Index(rng.SliceBytes(text), []byte(ref.Name)); i >= 0 {
		rng.Start.Byte += i
		rng.Start.Column += i
		rng.End = rng.Start
		rng.End.Byte += len(ref.Name)
		rng.End.Column += len(ref.Name)
	}
	return rng
}
