package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-build/strata/graph"
)

const shop = `target "app" {
  context  = "app"
  contexts = { base = "target:base" }
}

target "base" {
  args = {
    V = "1"
  }
}

target "child" { inherits = ["app"] }
`

func TestWrite(t *testing.T) {
	_, err := loadText(strings.Replace(shop, "target:base", "target:bsae", 1) + "\ntarget \"é\\u202e\" { tgs = [] }\n")
	e, ok := err.(*Error)
	if !ok {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := e.Write(&b, false, 60); err != nil {
		t.Fatal(err)
	}
	want := `Error: Unknown target

  build.hcl:3:23
    3 │   contexts = { base = "target:bsae" }
      │                       ^^^^^^^^^^^^^
  No target is named "bsae". Did you mean "base"
  (build.hcl:6)?

Error: Invalid name

  build.hcl:14:8
   14 │ target "é\u202e" { tgs = [] }
      │        ^^^^^^^^^
  "é\u202e" can not be the name of a target: only letters,
  digits, _ and - are allowed.

Error: Unknown attribute

  build.hcl:14:20
   14 │ target "é\u202e" { tgs = [] }
      │                    ^^^
  A target has no attribute "tgs". Did you mean "tags"?

`
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
	wantLines := `build.hcl:3:23: Unknown target; No target is named "bsae". Did you mean "base" (build.hcl:6)?`
	if got, _, _ := strings.Cut(e.Error(), "\n"); got != wantLines {
		t.Errorf("got %s", got)
	}
}

func TestWriteTruncates(t *testing.T) {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "x%d = NOPE\n", i)
	}
	_, err := loadText(b.String())
	var out strings.Builder
	if err := err.(*Error).Write(&out, true, 0); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "Unknown variable"); n != maxShown || !strings.Contains(out.String(), "... and 10 more.") {
		t.Errorf("%d shown of:\n%s", n, out.String())
	}
}

func TestWriteLongLine(t *testing.T) {
	_, err := loadText(`target "a" { tags = [` + strings.Repeat(`"x", `, 100) + `NOPE, ` + strings.Repeat(`"y", `, 100) + "] }\n")
	var out strings.Builder
	if err := err.(*Error).Write(&out, false, 60); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "NOPE") || !strings.Contains(out.String(), "^^^^") {
		t.Errorf("got:\n%s", out.String())
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if len([]rune(line)) > 62 {
			t.Errorf("long line: %s", line)
		}
	}
}

func TestDiagnose(t *testing.T) {
	c, err := loadText(shop)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{&graph.TargetError{ID: "app", Attr: "context", Err: errors.New("no such directory")}, `build.hcl:2:14: Target failed; Target "app": no such directory.`},
		{&graph.TargetError{ID: "app", Attr: "contexts.base", Err: errors.New("x")}, `build.hcl:3:23: Target failed; Target "app": x.`},
		{&graph.TargetError{ID: "base", Attr: "args.V", Err: errors.New("x")}, `build.hcl:8:9: Target failed; Target "base": x.`},
		{&graph.TargetError{ID: "base", Attr: "tags", Err: errors.New("x")}, `build.hcl:6:1: Target failed; Target "base": x.`},
		{&graph.TargetError{ID: "child", Attr: "contexts.base", Err: errors.New("x")}, `build.hcl:3:23: Target failed; Target "child": x.`},
		{fmt.Errorf("building: %w", &graph.TargetError{ID: "base", Err: errors.New("x")}), `build.hcl:6:1: Target failed; Target "base": x.`},
		{errors.Join(&graph.TargetError{ID: "app", Err: errors.New("x")}, errors.New("y")), "build.hcl:1:1: Target failed; Target \"app\": x.\nFailure; y"},
		{&graph.CycleError{Path: []graph.ID{"app", "base", "app"}}, "build.hcl:3:23: Dependency cycle; These targets need one another: app -> base -> app. Remove one of the needs."},
		{&graph.UnknownError{From: "app", Need: "bas"}, `build.hcl:1:1: Unknown target; No target is named "bas". Did you mean "base" (build.hcl:6)?`},
	} {
		got := ""
		if e := c.Diagnose(tt.err); e != nil {
			got = e.Error()
		}
		if got != tt.want {
			t.Errorf("%v:\ngot  %s\nwant %s", tt.err, got, tt.want)
		}
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"base", "gateway", "api", "one"}
	for name, want := range map[string]string{"bsae": "base", "gatway": "gateway", "ap": "api", "nope": "", "zzz": "", "": "", "API": ""} {
		if got := suggest(name, known); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
