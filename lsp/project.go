package lsp

import (
	"context"
	"errors"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/config"
)

// A reading names what one command would read.
type reading struct {
	dir    string // absolute
	files  []string
	target string // a target by path that makes a file be read, else ""
}

func (r reading) key() string {
	return strings.Join(append([]string{r.dir, r.target}, r.files...), "\x00")
}

// A project is what was read of a reading: the files and what is wrong with them.
type project struct {
	dir       string
	entry     string // the file for what is wrong with no file
	files     map[string]*text
	fresh     map[string]bool // files that were read now, not the last time
	problems  map[string][]*hcl.Diagnostic
	broken    bool
	mode      config.Mode
	variables []config.ListedVariable

	once  sync.Once
	names *names
}

// reads reports whether the file at path belongs to the project.
func (p *project) reads(path string) bool { return p.fresh[path] }

// includes reports whether an include block of a file that was read names the file
// at path, by its words alone.
func (p *project) includes(path string) bool {
	for file := range p.fresh {
		for _, w := range config.Words(file, p.files[file].data) {
			if m, ok := w.Mention(); ok && m.Kind == config.NameFile && p.means(file, m.Name, path) {
				return true
			}
		}
	}
	return false
}

// means reports whether the path of an include block in the file from stands for
// the one at path.
func (p *project) means(from, written, file string) bool {
	rel, err := filepath.Rel(p.dir, file)
	if err != nil {
		return false
	}
	rel = filepath.ToSlash(rel)
	pattern := path.Join(p.dirOf(from), written)
	return config.MatchPath(pattern, rel) || path.Base(rel) == config.OwnFile && config.MatchPath(pattern, path.Dir(rel))
}

// dirOf is the directory of a file from that of the project, as names have it.
func (p *project) dirOf(path string) string {
	rel, err := filepath.Rel(p.dir, filepath.Dir(path))
	if err != nil || rel == "." {
		return ""
	}
	return filepath.ToSlash(rel)
}

// A memory is what analyses leave to later ones.
type memory struct {
	mu    sync.Mutex
	files map[string]map[string]*text // of readings without mistakes, by key and path
	of    map[string]string           // key of the reading that a document belonged to
}

func newMemory() *memory {
	return &memory{files: map[string]map[string]*text{}, of: map[string]string{}}
}

// An analysis is what the open documents belong to.
type analysis struct {
	projects []*project          // each once
	of       map[string]*project // by the path of a document; not of other files
}

// An analyst makes one analysis.
type analyst struct {
	*snapshot
	opts    Options
	memory  *memory
	overlay map[string][]byte
	done    map[string]*project // by key
}

// analyse reads what the documents of a snapshot belong to. It fails only if ctx
// is cancelled.
func analyse(ctx context.Context, s *snapshot) (*analysis, error) {
	a := &analyst{snapshot: s, opts: s.server.opts, memory: s.server.memory, overlay: map[string][]byte{}, done: map[string]*project{}}
	for path, doc := range s.documents {
		a.overlay[path] = doc.data
	}
	out := &analysis{of: map[string]*project{}}
	for _, path := range slices.Sorted(maps.Keys(s.documents)) {
		p, err := a.projectOf(ctx, path)
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		out.of[path] = p
		if !slices.Contains(out.projects, p) {
			out.projects = append(out.projects, p)
		}
	}
	return out, nil
}

// projectOf finds what a document belongs to: the outermost build.hcl above it
// that includes it; else it is read by itself, as a command in its directory does,
// or if it is wrong there, as a command does that names it from the top. It is nil
// for a file that is no build file.
func (a *analyst) projectOf(ctx context.Context, path string) (*project, error) {
	dir, top := filepath.Dir(path), a.top(path)
	for _, above := range dirsBetween(top, dir) {
		r := reading{dir: above, files: []string{config.OwnFile}}
		if filepath.Join(above, config.OwnFile) == path || !a.exists(filepath.Join(above, config.OwnFile)) {
			continue
		}
		p, err := a.read(ctx, r)
		if err != nil {
			return nil, err
		}
		if !p.reads(path) && p.broken && (a.remembered(path) == r.key() || p.includes(path)) {
			p.files[path] = a.documents[path].text // it is not read, but belongs to it
		}
		if p.files[path] != nil {
			a.remember(path, r)
			return p, nil
		}
	}
	if !isBuildFile(path, a.documents[path].data) {
		return nil, nil
	}
	own := a.alone(path)
	p, err := a.read(ctx, own)
	if err != nil || !p.broken || top == dir || filepath.Base(path) != config.OwnFile {
		return p, err
	}
	rel, err := filepath.Rel(top, dir)
	if err != nil {
		return p, nil // it can not be named from there
	}
	from, err := a.read(ctx, reading{dir: top, target: "//" + filepath.ToSlash(rel)})
	if err == nil && from.reads(path) && len(from.problems[path]) == 0 {
		return from, nil
	}
	return p, err
}

// isBuildFile reports whether a file that nothing includes is a build file: by its
// name, or in HCL, which other programs use too, by a block that these lack.
func isBuildFile(path string, data []byte) bool {
	base := filepath.Base(path)
	if base == config.OwnFile || strings.HasSuffix(base, "."+config.OwnFile) || slices.Contains(config.BakeFiles(), base) {
		return true
	}
	return strings.HasSuffix(base, ".hcl") && slices.ContainsFunc(config.Words(path, data), func(w config.Word) bool {
		return w.Role == config.RoleBlock && len(w.Blocks) == 1 && (w.Text == "target" || w.Text == "group" || w.Text == "strata")
	})
}

