package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// argOf evaluates an expression as an argument of a target in dir; "error: " and
// the problem if it can not be.
func argOf(t *testing.T, dir, expr string, opts LoadOptions) string {
	t.Helper()
	opts.Dir, opts.Files = dir, []string{OwnFile}
	text := "target \"default\" {\n  args = { R = " + expr + " }\n}\n"
	if err := os.WriteFile(filepath.Join(dir, OwnFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(t.Context(), opts)
	if err != nil {
		return "error: " + err.Error()
	}
	sel, err := c.Resolve(Request{})
	if err != nil {
		return "error: " + err.Error()
	}
	return sel.Targets[0].Args["R"]
}

func TestOwnFunctions(t *testing.T) {
	for expr, want := range map[string]string{
		`one([])`: "", `one([1, 2])`: "error", `one("a")`: "error", `one(toset(["x"]))`: "x",
		`sum([])`: "0", `sum(["1", 2])`: "3", `sum([null])`: "error", `sum(["x"])`: "error",
		`alltrue([])`: "true", `anytrue([])`: "false", `alltrue([true, null])`: "false", `anytrue(["true"])`: "true",
		`length(toset(["a", "a"]))`: "1", `tonumber("x")`: "error", `tobool("yes")`: "error", `join(",", tolist(toset(["b", "a"])))`: "a,b",
		`jsonencode(tomap({ a = 1 }))`: `{"a":1}`, `jsonencode(transpose({}))`: "{}", `jsonencode(matchkeys(["a"], ["x"], ["y"]))`: "[]",
		`jsonencode(matchkeys(["a"], ["x", "y"], ["y"]))`: "error",
		`startswith("a", "ab")`:                           "false", `endswith("ab", "")`: "true", `strcontains("ab", "c")`: "false",
		`jsonencode(yamldecode("a: 1\nb: [x, null, true, 1.5]\n1: {c: 2020-01-02}\n"))`: `{"1":{"c":"2020-01-02T00:00:00Z"},"a":1,"b":["x",null,true,1.5]}`,
		`yamldecode("")`: "", `yamldecode("a: b: c")`: "error", `yamldecode("a\n---\nb\n")`: "error", `yamldecode("&a [*a]")`: "error",
		`yamlencode({ b = "yes", a = [1, { c = null }], d = "x\ny\n" })`: "\"a\":\n  - 1\n  - \"c\": null\n\"b\": \"yes\"\n\"d\": \"x\\ny\\n\"\n",
		`jsonencode(yamldecode(yamlencode({ a = "1", b = [true] })))`:    `{"a":"1","b":[true]}`,
	} {
		got := argOf(t, t.TempDir(), expr, LoadOptions{})
		if want == "error" && strings.HasPrefix(got, "error: build.hcl:2:") {
			continue
		}
		if got != want {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
}

func TestThreat_T04_impureFunctions(t *testing.T) {
	for _, expr := range []string{`uuidv4()`, `uuid()`, `bcrypt("x")`, `bcrypt("x", 4)`, `homedir()`, `abspath(".")`, `pathexpand("~")`, `timestamp()`} {
		got := argOf(t, t.TempDir(), expr, LoadOptions{Environ: []string{"HOME=/canary"}})
		if !strings.HasPrefix(got, "error: ") || strings.Contains(got, "canary") {
			t.Errorf("%s is %q", expr, got)
		}
	}
	if got := argOf(t, t.TempDir(), `timestamp()`, LoadOptions{Environ: []string{"SOURCE_DATE_EPOCH=1700000000"}}); got != "2023-11-14T22:13:20Z" {
		t.Errorf("timestamp is %q", got)
	}
	if got := argOf(t, t.TempDir(), `timestamp()`, LoadOptions{Environ: []string{"SOURCE_DATE_EPOCH=now"}}); !strings.Contains(got, `"now", not a number`) {
		t.Errorf("timestamp is %q", got)
	}
}

func TestThreat_T02_env(t *testing.T) {
	environ := []string{"TOKEN=canary", "HOME=/canary"}
	for _, expr := range []string{`env("TOKEN")`, `env("token")`, `env("")`, `env("*")`, `env("HO")`} {
		got := argOf(t, t.TempDir(), expr, LoadOptions{Environ: environ, AllowEnv: []string{"HOME", "*"}[:1]})
		if !strings.HasPrefix(got, "error: ") || strings.Contains(got, "canary") || !strings.Contains(got, "--allow env=") {
			t.Errorf("%s is %q", expr, got)
		}
	}
	for expr, want := range map[string]string{`env("TOKEN")`: "canary", `coalesce(env("UNSET"), "none")`: "none", `try(env("HOME"), "refused")`: "refused"} {
		if got := argOf(t, t.TempDir(), expr, LoadOptions{Environ: environ, AllowEnv: []string{"TOKEN", "UNSET"}}); got != want {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
}

// hostile makes a checkout with secrets beside it and ways that lead to them.
func hostile(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "app")
	for name, text := range map[string]string{
		"secret": "canary", "app-secret/key": "canary", "app/ok.txt": "ok", "app/sub/ok.txt": "ok sub",
		"app/big": strings.Repeat("x", maxRead+1), "app/full": strings.Repeat("x", maxRead), "app/bin": "\xff\xfe",
	} {
		file := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"out": "../secret", "abs": filepath.Join(top, "secret"), "chain": "chain2", "chain2": "sub/chain3", "sub/chain3": "../../secret",
		"dirout": "..", "sibling": "../app-secret", "in": "sub/ok.txt", "loop": "loop", "gone": "nothing", "zero": "/dev/zero",
		"environ": "/proc/self/environ", "round": "../app/ok.txt",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestThreat_T01_filesOutside(t *testing.T) {
	dir := hostile(t)
	top := filepath.Dir(dir)
	paths := []string{
		"../secret", "..", ".", "", "/", "/etc/passwd", filepath.Join(top, "secret"), filepath.Join(dir, "ok.txt"), "sub/../../secret", "./../secret",
		"sub/../../app-secret/key", "../app-secret/key", "../app/ok.txt", "out", "abs", "chain", "chain2", "sub/chain3", "dirout/secret", "dirout/app/ok.txt",
		"sibling/key", "loop", "gone", "zero", "environ", "round", "fifo", "sub", "ok.txt/x", "sub/", "/dev/zero", "/proc/self/environ", "//etc/passwd",
		"~/secret", "file:///etc/passwd", "nothing", "big", "./sub/../..", "sub\x00/ok.txt", "a/../../secret", "out/", "out/.", "...",
	}
	for _, p := range paths {
		for _, call := range []string{"file(%s)", "filebase64(%s)", "templatefile(%s, {})"} {
			expr := strings.ReplaceAll(call, "%s", quoted(p))
			if got := argOf(t, dir, expr, LoadOptions{}); !strings.HasPrefix(got, "error: ") || strings.Contains(got, "canary") {
				t.Errorf("%s is %.60q", expr, got)
			}
		}
	}
	for expr, want := range map[string]string{
		`file("ok.txt")`: "ok", `file("./sub/ok.txt")`: "ok sub", `file("sub/../ok.txt")`: "ok", `file("in")`: "ok sub",
		`strlen(file("full"))`: "1048576", `filebase64("bin")`: "//4=", `fileexists("ok.txt")`: "true", `fileexists("nope")`: "false",
		`join(",", fileset(".", "**/*.txt"))`: "ok.txt,sub/ok.txt", `join(",", fileset("sub", "*"))`: "ok.txt",
		`join(",", fileset(".", "{out,in,abs,fifo,zero,gone}"))`: "in", `join(",", fileset(".", "nothing"))`: "",
	} {
		if got := argOf(t, dir, expr, LoadOptions{}); got != want {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
	for _, expr := range []string{
		`fileexists("../secret")`, `fileexists("out")`, `fileexists("/etc/passwd")`, `fileexists("sub")`, `fileexists("fifo")`,
		`fileset("..", "*")`, `fileset("/etc", "*")`, `fileset("dirout", "*")`, `fileset(".", "../*")`, `fileset(".", "sub/../../*")`, `fileset(".", "/etc/*")`,
		`fileset(".", "[")`, `fileset("nope", "*")`, `file("bin")`,
	} {
		if got := argOf(t, dir, "jsonencode("+expr+")", LoadOptions{}); !strings.HasPrefix(got, "error: ") || strings.Contains(got, "canary") {
			t.Errorf("%s is %q", expr, got)
		}
	}
}

func quoted(s string) string {
	s = strings.ReplaceAll(s, "\x00", `\u0000`)
	return `"` + s + `"`
}

// TestThreat_T01_exchanged exchanges a file for a symlink that leads out, again
// and again, while it is read.
func TestThreat_T01_exchanged(t *testing.T) {
	dir := hostile(t)
	file, spare := filepath.Join(dir, "swap"), filepath.Join(dir, "spare")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Remove(spare)
			if i%2 == 0 {
				_ = os.Symlink("../secret", spare)
			} else {
				_ = os.WriteFile(spare, []byte("ok"), 0o600)
			}
			_ = os.Rename(spare, file)
		}
	}()
	for range 10_000 {
		c := &checkout{dir: dir}
		if data, err := c.read("swap"); err == nil && strings.Contains(string(data), "canary") {
			t.Error("the secret was read")
			break
		}
		c.close()
	}
	close(stop)
	<-stopped
}

func TestTemplateFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.tmpl":    "%{ for h in hosts ~}\nserver ${upper(h)};\n%{ endfor ~}\n",
		"deep.tmpl": strings.Repeat("${[", 300) + strings.Repeat("]}", 300),
		"loop.tmpl": "${join(\"\", [for a in range(1000) : join(\"\", [for b in range(1000) : a])])}",
		"self.tmpl": "${templatefile(\"self.tmpl\", {})}",
		"env.tmpl":  "${env(\"HOME\")}",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for expr, want := range map[string]string{
		`templatefile("a.tmpl", { hosts = ["a", "b"] })`: "server A;\nserver B;\n",
		`templatefile("a.tmpl", {})`:                     "error: ",
		`templatefile("a.tmpl", "x")`:                    "error: ",
		`templatefile("deep.tmpl", {})`:                  "error: ",
		`templatefile("loop.tmpl", {})`:                  "error: ",
		`templatefile("self.tmpl", {})`:                  "error: ",
		`templatefile("env.tmpl", {})`:                   "error: ",
	} {
		got := argOf(t, dir, expr, LoadOptions{})
		if got != want && (want != "error: " || !strings.HasPrefix(got, want)) {
			t.Errorf("%s is %q, want %q", expr, got, want)
		}
	}
}

func TestReadsAreTheFilesThatExpressionsRead(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.txt", "a.tpl", "unread.txt"} {
		writeFile(t, filepath.Join(dir, name), "x")
	}
	writeFile(t, filepath.Join(dir, OwnFile), "target \"default\" {\n  args = { A = file(\"b.txt\"), B = templatefile(\"a.tpl\", {}) }\n}\n")
	c, err := Load(t.Context(), LoadOptions{Dir: dir, Files: []string{OwnFile}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a.tpl", "b.txt"}; !slices.Equal(c.Reads, want) {
		t.Errorf("got %v, want %v", c.Reads, want)
	}
}
