package config

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

func TestCompose(t *testing.T) {
	one := func(build string) map[string]string {
		return map[string]string{"compose.yaml": "services:\n  a:\n    build:\n" + build}
	}
	runBakeCases(t, []bakeCase{
		{name: "a directory", files: map[string]string{"compose.yaml": "services:\n  a:\n    image: i\n    build: ./x\n  b:\n    image: j\n"}, want: `a {"context":"x","tags":["i"]}`},
		{name: "keys", files: one("      dockerfile: D\n      target: t\n      tags: [u]\n      platforms: [linux/arm64]\n      no_cache: true\n      network: none\n      shm_size: 64m\n"),
			want: `a {"dockerfile":"D","network":"none","no-cache":true,"platforms":["linux/arm64"],"shm-size":"64MiB","tags":["u"],"target":"t"}`},
		{name: "arguments", files: one("      args:\n        - A=1\n        - B\n        - C\n"), env: map[string]string{"B": "b"}, want: `a {"args":{"A":"1","B":"b"}}`},
		{name: "interpolation", files: one("      context: ${D:-x}/y\n      args: {A: \"${E}\", B: $$x}\n"), env: map[string]string{"E": "e"}, want: `a {"args":{"A":"e","B":"$x"},"context":"x/y"}`},
		{name: "given variables", files: one("      args: {A: \"${E}\"}\n"), env: map[string]string{"E": "e"}, vars: map[string]string{"E": "f"}, want: `a {"args":{"A":"f"}}`},
		{name: "environment file of the directory", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      args: [A, B]\n", ".env": "A=1\nB=2\n"}, env: map[string]string{"B": "p"}, want: `a {"args":{"A":"1","B":"p"}}`},
		{name: "no environment", files: one("      args: [A]\n"), env: map[string]string{"A": "x", "BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP": "true"}, want: `a {}`},
		{name: "service as context", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      additional_contexts:\n        b: service:b.c\n  b.c:\n    build: .\n"}, req: Request{Targets: []string{"a"}}, want: "a {\"contexts\":{\"b\":\"target:b_c\"}}\nb_c {\"output\":[{\"type\":\"cacheonly\"}]}"},
		{name: "secrets", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      secrets: [s, t]\nsecrets:\n  s:\n    file: f\n  t:\n    environment: T\n"}, want: `a {"secret":[{"id":"s","src":"f"},{"env":"T","id":"t"}]}`},
		{name: "external secret", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      secrets: [s]\nsecrets:\n  s:\n    external: true\n"}, want: `error: Invalid service`},
		{name: "x-bake", files: one("      tags: [a]\n      x-bake:\n        tags: b c\n        platforms: [linux/arm64]\n        output: type=docker\n        cache-from: type=gha x\n        no-cache: true\n        contexts: {k: service:z}\n"),
			req: Request{Set: []string{"a.contexts.k="}}, want: `a {"cache-from":[{"type":"gha"},{"ref":"x","type":"registry"}],"no-cache":true,"output":[{"type":"docker"}],"platforms":["linux/arm64"],"tags":["a","b","c"]}`},
		{name: "x-bake of another type", files: one("      x-bake:\n        tags: {a: b}\n"), want: `error: Invalid service`},
		{name: "bake file adds", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      args: {A: 1}\n      tags: [c]\n", "docker-bake.hcl": "target \"a\" {\n tags = [\"h\"]\n args = { B = 2 }\n}\n"}, want: `a {"args":{"A":"1","B":"2"},"tags":["h"]}`},
		{name: "two files", files: map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      context: x\n      tags: [c]\n", "docker-compose.yml": "services:\n  a:\n    build:\n      target: t\n      tags: [d]\n"}, want: `a {"context":"x","tags":["c","d"],"target":"t"}`},
		{name: "unknown key of build", files: one("      nope: 1\n"), want: `error: Invalid compose file`},
		{name: "unknown key of a service", files: map[string]string{"compose.yaml": "services:\n  a:\n    build: .\n    healthcheck: {test: [x]}\n"}, want: `a {}`},
		{name: "not YAML", files: map[string]string{"compose.yaml": "services: [\n"}, want: `error: Invalid compose file`},
		{name: "empty", files: map[string]string{"compose.yaml": "version: '3'\n"}, want: `error: Invalid compose file`},
		{name: "bad name", files: map[string]string{"compose.yaml": "services:\n  \"a b\":\n    build: .\n"}, want: `error: Invalid compose file`},
		{name: "requirement", files: one("      args: {A: \"${X:?needed}\"}\n"), want: `error: Invalid compose file`},
	})
}

func TestComposePlaces(t *testing.T) {
	c, err := load(t, map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      context: x\n      args:\n        A: 1\n"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := c.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, attr := range []string{"", "context", "args.A", "tags"} {
		got += fmt.Sprintf("%d ", sel.Targets[0].Place(attr).Start.Line)
	}
	if got != "2 4 6 2 " {
		t.Errorf("got %s", got)
	}
}

// TestComposeUlimit: bake prints nofile=0:0 for a single number; what is built is
// what was meant.
func TestComposeUlimit(t *testing.T) {
	c, err := load(t, map[string]string{"compose.yaml": "services:\n  a:\n    build:\n      ulimits:\n        nofile: 5\n"}, LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := c.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	if got := summary(t, sel) + fmt.Sprint(sel.Targets[0].Ulimits); got != `a {"ulimits":["nofile=0:0"]}[nofile=5:5]` {
		t.Errorf("got %s", got)
	}
}

func TestRelativePaths(t *testing.T) {
	files := map[string]string{
		"s/a.hcl": "target \"a\" {\n context = \"x\"\n contexts = { k = \"y\", l = \"target:b\", m = \"/abs\" }\n}\ntarget \"c\" { inherits = [\"a\"] }\ntarget \"n\" {}\n",
		"t/b.hcl": "target \"b\" { context = target.a.context }\ntarget \"d\" {\n inherits = [\"a\"]\n contexts = { k = \"z\" }\n}\n",
	}
	dir := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for on, want := range map[string]string{
		"": `a {"context":"x","contexts":{"k":"y","l":"target:b","m":"/abs"}}
b {"context":"x"}
c {"context":"x","contexts":{"k":"y","l":"target:b","m":"/abs"}}
d {"context":"x","contexts":{"k":"z","l":"target:b","m":"/abs"}}
n {}`,
		"1": `a {"context":"s/x","contexts":{"k":"s/y","l":"target:b","m":"/abs"}}
b {"context":"s/x"}
c {"context":"s/x","contexts":{"k":"s/y","l":"target:b","m":"/abs"}}
d {"context":"s/x","contexts":{"k":"t/z","l":"target:b","m":"/abs"}}
n {"context":"s"}`,
		"maybe": "error: Invalid setting",
	} {
		c, err := Load(context.Background(), LoadOptions{
			Dir: dir, Files: []string{"s/a.hcl", "t/b.hcl"}, Environ: []string{"BUILDX_BAKE_FILE_RELATIVE_PATHS=" + on},
		})
		got := ""
		if err != nil {
			got = failure(t, err)
		} else if sel, err := c.Resolve(Request{Targets: []string{"*"}}); err != nil {
			got = failure(t, err)
		} else {
			got = summary(t, sel)
		}
		if got != want {
			t.Errorf("%q: got:\n%s\nwant:\n%s", on, got, want)
		}
	}
}

func TestFilesFromEnvironment(t *testing.T) {
	files := map[string]string{"x.hcl": `target "default" { tags = ["x"] }`, "y.json": `{"target":{"default":{"target":"y"}}}`, "docker-bake.hcl": `target "default" { tags = ["d"] }`}
	runBakeCases(t, []bakeCase{
		{name: "list", files: files, env: map[string]string{"BUILDX_BAKE_FILE": " x.hcl : : y.json"}, want: `default {"tags":["x"],"target":"y"}`},
		{name: "separator", files: files, env: map[string]string{"BUILDX_BAKE_FILE": "x.hcl;y.json", "BUILDX_BAKE_PATH_SEPARATOR": ";"}, want: `default {"tags":["x"],"target":"y"}`},
		{name: "missing", files: files, env: map[string]string{"BUILDX_BAKE_FILE": "z.hcl"}, want: `error: Unreadable file`},
		{name: "nothing in it", files: files, env: map[string]string{"BUILDX_BAKE_FILE": " "}, want: `default {"tags":["d"]}`},
		{name: "empty file", files: map[string]string{"docker-bake.hcl": ""}, want: `error: No build file`},
	})
}

func TestFileTypes(t *testing.T) {
	for name, text := range map[string]string{
		"a.hcl": `target "default" { tags = ["t"] }`, "a.HCL": `target "default" { tags = ["t"] }`,
		"a.json": `{"target":{"default":{"tags":["t"]}}}`, "a.conf": `{"target":{"default":{"tags":["t"]}}}`,
		"b.conf": `target "default" { tags = ["t"] }`, "c.conf": "services:\n  default:\n    build:\n      tags: [t]\n",
		"d.YML": "services:\n  default:\n    build:\n      tags: [t]\n",
	} {
		c, err := load(t, map[string]string{name: "\ufeff" + text}, LoadOptions{Files: []string{name}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sel, err := c.Resolve(Request{Targets: []string{"default"}})
		if err != nil || summary(t, sel) != `default {"tags":["t"]}` {
			t.Errorf("%s: %v", name, err)
		}
	}
}
