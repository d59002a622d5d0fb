package config

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// nested is d for expressions in one another, each over ten elements.
func nested(d int, inner string) string {
	for i := range d {
		inner = fmt.Sprintf("[for x%d in [0,1,2,3,4,5,6,7,8,9]: %s]", i, inner)
	}
	return inner
}

// doubled is n variables, each twice the one before.
func doubled(n int) string {
	var b strings.Builder
	b.WriteString("v0 = \"aaaaaaaaaaaaaaaa\"\n")
	for i := range n {
		fmt.Fprintf(&b, "v%d = \"${v%d}${v%d}\"\n", i+1, i, i)
	}
	return b.String()
}

// functionChain is n functions, each of which calls the next as call says.
func functionChain(n int, call string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "function \"f%d\" {\n params = [x]\n result = %s\n}\n", i, fmt.Sprintf(call, i+1))
	}
	fmt.Fprintf(&b, "function \"f%d\" {\n params = [x]\n result = x\n}\n", n)
	return b.String()
}

// listsInLists is n lists, each ten times the one before.
func listsInLists(n int) string {
	var b strings.Builder
	b.WriteString("a0 = [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n")
	for i := range n {
		fmt.Fprintf(&b, "a%d = [%s]\n", i+1, strings.Repeat(fmt.Sprintf("a%d, ", i), 10))
	}
	return b.String()
}

// chainOfTargets is n targets, each inheriting from the next.
func chainOfTargets(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "target \"t%d\" {\n inherits = [\"t%d\"]\n}\n", i, i+1)
	}
	fmt.Fprintf(&b, "target \"t%d\" {}\n", n)
	return b.String()
}

// manyTags is 500 targets that inherit 5,000 tags each.
func manyTags() string {
	var b strings.Builder
	b.WriteString("target \"t\" {\n tags = [")
	for i := range 5000 {
		fmt.Fprintf(&b, "\"a:%d\", ", i)
	}
	b.WriteString("]\n}\n")
	for i := range 500 {
		fmt.Fprintf(&b, "target \"t%d\" {\n inherits = [\"t\"]\n}\n", i)
	}
	return b.String()
}

func TestThreat_T03_bombs(t *testing.T) {
	mega := "m = join(\"\", [for i in range(1000): \"" + strings.Repeat("x", 1000) + "\"])\n"
	for name, tt := range map[string]struct{ text, want string }{
		"loops":               {"x = " + nested(10, "0"), "Evaluation too large"},
		"loops with an if":    {"x = [for a in [0]: a if length(" + nested(10, "0") + ") > 5]", "Evaluation too large"},
		"loops in try":        {"x = try(" + nested(10, "0") + ", \"y\")", "Evaluation too large"},
		"loops in functions":  {"function \"f\" {\n params = [n]\n result = " + nested(4, "n") + "\n}\nx = " + nested(8, "f(1)"), "Evaluation too large"},
		"doubled texts":       {doubled(40), "Value too large"},
		"a long template":     {mega + "x = \"" + strings.Repeat("${m}", 1000) + "\"", "Evaluation too large"},
		"a wide list":         {mega + "x = [" + strings.Repeat("m, ", 1000) + "]", "Value too large"},
		"join":                {mega + "x = join(\"\", [" + strings.Repeat("m, ", 1000) + "])", "Error in function call"},
		"jsonencode":          {mega + "x = jsonencode([" + strings.Repeat("m, ", 1000) + "])", "Error in function call"},
		"replace":             {mega + "x = replace(m, \"x\", m)", "Error in function call"},
		"format":              {"x = format(\"%1000000000s\", \"a\")", "Error in function call"},
		"indent":              {"x = indent(2000000000, \"a\\nb\")", "Error in function call"},
		"product":             {"x = setproduct(" + strings.TrimSuffix(strings.Repeat("range(1000), ", 5), ", ") + ")", "Error in function call"},
		"JSON":                {"x = jsondecode(join(\"\", [for i in range(1000): \"[[[[[[[[[[\"]))", "Error in function call"},
		"bcrypt":              {"x = bcrypt(\"a\", 31)", "Error in function call"},
		"numbers":             {"x = 1e99999999", "Value too large"},
		"texts for functions": {functionChain(40, "f%d(\"${x}${x}\")") + "y = f0(\"aaaaaaaaaaaaaaaaaa\")", "Evaluation too large"},
		"calls of functions":  {functionChain(40, "f%d(x)+f%[1]d(x)") + "y = f0(1)", "Evaluation too large"},
		"lists in lists":      {listsInLists(30), "Value too large"},
		"words":               {"x = [" + strings.Repeat("1,", maxWords) + "]", "File too large"},
		"signs":               {"x = a" + strings.Repeat(".a", maxWords), "File too large"},
		"lines":               {"x = <<E\n" + strings.Repeat("a\n", 2*maxTemplate) + "E\n", "Text too long"},
		"digits":              {"x = " + strings.Repeat("9", 2*maxDigits), "Number too long"},
		"wrong lines":         {strings.Repeat("a b c\n", 100_000), "Invalid block definition"},
		"inheritance":         {chainOfTargets(20_000), "Nested too deeply"},
		"inherited values":    {manyTags(), "Too many values"},
		"matrix":              {"target \"a\" {\n name = \"a-${x}-${y}\"\n matrix = { x = range(1000), y = range(1000) }\n}", "Matrix too large"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(tt.text + "\n")
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v", err)
			}
			d := e.Diags[0]
			// on a slow machine the limit of time may be met before that of size
			bounded := d.Summary == tt.want || d.Summary == "Evaluation given up"
			if !bounded || d.Subject == nil || d.Subject.Start.Line == 0 {
				t.Errorf("got %s %v: %s", d.Summary, d.Subject, d.Detail)
			}
		})
	}
}

func TestLoopsWithinLimits(t *testing.T) {
	sel := resolveText(t, `
n = [for a in range(100): [for b in range(100): "${a}-${b}-${a}-${b}-${a}-${b}"]]
target "default" { args = { N = length(flatten(n)), L = n[99][99] } }
`)
	if got := fmt.Sprint(sel.Targets[0].Args); got != "map[L:99-99-99-99-99-99 N:10000]" {
		t.Errorf("got %s", got)
	}
}

// TestEvaluationGivenUp: an evaluation that hangs in a library is left alone and
// named by its place.
func TestEvaluationGivenUp(t *testing.T) {
	for name, why := range map[string]string{"time": "it takes longer than 30s", "context": "the user is impatient"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(context.Background())
				defer cancel(nil)
				if name == "context" {
					time.AfterFunc(time.Second, func() { cancel(errors.New(why)) })
				}
				release := make(chan struct{})
				m := newModule(ModeStrata)
				m.parse(source{OwnFile, []byte("x = 1\ny = hang()\n")})
				e := newEvaluator(m, outside{}, nil)
				e.root.Functions["hang"] = function.New(&function.Spec{
					Type: function.StaticReturnType(cty.String),
					Impl: func([]cty.Value, cty.Type) (cty.Value, error) {
						<-release
						return cty.StringVal(""), nil
					},
				})
				d := m.watch.run(ctx, e.evaluate)
				close(release)
				if d == nil || d.Summary != "Evaluation given up" || !strings.Contains(d.Detail, why) || d.Subject.Start != (hcl.Pos{Line: 2, Column: 5, Byte: 10}) {
					t.Errorf("got %v", d)
				}
			})
		})
	}
}
