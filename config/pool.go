package config

import (
	"errors"
	"fmt"

	"github.com/docker/go-units"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/gocty"
)

// This file reads what the scheduler needs to know: pool blocks, the attribute
// pool of targets, and the block resources in them. A resources block says what
// a target takes of the machine while it is evaluated; the attribute of the
// same name is bake's and limits what its RUN steps may use.

// A Demand is what a target takes of the machine while it is evaluated. Zero
// means that nothing was said.
type Demand struct {
	CPUs   float64 // cores
	Memory int64   // bytes
}

var poolSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "size", Required: true}}})

var demandSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "cpu"}, {Name: "memory"}}})

const demandPrefix = "resources."

// demandAttributes are the attributes of a resources block. They stand in the
// table under names that nobody can write, so that they are inherited, made
// from templates and evaluated like all others.
func demandAttributes() []attributeDef {
	return []attributeDef{
		{
			name: demandPrefix + "cpu", own: true, inner: true, set: setCPU,
			pick: func(to, from *spec) { to.cpuDemand = from.cpuDemand },
		},
		{
			name: demandPrefix + "memory", own: true, inner: true, set: setMemory,
			pick: func(to, from *spec) { to.memoryDemand = from.memoryDemand },
		},
	}
}

func setCPU(s *spec, v cty.Value) error {
	v, err := convertTo(v, cty.Number)
	if err != nil || v.IsNull() {
		return err
	}
	var n float64
	if err := gocty.FromCtyValue(v, &n); err != nil {
		return err
	}
	if n <= 0 {
		return errors.New("must be a number of cores larger than 0")
	}
	s.cpuDemand = &n
	return nil
}

func setMemory(s *spec, v cty.Value) error {
	text, err := optionalString(v)
	if err != nil || text == nil {
		return err
	}
	n, err := units.RAMInBytes(*text)
	if err != nil || n <= 0 {
		return fmt.Errorf("is %q, not a size such as 512m or 4g", *text)
	}
	s.memoryDemand = &n
	return nil
}

// liftDemand moves the attributes of resources blocks to those of the target.
func (m *module) liftDemand(b *hcl.Block, content *hcl.BodyContent) {
	_, native := b.Body.(*hclsyntax.Body)
	var rest hcl.Blocks
	var first *hcl.Block
	for _, inner := range content.Blocks {
		switch {
		case inner.Type != "resources":
			rest = append(rest, inner)
		case !native: // in JSON it is the attribute
		case first != nil:
			m.report(problem(inner.TypeRange, "Duplicate block", "The %s has a resources block at %s already.", b.Type, position(first.TypeRange)))
		default:
			first = inner
			for name, attr := range m.content(inner, demandSchema).Attributes {
				content.Attributes[demandPrefix+name] = attr
			}
		}
	}
	content.Blocks = rest
}

// evaluatePools evaluates the sizes of the pools of a file. Their names hold for
// all files.
func (e *evaluator) evaluatePools() {
	for _, b := range e.pools {
		if !e.namePool(b) {
			continue
		}
		e.poolSizes[b.name] = 0 // there is one, whatever its size
		attr := b.content.Attributes["size"]
		if attr == nil {
			continue
		}
		v, ok := e.value(attr.Expr, scope{ctx: e.root, refs: true})
		if !ok {
			continue
		}
		size, err := poolSize(v)
		if err != nil {
			e.report(problem(attr.Expr.Range(), "Unsuitable value", "The attribute size %s.", err))
			continue
		}
		e.poolSizes[b.name] = size
	}
}

// namePool takes the name of a pool; it returns false if another file has it.
// Files of the command override one another.
func (e *evaluator) namePool(b *block) bool {
	first, taken := e.poolPlaces[b.name]
	if !taken || !e.inner {
		e.poolPlaces[b.name] = b.label
		return true
	}
	if first.Filename != b.label.Filename { // else it is reported
		e.report(problem(b.label, "Duplicate pool", "A pool named %q is declared at %s already. The names of pools hold for all files: give this one another.",
			b.name, position(first)))
	}
	return false
}

func poolSize(v cty.Value) (int, error) {
	v, err := convertTo(v, cty.Number)
	if err != nil {
		return 0, err
	}
	var n int
	if v.IsNull() || gocty.FromCtyValue(v, &n) != nil || n < 1 {
		return 0, errors.New("must be a whole number of targets, at least 1")
	}
	return n, nil
}

// checkPools reports targets in pools that are not declared.
func (c *Config) checkPools() hcl.Diagnostics {
	var diags hcl.Diagnostics
	for _, name := range c.order {
		s := c.specs[name]
		if s.pool == nil || *s.pool == "" {
			continue
		}
		if _, ok := c.Pools[*s.pool]; !ok {
			diags = append(diags, problem(s.place("pool"), "Unknown pool", "There is no pool %q.%s Declare it: pool %q { size = 2 }.",
				*s.pool, didYouMean(*s.pool, sortedKeys(c.Pools)), *s.pool))
		}
	}
	return diags
}

// demand is what a target says that it takes.
func (s *spec) demand() Demand {
	var d Demand
	if s.cpuDemand != nil {
		d.CPUs = *s.cpuDemand
	}
	if s.memoryDemand != nil {
		d.Memory = *s.memoryDemand
	}
	return d
}
