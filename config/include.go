package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// This file reads the files that others include, and those that are named by the
// directory they are in. All are below the directory of the command, whatever
// paths and symlinks say.

var includeSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "paths", Required: true}}})

const (
	maxIncluded = 20_000 // files of one command
	maxIncludes = 100    // files that include one another in a row
)

// An include is one path of an include block.
type include struct {
	path string
	rng  hcl.Range
}

// addInclude reads an include block. Its paths are needed before anything is
// evaluated, so they are plain text.
func (m *module) addInclude(b *hcl.Block) {
	attr := m.content(b, includeSchema).Attributes["paths"]
	if attr == nil {
		return
	}
	v, diags := attr.Expr.Value(nil)
	m.report(diags...)
	if diags.HasErrors() {
		return
	}
	list, err := stringsOf(v)
	if err != nil {
		m.report(problem(guilty(attr.Expr, err), "Unsuitable value", "The attribute paths %s.", reason(err)))
		return
	}
	for i, rng := range listPlaces(attr.Expr, len(list)) {
		m.includes = append(m.includes, &include{list[i], rng})
	}
}

// An includer reads the files beside those of the command.
type includer struct {
	*reading
	opts    LoadOptions
	root    *os.Root
	first   *module
	modules []*module            // those read, in order
	parents map[*module]*module  // of modules
	tree    map[*module]bool     // the first and all that are included from it
	files   map[string]*readFile // by path from the directory of the command
	done    bool                 // the parents of modules are fixed
	total   int                  // bytes of all files
	skip    *ignored
}

// A readFile is a file that was read.
type readFile struct {
	module *module   // nil if it could not be read
	by     hcl.Range // the path of an include block that names it, if one does
}

func newIncluder(first *module, files []source, opts LoadOptions) *includer {
	l := &includer{
		reading: first.reading, opts: opts, first: first,
		parents: map[*module]*module{}, tree: map[*module]bool{first: true}, files: map[string]*readFile{},
	}
	for _, f := range files {
		l.total += len(f.data)
		if name, ok := l.below(f.name); ok {
			l.files[name] = &readFile{module: first}
		}
	}
	return l
}

func (l *includer) close() {
	if l.root != nil {
		_ = l.root.Close() // it was only read
	}
}

// open makes sure that there is a root to read from.
func (l *includer) open() error {
	if l.root != nil {
		return nil
	}
	if l.opts.Remote != nil {
		return errors.New("a definition that comes from elsewhere can not read files of this machine")
	}
	dir := l.opts.Dir
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	l.root = root
	return err
}

// below is the path of a file that was named on the command line, from the
// directory of the command; ok is false if it is not below that.
func (l *includer) below(name string) (string, bool) {
	if name == "-" || isRemote(name) {
		return "", false
	}
	if !filepath.IsAbs(name) {
		return path.Clean(filepath.ToSlash(name)), true
	}
	dir, err := filepath.Abs(l.opts.Dir)
	if err != nil {
		return "", false
	}
	rel, err := filepath.Rel(dir, name)
	return filepath.ToSlash(rel), err == nil
}

// include reads what m includes, and what that includes. chain are the files that
// have led to m.
func (l *includer) include(m *module, chain []string) {
	for _, inc := range m.includes {
		files, ok := l.expand(m, inc)
		if !ok {
			continue
		}
		for _, file := range files {
			l.one(m, inc, file, chain)
		}
	}
}

// one reads one file that m includes.
func (l *includer) one(m *module, inc *include, file string, chain []string) {
	own, _ := l.below(inc.rng.Filename)
	chain = append(chain[:len(chain):len(chain)], own)
	for i, f := range chain {
		if f != file {
			continue
		}
		if !isPattern(inc.path) {
			l.report(problem(inc.rng, "Include cycle", "These files include one another: %s. Remove one of the includes.",
				strings.Join(append(chain[i:], file), " -> ")))
		}
		return
	}
	if read := l.files[file]; read != nil {
		l.again(m, inc, file, read)
		return
	}
	if len(chain) > maxIncludes {
		l.report(problem(inc.rng, "Nested too deeply", "More than %d files include one another in a row.", maxIncludes))
		return
	}
	child := l.read(m, file, inc.rng)
	if child == nil {
		return
	}
	l.tree[child] = l.tree[m]
	l.include(child, chain)
}

// again is for a file that m includes and that was read before. One that was only
// found in the tree gets m as the file it sees.
func (l *includer) again(m *module, inc *include, file string, read *readFile) {
	switch {
	case isPattern(inc.path) && (read.by.Filename != "" || read.module == l.first):
	case read.by.Filename != "":
		l.report(problem(inc.rng, "Duplicate include",
			"%s is included at %s already. One file includes it; others name its targets by path, as %s, and need not include it.",
			file, position(read.by), address{dir: dirOf(file), name: "NAME"}.full()))
	case read.module == l.first:
		l.report(problem(inc.rng, "Duplicate include", "%s is read by the command already. Remove this path.", file))
	case read.module != nil && !l.done && !l.sees(m, read.module):
		read.by = inc.rng
		l.parents[read.module] = m
	}
}

// sees reports whether m sees what other declares.
func (l *includer) sees(m, other *module) bool {
	for ; m != nil; m = l.parents[m] {
		if m == other {
			return true
		}
	}
	return false
}

