package config

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

func TestThreat_T03_deepNesting(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"parentheses":   "x = " + strings.Repeat("(", n) + "1" + strings.Repeat(")", n),
		"lists":         "x = " + strings.Repeat("[", n) + strings.Repeat("]", n),
		"blocks":        strings.Repeat("a {\n", n) + strings.Repeat("}\n", n),
		"templates":     "x = " + strings.Repeat(`"${`, n) + "1" + strings.Repeat(`}"`, n),
		"open strings":  "x = " + strings.Repeat(`"${`, n),
		"negations":     "x = " + strings.Repeat("!", 2*n) + "true",
		"conditionals":  "x = " + strings.Repeat("true ? 1 : ", 2*n) + "1",
		"sums":          "x = 1" + strings.Repeat("+1", 2*n),
		"indexes":       "x = [1]" + strings.Repeat("[y]", 2*n),
		"variables":     chainOfVariables(20_000),
		"invalid UTF-8": "x = \"\xff\"",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadText(text + "\n")
			e, ok := err.(*Error)
			if !ok {
				t.Fatalf("got %v, want problems", err)
			}
			if d := e.Diags[0]; d.Subject == nil || d.Subject.Filename == "" || d.Subject.Start.Line == 0 {
				t.Errorf("no place: %v", d)
			}
		})
	}
}

// chainOfVariables is n variables, each the default of the one before.
func chainOfVariables(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "variable \"a%d\" {\n default = a%d\n}\n", i, i+1)
	}
	return b.String()
}

func TestThreat_T03_deepJSON(t *testing.T) {
	const n = 100_000
	for name, text := range map[string]string{
		"objects":   strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n),
		"lists":     `{"a":` + strings.Repeat("[", n) + strings.Repeat("]", n) + "}",
		"templates": `{"a":"` + strings.Repeat("${[", n) + strings.Repeat("]}", n) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			m := newModule(ModeBake)
			if _, err := m.load(context.Background(), []source{{"docker-bake.json", []byte(text)}}, LoadOptions{}); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestLoadFiles(t *testing.T) {
	files := map[string]string{
		"build.hcl":                "target \"default\" { tags = [\"own\"] }\n",
		"docker-bake.hcl":          "target \"default\" { tags = [\"bake\"] }\n",
		"docker-bake.override.hcl": "target \"default\" { args = { A = 1 } }\n",
	}
	for _, tt := range []struct {
		name string
		opts LoadOptions
		tag  string
		arg  string
		mode Mode
	}{
		{"own file first", LoadOptions{}, "own", "", ModeStrata},
		{"bake's names merged", LoadOptions{Mode: ModeBake}, "bake", "1", ModeBake},
		{"named", LoadOptions{Files: []string{"docker-bake.hcl"}}, "bake", "", ModeBake},
		{"standard input", LoadOptions{Files: []string{"-"}, Stdin: strings.NewReader(`target "default" { tags = ["in"] }`)}, "in", "", ModeBake},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, files, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			sel, err := c.Resolve(Request{})
			if err != nil {
				t.Fatal(err)
			}
			got := sel.Targets[0]
			if got.Tags[0] != tt.tag || got.Args["A"] != tt.arg || c.Mode != tt.mode {
				t.Errorf("got %v %v mode %v", got.Tags, got.Args, c.Mode)
			}
		})
	}
}

func TestMode(t *testing.T) {
	for _, tt := range []struct {
		name, file, text string
		mode, want       Mode
	}{
		{"own name", "build.hcl", "", ModeAuto, ModeStrata},
		{"own suffix", "api.build.hcl", "", ModeAuto, ModeStrata},
		{"not a suffix", "rebuild.hcl", "target \"default\" {}\n", ModeAuto, ModeBake},
		{"other name", "x.hcl", "target \"default\" {}\n", ModeAuto, ModeBake},
		{"edition", "x.hcl", "strata { edition = 1 }\n", ModeAuto, ModeStrata},
		{"steps", "x.hcl", "target \"default\" {\n  step { from = \"scratch\" }\n}\n", ModeAuto, ModeStrata},
		{"words only", "x.hcl", "target \"default\" {\n  dockerfile-inline = <<E\nstep {\nE\n}\n", ModeAuto, ModeBake},
		{"bake asked for", "x.hcl", "target \"default\" {\n  step { from = \"scratch\" }\n}\n", ModeBake, ModeBake},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := LoadOptions{Mode: tt.mode, Files: []string{tt.file}}
			if got := opts.mode([]source{{tt.file, []byte(tt.text)}}); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestStepsUnderAnyName(t *testing.T) {
	text := "target \"default\" {\n  step { from = \"scratch\" }\n}\n"
	for _, mode := range []Mode{ModeAuto, ModeBake} {
		c, err := load(t, map[string]string{"x.hcl": text}, LoadOptions{Files: []string{"x.hcl"}, Mode: mode})
		if err != nil {
			t.Fatal(err)
		}
		sel, err := c.Resolve(Request{})
		if err != nil {
			t.Fatal(err)
		}
		if steps := sel.Targets[0].Steps != nil; steps != (mode == ModeAuto) || steps == (len(c.Warnings) > 0) {
			t.Errorf("mode %d: steps %t, warnings %v", mode, steps, c.Warnings)
		}
	}
}

func TestLoadFileProblems(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		opts  LoadOptions
		want  string
	}{
		{"none", nil, LoadOptions{}, "No build file; There is no build.hcl here"},
		{"missing", nil, LoadOptions{Files: []string{"nope.hcl"}}, "nope.hcl: Unreadable file; Reading nope.hcl: no such file or directory."},
		{"directory", nil, LoadOptions{Files: []string{"."}}, ".: Unreadable file; Reading .: it is a directory."},
		{"two missing", nil, LoadOptions{Files: []string{"a.hcl", "b.hcl"}}, "b.hcl: Unreadable file"},
		{"too large", map[string]string{"build.hcl": strings.Repeat("#", maxFile+1)}, LoadOptions{}, "it is larger than 4 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.files, tt.opts)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// FuzzLoad checks that no text makes the package panic or run away.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"target \"default\" {\n step { from = \"x\" }\n}\n",
		"variable \"a\" {\n default = [for x in [1,2]: \"${x}\"]\n}\ntarget \"b\" {\n matrix = { x = a }\n name = x\n}\n",
		"function \"f\" {\n params = [x]\n result = f(x)\n}\n",
		"target \"a\" {\n inherits = [\"a\"]\n contexts = { x = target.a.contexts }\n output = [null]\n}\n",
		"group \"default\" { targets = [\"default\"] }\n",
		`{"target":{"a":{"tags":["${b}"]}}}`,
	} {
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, text string, own bool) {
		mode := ModeBake
		if own {
			mode = ModeStrata
		}
		for _, name := range []string{"build.hcl", "x.json"} {
			m := newModule(mode)
			c, err := m.load(context.Background(), []source{{name, []byte(text)}}, LoadOptions{})
			if err != nil {
				_ = err.(*Error).Write(&strings.Builder{}, true, 80)
				continue
			}
			_, _ = c.Resolve(Request{Targets: []string{"*"}})
		}
	})
}

func TestLoadCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Load(ctx, LoadOptions{}); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
