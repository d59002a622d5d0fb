package lsp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sourcegraph/jsonrpc2"
)

// open makes a server in which texts are open, below a directory of their own. In
// one of the texts | is the cursor; the question is about that place.
func open(t *testing.T, texts map[string]string) (*server, *jsonrpc2.Request) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newServer(Options{})
	s.at = stageUp
	var req *jsonrpc2.Request
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		before, after, marked := strings.Cut(texts[name], "|")
		path := filepath.Join(dir, name)
		uri := uriOf(path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("what is saved does not count"), 0o644); err != nil {
			t.Fatal(err)
		}
		s.change(uri, newDocument(uri, 1, before+after))
		if !marked {
			continue
		}
		req = &jsonrpc2.Request{Method: "question"}
		at := newText([]byte(before + after)).position(len(before))
		if err := req.SetParams(positionParams{documentID{uri}, at}); err != nil {
			t.Fatal(err)
		}
	}
	return s, req
}

func ask(t *testing.T, texts map[string]string) *question {
	t.Helper()
	s, req := open(t, texts)
	q, err := s.current().question(t.Context(), req)
	if err != nil || q == nil {
		t.Fatal("no question", err)
	}
	return q
}

// others is a file that is open beside the one with the cursor and includes it.
const others = `
include { paths = ["services/*"] }
variable "VERSION" { default = "1" }
locals { registry = "example.com" }
function "image" {
  params = [name]
  result = name
}
template "service" {
  params = { port = number, owner = string }
}
steps "go" {
  step { run = "x" }
}
target "base" {}
group "all" { targets = ["base"] }
`

func TestCompletion(t *testing.T) {
	// A word after - must not be offered; labels are those that are inserted.
	tests := []struct{ name, text, want string }{
		{"top of a file", "|", "target group variable function locals template steps include strata -step -tags"},
		{"attribute", "target \"a\" {\n  tags = []\n  |\n}", "context args step dynamic -tags -target.x"},
		{"half a word in a broken file", "target \"a\" {\n  needs = [\n  pla|\n", "VERSION"},
		{"attribute after a broken line", "target \"a\" {\n  tags = [\"x\n  pla|\n}", "platforms step"},
		{"step", "target \"a\" {\n  step { | }\n}", "from run copy chown use when mount -tags"},
		{"mount", "target \"a\" {\n  step {\n run = \"x\"\n mount { | }\n}\n}", "type source target -tags"},
		{"template", "template \"t\" {\n  |\n}", "params tags step -matrix -with"},
		{"variable", "variable \"v\" {\n  |\n}", "default type description validation"},
		{"label", "target \"|\" {}", "-a -base"},
		{"value", "target \"a\" { tags = [|] }", "VERSION image upper target local self git -base"},
		{"bool", "target \"a\" { pull = | }", "true false"},
		{"name of a target", "target \"a\" {}\ntarget \"b\" { inherits = [|] }", "a base VERSION"},
		{"text of a target", "target \"a\" {}\ntarget \"b\" { needs = [\"|\"] }", "a b base -all -VERSION"},
		{"group", "group \"g\" { targets = [\"|\"] }\ntarget \"a\" {}", "a base all g"},
		{"context", "target \"a\" { contexts = { x = \"target:|\" } }", "target:base -base"},
		{"from", "target \"a\" {\n step { from = \"|\" }\n}", "target:base"},
		{"use", "target \"a\" {\n step { use = \"|\" }\n}", "go -base"},
		{"name of a template", "target \"a\" { template = \"|\" }", "service -base"},
		{"keys of with", "target \"a\" {\n template = \"service\"\n with = { | }\n}", "port owner -VERSION"},
		{"after target", "target \"a\" { needs = [target.|] }", "base a -all"},
		{"after group", "target \"a\" { tags = group.|", "all -base"},
		{"after a target", "target \"a\" { tags = target.base.|", "tags args -base"},
		{"after self", "target \"a\" { tags = [\"${self.|}\"] }", "name context"},
		{"after local", "target \"a\" { tags = [\"${local.re|\"] }", "registry -VERSION"},
		{"after git", "x = git.|", "commit dirty"},
		{"param in its template", "template \"t\" {\n params = { x = string }\n tags = [param.|]\n}", "x -port"},
		{"key of a matrix", "target \"a\" {\n name = \"a-${|}\"\n matrix = { os = [] }\n}", "os VERSION"},
		{"key of another matrix", "target \"a\" { matrix = { os = [] } }\ntarget \"b\" { tags = [|] }", "-os"},
		{"parameter of a function", "function \"f\" {\n params = [one]\n result = |\n}", "one VERSION"},
		{"comment", "# |", ""},
		{"after other words", "target \"a\" { description = \"é😀\"\n tags = [VER|] }", "VERSION"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := ask(t, map[string]string{"build.hcl": others, "services/a/build.hcl": test.text})
			offered := map[string]bool{}
			for _, item := range q.complete().Items {
				offered[item.Label] = true
			}
			for word := range strings.FieldsSeq(test.want) {
				name, absent := strings.CutPrefix(word, "-")
				if offered[name] == absent {
					t.Errorf("%s is offered: %t", name, absent)
				}
			}
			if test.want == "" && len(offered) > 0 {
				t.Errorf("offered %q", slices.Sorted(maps.Keys(offered)))
			}
		})
	}
}