// read reads one file as a module that sees what parent declares; nil if it can
// not be read, which was reported at rng.
func (l *includer) read(parent *module, file string, rng hcl.Range) *module {
	entry := &readFile{}
	if rng.Filename != file {
		entry.by = rng
	}
	l.files[file] = entry
	data, err := l.data(file)
	if err != nil {
		l.unread = true
		l.report(problem(rng, "Unreadable file", "It can not be read: %s.", readError(file, err)))
		return nil
	}
	l.excerpts.Store(file, &hcl.File{Bytes: data})
	m := l.module()
	m.inner = true
	if m.dir = path.Dir(file); m.dir == "." {
		m.dir = ""
	}
	if m.dir != "" && !validDir(m.dir) {
		l.report(problem(rng, "Unsuitable path", "The directory %q can not be part of a target's name: only letters, digits and _ - . + @ ~ are allowed.", m.dir))
		return nil
	}
	entry.module = m
	l.parents[m] = parent
	l.modules = append(l.modules, m)
	m.parse(source{file, data})
	return m
}

func (l *includer) data(file string) ([]byte, error) {
	if l.watch.stopped.Load() {
		return nil, errStopped
	}
	if len(l.modules) >= maxIncluded {
		return nil, fmt.Errorf("there are more than %d build files", maxIncluded)
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	data, ok := l.opts.overlaid(file)
	err := tooLarge(data)
	if !ok {
		data, err = readRegular(l.root, file, maxFile)
	}
	if l.total += len(data); err == nil && l.total > maxFiles {
		err = fmt.Errorf("all files together are larger than %d MiB", maxFiles>>20)
	}
	return withoutMark(data), err
}

// expand lists the files that a path of an include block stands for.
func (l *includer) expand(m *module, inc *include) ([]string, bool) {
	name, ok := l.place(m, inc)
	if !ok {
		return nil, false
	}
	files, err := []string{name}, l.open()
	if err == nil && isPattern(name) {
		files, err = l.glob(name)
	} else if err == nil {
		files[0], err = l.buildFile(name)
	}
	l.unread = l.unread || err != nil || len(files) == 0
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.report(problem(inc.rng, "No such file", "There is no file %s to include. A path is relative to the file it stands in; a directory stands for the %s in it.", name, OwnFile))
	case err != nil:
		l.report(problem(inc.rng, "Unreadable file", "It can not be read: %s.", readError(name, err)))
	case len(files) == 0:
		l.report(problem(inc.rng, "No such file", "No build file matches %s. A pattern is relative to the file it stands in, and finds directories with a %s and files that end in .hcl.", name, OwnFile))
	}
	return files, err == nil
}

// place is the path that inc means, from the directory of the command.
func (l *includer) place(m *module, inc *include) (string, bool) {
	dir := m.dir
	if !m.inner {
		file, _ := l.below(inc.rng.Filename)
		dir = path.Dir(file)
	}
	name := path.Join(dir, inc.path)
	switch {
	case inc.path == "":
		l.report(problem(inc.rng, "Unsuitable path", "The path is empty."))
	case path.IsAbs(inc.path):
		l.report(problem(inc.rng, "Unsuitable path", "%q starts at the root of this machine. Write a path relative to this file.", inc.path))
	case outsideOf(name):
		l.report(problem(inc.rng, "Unsuitable path", "%q leads out of the directory of the command, below which all files must be. Run strata further up, or build //... from the top of the checkout.", inc.path))
	default:
		return name, true
	}
	return "", false
}

func outsideOf(name string) bool { return name == ".." || strings.HasPrefix(name, "../") }

// buildFile is name, or the build file in it if it is a directory.
func (l *includer) buildFile(name string) (string, error) {
	for _, file := range []string{name, path.Join(name, OwnFile)} {
		if _, ok := l.opts.overlaid(file); ok {
			return file, nil
		}
	}
	st, err := l.root.Stat(name)
	if err != nil || !st.IsDir() {
		return name, err
	}
	name = path.Join(name, OwnFile)
	return name, l.opts.exists(name, l.root.Stat)
}

// find reads the build files that addresses of the command line name.
func (l *includer) find(list []address) {
	for _, a := range list {
		if err := l.findOne(a); err != nil {
			l.report(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "No such target", Detail: fmt.Sprintf("%s: %s.", a, err)})
		}
	}
}

func (l *includer) findOne(a address) error {
	if outsideOf(a.dir) {
		return errors.New("the path leads out of the directory that paths start from")
	}
	if err := l.open(); err != nil {
		return err
	}
	if !a.one() {
		var files []string
		err := l.walk(staticDir(a.dir), -1, func(file string) {
			if path.Base(file) == OwnFile && a.inDir(dirOf(file)) {
				files = append(files, file)
			}
		})
		for _, file := range files {
			l.discover(file)
		}
		return err
	}
	file := path.Join(a.dir, OwnFile)
	if a.dir == "" || l.hasDir(a.dir) {
		return nil
	}
	if err := l.opts.exists(file, l.root.Stat); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("there is no %s", file)
		}
		return readError(file, err)
	}
	l.discover(file)
	return nil
}

// hasDir reports whether a file in dir was read.
func (l *includer) hasDir(dir string) bool {
	_, there := l.files[path.Join(dir, OwnFile)]
	return there
}

// discover reads a file that nothing includes; it sees what the first declares.
func (l *includer) discover(file string) *module {
	if _, there := l.files[file]; there {
		return nil
	}
	m := l.read(l.first, file, hcl.Range{Filename: file, Start: hcl.InitialPos, End: hcl.InitialPos})
	if m != nil {
		l.include(m, nil)
	}
	return m
}

func dirOf(file string) string {
	if dir := path.Dir(file); dir != "." {
		return dir
	}
	return ""
}
