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

func TestThreat_T03_bombs(t *testing.T) {
	mega := "m = join(\"\", [for i in range(1000): \"" + strings.Repeat("x", 1000) + "\"])\n"
	for name, tt := range map[string]struct{ text, want string }{
		"loops":              {"x = " + nested(10, "0"), "Evaluation too large"},
		"loops with an if":   {"x = [for a in [0]: a if length(" + nested(10, "0") + ") > 5]", "Evaluation too large"},
		"loops in try":       {"x = try(" + nested(10, "0") + ", \"y\")", "Evaluation too large"},
		"loops in functions": {"function \"f\" {\n params = [n]\n result = " + nested(4, "n") + "\n}\nx = " + nested(8, "f(1)"), "Evaluation too large"},
		"doubled texts":      {doubled(40), "Value too large"},
		"a long template":    {mega + "x = \"" + strings.Repeat("${m}", 1000) + "\"", "Evaluation too large"},
		"a wide list":        {mega + "x = [" + strings.Repeat("m, ", 1000) + "]", "Value too large"},
		"join":               {mega + "x = join(\"\", [" + strings.Repeat("m, ", 1000) + "])", "Error in function call"},
		"jsonencode":         {mega + "x = jsonencode([" + strings.Repeat("m, ", 1000) + "])", "Error in function call"},
		"replace":            {mega + "x = replace(m, \"x\", m)", "Error in function call"},
		"format":             {"x = format(\"%1000000000s\", \"a\")", "Error in function call"},
		"indent":             {"x = indent(2000000000, \"a\\nb\")", "Error in function call"},
		"product":            {"x = setproduct(" + strings.TrimSuffix(strings.Repeat("range(1000), ", 5), ", ") + ")", "Error in function call"},
		"JSON":               {"x = jsondecode(join(\"\", [for i in range(1000): \"[[[[[[[[[[\"]))", "Error in function call"},
		"bcrypt":             {"x = bcrypt(\"a\", 31)", "Error in function call"},
		"numbers":            {"x = 1e99999999", "Value too large"},
		"matrix":             {"target \"a\" {\n name = \"a-${x}-${y}\"\n matrix = { x = range(1000), y = range(1000) }\n}", "Matrix too large"},
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
	for name, why := range map[string]string{"time": "it takes longer than 10s", "context": "the user is impatient"} {
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
				d := e.within(ctx)
				close(release)
				if d == nil || d.Summary != "Evaluation given up" || !strings.Contains(d.Detail, why) || d.Subject.Start != (hcl.Pos{Line: 2, Column: 5, Byte: 10}) {
					t.Errorf("got %v", d)
				}
			})
		})
	}
}
