package config

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// roleNames are the roles in the tables of this file.
var roleNames = map[Role]string{
	RoleBlock: "block", RoleLabel: "label", RoleAttribute: "attribute", RoleKey: "key",
	RoleName: "name", RoleMember: "member", RoleCall: "call", RoleText: "text",
}

// where is a place as "target.contexts/key|a.b".
func where(p Place) string {
	var parts []string
	for _, b := range p.Blocks {
		parts = append(parts, strings.Join(append([]string{b.Type}, b.Labels...), ":"))
	}
	text := strings.Join(parts, ">")
	if p.Attribute != "" {
		text += "." + p.Attribute
	}
	for _, k := range p.Keys {
		text += "/" + k
	}
	if len(p.Path) > 0 {
		text += " after " + strings.Join(p.Path, ".")
	}
	return strings.TrimSpace(text)
}

func TestWords(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"block", `target "api" { tags = ["a", VERSION] }`, `
block target in target:api
label api in target:api
attribute tags in target:api
text a in target:api.tags
name VERSION in target:api.tags`},
		{"traversal", `x = target.base.tags[0].y + target["p:b"].args`, `
attribute x in 
name target in .x
member base in .x after target
member tags in .x after target.base
member y in .x after target.base.tags
name target in .x
member p:b in .x after target
member args in .x after target.p:b`},
		{"object", "target \"a\" {\n contexts = { base = \"target:b\", \"c d\" = x }\n args = {\n  A = f(1, y)\n  B = 2 }\n}", `
block target in target:a
label a in target:a
attribute contexts in target:a
key base in target:a.contexts
text target:b in target:a.contexts/base
key c d in target:a.contexts
name x in target:a.contexts/c d
attribute args in target:a
key A in target:a.args
call f in target:a.args/A
name y in target:a.args/A
key B in target:a.args`},
		{"templates", "x = \"${local.v}-${f(\"in\")}\"\ny = <<EOT\n  text ${z} }\nEOT\nw = 1", `
attribute x in 
name local in .x
member v in .x after local
call f in .x
text in in .x
attribute y in 
name z in .y
attribute w in`},
		{"nested", `target "a" { step { run = "x" } }`, `
block target in target:a
label a in target:a
block step in target:a>step
attribute run in target:a>step
text x in target:a>step.run`},
		{"text without an end", "target \"a\" {\n  tags = [\"x\n  needs = [\"b\"]\n}\ngroup \"g\" {}", `
block target in target:a
label a in target:a
attribute tags in target:a
attribute needs in target:a
text b in target:a.needs
block group in group:g
label g in group:g`},
		{"brackets without an end", "target \"a\" {\n  args = { x = f(\n  tags = [\n  needs = [\"b\"]\n\ngroup \"g\" {}", `
block target in target:a
label a in target:a
attribute args in target:a
key x in target:a.args
call f in target:a.args/x
key tags in target:a.args
key needs in target:a.args
text b in target:a.args/needs
block group in group:g
label g in group:g`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got strings.Builder
			for _, w := range Words("build.hcl", []byte(test.text)) {
				if text := test.text[w.Range.Start.Byte:w.Range.End.Byte]; text != w.Text {
					t.Errorf("%q is at %q", w.Text, text)
				}
				fmt.Fprintf(&got, "\n%s %s in %s", roleNames[w.Role], w.Text, where(w.Place))
			}
			if strings.TrimRight(got.String(), " ") != strings.TrimRight(test.want, " ") {
				t.Errorf("got%s\nwant%s", &got, test.want)
			}
		})
	}
}

var wantNames = map[Want]string{
	WantNothing: "nothing", WantItem: "item", WantLabel: "label", WantKey: "key", WantValue: "value", WantMember: "member", WantText: "text",
}

