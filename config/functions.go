package config

import (
	"errors"
	"maps"
	"math/big"
	"os"
	"os/user"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/go-cty-funcs/cidr"
	"github.com/hashicorp/go-cty-funcs/crypto"
	"github.com/hashicorp/go-cty-funcs/encoding"
	"github.com/hashicorp/go-cty-funcs/uuid"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// standardFunctions are the functions every file may call: those of bake, by the
// same names. The table must not be changed.
var standardFunctions = sync.OnceValue(func() map[string]function.Function {
	all := map[string]function.Function{}
	for _, group := range []map[string]function.Function{
		numberFunctions(), stringFunctions(), collectionFunctions(), encodingFunctions(),
		timeFunctions(), otherFunctions(),
	} {
		maps.Copy(all, group)
	}
	return boundedFunctions(all)
})

func numberFunctions() map[string]function.Function {
	return map[string]function.Function{
		"absolute":             stdlib.AbsoluteFunc,
		"add":                  stdlib.AddFunc,
		"and":                  stdlib.AndFunc,
		"ceil":                 stdlib.CeilFunc,
		"divide":               stdlib.DivideFunc,
		"equal":                stdlib.EqualFunc,
		"floor":                stdlib.FloorFunc,
		"greaterthan":          stdlib.GreaterThanFunc,
		"greaterthanorequalto": stdlib.GreaterThanOrEqualToFunc,
		"int":                  stdlib.IntFunc,
		"lessthan":             stdlib.LessThanFunc,
		"lessthanorequalto":    stdlib.LessThanOrEqualToFunc,
		"log":                  stdlib.LogFunc,
		"max":                  stdlib.MaxFunc,
		"min":                  stdlib.MinFunc,
		"modulo":               stdlib.ModuloFunc,
		"multiply":             stdlib.MultiplyFunc,
		"negate":               stdlib.NegateFunc,
		"not":                  stdlib.NotFunc,
		"notequal":             stdlib.NotEqualFunc,
		"or":                   stdlib.OrFunc,
		"parseint":             stdlib.ParseIntFunc,
		"pow":                  stdlib.PowFunc,
		"range":                stdlib.RangeFunc,
		"signum":               stdlib.SignumFunc,
		"subtract":             stdlib.SubtractFunc,
	}
}

func stringFunctions() map[string]function.Function {
	return map[string]function.Function{
		"basename":      pathFunc("Returns the last element of a path.", path.Base),
		"chomp":         stdlib.ChompFunc,
		"dirname":       pathFunc("Returns the directory of a path.", path.Dir),
		"format":        stdlib.FormatFunc,
		"formatlist":    stdlib.FormatListFunc,
		"indent":        stdlib.IndentFunc,
		"join":          stdlib.JoinFunc,
		"lower":         stdlib.LowerFunc,
		"regex":         stdlib.RegexFunc,
		"regex_replace": stdlib.RegexReplaceFunc,
		"regexall":      stdlib.RegexAllFunc,
		"replace":       stdlib.ReplaceFunc,
		"reverse":       stdlib.ReverseFunc,
		"sanitize":      pathFunc("Replaces every character that a target's name can not have with an underscore.", sanitize),
		"semvercmp":     semvercmpFunc(),
		"split":         stdlib.SplitFunc,
		"strlen":        stdlib.StrlenFunc,
		"substr":        stdlib.SubstrFunc,
		"title":         stdlib.TitleFunc,
		"trim":          stdlib.TrimFunc,
		"trimprefix":    stdlib.TrimPrefixFunc,
		"trimspace":     stdlib.TrimSpaceFunc,
		"trimsuffix":    stdlib.TrimSuffixFunc,
		"upper":         stdlib.UpperFunc,
	}
}

func collectionFunctions() map[string]function.Function {
	return map[string]function.Function{
		"chunklist":              stdlib.ChunklistFunc,
		"coalesce":               stdlib.CoalesceFunc,
		"coalescelist":           stdlib.CoalesceListFunc,
		"compact":                stdlib.CompactFunc,
		"concat":                 stdlib.ConcatFunc,
		"contains":               stdlib.ContainsFunc,
		"distinct":               stdlib.DistinctFunc,
		"element":                stdlib.ElementFunc,
		"flatten":                stdlib.FlattenFunc,
		"hasindex":               stdlib.HasIndexFunc,
		"index":                  stdlib.IndexFunc,
		"indexof":                indexOfFunc(),
		"keys":                   stdlib.KeysFunc,
		"length":                 stdlib.LengthFunc,
		"lookup":                 stdlib.LookupFunc,
		"merge":                  stdlib.MergeFunc,
		"reverselist":            stdlib.ReverseListFunc,
		"sethaselement":          stdlib.SetHasElementFunc,
		"setintersection":        stdlib.SetIntersectionFunc,
		"setproduct":             stdlib.SetProductFunc,
		"setsubtract":            stdlib.SetSubtractFunc,
		"setsymmetricdifference": stdlib.SetSymmetricDifferenceFunc,
		"setunion":               stdlib.SetUnionFunc,
		"slice":                  stdlib.SliceFunc,
		"sort":                   stdlib.SortFunc,
		"values":                 stdlib.ValuesFunc,
		"zipmap":                 stdlib.ZipmapFunc,
	}
}

func encodingFunctions() map[string]function.Function {
	return map[string]function.Function{
		"base64decode": encoding.Base64DecodeFunc,
		"base64encode": encoding.Base64EncodeFunc,
		"bcrypt":       crypto.BcryptFunc,
		"byteslen":     stdlib.BytesLenFunc,
		"bytesslice":   stdlib.BytesSliceFunc,
		"csvdecode":    stdlib.CSVDecodeFunc,
		"jsondecode":   stdlib.JSONDecodeFunc,
		"jsonencode":   stdlib.JSONEncodeFunc,
		"md5":          crypto.Md5Func,
		"rsadecrypt":   crypto.RsaDecryptFunc,
		"sha1":         crypto.Sha1Func,
		"sha256":       crypto.Sha256Func,
		"sha512":       crypto.Sha512Func,
		"urlencode":    encoding.URLEncodeFunc,
		"uuidv4":       uuid.V4Func,
		"uuidv5":       uuid.V5Func,
	}
}

func timeFunctions() map[string]function.Function {
	return map[string]function.Function{
		"formatdate":         stdlib.FormatDateFunc,
		"formattimestamp":    formatTimestampFunc(),
		"timeadd":            stdlib.TimeAddFunc,
		"timestamp":          timestampFunc(),
		"unixtimestampparse": unixTimestampParseFunc(),
	}
}

func otherFunctions() map[string]function.Function {
	return map[string]function.Function{
		"can":         tryfunc.CanFunc,
		"cidrhost":    cidr.HostFunc,
		"cidrnetmask": cidr.NetmaskFunc,
		"cidrsubnet":  cidr.SubnetFunc,
		"cidrsubnets": cidr.SubnetsFunc,
		"convert":     typeexpr.ConvertFunc,
		"homedir":     homedirFunc(),
		"try":         tryfunc.TryFunc,
	}
}

// pathFunc makes a function of one string to one string.
func pathFunc(description string, do func(string) string) function.Function {
	return function.New(&function.Spec{
		Description: description,
		Params:      []function.Parameter{{Name: "text", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.StringVal(do(args[0].AsString())), nil
		},
	})
}

// sanitize makes text a valid name: each other character becomes one underscore.
func sanitize(text string) string {
	return strings.Map(func(r rune) rune {
		if isNameChar(r) {
			return r
		}
		return '_'
	}, text)
}

func isNameChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-'
}

func validName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool { return !isNameChar(r) })
}

func semvercmpFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Says whether a version satisfies a constraint.",
		Params: []function.Parameter{
			{Name: "version", Type: cty.String},
			{Name: "constraint", Type: cty.String},
		},
		Type: function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			version, err := semver.NewVersion(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			constraint, err := semver.NewConstraint(args[1].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			return cty.BoolVal(constraint.Check(version)), nil
		},
	})
}

func indexOfFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Finds the position of a value in a list.",
		Params: []function.Parameter{
			{Name: "list", Type: cty.DynamicPseudoType},
			{Name: "value", Type: cty.DynamicPseudoType},
		},
		Type: function.StaticReturnType(cty.Number),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			list := args[0]
			if !list.Type().IsListType() && !list.Type().IsTupleType() {
				return cty.NilVal, function.NewArgErrorf(0, "must be a list or tuple")
			}
			for i, v := range list.Elements() {
				eq, err := stdlib.Equal(v, args[1])
				if err != nil {
					return cty.NilVal, err
				}
				if !eq.IsKnown() {
					return cty.UnknownVal(cty.Number), nil
				}
				if eq.True() {
					return i, nil
				}
			}
			return cty.NilVal, errors.New("item not found")
		},
	})
}

func formatTimestampFunc() function.Function {
	return function.New(&function.Spec{
		Description: `Formats a time, an RFC 3339 string or a number of seconds since 1970, as formatdate does; "X" gives the seconds.`,
		Params: []function.Parameter{
			{Name: "format", Type: cty.String},
			{Name: "time", Type: cty.DynamicPseudoType},
		},
		Type: function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			at, err := timeOf(args[1])
			if err != nil {
				return cty.NilVal, function.NewArgError(1, err)
			}
			if args[0].AsString() == "X" {
				return cty.StringVal(strconv.FormatInt(at.Unix(), 10)), nil
			}
			return stdlib.FormatDate(args[0], cty.StringVal(at.Format(time.RFC3339)))
		},
	})
}

