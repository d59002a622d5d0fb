package config

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// importText imports files of a directory of their own.
func importText(t *testing.T, files map[string]string, names []string) (*Imported, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Import(context.Background(), LoadOptions{Dir: dir, Files: names})
}

const bakeJSON = `{
  "//": "a comment",
  "REPO": "acme",
  "variable": {"TAG": {"type": "string", "default": "dev", "description": "not ${x}",
    "validation": {"condition": "${TAG != \"\"}", "error_message": "empty"}}},
  "function": {"image": {"params": ["name"], "result": "${REPO}/${name}:${TAG}"}},
  "group": {"default": {"targets": ["app"]}},
  "target": {"app": [
    {"tags": ["${image(\"app\")}", "q\"\\$${x}\t%{ if TAG == \"dev\" }:d%{ endif }"], "args": {"A B": "1\n2", "n": 3, "t": true, "${TAG}": "v"}},
    {"args": {"n": 4, "m": null}, "unknown": 1}
  ]}
}
`

const composeFile = `services:
  db:
    image: postgres:16
  api:
    image: acme/api:${TAG:-dev}
    build:
      context: ./api
      args: {VERSION: "${VERSION-1}", TOKEN: , FIXED: x}
      secrets: [token]
      x-bake: {platforms: [linux/amd64], output: "type=local,dest=out"}
  web.site:
    build:
      context: web
      dockerfile_inline: |
        FROM api
        RUN echo $$HOME
      additional_contexts: {api: "service:api"}
secrets:
  token: {environment: TOKEN}
`

// An importCase is files and what is made of them.
type importCase struct {
	name  string
	files map[string]string
	order []string // names of the files; nil for the only one
	later []string // environments, of one variable each, in which both mean the same
	want  string   // the text; empty is not compared
	notes string
}

