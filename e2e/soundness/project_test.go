package soundness

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A project is a random tree of targets. What is not in files on disk is here,
// and goes to disk by write.
type project struct {
	dir  string
	rng  *rand.Rand
	host string // of the registry

	published bool // all images go there, and most targets stand on others

	model
}

// A model is what the build file and the Dockerfiles are made of.
type model struct {
	Targets  []*target
	Base     string // image that stands in for a system
	Contexts map[string]string
	Ignores  map[string]string // ignore files of named contexts
	Unique   int               // counts what was made, so that names and contents differ
}

// A target is one target of the build file, or two that a matrix makes.
type target struct {
	Name, Context string
	Tag           string
	Kind          string // of its output: image, registry, oci, local
	From          string // scratch, the base image, or a target
	Parent        string // a target that it copies from, "" if none
	First, Main   []instruction
	Never         string // an instruction of a stage that nobody needs
	Comment       string
	Args, Labels  map[string]string
	Steps         bool // in the build file, not in a Dockerfile
	Matrix        bool
	Platforms     bool   // two of them
	Provenance    bool   // an attestation, for which the engine's own front end reads the Dockerfile
	Ignore        string // .dockerignore, "" if there is none
	OwnIgnore     string // Dockerfile.dockerignore
}

// An instruction in both of its forms. One without a step is for Dockerfiles.
type instruction struct{ Text, Step string }

// outputs are the targets' names, those of a matrix included.
func (t *target) outputs() []string {
	if t.Matrix {
		return []string{t.Name + "-1", t.Name + "-2"}
	}
	return []string{t.Name}
}

func pick[T any](rng *rand.Rand, list ...T) T { return list[rng.IntN(len(list))] }

// likely is true n times out of 100.
func (p *project) likely(n int) bool { return p.rng.IntN(100) < n }

func (p *project) unique() int { p.Unique++; return p.Unique }

// grow makes a new project in dir.
func grow(dir, host, base string, rng *rand.Rand, published bool) (*project, error) {
	p := &project{dir: dir, rng: rng, host: host, published: published}
	p.Base = base
	p.Contexts = map[string]string{"shared": "shared", "other": "other"}
	p.Ignores = map[string]string{"shared": p.newIgnore(), "other": ""}
	for i := range 5 + rng.IntN(3) {
		p.Targets = append(p.Targets, p.newTarget(i))
	}
	for _, dir := range p.contexts() {
		if err := p.fill(dir); err != nil {
			return nil, err
		}
	}
	return p, p.write()
}

// contexts are the directories that targets read.
func (p *project) contexts() []string {
	dirs := []string{"shared", "other"}
	for _, t := range p.Targets {
		if !slices.Contains(dirs, t.Context) {
			dirs = append(dirs, t.Context)
		}
	}
	return dirs
}

// parents is how many of 100 targets stand on another one.
func (p *project) parents() int {
	if p.published {
		return 70
	}
	return 35
}

func (p *project) newTarget(i int) *target {
	t := &target{
		Name: fmt.Sprintf("t%d", i), Context: fmt.Sprintf("ctx%d", i), Tag: "1", From: "scratch",
		Kind: pick(p.rng, "image", "image", "registry", "oci", "local"),
		Args: map[string]string{"SOURCE_DATE_EPOCH": "1"}, Labels: map[string]string{},
		Steps: p.likely(20), Matrix: p.likely(15), Ignore: p.newIgnore(),
	}
	if p.published {
		t.Kind = "registry"
	}
	if i > 0 && p.likely(12) { // the same under another name
		twin := *p.Targets[p.rng.IntN(i)]
		twin.Name, twin.Args, twin.Labels = t.Name, maps.Clone(twin.Args), maps.Clone(twin.Labels)
		twin.First, twin.Main = slices.Clone(twin.First), slices.Clone(twin.Main)
		return &twin
	}
	if i == 0 && p.likely(30) {
		t.Context = "." // all that there is
		t.Ignore = "out\nctx*\n"
	}
	if i > 1 && p.likely(20) {
		t.Context = p.Targets[p.rng.IntN(i)].Context // with a Dockerfile of its own
	}
	if p.likely(20) {
		t.OwnIgnore = p.newIgnore()
	}
	switch {
	case i > 0 && p.likely(p.parents()):
		if parent := p.Targets[p.rng.IntN(i)]; !parent.Matrix {
			t.From = parent.Name
		}
	case p.likely(30):
		t.From = "system"
	case p.likely(10):
		t.From = "shared"
	}
	t.Provenance = t.Kind == "registry" && p.likely(35)
	t.Platforms = t.From == "scratch" && t.Kind == "oci" && p.likely(50)
	if i > 0 && p.likely(30) {
		if parent := p.Targets[p.rng.IntN(i)]; !parent.Matrix && parent.Name != t.From && !t.Platforms {
			t.Parent = parent.Name
		}
	}
	if p.likely(35) && !t.Steps {
		t.First = []instruction{p.newCopy(), p.newCopy()}
	}
	if p.likely(30) {
		t.Never = pick(p.rng, "COPY *.go /", "COPY sub /s", "ENV A=b")
	}
	for range 2 + p.rng.IntN(4) {
		t.Main = append(t.Main, p.newInstruction(t))
	}
	t.Main = append(t.Main, p.newCopy()) // an image has a layer
	if t.Matrix || p.likely(30) {
		t.Args["V0"] = "0"
	}
	return t
}

