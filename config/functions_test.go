package config

import (
	"slices"
	"strings"
	"testing"
)

// bakeFunctions are the functions of bake 0.38.
const bakeFunctions = `absolute add and base64decode base64encode basename bcrypt byteslen bytesslice can ceil chomp chunklist cidrhost cidrnetmask cidrsubnet
cidrsubnets coalesce coalescelist compact concat contains convert csvdecode dirname distinct divide element equal flatten floor format formatdate
formattimestamp formatlist greaterthan greaterthanorequalto hasindex homedir indent index indexof int join jsondecode jsonencode keys length lessthan
lessthanorequalto log lookup lower max md5 merge min modulo multiply negate not notequal or parseint pow range regex_replace regex regexall replace reverse
reverselist rsadecrypt sanitize semvercmp sethaselement setintersection setproduct setsubtract setsymmetricdifference setunion sha1 sha256 sha512 signum slice
sort split strlen substr subtract timeadd timestamp title trim trimprefix trimspace trimsuffix try unixtimestampparse upper urlencode uuidv4 uuidv5 values zipmap`

func TestFunctionNames(t *testing.T) {
	want := strings.Fields(bakeFunctions)
	if len(want) != 106 {
		t.Fatalf("the list has %d names", len(want))
	}
	if got := sortedKeys(standardFunctions()); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("got %v", got)
	}
}

func TestFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`basename("a/b")`: "b", `basename("")`: ".", `dirname("a/b")`: "a",
		`sanitize("a.b/c é")`: "a_b_c__", `semvercmp("1.2.3", "^1.0")`: "true", `semvercmp("1.2.3-rc1", ">= 1.2")`: "false",
		`semvercmp("x", "^1")`: "error", `indexof(["a", "b"], "b")`: "1", `indexof(["a"], "c")`: "error", `indexof("a", "a")`: "error",
		`formattimestamp("X", 5)`: "5", `formattimestamp("YYYY", "2020-01-01T00:00:00Z")`: "2020", `formattimestamp("X", "x")`: "error",
		`formattimestamp("X", true)`: "error", `unixtimestampparse(0).month_name`: "January", `unixtimestampparse(1.5).year`: "error",
		`can(NOPE)`: "false", `try(NOPE, "x")`: "x", `convert("5", number)`: "5", `contains(["1"], 1)`: "false", `equal(1, "1")`: "false",
		`element(["a", "b"], -1)`: "b", `replace("a/b", "/", "-")`: "a-b", `urlencode("a b")`: "a+b", `1.10`: "1.1", `1/0`: "+Inf", `"${[]}"`: "error",
		`uuidv5("dns", "x")`: "05b16a01-46c6-56dd-bd6e-c6dfb4a1427a", `length({a = 1})`: "error", `tostring(5)`: "5", `f("x")`: "xv", `f(null)`: "error",
		`g("x")`: "0", `g("x", 1, 2)`: "2", `upper("a", "b")`: "error", `h()`: "xvv",
	} {
		c, err := loadText(`
variable "V" { default = "v" }
function "f" {
  params = [x]
  result = "${x}${V}"
}
function "g" {
  params          = [x]
  variadic_params = rest
  result          = length(rest)
}
function "h" {
  params = []
  result = f(f("x"))
}
target "default" { args = { R = ` + expr + ` } }
`)
		got := "error"
		if err == nil {
			sel, resolveErr := c.Resolve(Request{})
			if resolveErr != nil {
				t.Fatal(resolveErr)
			}
			got = sel.Targets[0].Args["R"]
		}
		if got != want {
			t.Errorf("%s is %s, want %s (%v)", expr, got, want, err)
		}
	}
}

func TestUserFunctionProblems(t *testing.T) {
	for text, want := range map[string]string{
		"function \"f\" {\n params = [x]\n result = f(x)\n}\n":                                                       "Reference cycle",
		"function \"f\" {\n params = []\n result = g()\n}\nfunction \"g\" {\n params = []\n result = f()\n}\n":       "Reference cycle",
		"function \"f\" {\n params = []\n result = V\n}\nvariable \"V\" { default = f() }\n":                         "Reference cycle",
		"function \"f\" {\n params = [x]\n}\n":                                                                       "Missing required argument",
		"function \"f\" {\n params = [\"x\"]\n result = 1\n}\n":                                                      "Invalid parameter",
		"function \"f\" {\n params = []\n result = try(NOPE, 1)\n}\n":                                                "Unknown variable",
		"function \"f\" {\n params = []\n result = nope()\n}\n":                                                      "Unknown function",
		"function \"f\" {\n params = [x]\n result = x\n}\ntarget \"default\" { target = f() }\n":                     "Not enough function arguments",
		"function \"f\" {\n params = [x]\n result = x.y\n}\ntarget \"default\" { target = f(\"a\") }\n":              "Error in function call",
		"function \"upper\" {\n params = [x]\n result = \"mine\"\n}\ntarget \"default\" { target = upper(\"a\") }\n": "",
		"function \"f\" {\n params = [V]\n result = V\n}\nV = \"g\"\ntarget \"default\" { target = f(\"p\") }\n":     "",
		"function \"f\" {\n params = [x]\n result = { a = x }\n}\ntarget \"default\" { target = f(\"p\").a }\n":      "",
		"function \"f\" {\n params = [x]\n result = [for t in target.a.tags: t]\n}\ntarget \"a\" {}\n":               "Unknown variable",
		"function \"f\" {\n params = []\n result = \"${g}\"\n}\ng = \"x\"\ntarget \"default\" { target = f() }\n":    "",
		"function \"f\" {\n params = []\n result = g\n}\ng = f()\ntarget \"default\" {}\n":                           "Reference cycle",
	} {
		_, err := loadText(text)
		got := ""
		if err != nil {
			got = err.(*Error).Diags[0].Summary
		}
		if got != want {
			t.Errorf("%s\ngot %q, want %q (%v)", text, got, want, err)
		}
	}
}