func TestImport(t *testing.T) {
	for _, tt := range []importCase{
		{
			name: "HCL with comments",
			files: map[string]string{"docker-bake.hcl": `# why
variable "TAG" { default = "dev" }
target "app" {
  dockerfil = "x" # ignored by bake
  tags = ["app:${TAG}"] # stays
}
other "block" { a = 1 }
`},
			later: []string{"TAG=1"},
			want: `# why
variable "TAG" { default = "dev" }
target "app" {
  tags = ["app:${TAG}"] # stays
}
`,
		},
		{
			name: "several files",
			files: map[string]string{
				"a.hcl": "target \"app\" {\n  args = { A = 1, B = 2 }\n  tags = [\"a\"]\n  ulimits = [\"nofile=1\"]\n}\ntarget \"old\" {}\ngroup \"g\" { targets = [\"old\"] }\n",
				"b.hcl": "target \"app\" {\n  args = { B = upper(\"x\") }\n  tags = [\"b\"]\n  ulimits = [\"core=1\"]\n}\ngroup \"g\" { targets = [\"app\"] }\n",
			},
			order: []string{"a.hcl", "b.hcl"},
			want: `group "g" {
  targets = ["app"]
}

target "app" {
  args    = merge({ A = 1, B = 2 }, { B = upper("x") })
  tags    = ["b"]
  ulimits = concat(["nofile=1"], ["core=1"])
}

target "old" {
}
`,
		},
		{
			name: "JSON", files: map[string]string{"docker-bake.json": bakeJSON}, later: []string{"TAG=1", "TAG=dev"},
			want: `REPO = "acme"

variable "TAG" {
  type        = string
  default     = "dev"
  description = "not $${x}"
  validation {
    condition     = "${TAG != ""}"
    error_message = "empty"
  }
}

function "image" {
  params = [name]
  result = "${REPO}/${name}:${TAG}"
}

group "default" {
  targets = ["app"]
}

target "app" {
  tags = ["${image("app")}", "q\"\\$${x}\t%{if TAG == "dev"}:d%{endif}"]
  args = merge({
    "A B"    = "1\n2"
    n        = 3
    t        = true
    "${TAG}" = "v"
    }, {
    n = 4
    m = null
  })
}
`,
		},
		{
			name: "compose", files: map[string]string{"compose.yaml": composeFile},
			later: []string{"TAG=1", "VERSION=9", "TOKEN=t", "VERSION="},
			want: `variable "TAG" {
  default = "dev"
}

variable "TOKEN" {
  type = string
}

variable "VERSION" {
  default = "1"
}

group "default" {
  targets = ["api", "web_site"]
}

target "api" {
  context = "api"
  args = {
    FIXED   = "x"
    TOKEN   = TOKEN
    VERSION = VERSION
  }
  tags      = ["acme/api:${TAG}"]
  platforms = ["linux/amd64"]
  secret = [{
    env = "TOKEN"
    id  = "token"
  }]
  output = [{
    dest = "out"
    type = "local"
  }]
}

target "web_site" {
  context = "web"
  contexts = {
    api = "target:api"
  }
  dockerfile-inline = <<EOF
FROM api
RUN echo $HOME
EOF
}
`,
		},
		{
			name: "compose with a bake file and .env", order: []string{"compose.yaml", "docker-bake.hcl"},
			files: map[string]string{
				".env":            "TAG=fromfile\n",
				"compose.yaml":    composeFile,
				"docker-bake.hcl": "variable \"X\" { default = \"1\" }\ntarget \"api\" {\n  args = { FIXED = X }\n}\ngroup \"default\" { targets = [\"api\"] }\n",
			},
			later: []string{"X=2", "TAG=3"},
		},
		{
			name:  "values where bake reads otherwise",
			files: map[string]string{"docker-bake.hcl": "variable \"V\" { default = \"1\" }\ntarget \"base\" { dockerfile-inline = \"FROM a:${V}\" }\ntarget \"app\" {\n  inherits = [\"base\"]\n  dockerfile = \"d\"\n}\n"},
			want: `target "base" {
  dockerfile-inline = "FROM a:1"
}

target "app" {
  dockerfile-inline = "FROM a:1"
}
`,
			notes: "replaced by their values",
		},
		{
			name:  "what is declared nowhere",
			files: map[string]string{"docker-bake.hcl": "group \"default\" {\n  targets = [\"app\", \"gone\"]\n}\ntarget \"app\" {\n  inherits = [\"docker-metadata-action\"]\n}\n"},
			want: `group "default" {
  targets = ["app"]
}

target "app" {
  inherits = ["docker-metadata-action"]
}

target "docker-metadata-action" {
}
`,
			notes: `target "docker-metadata-action" is inherited and declared nowhere`,
		},
		{
			name: "all attributes",
			files: map[string]string{"docker-bake.hcl": `target "base" {}
target "all" {
  annotations = ["index:a=b"]
  attest = ["type=provenance,mode=max", { type = "sbom", disabled = "true" }]
  cache-from = ["user/app:cache"]
  cache-to = [{ type = "local", dest = "c" }]
  call = "check"
  contexts = { base = "target:base" }
  entitlements = ["security.insecure"]
  extra-hosts = { h = "1.1.1.1" }
  labels = { a = null, b = "$${x}" }
  network = "host"
  no-cache = true
  no-cache-filter = ["a"]
  policy = [{ filename = "p", strict = true }, "disabled=true"]
  pull = false
  resources = { memory = "1g", cpu-shares = 5 }
  secret = ["id=a,src=b", { id = "c", env = "D" }]
  shm-size = "1g"
  ssh = ["default", "k=~/.ssh/x"]
}
target "all" { description = "second block" }
`},
		},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.run(t) })
	}
}