var ignores = []string{
	"", "", "*.log\nignored\n", "**/*.log\n!keep.log\n", "*\n!*.txt\n!sub\n!exe.sh\n!*link\n", "# words\n*.log\n", "sub/deep\n!sub/deep/z\n",
	"*.md\nignored/**\n", "out\n.dockerignore\n*Dockerfile*\n",
}

func (p *project) newIgnore() string { return pick(p.rng, ignores...) }

// copies are instructions that take files. %d becomes a number.
var copies = []instruction{
	{"COPY a.txt /a%d", `copy = ["a.txt", "/a%d"]`},
	{"COPY . /all%d/", `copy = [".", "/all%d/"]`},
	{"COPY sub /sub%d", `copy = ["sub", "/sub%d"]`},
	{"COPY sub/deep sub/x.txt /d%d/", `copy = ["sub/deep", "sub/x.txt", "/d%d/"]`},
	{"COPY *.txt /txt%d/", `copy = ["*.txt", "/txt%d/"]`},
	{"COPY s*/?.txt /wild%d/", `copy = ["s*/?.txt", "/wild%d/"]`},
	{"COPY --link sub/x.txt /l%d/", `
    copy = ["sub/x.txt", "/l%d/"]
    link = true
  `},
	{"COPY --link sub /ls%d", ""},
	{"COPY --parents sub/deep/z a.txt /p%d/", ""},
	{"COPY --parents sub/./deep/* /p%d/", ""},
	{"COPY --exclude=*.md --exclude=*.log . /nomd%d/", `
    copy    = [".", "/nomd%d/"]
    exclude = ["*.md", "*.log"]
  `},
	{"COPY --exclude=deep sub /nodeep%d/", ""},
	{"COPY flink /f%d", ""},
	{"COPY dlink /dl%d", ""},
	{"COPY dlink/x.txt /via%d", `copy = ["dlink/x.txt", "/via%d"]`},
	{"COPY *link /links%d/", ""},
	{"COPY dlink/*.txt /dw%d/", ""},
	{"COPY sub/up nolink /up%d/", ""},
	{"ADD b.txt /add%d", `add = ["b.txt", "/add%d"]`},
	{"ADD --chmod=640 sub /addsub%d", ""},
	{"COPY --chmod=600 b.txt /m%d", `
    copy  = ["b.txt", "/m%d"]
    chmod = "600"
  `},
	{"COPY --chown=1:2 exe.sh /o%d", ""},
	{"COPY --from=shared a.txt /sh%d", `
    copy = ["a.txt", "/sh%d"]
    from = "shared"
  `},
	{"COPY --from=shared sub /ss%d", ""},
	{"COPY --from=other *.txt /ot%d/", ""},
	{"COPY --from=system /bin/busybox /bb%d", `
    copy = ["/bin/busybox", "/bb%d"]
    from = "system"
  `},
	{"COPY <<EOF /here%d\nhello $V0\nEOF", ""},
}

// others change the image's config, or run a program.
var others = []instruction{
	{"ENV E%d=v", `env = { E%d = "v" }`},
	{"ENV F%d=$V0", ""},
	{"LABEL l%d=v", `label = { l%d = "v" }`},
	{"WORKDIR /w%d", `workdir = "/w%d"`},
	{"EXPOSE 8%d", ""},
	{`CMD ["/c%d"]`, `cmd = ["/c%d"]`},
	{"USER 1%d", ""},
}