func timeOf(v cty.Value) (time.Time, error) {
	switch v.Type() {
	case cty.String:
		at, err := time.Parse(time.RFC3339, v.AsString())
		if err != nil {
			return at, errors.New("a time as text must look like 2006-01-02T15:04:05Z")
		}
		return at, nil
	case cty.Number:
		return unixTime(v)
	}
	return time.Time{}, errors.New("must be a time as text or a number of seconds")
}

func unixTime(v cty.Value) (time.Time, error) {
	seconds, accuracy := v.AsBigFloat().Int64()
	if accuracy != big.Exact {
		return time.Time{}, errors.New("a unix timestamp must be an integer")
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func timestampFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the current time as an RFC 3339 string.",
		Type:        function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			return cty.StringVal(time.Now().UTC().Format(time.RFC3339)), nil
		},
	})
}

func homedirFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the home directory of the current user.",
		Type:        function.StaticReturnType(cty.String),
		Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
			home, err := os.UserHomeDir()
			if err == nil {
				return cty.StringVal(home), nil
			}
			u, err := user.Current()
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(u.HomeDir), nil
		},
	})
}

func unixTimestampParseFunc() function.Function {
	number, text := cty.Number, cty.String
	return function.New(&function.Spec{
		Description: "Takes a number of seconds since 1970 apart into year, month, day and so on.",
		Params:      []function.Parameter{{Name: "unix_timestamp", Type: cty.Number}},
		Type: function.StaticReturnType(cty.Object(map[string]cty.Type{
			"year": number, "year_day": number, "day": number, "month": number, "month_name": text,
			"weekday": number, "weekday_name": text, "hour": number, "minute": number,
			"second": number, "rfc3339": text, "iso_year": number, "iso_week": number,
		})),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			at, err := unixTime(args[0])
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			isoYear, isoWeek := at.ISOWeek()
			n := func(i int) cty.Value { return cty.NumberIntVal(int64(i)) }
			return cty.ObjectVal(map[string]cty.Value{
				"year": n(at.Year()), "year_day": n(at.YearDay()), "day": n(at.Day()),
				"month": n(int(at.Month())), "month_name": cty.StringVal(at.Month().String()),
				"weekday": n(int(at.Weekday())), "weekday_name": cty.StringVal(at.Weekday().String()),
				"hour": n(at.Hour()), "minute": n(at.Minute()), "second": n(at.Second()),
				"rfc3339":  cty.StringVal(at.Format(time.RFC3339)),
				"iso_year": n(isoYear), "iso_week": n(isoWeek),
			}), nil
		},
	})
}
