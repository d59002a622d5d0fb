package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// monorepo is a build file of n targets that inherit, refer and need.
func monorepo(n int) string {
	var b strings.Builder
	b.WriteString(`variable "TAG" { default = "v1" }
function "img" {
  params = [n]
  result = "example.com/${n}:${TAG}"
}
target "_common" {
  args      = { GO = "1.26", TAG = TAG }
  platforms = ["linux/amd64", "linux/arm64"] # both
}
`)
	for i := range n {
		fmt.Fprintf(&b, "target \"t%d\" {\n  inherits = [\"_common\"]\n  context = \"svc/%d\"\n  tags = [img(\"t%d\"), \"example.com/t%d:latest\"]\n", i, i, i, i)
		fmt.Fprintf(&b, "  args = { NAME = \"t%d\", PARENT = target._common.args.GO }\n", i)
		if i >= 10 {
			fmt.Fprintf(&b, "  contexts = { base = \"target:t%d\" }\n", i/10)
		}
		b.WriteString("}\n")
	}
	b.WriteString("group \"default\" { targets = [")
	for i := range n {
		fmt.Fprintf(&b, "\"t%d\", ", i)
	}
	b.WriteString("] }\n")
	return b.String()
}

// BenchmarkMonorepo reads, resolves and prints all targets of a file. The time of
// one target must not grow with their number.
func BenchmarkMonorepo(b *testing.B) {
	for _, n := range []int{1000, 4000, 10000} {
		text := monorepo(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				c, err := loadText(text)
				if err != nil {
					b.Fatal(err)
				}
				sel, err := c.Resolve(Request{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := sel.PrintJSON(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/target")
		})
	}
}

// BenchmarkTree is BenchmarkMonorepo with a file of its own for every target.
func BenchmarkTree(b *testing.B) {
	for _, n := range []int{1000, 4000, 10000} {
		dir := b.TempDir()
		head := "include { paths = [\"svc/*/*\"] }\nvariable \"TAG\" { default = \"v1\" }\nfunction \"img\" {\n  params = [n]\n  result = \"example.com/${n}:${TAG}\"\n}\ntarget \"_common\" { args = { GO = \"1.26\" } }\n"
		writeTo(b, filepath.Join(dir, OwnFile), head)
		for i := range n {
			text := fmt.Sprintf("target \"t%d\" {\n  inherits = [\"_common\"]\n  tags = [img(self.name)]\n", i)
			if i >= 10 {
				text += fmt.Sprintf("  contexts = { base = \"target:t%d\", src = \"src\" }\n", i/10)
			}
			writeTo(b, filepath.Join(dir, "svc", fmt.Sprint(i%100), fmt.Sprint(i), OwnFile), text+"}\ntarget \"test\" {}\n")
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				args := []string{"//...:t*"}
				c, err := Load(context.Background(), LoadOptions{Dir: dir, Targets: args})
				if err != nil {
					b.Fatal(err)
				}
				sel, err := c.Resolve(Request{Targets: args})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := sel.PrintJSON(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/target")
		})
	}
}

func writeTo(tb testing.TB, name, text string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// TestPieces parses a large file in pieces and as a whole and compares places.
func TestPieces(t *testing.T) {
	text := monorepo(2000)
	parts, ok := pieces([]byte(text))
	if !ok || len(parts) < 3 {
		t.Fatalf("%d pieces, %t", len(parts), ok)
	}
	f, diags := parsePieces(source{OwnFile, []byte(text)}, parts)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	whole, diags := hclsyntax.ParseConfig([]byte(text), OwnFile, hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	got, want := f.Body.(*hclsyntax.Body), whole.Body.(*hclsyntax.Body)
	if len(got.Blocks) != len(want.Blocks) {
		t.Fatalf("%d blocks, want %d", len(got.Blocks), len(want.Blocks))
	}
	for i, b := range got.Blocks {
		w := want.Blocks[i]
		if b.Range() != w.Range() || b.Labels[0] != w.Labels[0] {
			t.Fatalf("block %s at %v, want %s at %v", b.Labels[0], b.Range(), w.Labels[0], w.Range())
		}
		for name, attr := range b.Body.Attributes {
			if attr.Expr.Range() != w.Body.Attributes[name].Expr.Range() {
				t.Fatalf("%s at %v, want %v", name, attr.Expr.Range(), w.Body.Attributes[name].Expr.Range())
			}
		}
	}
}

func TestPiecesKnowTheirLimits(t *testing.T) {
	for text, want := range map[string]bool{
		"a = 1\n":                            true,
		"a = \"x ${b.c-d} \\\" }\" # } ( \n": true,
		"a = \"${f(1)}\"\n":                  false,
		"a = \"${b\n}\"\n":                   false,
		"a = \"$${b\"\n":                     false,
		"a = \"%{if x}y%{endif}\"\n":         false,
		"a = <<EOT\n{\nEOT\n":                false,
		"/* } */ a = 1\n":                    false,
		"a = {\n":                            false,
		"a = }\n":                            false,
		"a = \"x\n":                          false,
		"a = 1 // ( {\nb = 2 / 1\n":          true,
		"a = " + strings.Repeat("(", 300) + strings.Repeat(")", 300): false,
	} {
		if _, ok := pieces([]byte(text)); ok != want {
			t.Errorf("%q: got %t", text, ok)
		}
	}
}

// FuzzPieces checks that nothing passes by the quick way that the lexer would
// have stopped.
func FuzzPieces(f *testing.F) {
	f.Add("a = \"${b}\"\ntarget \"x\" { # }\n}\n")
	f.Add("a = \"$${b\"\n}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, ok := pieces([]byte(text)); !ok {
			return
		}
		tokens, _ := hclsyntax.LexConfig([]byte(text), "", hcl.InitialPos)
		if _, deep := tooDeep(tokens); deep {
			t.Error("nested too deeply")
		}
	})
}

// FuzzOverride checks that no --set makes the package panic.
func FuzzOverride(f *testing.F) {
	for _, seed := range []string{"a.tags=x", "*.args.A=1", "a.secret.s=env=E", "[.x=1", "a.resource.memory=1", "a.output+=type=local,dest=x"} {
		f.Add(seed)
	}
	c, err := loadText("target \"a\" {\n secret = [\"id=s\"]\n output = [\"type=image\"]\n}\n")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sel, err := c.Resolve(Request{Targets: []string{"a"}, Set: []string{text, text}, Push: true, Load: true})
		if err != nil {
			return
		}
		if _, err := sel.PrintJSON(); err != nil {
			t.Error(err)
		}
	})
}
