package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sourcegraph/jsonrpc2"
)

// An editor speaks with a strata lsp process.
type editor struct {
	t    *testing.T
	dir  string
	cmd  *exec.Cmd
	in   io.Closer
	conn *jsonrpc2.Conn
	told chan published
}

type published struct {
	URI         string
	Version     int
	Diagnostics []struct {
		Range    lspRange
		Severity int
		Source   string
		Message  string
	}
}

type lspRange struct{ Start, End struct{ Line, Character int } }

// pos is a range as a test writes it: line, character, line, character.
func (r lspRange) pos() [4]int {
	return [4]int{r.Start.Line, r.Start.Character, r.End.Line, r.End.Character}
}

// Handle takes what the server says by itself.
func (e *editor) Handle(_ context.Context, _ *jsonrpc2.Conn, req *jsonrpc2.Request) {
	if req.Method != "textDocument/publishDiagnostics" {
		return
	}
	var p published
	if err := json.Unmarshal(*req.Params, &p); err != nil {
		e.t.Error(err)
	}
	e.told <- p
}

type twoPipes struct {
	io.Reader
	io.WriteCloser
}

// startEditor starts the process in a directory with files.
func startEditor(t *testing.T, files map[string]string, flags ...string) *editor {
	t.Helper()
	e := &editor{t: t, dir: t.TempDir(), told: make(chan published, 100)}
	for name, text := range files {
		path := filepath.Join(e.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e.cmd = exec.CommandContext(t.Context(), "strata", append([]string{"lsp"}, flags...)...)
	e.cmd.Dir = e.dir
	e.cmd.Env = append(os.Environ(), "HOME="+e.dir, "XDG_CONFIG_HOME="+e.dir)
	e.cmd.Stderr = os.Stderr
	in, err := e.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	e.in = in
	e.conn = jsonrpc2.NewConn(t.Context(), jsonrpc2.NewBufferedStream(twoPipes{out, in}, jsonrpc2.VSCodeObjectCodec{}), e)
	return e
}

func (e *editor) initialize() {
	e.t.Helper()
	var got struct {
		Capabilities struct{ PositionEncoding string }
		ServerInfo   struct{ Name string }
	}
	e.call("initialize", map[string]any{"rootUri": "file://" + e.dir, "capabilities": map[string]any{}}, &got)
	if got.Capabilities.PositionEncoding != "utf-16" || got.ServerInfo.Name != "strata" {
		e.t.Fatalf("initialize: %+v", got)
	}
	e.notify("initialized", map[string]any{})
}

func (e *editor) call(method string, params, result any) {
	e.t.Helper()
	if err := e.conn.Call(e.t.Context(), method, params, result); err != nil {
		e.t.Fatalf("%s: %v", method, err)
	}
}

// refused calls a method and wants an error of this code.
func (e *editor) refused(code int64, method string) {
	e.t.Helper()
	err := e.conn.Call(e.t.Context(), method, map[string]any{}, nil)
	if got, ok := errors.AsType[*jsonrpc2.Error](err); !ok || got.Code != code {
		e.t.Errorf("%s: %v, want code %d", method, err, code)
	}
}

func (e *editor) notify(method string, params any) {
	e.t.Helper()
	if err := e.conn.Notify(e.t.Context(), method, params); err != nil {
		e.t.Fatalf("%s: %v", method, err)
	}
}

func (e *editor) uri(name string) string { return "file://" + filepath.Join(e.dir, name) }

func (e *editor) open(name, text string) {
	e.t.Helper()
	e.notify("textDocument/didOpen", map[string]any{"textDocument": map[string]any{
		"uri": e.uri(name), "languageId": "hcl", "version": 1, "text": text,
	}})
}

func (e *editor) change(name string, version int, text string) {
	e.t.Helper()
	e.notify("textDocument/didChange", map[string]any{
		"textDocument":   map[string]any{"uri": e.uri(name), "version": version},
		"contentChanges": []any{map[string]any{"text": text}},
	})
}

// wait returns what is said next of a version of a document.
func (e *editor) wait(name string, version int) published {
	e.t.Helper()
	for {
		select {
		case p := <-e.told:
			if p.URI == e.uri(name) && p.Version == version {
				return p
			}
		case <-e.conn.DisconnectNotify():
			e.t.Fatal("the server has left")
		case <-time.After(time.Minute):
			e.t.Fatalf("nothing is said of %s", name)
		}
	}
}

// at is the parameters for a place: the first character after mark in text.
func (e *editor) at(name, text, mark string) map[string]any {
	e.t.Helper()
	before, _, ok := strings.Cut(text, mark)
	if !ok {
		e.t.Fatalf("there is no %q", mark)
	}
	before += mark
	line := strings.Count(before, "\n")
	return map[string]any{
		"textDocument": map[string]any{"uri": e.uri(name)},
		"position":     map[string]any{"line": line, "character": len([]rune(before[strings.LastIndexByte(before, '\n')+1:]))},
	}
}

// status says exit, waits for the process and returns its status.
func (e *editor) status() int {
	e.t.Helper()
	_ = e.conn.Notify(e.t.Context(), "exit", nil)
	<-e.conn.DisconnectNotify()
	err := e.cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		e.t.Fatal(err)
	}
	return 0
}

func TestLSPTellsWhatIsWrong(t *testing.T) {
	e := startEditor(t, map[string]string{"build.hcl": "target \"saved\" {\n"})
	e.initialize()
	// The name before the mistake has characters of one, two and four bytes.
	e.open("build.hcl", "target \"a\" {\n  args = { X = \"é😀\", Y = nosuch }\n}\n")
	got := e.wait("build.hcl", 1)
	if len(got.Diagnostics) != 1 {
		t.Fatalf("got %+v", got)
	}
	d := got.Diagnostics[0]
	if d.Range.pos() != [4]int{1, 26, 1, 32} || d.Severity != 1 || d.Source != "strata" || !strings.Contains(d.Message, "nosuch") {
		t.Errorf("got %+v", d)
	}
	e.change("build.hcl", 2, "target \"a\" {\n  needs = [\"b\"]\n}\n")
	if got := e.wait("build.hcl", 2); len(got.Diagnostics) != 1 || !strings.HasPrefix(got.Diagnostics[0].Message, "Unknown target: ") {
		t.Errorf("got %+v", got)
	}
	e.change("build.hcl", 3, "target \"a\" {\n  needs = [\"b\"]\n}\ntarget \"b\" {}\n")
	if got := e.wait("build.hcl", 3); len(got.Diagnostics) != 0 {
		t.Errorf("got %+v", got)
	}
	e.call("shutdown", nil, nil)
	if got := e.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}
}

