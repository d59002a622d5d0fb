package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// A build file may come from a stranger. This file bounds what evaluating one can
// cost: loops, the size of values and functions that can make much of little. As the
// last resort a watch bounds time and memory.
const (
	maxSteps    = 500_000  // iterations of for expressions, all together
	maxWork     = 64 << 20 // bytes made by one expression
	maxText     = 16 << 20 // bytes of one string
	maxElements = 100_000  // elements of one collection
	elementSize = 32       // bytes that an element counts as
)

var (
	errTooLarge = errors.New("it is too large")
	errStopped  = errors.New("it takes too long")
)

// A meter counts what evaluation costs.
type meter struct {
	*watch
	steps int
	work  int   // of the expression that is being evaluated
	over  error // the first limit that was passed; try() can not hide it
}

// countName is the function that counts; nobody can write it.
const countName = " count"

// counter returns a function that hands its argument on and counts.
func (m *meter) counter() function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{
			Name: "value", Type: cty.DynamicPseudoType,
			AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true,
		}},
		Type: func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return args[0], m.count(args[0]) },
	})
}

func (m *meter) count(v cty.Value) error {
	if m.over == nil {
		m.over = m.add(v)
	}
	return m.over
}

// result counts what a function of the files is given and has made: a text that
// grows from one function to the next is the value of no expression that is seen.
func (m *meter) result(v cty.Value) error {
	if m.over == nil && known(v, cty.String) && len(v.AsString()) > maxText {
		m.over = fmt.Errorf("a text has more than %d MiB", maxText>>20)
	}
	return m.count(v)
}

func (m *meter) add(v cty.Value) error {
	m.steps++
	v, _ = v.Unmark()
	if v.IsKnown() && !v.IsNull() {
		switch {
		case v.Type() == cty.String:
			m.work += len(v.AsString())
		case v.CanIterateElements():
			n := v.LengthInt()
			if n > maxElements {
				return fmt.Errorf("a collection has more than %d elements", maxElements)
			}
			m.work += n * elementSize
		}
	}
	switch {
	case m.stopped.Load():
		return errStopped
	case m.steps > maxSteps:
		return fmt.Errorf("loops run more than %d times", maxSteps)
	case m.work > maxWork:
		return errTooLarge
	}
	return nil
}

// A rewriter makes loops and long templates count.
type rewriter struct{}

// metered rewrites the expressions of a body, which has just been parsed, and
// reports numbers that would have too many digits.
func metered(body *hclsyntax.Body) hcl.Diagnostics { return hclsyntax.Walk(body, rewriter{}) }

// Enter is called for a node before its children.
func (rewriter) Enter(n hclsyntax.Node) hcl.Diagnostics {
	switch x := n.(type) {
	case *hclsyntax.LiteralValueExpr:
		sum := 0
		if err := weigh(x.Val, &sum); err != nil {
			return hcl.Diagnostics{problem(x.SrcRange, "Value too large", "The value can not be used: %s.", err)}
		}
	case *hclsyntax.ForExpr:
		x.CollExpr = counted(x.CollExpr)
		x.ValExpr = counted(x.ValExpr)
		if x.KeyExpr != nil {
			x.KeyExpr = counted(x.KeyExpr)
		}
		if x.CondExpr != nil {
			x.CondExpr = counted(x.CondExpr)
		}
	case *hclsyntax.TemplateExpr:
		if len(x.Parts) <= 4 {
			break
		}
		for i, part := range x.Parts {
			if _, literal := part.(*hclsyntax.LiteralValueExpr); !literal {
				x.Parts[i] = counted(part)
			}
		}
	}
	return nil
}

// Exit is called for a node after its children.
func (rewriter) Exit(hclsyntax.Node) hcl.Diagnostics { return nil }

func counted(e hclsyntax.Expression) hclsyntax.Expression {
	rng := e.Range()
	end := hcl.Range{Filename: rng.Filename, Start: rng.End, End: rng.End}
	return &hclsyntax.FunctionCallExpr{
		Name: countName, Args: []hclsyntax.Expression{e},
		NameRange: rng, OpenParenRange: end, CloseParenRange: end,
	}
}

