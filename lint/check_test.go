package lint

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/strata-build/strata/config"
)

// images answers for base images; those it does not have do not exist.
type images map[string]ocispec.ImageConfig

func (m images) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	cfg, ok := m[ref]
	if !ok {
		return "", "", nil, errors.New("no such image")
	}
	data, err := json.Marshal(ocispec.Image{Platform: *opt.ImageOpt.Platform, Config: cfg, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("x")}}})
	return ref, digest.FromString(ref), data, err
}

const resolved = `
-- build.hcl --
target "known" {
  dockerfile-inline = <<EOT
FROM alpine:3.20
RUN echo $UNKNOWN
ENV A=$KNOWN
# FINDING: UndefinedVar
ENV B=$UNKNOWN
EOT
}

target "child" {
  contexts          = { known = "target:known" }
  dockerfile-inline = <<EOT
FROM known
# FINDING: UndefinedVar
ENV B=$UNKNOWN
EOT
}

target "gone" {
  dockerfile-inline = <<EOT
# FINDING: unresolved-base
FROM acme/gone:1
# FINDING: ssh-port
EXPOSE 22
ENV NOT=$JUDGED
EOT
}
`

func TestResolver(t *testing.T) {
	ar := txtar.Parse([]byte(resolved))
	rep := check(t, unpack(t, ar), Options{Ignore: []string{"unpinned-base"}, Resolver: images{
		"docker.io/library/alpine:3.20": {Env: []string{"KNOWN=1"}, WorkingDir: "/home"},
	}})
	if got, want := found(rep), expected(ar); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "--resolve") {
		t.Errorf("notes: %q", rep.Notes)
	}
}

func TestDenied(t *testing.T) {
	ar := txtar.Parse([]byte("-- build.hcl --\ntarget \"out\" {\n  args = { TOKEN = \"\" }\n  dockerfile = \"../x\"\n}\ntarget \"in\" {\n  contexts = { out = \"target:out\" }\n  dockerfile-inline = \"FROM out\"\n}\n"))
	rep := check(t, unpack(t, ar), Options{Denied: map[string]string{"out": "fs.read=/x"}})
	if got := found(rep); !slices.Equal(got, []string{"build.hcl:2 secret-in-build"}) {
		t.Errorf("got %q", got)
	}
	if len(rep.Notes) != 1 || !strings.Contains(rep.Notes[0], "--allow fs.read=/x grants it") {
		t.Errorf("notes: %q", rep.Notes)
	}
}

