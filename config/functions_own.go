package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// This file has the functions of Strata's own language that bake does not have,
// and those of bake that mean something else here: what a file says must not
// depend on chance, on the clock or on the machine.

// refusals are functions that do not exist in Strata's own language, and why.
var refusals = map[string]string{
	"abspath":    "a path from the root differs between machines; write paths relative to the directory of the command",
	"bcrypt":     "its salt is random, so that no two builds would be the same; make the hash outside and hand it in as a variable",
	"homedir":    "it differs between users and machines; hand the directory in as a variable",
	"pathexpand": "the home directory differs between users and machines; hand the directory in as a variable",
	"uuid":       "it is random, so that no two builds would be the same; use uuidv5, or hand the id in as a variable",
	"uuidv4":     "it is random, so that no two builds would be the same; use uuidv5, or hand the id in as a variable",
}

// A world is what the functions of Strata's own language may see.
type world struct {
	*checkout
	env   func(string) (string, bool)
	allow []string // names of environment variables that env() may read
	from  string   // the directory that paths are relative to, from the checkout's
	// templates has the functions that templates can call.
	templates *hcl.EvalContext
}

// ownFunctions are the functions that files in Strata's own language have beside
// the standard ones, or instead of them.
func ownFunctions(w *world) map[string]function.Function {
	all := map[string]function.Function{
		"abs":         stdlib.AbsoluteFunc,
		"alltrue":     truthFunc("Says whether all elements of a list are true; yes if there is none.", false),
		"anytrue":     truthFunc("Says whether an element of a list is true.", true),
		"endswith":    textTestFunc("Says whether a text ends with another.", "suffix", strings.HasSuffix),
		"env":         w.envFunc(),
		"matchkeys":   matchkeysFunc(),
		"one":         oneFunc(),
		"startswith":  textTestFunc("Says whether a text starts with another.", "prefix", strings.HasPrefix),
		"strcontains": textTestFunc("Says whether a text has another in it.", "part", strings.Contains),
		"sum":         sumFunc(),
		"timestamp":   w.timestampFunc(),
		"tobool":      stdlib.MakeToFunc(cty.Bool),
		"tolist":      stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":       stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber":    stdlib.MakeToFunc(cty.Number),
		"toset":       stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring":    stdlib.MakeToFunc(cty.String),
		"transpose":   transposeFunc(),
		"yamldecode":  yamldecodeFunc(),
		"yamlencode":  yamlencodeFunc(),
	}
	maps.Copy(all, w.fileFunctions())
	for _, name := range []string{"matchkeys", "sum", "tolist", "tomap", "toset", "transpose", "yamldecode", "yamlencode"} {
		all[name] = bounded(all[name], nil)
	}
	for name, why := range refusals {
		all[name] = refusedFunc(why)
	}
	return all
}

// addOwn gives the evaluator the functions of Strata's own language; close ends
// their access to files.
func (e *evaluator) addOwn(opts LoadOptions) (done func()) {
	if e.mode != ModeStrata {
		return func() {}
	}
	w := &world{checkout: &checkout{dir: opts.Dir}, env: opts.LookupEnv, allow: opts.AllowEnv}
	e.git.dir, e.git.branch = opts.Dir, opts.Branch
	e.readable = w.checkout
	own := ownFunctions(w)
	maps.Copy(e.root.Functions, own)
	w.templates = &hcl.EvalContext{Functions: maps.Clone(e.root.Functions)}
	delete(w.templates.Functions, "templatefile")
	e.world = w
	e.noteStandard()
	return w.close
}

// noteStandard remembers which functions are there before those of files.
func (e *evaluator) noteStandard() {
	e.standard = make(map[string]bool, len(e.root.Functions))
	for name := range e.root.Functions {
		e.standard[name] = true
	}
}

// functionsIn are the functions that mean something else in files of dir.
func (w *world) functionsIn(dir string) map[string]function.Function {
	inner := *w
	inner.from = dir
	own := inner.fileFunctions()
	inner.templates = w.templates.NewChild()
	inner.templates.Functions = maps.Clone(own)
	delete(inner.templates.Functions, "templatefile")
	return own
}

