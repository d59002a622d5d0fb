package config

import (
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// With BUILDX_BAKE_FILE_RELATIVE_PATHS, contexts are relative to the file that
// declares them and not to the working directory.

// A base is the directory of the file that a value was declared in.
type base struct {
	def      *string           // of the target itself, for the context that is assumed
	context  *string           // of the attribute context
	ref      string            // the target whose context is taken over as a whole
	contexts map[string]string // of entries of contexts
	assumed  bool              // def is to be used
}

// relativePaths reads the switch.
func (o LoadOptions) relativePaths() (bool, error) {
	text, _ := o.lookup("BUILDX_BAKE_FILE_RELATIVE_PATHS")
	if text = strings.TrimSpace(text); text == "" {
		return false, nil
	}
	return strconv.ParseBool(text)
}

// fileDir is the directory of a file as named by the user; "" if it has none.
func fileDir(name string) string {
	if name == "" || name == "-" || isRemote(name) {
		return ""
	}
	return filepath.Dir(name)
}

// noteBase remembers the file of a block's paths.
func (in *instance) noteBase() {
	b := &in.spec.base
	if in.owner.inner {
		b.def, b.assumed = &in.owner.dir, true
		return
	}
	dir := fileDir(in.block.header.Filename)
	b.def = &dir
	if attr := in.block.content.Attributes["context"]; attr != nil {
		b.context, b.ref = &dir, contextRef(attr.Expr)
	}
	if in.block.content.Attributes["contexts"] != nil {
		b.setContexts(in.spec.contexts, dir)
	}
}

// composeBase does the same for a service; bake takes the first file's directory.
func (s *spec) composeBase(file string) {
	dir := fileDir(file)
	if dir == "" {
		return
	}
	s.base.def = &dir
	if s.context != nil {
		s.base.context = &dir
	}
	s.base.setContexts(s.contexts, dir)
}

func (b *base) setContexts(contexts map[string]string, dir string) {
	b.contexts = make(map[string]string, len(contexts))
	for k := range contexts {
		b.contexts[k] = dir
	}
}

// contextRef is the NAME of target.NAME.context, or "".
func contextRef(expr hcl.Expression) string {
	t, diags := hcl.AbsTraversalForExpr(expr)
	if diags.HasErrors() || len(t) != 3 || t.RootName() != "target" {
		return ""
	}
	attr, ok := t[2].(hcl.TraverseAttr)
	if !ok || attr.Name != "context" {
		return ""
	}
	if name, ok := t[1].(hcl.TraverseAttr); ok {
		return name.Name
	}
	return ""
}

// merge is part of [spec.merge].
func (b *base) merge(over *spec) {
	if over.base.def != nil {
		b.def, b.assumed = over.base.def, over.base.assumed
	}
	if over.context != nil {
		b.context, b.ref = over.base.context, over.base.ref
	}
	for k := range over.contexts {
		dir, ok := over.base.contexts[k]
		if !ok {
			delete(b.contexts, k)
			continue
		}
		if b.contexts == nil {
			b.contexts = map[string]string{}
		}
		b.contexts[k] = dir
	}
}

// rebase makes the paths of all targets relative to the working directory.
func (c *Config) rebase() {
	for _, name := range c.order {
		s := c.specs[name]
		if ref := c.specs[s.base.ref]; ref != nil {
			if ref.base.context != nil {
				s.base.context = ref.base.context
			} else if ref.base.def != nil {
				s.base.context = ref.base.def
			}
		}
		switch {
		case s.context == nil:
			s.base.assumed = s.base.def != nil
		case s.base.context != nil:
			context := rebased(*s.base.context, *s.context)
			s.context = &context
		}
		for k, v := range s.contexts {
			if dir, ok := s.base.contexts[k]; ok {
				s.contexts[k] = rebased(dir, v)
			}
		}
	}
}

func rebased(dir, path string) string {
	if dir == "" || path == "" || filepath.IsAbs(path) || isRemote(path) {
		return path
	}
	for _, scheme := range []string{"cwd://", "target:", "docker-image:", "oci-layout://"} {
		if strings.HasPrefix(path, scheme) {
			return path
		}
	}
	return filepath.Join(dir, filepath.FromSlash(path))
}