// TestCompletionReplacesTheWord applies what is offered to the text.
func TestCompletionReplacesTheWord(t *testing.T) {
	tests := []struct {
		text, label string
		snippets    bool
		want        string
	}{
		{"target \"a\" {\n  pla|t\n}", "platforms", false, "target \"a\" {\n  platforms = \n}"},
		{"target \"a\" {\n  pla|\n}", "platforms", true, "target \"a\" {\n  platforms = [$0]\n}"},
		{"tar|", "target", true, "target \"${1:name}\" {\n  $0\n}"},
		{"x = \"é😀${up|}\"", "upper", false, "x = \"é😀${upper}\""},
		{"target \"a\" { needs = [|] }", "base", false, "target \"a\" { needs = [\"base\"] }"},
		{"target \"a\" { contexts = { x = \"target:b|\" } }", "target:base", false, "target \"a\" { contexts = { x = \"target:base\" } }"},
	}
	for _, test := range tests {
		q := ask(t, map[string]string{"build.hcl": others, "services/a/build.hcl": test.text})
		q.snippets = test.snippets
		items := q.complete().Items
		i := slices.IndexFunc(items, func(item completionItem) bool { return item.Label == test.label })
		if i < 0 {
			t.Errorf("%s: %s is not offered", test.text, test.label)
			continue
		}
		edit := items[i].Edit
		got := string(q.data[:q.offset0(edit.Range.Start)]) + edit.NewText + string(q.data[q.offset0(edit.Range.End):])
		if got != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

// offset0 is the offset of a position in the document.
func (q *question) offset0(p position) int { return q.document.text.offset(p) }

func TestBakeFilesHaveBakesLanguage(t *testing.T) {
	q := ask(t, map[string]string{"docker-bake.hcl": "target \"a\" {\n  |\n}"})
	var labels []string
	for _, item := range q.complete().Items {
		labels = append(labels, item.Label)
	}
	if slices.Contains(labels, "needs") || slices.Contains(labels, "step") || !slices.Contains(labels, "inherits") {
		t.Errorf("offered %q", labels)
	}
}

// TestDefinition has the places of what is found as FILE:LINE.
func TestDefinition(t *testing.T) {
	tests := []struct{ text, want string }{
		{`target "a" { inherits = ["b|ase"] }`, "build.hcl:14"},
		{`target "a" { needs = [target.bas|e] }`, "build.hcl:14"},
		{`target "a" { contexts = { x = "target:bas|e" } }`, "build.hcl:14"},
		{`target "a" { contexts = { x = "target:|base" } }`, "build.hcl:14"},
		{`target "a" { tags = target["//:bas|e"].tags }`, "build.hcl:14"},
		{`group "g" { targets = ["al|l"] }`, "build.hcl:15"},
		{`target "a" { tags = [VERSI|ON] }`, "build.hcl:2"},
		{`target "a" { tags = [local.regi|stry] }`, "build.hcl:3"},
		{`target "a" { tags = [imag|e("x")] }`, "build.hcl:4"},
		{`target "a" { template = "serv|ice" }`, "build.hcl:8"},
		{"target \"a\" {\n template = \"service\"\n with = { por|t = 1 }\n}", "build.hcl:9"},
		{"target \"a\" {\n step { use = \"g|o\" }\n}", "build.hcl:11"},
		{"target \"base\" {}\ntarget \"b\" { inherits = [\"ba|se\"] }", "services/a/build.hcl:0"},
		{"target \"base\" {}\ntarget \"b\" { inherits = [\"//:ba|se\"] }", "build.hcl:14"},
		{"target \"a\" {\n matrix = { VERSION = [] }\n tags = [VERS|ION]\n}", "services/a/build.hcl:1"},
		{"target \"a\" {\n tags = [\n needs = [\"bas|e\"]\n", "build.hcl:14"}, // broken
		{`target "a" { tags = ["ba|se"] }`, ""},
		{`target "a" { tags = [uppe|r("x")] }`, ""},
	}
	for _, test := range tests {
		q := ask(t, map[string]string{"build.hcl": others, "services/a/build.hcl": test.text})
		var got []string
		if found := q.definition(); found != nil {
			for _, l := range *found {
				path, _ := pathOf(l.URI)
				rel, err := filepath.Rel(q.project.dir, path)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s:%d", rel, l.Range.Start.Line))
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestIncludedFilesAreFound(t *testing.T) {
	q := ask(t, map[string]string{
		"build.hcl":            "include { paths = [\"serv|ices/a\"] }",
		"services/a/build.hcl": "",
	})
	found := q.definition()
	if found == nil || len(*found) != 1 || !strings.HasSuffix((*found)[0].URI, "/services/a/build.hcl") {
		t.Errorf("got %+v", found)
	}
}

// TestNamesOfABrokenProjectAreKept: while the file that includes others is broken,
// what these declare is still known.
func TestNamesOfABrokenProjectAreKept(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return uriOf(filepath.Join(dir, name)) }
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := newServer(Options{})
	s.at = stageUp
	s.change(file("build.hcl"), newDocument(file("build.hcl"), 1, "include { paths = [\"lib/build.hcl\"] }\nvariable \"V\" { default = \"\" }\n"))
	s.change(file("lib/build.hcl"), newDocument(file("lib/build.hcl"), 1, "target \"inner\" { tags = [V] }"))
	if _, err := s.current().analyse(t.Context()); err != nil {
		t.Fatal(err)
	}
	const broken = "include { paths = [\"lib/build.hcl\"] }\ntarget \"a\" {\n needs = [\""
	s.change(file("build.hcl"), newDocument(file("build.hcl"), 2, broken))
	req := &jsonrpc2.Request{}
	if err := req.SetParams(positionParams{documentID{file("build.hcl")}, newText([]byte(broken)).position(len(broken))}); err != nil {
		t.Fatal(err)
	}
	q, err := s.current().question(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(q.complete().Items, func(i completionItem) bool { return i.Label == "inner" }) {
		t.Error("the names of included files are lost")
	}
	a, err := s.current().analyse(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := a.diagnostics(s.current())[file("lib/build.hcl")].Diagnostics; len(got) != 0 {
		t.Errorf("the included file is blamed: %+v", got)
	}
}

// TestIncludedFilesAreNotBlamed: a file that a broken one includes is not read
// alone, even by a server that has never seen them whole.
func TestIncludedFilesAreNotBlamed(t *testing.T) {
	q := ask(t, map[string]string{
		"build.hcl":            "include { paths = [\"services/*\"] }\nvariable \"V\" {\n",
		"services/a/build.hcl": "target \"a\" { tags = [V|] }",
	})
	if got := q.project.problems[q.path]; len(got) > 0 {
		t.Errorf("it is blamed: %v", got)
	}
	if found := q.definition(); found == nil || len(*found) != 1 {
		t.Errorf("V is at %+v", found)
	}
}

func TestCancelledQuestionsAreDropped(t *testing.T) {
	s, req := open(t, map[string]string{"build.hcl": "|"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.current().question(ctx, req); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if s.current().analysis != nil {
		t.Error("what was not finished is kept")
	}
	q, err := s.current().question(t.Context(), req)
	if err != nil || q == nil {
		t.Fatal(q, err)
	}
	if result, err := answer((*question).complete)(ctx, q); result != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", result, err)
	}
}

// TestTextsAreReadOnce: many changes in a row are one thing to read, and what was
// read serves all questions.
func TestTextsAreReadOnce(t *testing.T) {
	s, req := open(t, map[string]string{"build.hcl": "|"})
	for i := range 5 {
		uri := ""
		for _, d := range s.current().documents {
			uri = d.uri
		}
		s.change(uri, newDocument(uri, i+2, "x = 1"))
	}
	if len(s.changed) != 1 {
		t.Errorf("%d changes wait", len(s.changed))
	}
	first, err := s.current().question(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	second, err := s.current().question(t.Context(), req)
	if err != nil || first.project != second.project || first.version != 6 {
		t.Errorf("read twice: %v", err)
	}
}

func TestCancelParamsHaveAnyID(t *testing.T) {
	for text, want := range map[string]jsonrpc2.ID{`{"id":7}`: {Num: 7}, `{"id":"a"}`: {Str: "a", IsString: true}} {
		var p cancelParams
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.ID != want {
			t.Errorf("%s is %+v, %v", text, p.ID, err)
		}
	}
}