var runs = []instruction{
	{"RUN --mount=type=bind,source=sub,target=/m cat /m/x.txt > /tmp/r%d", ""},
	{"RUN --mount=type=bind,from=shared,target=/m cp /m/a.txt /tmp/s%d", ""},
	{"RUN --mount=type=bind,from=shared,source=sub/deep,target=/m ls /m > /tmp/d%d", ""},
	{"RUN --mount=type=bind,target=/m cat /m/dlink/x.txt > /tmp/v%d", ""},
	{"RUN echo $V0 > /tmp/e%d", `run = "echo $V0 > /tmp/e%d"`},
}

func (p *project) numbered(in instruction) instruction {
	n := fmt.Sprint(p.unique())
	return instruction{strings.Replace(in.Text, "%d", n, 1), strings.Replace(in.Step, "%d", n, 1)}
}

func (p *project) newCopy() instruction { return p.numbered(pick(p.rng, copies...)) }

func (p *project) newInstruction(t *target) instruction {
	switch {
	case t.From == "system" && p.likely(30):
		return p.numbered(pick(p.rng, runs...))
	case p.likely(25):
		return p.numbered(pick(p.rng, others...))
	}
	return p.newCopy()
}

// fill makes the files of a context.
func (p *project) fill(dir string) error {
	at := func(name string) string { return filepath.Join(p.dir, dir, name) }
	for _, d := range []string{"sub/deep", "alt/deep", "empty", "ignored"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			return err
		}
	}
	for _, f := range []string{"a.txt", "b.txt", "h1.txt", "words.md", "main.go", "keep.log", "run.log", "exe.sh", "sub/x.txt", "sub/y.txt", "sub/n.md", "sub/deep/z", "alt/x.txt", "alt/y.txt", "alt/deep/z", "ignored/i"} {
		if err := p.put(at(f)); err != nil {
			return err
		}
	}
	for link, to := range map[string]string{"flink": "a.txt", "dlink": "sub", "nolink": "nowhere", "sub/up": "../b.txt"} {
		if err := os.Symlink(to, at(link)); err != nil {
			return err
		}
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(at("sub/y.txt"), old, old); err != nil {
		return err
	}
	if err := os.Chmod(at("exe.sh"), 0o755); err != nil {
		return err
	}
	return os.Link(at("h1.txt"), at("h2.txt"))
}

// put writes a file of new content; all have the same size.
func (p *project) put(name string) error {
	return os.WriteFile(name, fmt.Appendf(nil, "content %06d\n", p.unique()), 0o644)
}

