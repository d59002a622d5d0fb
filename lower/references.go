package lower

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/strata-build/strata/config"
)

// maxDockerfile is how much of a Dockerfile is read to look for references.
const maxDockerfile = 4 << 20

// References lists what the Dockerfile of t reads from that is neither one of its
// stages nor a named context: FROM x, COPY --from=x and RUN --mount=from=x of the
// stages that t is made of. dir is where relative paths start. A Dockerfile that
// can not be read here, or is wrong, has none: lowering says so in full.
func References(dir string, t *config.Target) []config.Reference {
	req := &Request{Attrs: map[string]string{}, Locals: map[string]string{}, target: t, dir: dir}
	if req.setContext() != nil || req.foreign != "" || req.setDockerfile() != nil {
		return nil
	}
	data := req.Dockerfile
	if data == nil {
		var err error
		if data, err = readDockerfile(filepath.Join(req.Locals[localDockerfile], req.Attrs["filename"])); err != nil {
			return nil
		}
	}
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil || len(stages) == 0 {
		return nil
	}
	f := &finder{
		stages: stages, source: newSource(req, data), seen: map[int]bool{}, contexts: map[string]bool{},
		lex: shell.NewLex(ast.EscapeToken), env: firstArgs(t),
	}
	f.declare(meta, t.Args)
	for name := range t.Contexts {
		f.named(name)
	}
	if t.Steps != nil {
		for name := range t.Steps.Contexts {
			f.named(name)
		}
	}
	f.stage(f.last(t.Stage))
	return f.found
}

func readDockerfile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxDockerfile))
}

// A finder follows references from the stage that a target is.
type finder struct {
	stages   []instructions.Stage
	source   *Source
	seen     map[int]bool
	contexts map[string]bool // by the key that the front end looks up
	lex      *shell.Lex
	env      args
	found    []config.Reference
}

// args are the variables that are known in FROM.
type args map[string]string

func (a args) Get(k string) (string, bool) { v, ok := a[k]; return v, ok }

func (a args) Keys() []string {
	keys := make([]string, 0, len(a))
	for k := range a {
		keys = append(keys, k)
	}
	return keys
}

// firstArgs are the arguments that are there without ARG:
// https://docs.docker.com/reference/dockerfile/#automatic-platform-args-in-the-global-scope.
func firstArgs(t *config.Target) args {
	p := platforms.Normalize(platforms.DefaultSpec())
	env := args{"TARGETSTAGE": t.Stage}
	for _, side := range []string{"BUILD", "TARGET"} {
		if side == "TARGET" && len(t.Platforms) > 0 {
			if parsed, err := platforms.Parse(t.Platforms[0]); err == nil {
				p = platforms.Normalize(parsed)
			}
		}
		env[side+"PLATFORM"], env[side+"OS"] = platforms.FormatAll(p), p.OS
		env[side+"ARCH"], env[side+"VARIANT"], env[side+"OSVERSION"] = p.Architecture, p.Variant, p.OSVersion
	}
	return env
}

// declare evaluates the arguments before the first FROM.
func (f *finder) declare(meta []instructions.ArgCommand, given map[string]string) {
	for _, cmd := range meta {
		for _, arg := range cmd.Args {
			if v, ok := given[arg.Key]; ok {
				f.env[arg.Key] = v
			} else if arg.Value != nil {
				f.env[arg.Key], _, _ = f.lex.ProcessWord(*arg.Value, f.env)
			}
		}
	}
}

// named notes a named context; those for one platform are NAME::PLATFORM.
func (f *finder) named(name string) {
	name, _, _ = strings.Cut(name, "::")
	f.contexts[contextKey(name)] = true
}

// last is the stage called name, or the last one.
func (f *finder) last(name string) int {
	if i, ok := instructions.HasStage(f.stages, name); ok && name != "" {
		return i
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(f.stages) {
		return i
	}
	return len(f.stages) - 1
}

func (f *finder) stage(i int) {
	st := f.stages[i]
	if f.seen[i] || st.Name != "" && f.contexts[contextKey(st.Name)] {
		return
	}
	f.seen[i] = true
	res, err := f.lex.ProcessWordWithMatches(st.BaseName, f.env)
	if err == nil && len(res.Unmatched) == 0 && res.Result != "" {
		f.follow(res.Result, st.Location, i)
	}
	for _, c := range st.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			f.other(c.From, c.Location(), i)
		case *instructions.RunCommand:
			// Mounts are read only when variables are expanded.
			_ = c.Expand(func(word string) (string, error) { return word, nil })
			for _, m := range instructions.GetMounts(c) {
				f.other(m.From, c.Location(), i)
			}
		}
	}
}

// other follows what stage i takes files from.
func (f *finder) other(name string, loc []parser.Range, i int) {
	if name == "" || strings.Contains(name, "$") {
		return
	}
	if j, err := strconv.Atoi(name); err == nil {
		if j >= 0 && j < i {
			f.stage(j)
		}
		return
	}
	f.follow(name, loc, i)
}

// follow goes to the stage before i that is called name, or notes a reference.
func (f *finder) follow(name string, loc []parser.Range, i int) {
	if j, ok := instructions.HasStage(f.stages[:i], name); ok {
		f.stage(j)
		return
	}
	if f.contexts[contextKey(name)] || strings.EqualFold(name, "scratch") {
		return
	}
	line := 0
	if len(loc) > 0 {
		line = loc[0].Start.Line
	}
	at := f.source.Place(line)
	ref := config.Reference{Name: name, File: at.File, Line: at.Line}
	if !f.source.InBuildFile() {
		ref.Text = f.source.Data
	}
	f.found = append(f.found, ref)
}