// alone is the reading of a command for this file: files with names of bake are
// read together.
func (a *analyst) alone(path string) reading {
	dir, base := filepath.Split(path)
	r := reading{dir: filepath.Clean(dir), files: []string{base}}
	if names := config.BakeFiles(); slices.Contains(names, base) {
		r.files = slices.DeleteFunc(names, func(name string) bool { return !a.exists(filepath.Join(dir, name)) })
	}
	return r
}

// top is where to look for files that include the one at path: the top of its
// checkout, else the editor's folder, else its own directory.
func (a *analyst) top(path string) string {
	dir := filepath.Dir(path)
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	for _, folder := range a.server.folders() {
		if rel, err := filepath.Rel(folder, dir); err == nil && filepath.IsLocal(rel) {
			return folder
		}
	}
	return dir
}

// folders are the directories that the editor has open.
func (s *server) folders() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, uri := range append(slices.Clone(s.client.Folders), documentID{s.client.Root}) {
		if path, ok := pathOf(uri.URI); ok {
			out = append(out, path)
		}
	}
	return out
}

// dirsBetween lists the directories from top down to dir.
func dirsBetween(top, dir string) []string {
	var out []string
	for at := dir; ; at = filepath.Dir(at) {
		out = append(out, at)
		if at == top || at == filepath.Dir(at) {
			break
		}
	}
	slices.Reverse(out)
	return out
}

func (a *analyst) exists(path string) bool {
	if _, open := a.overlay[path]; open {
		return true
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func (a *analyst) remembered(path string) string {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	return a.memory.of[path]
}

func (a *analyst) remember(path string, r reading) {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	a.memory.of[path] = r.key()
}

// read loads the files of a reading, once in an analysis.
func (a *analyst) read(ctx context.Context, r reading) (*project, error) {
	if p := a.done[r.key()]; p != nil {
		return p, nil
	}
	opts := config.LoadOptions{
		Dir: r.dir, Files: r.files, Overlay: a.overlay,
		LookupEnv: a.opts.LookupEnv, Environ: a.opts.Environ, Vars: a.opts.Vars, AllowEnv: a.opts.AllowEnv,
	}
	p := &project{dir: r.dir, files: map[string]*text{}, fresh: map[string]bool{}, problems: map[string][]*hcl.Diagnostic{}}
	p.entry = filepath.Join(r.dir, config.OwnFile)
	if len(r.files) > 0 {
		p.entry = filepath.Join(r.dir, r.files[0])
	}
	if r.target != "" {
		opts.Targets = []string{r.target}
	}
	cfg, err := config.Load(ctx, opts)
	switch bad, ok := errors.AsType[*config.Error](err); {
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case ok:
		p.broken = true
		p.take(a, bad.Files, bad.Diags)
	case err != nil:
		p.broken = true
		p.problems[p.entry] = []*hcl.Diagnostic{{Severity: hcl.DiagError, Summary: "Unreadable", Detail: err.Error()}}
	default:
		p.take(a, cfg.Files, cfg.Warnings)
		p.variables = cfg.Variables()
	}
	p.mode = config.ModeOf(p.entries(r))
	a.recall(p, r)
	a.done[r.key()] = p
	return p, nil
}

// entries are the texts of the files of the command itself.
func (p *project) entries(r reading) map[string][]byte {
	out := map[string][]byte{}
	for _, name := range r.files {
		if t := p.files[filepath.Join(r.dir, name)]; t != nil {
			out[name] = t.data
		}
	}
	return out
}

// take notes the files that were read and sorts the problems by file.
func (p *project) take(a *analyst, files map[string]*hcl.File, diags hcl.Diagnostics) {
	abs := func(name string) string {
		if filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(p.dir, name)
	}
	for name, f := range files {
		path := abs(name)
		p.fresh[path] = true
		if doc := a.documents[path]; doc != nil {
			p.files[path] = doc.text
		} else {
			p.files[path] = newText(f.Bytes)
		}
	}
	for _, d := range diags {
		path := p.entry
		if d.Subject != nil && p.files[abs(d.Subject.Filename)] != nil {
			path = abs(d.Subject.Filename)
		} else if d.Subject != nil {
			other := *d
			other.Subject = nil // it is shown in a file that it is not about
			if d.Subject.Filename != "" {
				other.Detail = strings.TrimSpace(d.Subject.Filename + ": " + d.Detail)
			}
			d = &other
		}
		p.problems[path] = append(p.problems[path], d)
	}
}

// recall keeps the files of a reading that went well, and where it did not, adds
// those of the last that did: files that a broken file includes are not read, but
// their names are still worth completing.
func (a *analyst) recall(p *project, r reading) {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	if !p.broken {
		a.memory.files[r.key()] = p.files
		return
	}
	for path, t := range a.memory.files[r.key()] {
		if p.files[path] != nil {
			continue
		}
		if doc := a.documents[path]; doc != nil {
			t = doc.text
		}
		p.files[path] = t
	}
}