// TestCursorAt has the cursor where | is.
func TestCursorAt(t *testing.T) {
	tests := []struct{ text, want string }{
		{`|`, `item "" in`},
		{`tar|`, `item "tar" in`},
		{"target \"a\" {\n  no-c|\n}", `item "no-c" in target:a`},
		{"target \"a\" {\n  tags = []\n  |\n}", `item "" in target:a`},
		{`target "|`, `label "" in [target]`},
		{`target "a" { inherits = ["_b|"] }`, `text "_b" in target:a.inherits`},
		{`target "a" { contexts = { base = "target:|" } }`, `text "target:" in target:a.contexts/base`},
		{`target "a" { contexts = { ba| } }`, `key "ba" in target:a.contexts`},
		{`target "a" { needs = [target.b|] }`, `member "b" in target:a.needs after target`},
		{`target "a" { needs = [target.|] }`, `member "" in target:a.needs after target`},
		{`target "a" { tags = target.b.|`, `member "" in target:a.tags after target.b`},
		{`target "a" { tags = target["x|`, `member "x" in target:a.tags after target`},
		{`target "a" { tags = ["x:${VER|}"] }`, `value "VER" in target:a.tags`},
		{`target "a" { tags = ["x:${upper(local.|`, `member "" in target:a.tags after local`},
		{`target "a" { pull = |`, `value "" in target:a.pull`},
		{"target \"a\" {\n  step { cop|", `item "cop" in target:a>step`},
		{"target \"a\" {\n  tags = [\n  |\n", `value "" in target:a.tags`},
		{"target \"a\" {\n  # ta|", `nothing "" in`},
		{"x = <<EOT\n ab|", `nothing "" in`},
		{"x = <<EOT\n ${ab|", `value "ab" in .x`},
		{"x = 12|", `nothing "" in`},
		{"a = \"é😀\"\nb = \"ü${lo|", `value "lo" in .b`},
	}
	for _, test := range tests {
		before, after, _ := strings.Cut(test.text, "|")
		c := CursorAt([]byte(before+after), len(before))
		place := where(c.Place)
		if c.Want == WantLabel {
			place = fmt.Sprint(c.Item)
		}
		if got := strings.TrimSpace(fmt.Sprintf("%s %q in %s", wantNames[c.Want], c.Prefix, place)); got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
}

func TestDeclarationsAndMentions(t *testing.T) {
	const text = `
G = 1
variable "V" { description = "a version" }
locals { l = V }
function "f" {
  params = [x]
  result = upper(x)
}
template "t" {
  params = { port = number }
  args   = { PORT = param.port }
}
steps "s" { step { run = "x" } }
include { paths = ["services/*"] }
target "a" {
  name     = "a-${os}"
  matrix   = { os = ["linux"], exclude = [] }
  template = "t"
  inherits = ["b", target.c]
  contexts = { d = "target:d" }
  step { use = "s" }
  step { from = "target:e" }
  tags     = [f(local.l), "text"]
}
group "g" { targets = ["a"] }
`
	words := Words("build.hcl", []byte(text))
	var got []string
	for _, d := range Declarations(words) {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Kind, d.Name, d.Description)))
	}
	want := []string{"variable G", "variable V a version", "local l", "function f", "inner x", "template t", "param port", "steps s", "target a", "inner os", "group g"}
	if !slices.Equal(got, want) {
		t.Errorf("declarations: got %q\nwant %q", got, want)
	}
	got = nil
	for _, w := range words {
		if m, ok := w.Mention(); ok {
			got = append(got, fmt.Sprintf("%s %s", m.Kind, m.Name))
			if at := text[m.Range.Start.Byte:m.Range.End.Byte]; at != m.Name {
				t.Errorf("%s is at %q", m.Name, at)
			}
		}
	}
	want = []string{"variable V", "variable x", "function upper", "variable x", "variable number", "variable param", "param port",
		"file services/*", "variable os", "template t", "target b", "variable target", "target c", "target d", "steps s", "target e",
		"function f", "variable local", "local l", "member a"}
	if !slices.Equal(got, want) {
		t.Errorf("mentions: got %q\nwant %q", got, want)
	}
}

// TestWordsOfAnyPrefix cuts files anywhere: nothing panics, and words are where
// they are said to be.
func TestWordsOfAnyPrefix(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 1024 {
			continue
		}
		for i := range data {
			CursorAt(data, i)
			for _, w := range Words(file, data[:i]) {
				if w.Range.Start.Byte > w.Range.End.Byte || w.Range.End.Byte > i {
					t.Fatalf("%s: %q of the first %d bytes is at %v", file, w.Text, i, w.Range)
				}
			}
		}
	}
}

// TestHoldsIsWhatIsRead holds the descriptions of blocks against what reads them.
func TestHoldsIsWhatIsRead(t *testing.T) {
	schemas := map[string]*blockSchema{
		"target": newSchema(targetSchema(ModeStrata)), "template": templateSchema, "steps/step": stepSchema,
		"group": groupSchema, "variable": variableSchema, "include": includeSchema, "strata": editionSchema, "steps/dynamic": dynamicSchema,
		"bake/target": newSchema(&hcl.BodySchema{Attributes: targetSchema(ModeBake).Attributes}), "bake/template": newSchema(&hcl.BodySchema{}),
		"bake": newSchema(fileSchema),
	}
	for path, schema := range schemas {
		types := strings.Split(path, "/")
		mode := ModeStrata
		if types[0] == "bake" {
			mode, types = ModeBake, types[1:]
		}
		attributes, blocks := Holds(mode, types)
		var got []string
		for _, a := range attributes {
			if a.Description == "" {
				t.Errorf("%s: nothing is said of %s", path, a.Name)
			}
			got = append(got, a.Name)
		}
		slices.Sort(got)
		if want := sortedKeys(schema.attrs); !slices.Equal(got, want) {
			t.Errorf("%s has the attributes %q, not %q", path, want, got)
		}
		got = nil
		for _, b := range blocks {
			if b.Description == "" {
				t.Errorf("%s: nothing is said of %s", path, b.Name)
			}
			got = append(got, b.Name)
		}
		slices.Sort(got)
		if want := sortedKeys(schema.blocks); !slices.Equal(got, want) {
			t.Errorf("%s has the blocks %q, not %q", path, want, got)
		}
	}
}

func TestGitMembersAreThoseOfGit(t *testing.T) {
	var got []string
	for _, m := range GitMembers() {
		got = append(got, m.Name)
	}
	if want := sortedKeys(gitValues); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
