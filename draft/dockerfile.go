package draft

import (
	"bytes"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// maxDockerfile is more than anybody writes.
const maxDockerfile = 1 << 20

// read adds a target for a Dockerfile, or notes why it can not.
func (d *drafter) read(file string) {
	stages, meta, escape, err := d.parse(file)
	if err != nil {
		d.note("%s is left out: %v", file, err)
		return
	}
	t := &target{file: file, links: map[string]string{}}
	env := &known{values: platformArgs(), lex: shell.NewLex(escape)}
	for _, c := range meta {
		for _, a := range c.Args {
			if a.Value != nil {
				env.values[a.Key] = env.expand(*a.Value)
			}
		}
	}
	var sources []string
	for i, st := range stages {
		base := env.expand(st.BaseName)
		if base == "" {
			d.note("%s:%d starts from %s, an argument without a value: set it in args", file, st.Location[0].Start.Line, st.BaseName)
		}
		refs := []string{base}
		for _, c := range st.Commands {
			local, from := reads(c)
			sources, refs = append(sources, local...), append(refs, from...)
		}
		for _, ref := range refs {
			_, isStage := instructions.HasStage(stages[:i], ref)
			if ref != "" && !isStage && !slices.Contains(t.refs, ref) && strings.Trim(ref, "0123456789") != "" {
				t.refs = append(t.refs, ref)
			}
		}
	}
	t.context = d.context(file, sources)
	d.targets = append(d.targets, t)
}

func (d *drafter) parse(file string) ([]instructions.Stage, []instructions.ArgCommand, rune, error) {
	f, err := os.Open(filepath.Join(d.dir, filepath.FromSlash(file)))
	if err != nil {
		return nil, nil, 0, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxDockerfile))
	if err != nil {
		return nil, nil, 0, err
	}
	ast, err := parser.Parse(bytes.NewReader(data))
	if err != nil {
		return nil, nil, 0, err
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	return stages, meta, ast.EscapeToken, err
}

// known are the arguments whose values are known.
type known struct {
	values map[string]string
	lex    *shell.Lex
}

func (k *known) Get(name string) (string, bool) { v, ok := k.values[name]; return v, ok }
func (k *known) Keys() []string                 { return slices.Sorted(maps.Keys(k.values)) }

// platformArgs are the arguments that the front end sets.
func platformArgs() map[string]string {
	p := platforms.Normalize(platforms.DefaultSpec())
	out := map[string]string{"TARGETSTAGE": ""}
	for _, side := range []string{"BUILD", "TARGET"} {
		out[side+"PLATFORM"], out[side+"OS"], out[side+"ARCH"], out[side+"VARIANT"] = platforms.FormatAll(p), p.OS, p.Architecture, p.Variant
	}
	return out
}

// expand is word with its variables replaced, or "" if one is unknown.
func (k *known) expand(word string) string {
	res, err := k.lex.ProcessWordWithMatches(word, k)
	if err != nil || len(res.Unmatched) > 0 {
		return ""
	}
	return res.Result
}

// reads lists what an instruction reads: paths of the build context, and names
// of stages and images.
func reads(c instructions.Command) (local, from []string) {
	switch c := c.(type) {
	case *instructions.CopyCommand:
		if c.From != "" {
			return nil, []string{c.From}
		}
		local = c.SourcePaths
	case *instructions.AddCommand:
		local = c.SourcePaths
	case *instructions.RunCommand:
		// Mounts are read only when variables are expanded.
		_ = c.Expand(func(word string) (string, error) { return word, nil })
		for _, m := range instructions.GetMounts(c) {
			if m == nil {
				continue
			}
			if m.From != "" {
				from = append(from, m.From)
			} else if m.Type == instructions.MountTypeBind {
				local = append(local, m.Source)
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(local), func(p string) bool {
		return strings.Contains(p, "://") || strings.Contains(p, "$") || strings.HasPrefix(p, "git@")
	}), from
}

// context is the directory that has what the Dockerfile copies: its own, or the
// nearest one above. One that has nothing but Dockerfiles is none.
func (d *drafter) context(file string, sources []string) string {
	own := path.Dir(file)
	for dir := own; ; dir = path.Dir(dir) {
		missing := d.missing(dir, sources)
		if missing == "" && (len(sources) == 0 || dir == "." || !d.bare(dir)) {
			return dir
		}
		if dir == "." {
			d.note("%s copies %s, which is in no directory above it", file, d.missing(own, sources))
			return own
		}
	}
}

// missing is the first of sources that dir does not have, or "".
func (d *drafter) missing(dir string, sources []string) string {
	for _, s := range sources {
		full := filepath.Join(d.dir, filepath.FromSlash(dir), filepath.FromSlash(path.Clean("/"+s)))
		if _, err := os.Lstat(full); err != nil && !strings.ContainsAny(s, "*?[") { // a pattern may match nothing
			return s
		}
	}
	return ""
}

// bare reports whether dir holds nothing but Dockerfiles and what belongs to them.
func (d *drafter) bare(dir string) bool {
	entries, err := os.ReadDir(filepath.Join(d.dir, filepath.FromSlash(dir)))
	if err != nil {
		return false
	}
	return !slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		name := e.Name()
		return e.IsDir() || !isDockerfile(name) && !strings.HasSuffix(name, ".dockerignore") && !strings.EqualFold(path.Ext(name), ".md")
	})
}

// link maps images that another Dockerfile makes to its target. A link that
// would close a circle is left out.
func (d *drafter) link() {
	for _, t := range d.targets {
		for _, ref := range t.refs {
			for _, to := range d.targets {
				if to != t && d.makes(to, ref) && !d.needs(to, t) {
					t.links[ref] = to.name
					break
				}
			}
		}
	}
}

// makes reports whether ref looks like the image of t: its name alone, without a
// version, or its name in this project's namespace.
func (d *drafter) makes(t *target, ref string) bool {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return false
	}
	if _, pinned := named.(reference.Digested); pinned {
		return false
	}
	name := imageName(t.name)
	last := path.Base(reference.Path(named))
	if reference.FamiliarName(named) == name {
		tagged, ok := named.(reference.Tagged)
		return !ok || slices.Contains([]string{"latest", "dev", "local"}, tagged.Tag())
	}
	if last == d.project+"-"+name || last == d.project+"_"+name {
		return true
	}
	return last == name && slices.Contains(strings.Split(path.Dir(reference.Path(named)), "/"), d.project)
}

// needs reports whether t needs other, over however many links.
func (d *drafter) needs(t, other *target) bool {
	for _, name := range t.links {
		for _, to := range d.targets {
			if to.name == name && (to == other || d.needs(to, other)) {
				return true
			}
		}
	}
	return false
}
