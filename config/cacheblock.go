package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// This file reads the cache block, which gives all targets a shared cache.

// A CacheBlock is the cache that all targets of a build file share, in a
// registry: what was built, and its layers.
type CacheBlock struct {
	// Repository is the repository that those of the scopes are below.
	Repository string
	// Scopes are read in this order; the first is written. There is at least one.
	Scopes []CacheScope
	// Write says that what was built is written to the first scope.
	Write bool
	// Mode is max for the layers of all steps, or min for those of the image.
	Mode string
	// Compression is that of the layers written: gzip, zstd, estargz or
	// uncompressed; "" is BuildKit's own choice.
	Compression string
	// Sign is the file of the private key that signs what is written; "" signs
	// nothing.
	Sign string
	// Verify are the files of the public keys of which one must have signed what
	// is read; none trusts whoever may write.
	Verify []string
	// Range is the header, or the flag's when no block is written.
	Range hcl.Range
	// Places are where the attributes are written.
	Places map[string]hcl.Range
}

// A CacheScope is one part of a shared cache: a name such as a branch, in a
// repository of its own, so that a registry can let others write it.
type CacheScope struct {
	Name string
	// Repository is where the scope is, "" is below that of the block.
	Repository string
}

// defaultScope is read and written if no scope is named.
const defaultScope = "main"

var cacheSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{
	{Name: "repository"}, {Name: "scopes"}, {Name: "write"}, {Name: "mode"}, {Name: "compression"}, {Name: "sign"}, {Name: "verify"},
}})

// addCache reads a cache block. In another file it adds to the first, as an
// override does.
func (m *module) addCache(b *hcl.Block) {
	if m.inner {
		m.report(problem(b.DefRange, "Misplaced cache",
			"All targets share one cache, so that only the file that the command starts from can declare it, and another file has led to this one. Move the block there."))
		return
	}
	out := &block{typ: b.Type, header: b.DefRange, label: b.DefRange, content: m.content(b, cacheSchema)}
	const key = "cache\x00"
	if first, ok := m.declared[key+b.DefRange.Filename]; ok {
		m.report(problem(b.DefRange, "Duplicate cache", "The cache is declared at %s already.", position(first)))
		return
	}
	m.declared[key+b.DefRange.Filename] = b.DefRange
	if m.cache == nil {
		m.cache = out
		return
	}
	for name, attr := range out.content.Attributes {
		m.cache.content.Attributes[name] = attr
	}
}

// evaluateCache evaluates the cache block, if there is one.
func (e *evaluator) evaluateCache() {
	if e.cache == nil {
		return
	}
	c := &CacheBlock{Mode: "max", Range: e.cache.header, Places: map[string]hcl.Range{}}
	attrs := e.cache.content.Attributes
	ok := true
	for _, name := range sortedKeys(attrs) {
		expr := attrs[name].Expr
		c.Places[name] = expr.Range()
		v, good := e.value(expr, scope{ctx: e.root, refs: true})
		if !good {
			ok = false
			continue
		}
		if err := c.set(name, v); err != nil {
			e.report(problem(guilty(expr, err), "Unsuitable value", "The attribute %s %s.", name, reason(err)))
			ok = false
		}
	}
	if ok && c.Repository == "" {
		e.report(problem(e.cache.header, "Missing attribute", "A cache needs the attribute \"repository\", such as \"registry.example.com/shop/cache\"."))
		ok = false
	}
	if ok {
		c.complete()
		e.cacheBlock = c
	}
}

// complete fills in what is assumed.
func (c *CacheBlock) complete() {
	if len(c.Scopes) == 0 {
		c.Scopes = []CacheScope{{Name: defaultScope}}
	}
	if c.Mode == "" {
		c.Mode = "max"
	}
}

func (c *CacheBlock) set(name string, v cty.Value) (err error) {
	switch name {
	case "repository":
		if c.Repository, err = stringOf(v); err == nil {
			err = checkRepository(c.Repository)
		}
	case "scopes":
		c.Scopes, err = entries(v, scopeOf)
		c.Scopes = uniqueByKey(c.Scopes, func(s CacheScope) string { return s.Name })
	case "write":
		on, err := optionalBool(v)
		c.Write = on != nil && *on
		return err
	case "mode":
		c.Mode, err = oneOf(v, "max", "min")
	case "compression":
		c.Compression, err = oneOf(v, "gzip", "zstd", "estargz", "uncompressed")
	case "sign":
		c.Sign, err = stringOf(v)
	case "verify":
		c.Verify, err = stringsOf(v)
	}
	return err
}

func oneOf(v cty.Value, allowed ...string) (string, error) {
	s, err := stringOf(v)
	if err != nil {
		return "", err
	}
	for _, a := range allowed {
		if s == a {
			return s, nil
		}
	}
	return "", fmt.Errorf("is %q, not one of %s", s, strings.Join(allowed, ", "))
}

// scopeOf reads a scope: a name, or a name with a repository of its own.
func scopeOf(v cty.Value) (CacheScope, error) {
	if v.Type() == cty.String {
		return CacheScope{Name: v.AsString()}, nil
	}
	m, err := texts(v)
	if err != nil {
		return CacheScope{}, err
	}
	s := CacheScope{Name: take(m, "name"), Repository: take(m, "repository")}
	for _, key := range sortedKeys(m) {
		return s, cty.GetAttrPath(key).NewError(fmt.Errorf("a scope has no %q (it has name and repository)", key))
	}
	if s.Name == "" {
		return s, errors.New("a scope needs a name")
	}
	if s.Repository == "" {
		return s, nil
	}
	return s, checkRepository(s.Repository)
}

// checkRepository refuses what is no name of a repository.
func checkRepository(name string) error {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return fmt.Errorf("is %q, not a repository such as registry.example.com/shop/cache: %w", name, err)
	}
	if !reference.IsNameOnly(named) {
		return fmt.Errorf("is %q; leave out the tag and the digest, they are made for each target", name)
	}
	return nil
}

// ParseCacheBlock makes a cache of flags: block, which may be nil, with what is
// not empty instead of what it says. It returns nil if there is no repository.
func ParseCacheBlock(block *CacheBlock, repository string, scopes []string, write *bool) (*CacheBlock, error) {
	c := &CacheBlock{}
	if block != nil {
		*c = *block
	}
	if repository != "" {
		if err := checkRepository(repository); err != nil {
			return nil, fmt.Errorf("the repository %w", err)
		}
		c.Repository = repository
	}
	if len(scopes) > 0 {
		known := map[string]CacheScope{}
		for _, s := range c.Scopes {
			known[s.Name] = s
		}
		c.Scopes = nil
		for _, name := range dropDuplicates(scopes) {
			s := known[name] // with the repository that the block has for it
			s.Name = name
			c.Scopes = append(c.Scopes, s)
		}
	}
	if write != nil {
		c.Write = *write
	}
	if c.Repository == "" {
		if len(scopes) > 0 || write != nil && *write {
			return nil, errors.New("there is no repository; name one, or write a cache block in the build file")
		}
		return nil, nil
	}
	c.complete()
	return c, nil
}
