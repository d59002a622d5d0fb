package config

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// This file has what makes sequences of steps: repetition by dynamic blocks,
// conditions by when, and steps that several targets share.

// stepBlocks are the blocks that a sequence of steps is made of.
var stepBlocks = []hcl.BlockHeaderSchema{{Type: "step"}, {Type: "dynamic", LabelNames: []string{"type"}}}

var stepsSchema = newSchema(&hcl.BodySchema{Blocks: stepBlocks})

var dynamicSchema = newSchema(&hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "for_each", Required: true}, {Name: "iterator"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "content"}},
})

// maxScript is how many steps one target can have.
const maxScript = 5000

// addSteps reads a steps block, which targets can use.
func (m *module) addSteps(b *hcl.Block) {
	out := &block{typ: b.Type, name: b.Labels[0], header: b.DefRange, label: b.LabelRanges[0], content: m.content(b, stepsSchema)}
	m.checkTwice(out)
	m.shared[out.name] = out
}

// sequence compiles step and dynamic blocks in order.
func (c *compiler) sequence(list hcl.Blocks) {
	for _, b := range list {
		if c.count > maxScript {
			return
		}
		switch b.Type {
		case "step":
			c.counted(b)
		case "dynamic":
			c.repeat(b)
		}
	}
}

func (c *compiler) counted(b *hcl.Block) {
	if c.count++; c.count > maxScript {
		c.report(problem(b.DefRange, "Too many steps", "A target can have %d steps.", maxScript))
		return
	}
	c.step(b)
}

// repeat compiles the content of a dynamic block for every element.
func (c *compiler) repeat(b *hcl.Block) {
	if b.Labels[0] != "step" {
		c.report(problem(b.LabelRanges[0], "Unknown block", "Only steps can be dynamic: dynamic \"step\"."))
		return
	}
	content := c.content(b, dynamicSchema)
	attr := content.Attributes["for_each"]
	if len(content.Blocks) != 1 {
		c.report(problem(b.DefRange, "Invalid dynamic block", "A dynamic block has one block content, which is the step."))
		attr = nil
	}
	if attr == nil {
		c.seen = append(c.seen, "from") // said already
		return
	}
	name := "step"
	if it := content.Attributes["iterator"]; it != nil {
		if name = hcl.ExprAsKeyword(it.Expr); name == "" {
			c.report(problem(it.Expr.Range(), "Invalid iterator", "The iterator is a name without quotes."))
			return
		}
	}
	v, ok := c.value(attr.Expr, c.scope())
	if !ok {
		c.seen = append(c.seen, "from")
		return
	}
	if v.IsNull() || !v.CanIterateElements() {
		c.report(problem(attr.Expr.Range(), "Unsuitable value", "The value of for_each must be a list, a set or a map."))
		return
	}
	outer := c.scope().ctx
	was := c.ctx
	for it := v.ElementIterator(); it.Next() && c.count <= maxScript; {
		key, elem := it.Element()
		c.ctx = outer.NewChild()
		c.ctx.Variables = map[string]cty.Value{name: cty.ObjectVal(map[string]cty.Value{"key": key, "value": elem})}
		c.counted(content.Blocks[0])
	}
	c.ctx = was
}

// wanted evaluates the condition of a step.
func (s *stepReader) wanted() bool {
	if !s.has("when") {
		return true
	}
	attr := s.content.Attributes["when"]
	v, ok := s.value(attr.Expr, s.scope())
	if !ok {
		s.seen = append(s.seen, "from") // what is missing is not known
		return false
	}
	on, err := optionalBool(v)
	if err != nil || on == nil {
		s.fail(attr.Expr.Range(), "Unsuitable value", "The value of when must be true or false.")
		return false
	}
	return *on
}

// shared compiles the steps that a step uses instead of being an instruction; it
// returns false if the step uses none.
func (s *stepReader) shared() bool {
	if !s.has("use") {
		return false
	}
	for _, other := range sortedKeys(s.content.Attributes) {
		if other != "use" && other != "when" {
			s.fail(s.at(other), "Unknown option", "A step that uses others has no option %q.", other)
		}
	}
	name, ok := s.text("use")
	if !ok {
		s.seen = append(s.seen, "from")
		return true
	}
	rng := s.content.Attributes["use"].Expr.Range()
	steps := func(m *module) map[string]*block { return m.shared }
	b := inSight(s.evaluator, name, steps)
	switch {
	case b == nil:
		s.report(problem(rng, "Unknown steps", "There is no steps %q.%s", name, didYouMean(name, namesInSight(s.evaluator, steps))))
		s.seen = append(s.seen, "from")
	case slices.Contains(s.used, name):
		s.report(problem(rng, "Reference cycle", "These steps use one another: %s.", strings.Join(append(s.used, name), " -> ")))
	default:
		was := s.ctx
		s.used, s.ctx = append(s.used, name), nil
		s.sequence(b.content.Blocks)
		s.used, s.ctx = s.used[:len(s.used)-1], was
	}
	return true
}