// write writes build file, Dockerfiles and ignore files, each only if it has
// changed.
func (p *project) write() error {
	files := map[string]string{"build.hcl": p.buildFile()}
	for _, t := range p.Targets {
		script := filepath.Join(t.Context, t.dockerfile())
		files[filepath.Join(t.Context, ".dockerignore")] = ""
		files[script+".dockerignore"] = ""
		if !t.Steps {
			files[script] = t.script()
			files[script+".dockerignore"] = t.ignoring(t.OwnIgnore)
		}
	}
	for _, t := range p.Targets {
		files[filepath.Join(t.Context, ".dockerignore")] = t.ignoring(cmp.Or(t.Ignore, t.always())) // of several, the last one's
	}
	for dir, text := range p.Ignores {
		name := filepath.Join(dir, ".dockerignore")
		files[name] = cmp.Or(files[name], text)
	}
	for name, text := range files {
		full := filepath.Join(p.dir, name)
		had, err := os.ReadFile(full)
		switch {
		case text == "" && err == nil:
			err = os.Remove(full)
		case text == "":
			err = nil
		case err != nil || string(had) != text:
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// always are the patterns without which a target would read what is built.
func (t *target) always() string {
	if t.Context == "." {
		return "out\n"
	}
	return ""
}

// ignoring is an ignore file with these patterns, "" if it is none.
func (t *target) ignoring(patterns string) string {
	if patterns == "" {
		return ""
	}
	return patterns + t.always()
}

func (t *target) dockerfile() string { return t.Name + ".Dockerfile" }

// script is the Dockerfile.
func (t *target) script() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# %s", t.Comment)
	if t.Never != "" {
		line("FROM scratch AS never\n%s", t.Never)
	}
	if t.First != nil {
		line("FROM scratch AS first")
		for _, in := range t.First {
			line("%s", in.Text)
		}
	}
	line("FROM %s\nARG V0=default", t.From)
	for _, in := range t.Main {
		line("%s", in.Text)
	}
	if t.First != nil {
		line("COPY --from=first / /first/")
	}
	if t.Parent != "" {
		line("COPY --from=%s / /parent/", t.Parent)
	}
	return b.String()
}

func (p *project) buildFile() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("variable \"OUT\" {\n  default = \"planned\"\n}")
	var names []string
	for _, t := range p.Targets {
		for _, name := range t.outputs() {
			names = append(names, fmt.Sprintf("%q", name))
		}
	}
	line("group \"default\" {\n  targets = [%s]\n}", strings.Join(names, ", "))
	for _, t := range p.Targets {
		p.writeTarget(line, t)
	}
	return b.String()
}

func (p *project) writeTarget(line func(string, ...any), t *target) {
	line("target %q {", t.Name)
	name := t.Name
	args := maps.Clone(t.Args)
	if t.Matrix {
		line("  name   = \"%s-${v}\"\n  matrix = { v = [\"1\", \"2\"] }", t.Name)
		name += "-${v}"
	}
	line("  context = %q", t.Context)
	if t.Platforms {
		line("  platforms = [\"linux/amd64\", \"linux/arm64\"]")
	}
	if t.Provenance {
		line("  attest = [\"type=provenance,mode=min\"]")
	}
	if !t.Steps {
		line("  dockerfile = %q", t.dockerfile())
	}
	contexts := maps.Clone(p.Contexts)
	contexts["system"] = "docker-image://" + p.Base
	for _, parent := range []string{t.From, t.Parent} {
		if strings.HasPrefix(parent, "t") {
			contexts[parent] = "target:" + parent
		}
	}
	line("  contexts = {")
	for _, k := range slices.Sorted(maps.Keys(contexts)) {
		line("    %s = %q", k, contexts[k])
	}
	line("  }\n  args = {")
	for _, k := range slices.Sorted(maps.Keys(args)) {
		value := fmt.Sprintf("%q", args[k])
		if t.Matrix && k == "V0" {
			value = fmt.Sprintf("\"${v}-%s\"", args[k])
		}
		line("    %s = %s", k, value)
	}
	line("  }\n  labels = {")
	for _, k := range slices.Sorted(maps.Keys(t.Labels)) {
		line("    %s = %q", k, t.Labels[k])
	}
	line("  }\n  tags = [%q]", p.tag(t, "${OUT}", name))
	line("  output = [%q]", p.output(t, "${OUT}", name))
	if t.Steps {
		line("  step { from = %q }\n  step { arg = \"V0=default\" }", t.From)
		for _, in := range t.Main {
			if in.Step != "" {
				line("  step { %s }", in.Step)
			}
		}
		if t.Parent != "" {
			line("  step {\n    copy = [\"/\", \"/parent/\"]\n    from = %q\n  }", t.Parent)
		}
	}
	line("}")
}

// tag is the tag of an output in the builds called out.
func (p *project) tag(t *target, out, name string) string {
	return fmt.Sprintf("%s/%s/%s/%s:%s", p.host, filepath.Base(p.dir), out, name, t.Tag)
}

func (p *project) output(t *target, out, name string) string {
	const form = "rewrite-timestamp=true"
	switch t.Kind {
	case "oci":
		return fmt.Sprintf("type=oci,dest=%s,%s", p.dest(t, out, name), form)
	case "local":
		return fmt.Sprintf("type=local,dest=%s", p.dest(t, out, name))
	}
	return "type=" + t.Kind + "," + form
}

// dest is the place of an archive or a directory, from the project.
func (p *project) dest(t *target, out, name string) string {
	if t.Kind == "oci" {
		name += ".tar"
	}
	return filepath.Join("out", out, name)
}

// A snapshot is a project as it was once.
type snapshot struct {
	model []byte
	files string // directory
}

// describe is the whole project for a person.
func (p *project) describe() string {
	b, err := json.MarshalIndent(p.model, "", "  ")
	if err != nil {
		return err.Error()
	}
	return p.buildFile() + "\n" + string(b)
}