func TestCanceled(t *testing.T) {
	dir := unpack(t, txtar.Parse([]byte("-- build.hcl --\ntarget \"default\" {}\n-- Dockerfile --\nFROM scratch\n")))
	cfg, err := config.Load(context.Background(), config.LoadOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(config.Request{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	cancel(stop)
	if _, err := Check(ctx, cfg, sel, Options{Dir: dir}); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

// TestSecretsStaySecret keeps what is found out of all that is printed.
func TestSecretsStaySecret(t *testing.T) {
	const key = "ghp_abcdefghijklmnopqrstuvwxyz0123456789"
	ar := txtar.Parse([]byte("-- build.hcl --\ntarget \"default\" {\n  args = { URL = \"https://me:" + key + "@x/\" }\n}\n-- Dockerfile --\nFROM scratch\nARG URL\nRUN use " + key + "\n"))
	rep := check(t, unpack(t, ar), Options{})
	if rep.Count(Error) != 2 {
		t.Errorf("found %q", found(rep))
	}
	for name, write := range map[string]func(*strings.Builder) error{
		"text":   func(b *strings.Builder) error { return rep.WriteText(b, true, 0) },
		"json":   func(b *strings.Builder) error { return rep.WriteJSON(b) },
		"github": func(b *strings.Builder) error { return rep.WriteGitHub(b) },
		"sarif":  func(b *strings.Builder) error { return rep.WriteSARIF(b, "1") },
	} {
		var b strings.Builder
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "abcdefghij") {
			t.Errorf("%s shows the key:\n%s", name, b.String())
		}
	}
}

func TestAllows(t *testing.T) {
	for _, tt := range []struct {
		pattern, image string
		want           bool
	}{
		{"official", "alpine", true},
		{"official", "docker.io/library/alpine:3", true},
		{"official", "acme/alpine", false},
		{"official", "ghcr.io/library/alpine", false},
		{"alpine", "alpine:3.20@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1", true},
		{"alpine:3.*", "alpine:3.20", true},
		{"alpine:3.*", "alpine:edge", false},
		{"alpine", "alpine-evil", false},
		{"a.pine", "alpine", false},
		{"ghcr.io/acme/*", "ghcr.io/acme/x", true},
		{"ghcr.io/acme/*", "ghcr.io/acme/x/y", false},
		{"ghcr.io/acme/**", "ghcr.io/acme/x/y:1", true},
		{"ghcr.io/acme/**", "ghcr.io/acme-evil/x", false},
		{"**", "anything/at:all", true},
		{"localhost:5000/*", "localhost:5000/x", true},
	} {
		n, err := reference.ParseNormalizedNamed(tt.image)
		if err != nil {
			t.Fatal(err)
		}
		if got := allows(tt.pattern, n); got != tt.want {
			t.Errorf("%s allows %s: %t", tt.pattern, tt.image, got)
		}
	}
}

func TestTellsSecret(t *testing.T) {
	for name, want := range map[string]bool{
		"PASSWORD": true, "db_password": true, "NPM_TOKEN": true, "AWS_SECRET_ACCESS_KEY": true, "API_KEY": true, "apikey": true, "AUTH": true,
		"PASSWORD_FILE": false, "TOKENIZERS": false, "MONKEY": false, "GPG_KEY": false, "PUBLIC_KEY": false, "KEY_ID": false, "AUTHOR": false,
	} {
		if tellsSecret(name) != want {
			t.Errorf("%s tells of a secret: %t", name, !want)
		}
	}
}

func TestInstalls(t *testing.T) {
	for text, want := range map[string]string{
		"apt-get install -y x":                     "apt",
		"apt-get -y -q install x && npm ci":        "apt npm",
		"apk --no-cache add curl":                  "apk",
		"python -m pip install -r x":               "pip",
		"yarn":                                     "yarn",
		"yarn && true":                             "yarn",
		"yarn build":                               "",
		"go mod download -x":                       "go",
		"./mvnw -q package":                        "mvn",
		"cargo build":                              "",
		"npm run install-hooks":                    "",
		"echo apt-get; install -d /x":              "",
		"php composer.phar install --no-dev":       "composer",
		"bundle config set x y\nbundle install -j": "bundle",
	} {
		if got := strings.Join(installs(text), " "); got != want {
			t.Errorf("%q installs with %q, not %q", text, got, want)
		}
	}
}

func TestIgnoredIn(t *testing.T) {
	src := `a = 1 # strata:ignore=x,y because
# strata:ignore=z
# more words

b = 2
// strata:ignore=p
# strata:ignore=q
c = 3 # strata:ignore=r
d = "strata:ignore=s"
RUN x # strata:ignore=t
`
	var got []string
	for i, ids := range ignoredIn([]byte(src)) {
		if len(ids) > 0 {
			got = append(got, strings.Join(append([]string{string(rune('1' + i))}, ids...), " "))
		}
	}
	want := []string{"1 x y", "4 z", "8 r p q", ": t"} // there is nothing to silence in line 4
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithin(t *testing.T) {
	src := []byte("FROM a\n  RUN \\\n# sudo\n    visudo; sudo x\né sudo\n")
	r := &run{sources: map[string][]byte{"f": src}, texts: map[string]*text{}}
	at := func(p hcl.Range) string { return string(src[p.Start.Byte:p.End.Byte]) }
	for _, tt := range []struct {
		first, last int
		word        string
		line, col   int
		text        string
	}{
		{1, 1, "a", 1, 6, "a"},
		{2, 4, "sudo", 4, 13, "sudo"},
		{2, 4, "visudo", 4, 5, "visudo"},
		{2, 4, "none", 2, 3, "RUN \\"},
		{5, 5, "sudo", 5, 3, "sudo"},
	} {
		p := r.lines("f", tt.first, tt.last, tt.word)
		if p.Start.Line != tt.line || p.Start.Column != tt.col || at(p) != tt.text {
			t.Errorf("%q in lines %d to %d is at %v %q", tt.word, tt.first, tt.last, p, at(p))
		}
	}
	for _, line := range []int{0, 99} {
		if p := r.lines("f", line, line, "a"); p.Start.Line != line || p.Start.Byte != 0 {
			t.Errorf("line %d is at %v", line, p)
		}
	}
}

// TestWalk looks at what is hard to put into an archive.
func TestWalk(t *testing.T) {
	dir := unpack(t, txtar.Parse([]byte("-- .dockerignore --\nout\n!out/keep\n-- out/big --\n-- out/keep --\n-- sub/x.pem --\n-- id_rsa --\n-----BEGIN PRIVATE KEY-----\n")))
	if err := errors.Join(os.Symlink("/", filepath.Join(dir, "root")), os.Symlink("id_rsa", filepath.Join(dir, "identity")), os.Mkdir(filepath.Join(dir, ".git"), 0o755)); err != nil {
		t.Fatal(err)
	}
	got := walk(dir, ignoreFile(dir, dir, "Dockerfile"))
	if got.files != 4 || !got.ignored || !got.git || !got.whole || !slices.Equal(got.keys, []string{"id_rsa"}) {
		t.Errorf("got %+v", got)
	}
	for i := range largeFiles {
		if err := os.WriteFile(filepath.Join(dir, "sub", strconv.Itoa(i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := walk(dir, ""); !got.large() || got.bytes > 1000 {
		t.Errorf("%d files of %d bytes are few", got.files, got.bytes)
	}
}

func TestPrinting(t *testing.T) {
	rep := &Report{Findings: []Finding{
		{Rule: "a", Severity: Error, Title: "No place", Message: "50%\nof it\x1b[2J."},
		{Rule: "b", Severity: Info, Title: "Whole, file:", Message: "m.", Fix: "f.", URL: "https://x/", Targets: []string{"t"}, Place: hcl.Range{Filename: "/a b/x"}},
		{Rule: "a", Severity: Warning, Title: "No place", Message: "n.", Place: hcl.Range{Filename: "gone", Start: hcl.Pos{Line: 3}, End: hcl.Pos{Line: 2}}},
	}, Notes: []string{"something"}, Targets: 1}
	var b strings.Builder
	if err := errors.Join(rep.WriteText(&b, false, 40), rep.WriteGitHub(&b), rep.WriteSARIF(&b, "1"), rep.WriteJSON(&b)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Error: No place [a]\n\n  50% of it\ufffd[2J.\n\nt\n\nInfo: Whole, file: [b]\n\n  /a b/x\n  m. f.\n  https://x/\n",
		"Note: something.\n1 error, 1 warning, 1 info in 1 target.\n",
		"::error title=No place [a]::50%25%0Aof it",
		"::notice file=/a b/x,title=Whole%2C file%3A [b]::m. f. (target t)\n",
		"::warning file=gone,line=3,endLine=3,title=No place [a]::n.\n",
		`"uri": "file:///a%20b/x"`,
		`"level": "note"`,
		`"targets": []`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
	none := &Report{Targets: 2}
	b.Reset()
	if err := none.WriteText(&b, true, 0); err != nil || b.String() != "No problems in 2 targets.\n" {
		t.Errorf("got %q", b.String())
	}
	if none.Reaches(Info) || !rep.Reaches(Error) {
		t.Error("Reaches is wrong")
	}
}

func TestParseSeverity(t *testing.T) {
	for _, s := range []Severity{Info, Warning, Error} {
		if got, err := ParseSeverity(s.String()); err != nil || got != s {
			t.Errorf("%v: %v %v", s, got, err)
		}
	}
	if _, err := ParseSeverity("fatal"); err == nil {
		t.Error("fatal is a severity")
	}
}