func refusedFunc(why string) function.Function {
	return function.New(&function.Spec{
		Description: "Not in this language: " + why + ".",
		VarParam:    &function.Parameter{Name: "any", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
		Type: func([]cty.Value) (cty.Type, error) {
			return cty.NilType, errors.New(why)
		},
	})
}

func textTestFunc(description, second string, test func(text, part string) bool) function.Function {
	return function.New(&function.Spec{
		Description: description,
		Params:      []function.Parameter{{Name: "text", Type: cty.String}, {Name: second, Type: cty.String}},
		Type:        function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(test(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

// truthFunc looks for an element that is wanted; it is the answer if there is one.
func truthFunc(description string, wanted bool) function.Function {
	return function.New(&function.Spec{
		Description: description,
		Params:      []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:        function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			for _, v := range args[0].AsValueSlice() {
				if v.IsNull() {
					v = cty.False
				}
				if v.True() == wanted {
					return cty.BoolVal(wanted), nil
				}
			}
			return cty.BoolVal(!wanted), nil
		},
	})
}

func oneFunc() function.Function {
	only := func(v cty.Value) (cty.Value, error) {
		if typ := v.Type(); !typ.IsTupleType() && !typ.IsListType() && !typ.IsSetType() {
			return cty.NilVal, function.NewArgErrorf(0, "must be a list, set or tuple")
		}
		switch v.LengthInt() {
		case 0:
			return cty.NullVal(cty.DynamicPseudoType), nil
		case 1:
			return v.AsValueSlice()[0], nil
		}
		return cty.NilVal, function.NewArgErrorf(0, "must have one element or none, not %d", v.LengthInt())
	}
	return function.New(&function.Spec{
		Description: "Returns the only element of a list, or null if there is none.",
		Params:      []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
		Type: func(args []cty.Value) (cty.Type, error) {
			v, err := only(args[0])
			if err != nil {
				return cty.NilType, err
			}
			return v.Type(), nil
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return only(args[0]) },
	})
}

func sumFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Adds the numbers of a list.",
		Params:      []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
		Type:        function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			sum := cty.Zero
			for i, v := range args[0].AsValueSlice() {
				if v.IsNull() {
					return cty.NilVal, function.NewArgErrorf(0, "element %d is null", i)
				}
				sum = sum.Add(v)
			}
			return sum, nil
		},
	})
}

func transposeFunc() function.Function {
	typ := cty.Map(cty.List(cty.String))
	return function.New(&function.Spec{
		Description: "Turns a map of lists around: the elements become keys, and the keys elements.",
		Params:      []function.Parameter{{Name: "map", Type: typ}},
		Type:        function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			lists := map[string][]cty.Value{}
			for it := args[0].ElementIterator(); it.Next(); { // in order of the keys
				key, list := it.Element()
				if list.IsNull() {
					continue
				}
				for _, v := range list.AsValueSlice() {
					if v.IsNull() {
						return cty.NilVal, function.NewArgErrorf(0, "an element of %q is null", key.AsString())
					}
					lists[v.AsString()] = append(lists[v.AsString()], key)
				}
			}
			out := map[string]cty.Value{}
			for key, list := range lists {
				out[key] = cty.ListVal(list)
			}
			if len(out) == 0 {
				return cty.MapValEmpty(cty.List(cty.String)), nil
			}
			return cty.MapVal(out), nil
		},
	})
}

func matchkeysFunc() function.Function {
	list := cty.List(cty.DynamicPseudoType)
	return function.New(&function.Spec{
		Description: "Returns the values whose keys, at the same places of a second list, are in a third.",
		Params:      []function.Parameter{{Name: "values", Type: list}, {Name: "keys", Type: list}, {Name: "wanted", Type: list}},
		Type:        func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, typ cty.Type) (cty.Value, error) {
			vals, keys := args[0].AsValueSlice(), args[1].AsValueSlice()
			if len(vals) != len(keys) {
				return cty.NilVal, function.NewArgErrorf(1, "there are %d keys and %d values", len(keys), len(vals))
			}
			wanted, err := convert.Convert(args[2], cty.Set(args[1].Type().ElementType()))
			if err != nil {
				return cty.NilVal, function.NewArgError(2, err)
			}
			var out []cty.Value
			for i, key := range keys {
				if wanted.HasElement(key).True() {
					out = append(out, vals[i])
				}
			}
			if len(out) == 0 {
				return cty.ListValEmpty(typ.ElementType()), nil
			}
			return cty.ListVal(out), nil
		},
	})
}

// envFunc reads environment variables that the command line has granted.
func (w *world) envFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns an environment variable, null if it is not set. The command line must grant it: --allow env=NAME.",
		Params:      []function.Parameter{{Name: "name", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if !slices.Contains(w.allow, name) {
				return cty.NilVal, fmt.Errorf("the command does not allow reading the environment variable %q; if you trust the file, add --allow env=%s", name, name)
			}
			if w.env != nil {
				if v, ok := w.env(name); ok {
					return cty.StringVal(v), nil
				}
			}
			return cty.NullVal(cty.String), nil
		},
	})
}

const epochName = "SOURCE_DATE_EPOCH"

// timestampFunc tells the time that the user has set; there is no clock.
func (w *world) timestampFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the time of the build as an RFC 3339 string: that of SOURCE_DATE_EPOCH, which must be set.",
		Type:        function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			text := ""
			if w.env != nil {
				text, _ = w.env(epochName)
			}
			if text == "" {
				return cty.NilVal, fmt.Errorf("the clock would make every build another one; set %s, for instance to the time of the commit: %s=$(git log -1 --format=%%ct)", epochName, epochName)
			}
			seconds, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				return cty.NilVal, fmt.Errorf("%s is %q, not a number of seconds", epochName, text)
			}
			return cty.StringVal(time.Unix(seconds, 0).UTC().Format(time.RFC3339)), nil
		},
	})
}
