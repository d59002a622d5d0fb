package config

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// answer is what reading text and choosing all targets comes to, in words.
// Problems must have a place in the file, and a limit of time must not be met.
func answer(t *testing.T, mode Mode, text string) string {
	t.Helper()
	m := newModule(mode)
	c, err := m.load(context.Background(), []source{{OwnFile, []byte(text)}}, LoadOptions{})
	if err == nil {
		var sel *Selection
		if sel, err = c.Resolve(Request{Targets: []string{"*"}}); err == nil {
			out, err := sel.PrintJSON()
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
	}
	wrong := err.(*Error)
	for _, d := range wrong.Diags {
		if d.Summary == internalProblem {
			t.Fatalf("%s", d.Detail)
		}
		if d.Subject == nil || d.Subject.Filename == "" {
			t.Errorf("no place: %s; %s", d.Summary, d.Detail)
		}
	}
	if err := wrong.Write(&strings.Builder{}, true, 80); err != nil {
		t.Fatal(err)
	}
	return wrong.Error()
}

// FuzzGuard checks that what passes the guards is no deeper than they promise, for
// both syntaxes.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"a = [{ b = \"${c(\"%{if d}e%{endif}\")}\" }]\n", "a = <<E\n${b}\nE\n", "a = 1 /* { */\n",
		`{"a": [{"b": "${c[0]}"}]}`, `{"a\"": "}"}`, "a = <<-E\n  x\n  E\n", "a = ((((\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !guardHCL(data, OwnFile).HasErrors() {
			if file, _ := hclsyntax.ParseConfig(data, OwnFile, hcl.InitialPos); file != nil {
				body := file.Body.(*hclsyntax.Body)
				if deep := depthOf(body); deep > 4*maxDepth {
					t.Errorf("%d deep", deep)
				}
			}
		}
		if !guardJSON(data, "x.json").HasErrors() {
			_, _ = parseJSON(source{"x.json", data})
		}
	})
}

// depthOf is how deep nodes are in one another, chains of operators left out.
func depthOf(n hclsyntax.Node) int {
	w := &depthWalker{}
	_ = hclsyntax.Walk(n, w)
	return w.most
}

type depthWalker struct{ now, most int }

func (w *depthWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	if w.counts(n) {
		w.now++
		w.most = max(w.most, w.now)
	}
	return nil
}

func (w *depthWalker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if w.counts(n) {
		w.now--
	}
	return nil
}

func (*depthWalker) counts(n hclsyntax.Node) bool {
	switch n.(type) {
	case *hclsyntax.BinaryOpExpr, *hclsyntax.UnaryOpExpr, *hclsyntax.ConditionalExpr, *hclsyntax.IndexExpr, *hclsyntax.RelativeTraversalExpr:
		return false
	}
	return true
}

// FuzzParse checks that a file that is parsed in pieces is the file that is parsed
// as a whole, and that problems have a place.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a = 1\nb \"c\" {\n  d = [\n  1]\n}\n"), 1)
	f.Add([]byte("a = \"${b}\" # }\nc = {}\n"), 3)
	f.Add([]byte("a = 1\na = 2\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		_, diags := parseFile(source{"x", slices.Clone(data)})
		for _, d := range diags {
			if d.Subject == nil {
				t.Errorf("no place: %s", d.Summary)
			}
		}
		parts, ok := piecesOf(data, max(size&0xff, 1))
		if !ok {
			return
		}
		if got := bytes.Join(rejoin(parts), nil); !bytes.Equal(got, data) {
			t.Fatalf("the pieces of %q are %q", data, got)
		}
		_, inPieces := parsePieces(source{OwnFile, data}, parts)
		_, whole := hclsyntax.ParseConfig(data, OwnFile, hcl.InitialPos)
		if inPieces.HasErrors() != whole.HasErrors() {
			t.Errorf("in pieces %v, as a whole %v", inPieces, whole)
		}
	})
}

func rejoin(parts []piece) [][]byte {
	var out [][]byte
	for _, p := range parts {
		out = append(out, p.data)
	}
	return out
}

// chancy are bake's functions whose values depend on chance or on the clock.
var chancy = regexp.MustCompile(`timestamp|uuid|bcrypt|random`)

// FuzzEvaluate checks that no expression makes the evaluation panic or depend on
// anything but the text.
func FuzzEvaluate(f *testing.F) {
	for _, fn := range Functions() {
		f.Add(fn.Example, "1")
	}
	for _, seed := range []string{
		"[for a in b: a if a != null]", "{for k, v in b: k => v...}", "b.*.c", "b[*].c[0]", "\"%{for a in b}${a}%{endfor}\"",
		"try(b.c, null)", "b == b ? [b] : null", "f(b, b)", "target.default.tags[0]", "local.l", "<<-E\n ${b}\nE\n",
	} {
		f.Add(seed, "[{ c = [1] }]")
	}
	f.Fuzz(func(t *testing.T, expr, value string) {
		text := fmt.Sprintf(`b = %s
locals { l = b }
function "f" {
  params          = [x]
  variadic_params = y
  result          = [x, y]
}
target "default" {
  args = { V = jsonencode(%s) }
}
`, value, expr)
		for _, mode := range []Mode{ModeStrata, ModeBake} {
			first, again := answer(t, mode, text), answer(t, mode, text)
			if first != again && !chancy.MatchString(text) {
				t.Errorf("first %s\nthen %s", first, again)
			}
		}
	})
}

// FuzzReferences checks that whatever blocks refer to, cycles too, the answer is
// the same every time.
func FuzzReferences(f *testing.F) {
	for _, seed := range [][3]string{
		{"target.b", "target.a.tags", "local.x"}, {"target.a", "target.b.args.A", "target.a.name"},
		{"\"a\"", "self.name", "super.tags"}, {"target.c", "group.g.targets", "b"},
		{"[target.a, \"b\"]", "param.x", "git.commit"}, {"template.t", "target", "target.a.nope"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, need, ref, local string) {
		text := fmt.Sprintf(`locals { x = %[3]s }
variable "b" { default = %[3]s }
target "a" {
  needs = [%[1]s]
  tags  = ["${%[2]s}"]
}
target "b" {
  inherits = [%[1]s]
  args     = { A = %[2]s, B = local.x }
  contexts = { base = %[1]s }
}
group "g" { targets = [%[1]s, "a"] }
`, need, ref, local)
		for _, mode := range []Mode{ModeStrata, ModeBake} {
			if first, again := answer(t, mode, text), answer(t, mode, text); first != again && !chancy.MatchString(text) {
				t.Errorf("first %s\nthen %s", first, again)
			}
		}
	})
}