// TestLSPSaysWhatTheCommandSays holds diagnostics against those of strata print.
func TestLSPSaysWhatTheCommandSays(t *testing.T) {
	const text = "target \"a\" {\n  contxt = \".\"\n}\ngroup \"g\" { targets = [\"x\"] }\nvariable \"V\" { type = nonsense }\n"
	e := startEditor(t, map[string]string{"build.hcl": text})
	cmd := exec.Command("strata", "print")
	cmd.Dir, cmd.Env = e.dir, append(e.cmd.Env, "NO_COLOR=1")
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	said := strings.Join(strings.Fields(string(out)), " ")
	e.initialize()
	e.open("build.hcl", text)
	got := e.wait("build.hcl", 1)
	if want := strings.Count(string(out), "Error: "); len(got.Diagnostics) != want || want < 3 {
		t.Errorf("there are %d problems, the command has %d", len(got.Diagnostics), want)
	}
	for _, d := range got.Diagnostics {
		summary, detail, _ := strings.Cut(d.Message, ": ")
		if !strings.Contains(said, "Error: "+summary) || !strings.Contains(said, detail) {
			t.Errorf("the command does not say %q:\n%s", d.Message, out)
		}
	}
	e.call("shutdown", nil, nil)
	e.status()
}

// The files of a checkout in which one includes another.
var lspFiles = map[string]string{
	".git/HEAD": "ref: refs/heads/main\n",
	"build.hcl": "include { paths = [\"services/*\"] }\nvariable \"VERSION\" {\n  default     = \"1.4\"\n  description = \"what is released\"\n}\n" +
		"target \"base\" {\n  description = \"what all need\"\n}\ngroup \"all\" { targets = [\"services/api:api\"] }\n",
	"services/api/build.hcl": "target \"api\" {\n  inherits = [\"base\"]\n  tags = [\"api:${VERSION}\", upper(\"x\")]\n  \n}\n",
}