// weigh adds up the size of a value; err says that it is too large.
func weigh(v cty.Value, sum *int) error {
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return nil
	}
	switch {
	case v.Type() == cty.String:
		if n := len(v.AsString()); n > maxText {
			return fmt.Errorf("a text has more than %d MiB", maxText>>20)
		}
		*sum += len(v.AsString())
	case v.Type() == cty.Number:
		if exp := v.AsBigFloat().MantExp(nil); exp > maxExponent || exp < -maxExponent {
			return errors.New("a number is too large or too small")
		}
	case v.CanIterateElements():
		n := v.LengthInt()
		if n > maxElements {
			return fmt.Errorf("a collection has more than %d elements", maxElements)
		}
		*sum += n * elementSize
		for it := v.ElementIterator(); it.Next(); {
			_, elem := it.Element()
			if err := weigh(elem, sum); err != nil {
				return err
			}
		}
	}
	if *sum > maxWork {
		return errTooLarge
	}
	return nil
}

// maxExponent bounds numbers, of which text would have as many digits.
const maxExponent = 100_000

// boundedFunctions replaces the functions that can make much of little by ones
// that look at their arguments first.
func boundedFunctions(all map[string]function.Function) map[string]function.Function {
	for name, check := range map[string]func([]cty.Value) error{
		"concat": nil, "flatten": nil, "format": checkFormat, "formatlist": checkFormat,
		"indent": checkIndent, "join": nil, "jsonencode": nil, "jsondecode": checkJSON,
		"replace": checkReplace, "regex_replace": checkReplace, "setproduct": checkProduct,
		"bcrypt": checkBcrypt,
	} {
		all[name] = bounded(all[name], check)
	}
	return all
}

func bounded(f function.Function, check func([]cty.Value) error) function.Function {
	look := func(args []cty.Value) error {
		sum := 0
		for _, a := range args {
			if err := weigh(a, &sum); err != nil {
				return err
			}
		}
		if check == nil {
			return nil
		}
		return check(args)
	}
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      f.Params(),
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := look(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

func known(v cty.Value, typ cty.Type) bool { return v.IsKnown() && !v.IsNull() && v.Type() == typ }

var formatWidth = lazyregexp.New(`%[^a-zA-Z%]*[0-9]{5,}`)

func checkFormat(args []cty.Value) error {
	if known(args[0], cty.String) && formatWidth.MatchString(args[0].AsString()) {
		return errors.New("a width in the format is too large")
	}
	return nil
}

func checkIndent(args []cty.Value) error {
	if !known(args[0], cty.Number) || !known(args[1], cty.String) {
		return nil
	}
	n, _ := args[0].AsBigFloat().Int64()
	lines := int64(strings.Count(args[1].AsString(), "\n") + 1)
	if n > maxText || n*lines > maxText {
		return errTooLarge
	}
	return nil
}

func checkReplace(args []cty.Value) error {
	for _, a := range args {
		if !known(a, cty.String) {
			return nil
		}
	}
	// At most every place between two bytes is replaced.
	if (len(args[0].AsString())+1)*len(args[2].AsString()) > maxWork {
		return errTooLarge
	}
	return nil
}

func checkProduct(args []cty.Value) error {
	product := 1
	for _, a := range args {
		if a.IsKnown() && !a.IsNull() && a.CanIterateElements() {
			if product *= a.LengthInt(); product > maxElements {
				return fmt.Errorf("the product has more than %d elements", maxElements)
			}
		}
	}
	return nil
}

func checkJSON(args []cty.Value) error {
	if !known(args[0], cty.String) {
		return nil
	}
	text, depth := args[0].AsString(), 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd([]byte(text[i:]), 0) + i - 1
		case '[', '{':
			if depth++; depth > maxDepth {
				return fmt.Errorf("the JSON is nested more than %d deep", maxDepth)
			}
		case ']', '}':
			depth--
		}
	}
	return nil
}

func checkBcrypt(args []cty.Value) error {
	const most = 14 // about a second
	if len(args) > 1 && known(args[1], cty.Number) {
		if cost, _ := args[1].AsBigFloat().Int64(); cost > most {
			return fmt.Errorf("the cost is more than %d", most)
		}
	}
	return nil
}