func (tt importCase) run(t *testing.T) {
	order := tt.order
	for name := range tt.files {
		if tt.order == nil {
			order = []string{name}
		}
	}
	im, err := importText(t, tt.files, order)
	if err != nil {
		t.Fatal(err)
	}
	if tt.want != "" && string(im.Text) != tt.want {
		t.Errorf("got:\n%s\nwant:\n%s", im.Text, tt.want)
	}
	if notes := strings.Join(im.Notes, "\n"); !strings.Contains(notes, tt.notes) || tt.notes == "" && notes != "" {
		t.Errorf("notes: %s", notes)
	}
	if slices.Contains(im.Targets, "docker-metadata-action") {
		return // bake can not resolve it
	}
	files := map[string]string{"build.hcl": string(im.Text)}
	for name, text := range tt.files {
		files[name] = text
	}
	plain := strings.NewReplacer(`"dockerfile":"d",`, "") // not looked at with dockerfile-inline
	for _, environ := range append(tt.later, "") {
		req := Request{Targets: im.Targets}
		before := outcome(t, files, LoadOptions{Files: order, Environ: []string{environ}, Mode: ModeBake}, req)
		after := outcome(t, files, LoadOptions{Files: []string{"build.hcl"}, Environ: []string{environ}}, req)
		if plain.Replace(before) != after || strings.HasPrefix(after, "error") {
			t.Errorf("with %q the files mean\n%s\nand what was imported\n%s\n%s", environ, before, after, im.Text)
		}
	}
}

// TestImportOfPolicies is apart because bake prints policies in words that it
// does not read.
func TestImportOfPolicies(t *testing.T) {
	text := "target \"a\" {\n  policy = [\"filename=x,strict=true\", \"reset=true,log-level=debug\"]\n}\ntarget \"a\" {}\n"
	im, err := importText(t, map[string]string{"docker-bake.hcl": text}, []string{"docker-bake.hcl"})
	if err != nil {
		t.Fatal(err)
	}
	s := &spec{name: "a", policy: []Policy{{Files: []string{"x"}, Strict: new(true)}, {Reset: true, LogLevel: "debug"}}}
	w := &declarationList{}
	w.add(specDeclaration(s))
	want := "target \"a\" {\n  policy = [\"filename=x,strict=true\", \"reset=true,log-level=debug\"]\n}\n"
	if got := string(w.bytes()); got != want || string(im.Text) != want {
		t.Errorf("got:\n%s\nand:\n%s\nwant:\n%s", got, im.Text, want)
	}
}

func TestImportProblems(t *testing.T) {
	for name, text := range map[string]string{
		"no syntax": "target {",
		"a cycle":   "target \"a\" { contexts = { b = \"target:b\" } }\ntarget \"b\" { contexts = { a = \"target:a\" } }",
		"a value":   "target \"a\" { shm-size = \"lots\" }",
	} {
		_, err := importText(t, map[string]string{"docker-bake.hcl": text}, []string{"docker-bake.hcl"})
		e, ok := errors.AsType[*Error](err)
		if !ok || len(e.Diags) == 0 || e.Diags[0].Subject.Start.Line == 0 {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := importText(t, nil, []string{"missing.hcl"}); err == nil {
		t.Error("a missing file is imported")
	}
}

func TestFormat(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"build.hcl", "target \"a\" {\ntags=[ \"x\" ]\n context  = \".\"\n}\n", "target \"a\" {\n  tags    = [\"x\"]\n  context = \".\"\n}\n"},
		{"build.hcl", "\xef\xbb\xbfa=1\n", "\xef\xbb\xbfa = 1\n"},
		{"-", "", ""},
		{"build.hcl", "target \"a\" {\n", "error: build.hcl:1:12: Unclosed configuration block"},
		{"build.hcl", "a = " + strings.Repeat("(", 1000), "error: build.hcl:1:255: Nested too deeply"},
		{"x.json", "{}", "error: x.json: Not HCL"},
	} {
		got, err := Format(tt.name, []byte(tt.text))
		text := string(got)
		if err != nil {
			text, _, _ = strings.Cut("error: "+err.Error(), ";")
		}
		if text != tt.want {
			t.Errorf("%.40q: got %q, want %q", tt.text, text, tt.want)
		}
	}
}