func TestLSPAcrossFiles(t *testing.T) {
	e := startEditor(t, lspFiles, "--var", "VERSION=7")
	e.initialize()
	const api = "services/api/build.hcl"
	text := lspFiles[api]
	e.open(api, text)
	if got := e.wait(api, 1); len(got.Diagnostics) != 0 {
		t.Errorf("the file that includes it is not read: %+v", got)
	}

	var list struct {
		Items []struct {
			Label         string
			Detail        string
			Documentation struct{ Value string }
		}
	}
	e.call("textDocument/completion", e.at(api, text, "upper(\"x\")]\n  "), &list)
	var labels []string
	for _, item := range list.Items {
		labels = append(labels, item.Label)
		if item.Label == "platforms" && (item.Detail != "list of strings" || !strings.Contains(item.Documentation.Value, "The platforms to build for")) {
			t.Errorf("got %+v", item)
		}
	}
	if !slices.Contains(labels, "platforms") || !slices.Contains(labels, "step") || slices.Contains(labels, "tags") || slices.Contains(labels, "group") {
		t.Errorf("a target can hold %q", labels)
	}

	var said struct {
		Contents struct{ Kind, Value string }
		Range    lspRange
	}
	for mark, want := range map[string][]string{
		"inher":       {"Targets whose attributes this one takes over"},
		"${VERS":      {"what is released", "Its value is `7`", "build.hcl:2"},
		", upp":       {"upper(str string)"},
		"[\"ba":       {"what all need", "target \"base\" {"},
		"targ":        {"One image to build"},
		"target \"ap": {"target `api`"},
	} {
		e.call("textDocument/hover", e.at(api, text, mark), &said)
		for _, part := range want {
			if said.Contents.Kind != "markdown" || !strings.Contains(said.Contents.Value, part) {
				t.Errorf("%s: %q is not in %q", mark, part, said.Contents.Value)
			}
		}
	}

	type place struct {
		URI   string
		Range lspRange
	}
	var found []place
	e.call("textDocument/definition", e.at(api, text, "[\"ba"), &found)
	if len(found) != 1 || found[0].URI != e.uri("build.hcl") || found[0].Range.pos() != [4]int{5, 8, 5, 12} {
		t.Errorf("base is at %+v", found)
	}
	e.call("textDocument/definition", e.at(api, text, "${VERS"), &found)
	if len(found) != 1 || found[0].URI != e.uri("build.hcl") || found[0].Range.pos() != [4]int{1, 10, 1, 17} {
		t.Errorf("VERSION is at %+v", found)
	}
	root := lspFiles["build.hcl"]
	e.open("build.hcl", root)
	e.call("textDocument/definition", e.at("build.hcl", root, "\"services/api:"), &found)
	if len(found) != 1 || found[0].URI != e.uri(api) || found[0].Range.pos() != [4]int{0, 8, 0, 11} {
		t.Errorf("services/api:api is at %+v", found)
	}

	// A change of one file is seen in the other, though it is not saved.
	e.change("build.hcl", 2, strings.Replace(root, "\"base\"", "\"basis\"", 1))
	if got := e.wait(api, 1); len(got.Diagnostics) != 1 || !strings.Contains(got.Diagnostics[0].Message, "base") || got.Diagnostics[0].Range.pos() != [4]int{1, 13, 1, 21} {
		t.Errorf("got %+v", got)
	}
	e.call("shutdown", nil, nil)
	if got := e.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}
}

func TestLSPKeepsToTheProtocol(t *testing.T) {
	e := startEditor(t, nil)
	e.refused(-32002, "textDocument/hover")
	e.initialize()
	e.refused(-32600, "initialize")
	e.refused(jsonrpc2.CodeMethodNotFound, "textDocument/rename")
	e.call("shutdown", nil, nil)
	e.refused(-32600, "textDocument/hover")
	if got := e.status(); got != 0 {
		t.Errorf("the status is %d", got)
	}

	e = startEditor(t, nil)
	e.initialize()
	if got := e.status(); got != 1 {
		t.Errorf("without shutdown the status is %d", got)
	}

	e = startEditor(t, nil)
	e.initialize()
	e.in.Close()
	if got := e.status(); got != 1 {
		t.Errorf("the status is %d when the editor has died", got)
	}
}
