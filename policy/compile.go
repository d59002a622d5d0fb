package policy

import (
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

// An Error is a mistake in a policy file.
type Error struct {
	File         string
	Line, Column int
	Text         string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// rules are one policy, compiled.
type rules struct {
	Policy
	compiler *ast.Compiler
}

// names are the files of the policy.
func (r *rules) names() []string {
	var out []string
	for _, f := range r.Files {
		out = append(out, f.Name)
	}
	return out
}

func (r *rules) title() string { return strings.Join(r.names(), ", ") }

//go:embed rules
var ours embed.FS

// helperFile is the module of functions that every policy can call.
const helperFile = "rules/helpers.rego"

// signedPolicy wants signatures of the images that Docker signs.
func signedPolicy() Policy {
	p := newPolicy(builtinFile("rules/signed.rego"))
	p.Files[0].Name = "BUILDX_DEFAULT_POLICY"
	p.builtin = true
	return *p
}

func builtinFile(name string) File {
	data, err := ours.ReadFile(name)
	if err != nil {
		panic(err) // it is embedded
	}
	return File{Name: name, Data: data}
}

// load reads and compiles p, nil if none of its files is there.
func load(ctx context.Context, p Policy, opts Options) (*rules, error) {
	r := &rules{Policy: p}
	r.Files = nil
	modules := map[string]*ast.Module{}
	var errs []error
	for _, f := range p.Files {
		if f.Data == nil {
			data, err := opts.Read(ctx, f.Name)
			if f.Optional && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("there is no policy file %q; its path starts in the context, or with cwd:// in the directory of the command", f.Name)
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
			f.Data = data
		}
		r.Files = append(r.Files, f)
		m, err := parse(f.Name, f.Data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		modules[f.Name] = m
	}
	if err := errors.Join(errs...); err != nil || len(r.Files) == 0 {
		return nil, err
	}
	own := builtinFile(helperFile)
	m, err := parse(own.Name, own.Data)
	if err != nil {
		return nil, err
	}
	modules[own.Name] = m
	r.compiler = ast.NewCompiler().WithCapabilities(capabilities()).WithDefaultRegoVersion(ast.RegoV1).
		WithKeepModules(true).WithEnablePrintStatements(true).WithModuleLoader(func(known map[string]*ast.Module) (map[string]*ast.Module, error) {
		return imports(ctx, opts.Read, known)
	})
	if r.compiler.Compile(modules); r.compiler.Failed() {
		return nil, mistakes(r.compiler.Errors)
	}
	return r, nil
}

func parse(name string, data []byte) (*ast.Module, error) {
	m, err := ast.ParseModuleWithOpts(name, string(data), ast.ParserOptions{RegoVersion: ast.RegoV1})
	if err != nil {
		return nil, mistakes(err)
	}
	return m, nil
}

// mistakes are the errors of OPA, each at its place.
func mistakes(err error) error {
	list, ok := errors.AsType[ast.Errors](err)
	if one, single := errors.AsType[*ast.Error](err); single {
		list, ok = ast.Errors{one}, true
	}
	if !ok {
		return err
	}
	var out []error
	for i, e := range list {
		if e.Location == nil {
			out = append(out, errors.New(e.Message))
			continue
		}
		if i > 0 && e.Location.Equal(list[i-1].Location) {
			continue // the parser's second thought about the same word
		}
		out = append(out, &Error{e.Location.File, max(1, e.Location.Row), max(1, e.Location.Col), e.Message})
	}
	return errors.Join(out...)
}

// imports loads what the modules so far import and is not there: data.a.b is the
// file a/b.rego, whatever package that names.
func imports(ctx context.Context, read Reader, known map[string]*ast.Module) (map[string]*ast.Module, error) {
	out := map[string]*ast.Module{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		for _, imp := range known[name].Imports {
			path, ok := imp.Path.Value.(ast.Ref)
			if !ok || len(path) < 2 || !path[0].Equal(ast.DefaultRootDocument) {
				continue
			}
			file, pkg, ok := fileOf(path)
			if !ok || known[file] != nil || out[file] != nil {
				continue
			}
			at := imp.Path.Location
			data, err := read(ctx, file)
			if errors.Is(err, fs.ErrNotExist) {
				err = errors.New("there is no such file in the context")
			}
			if err != nil {
				return nil, &Error{at.File, at.Row, at.Col, fmt.Sprintf("import of %s: %s: %v", path, file, err)}
			}
			m, err := parse(file, data)
			if err != nil {
				return nil, err
			}
			m.Package = pkg
			out[file] = m
		}
	}
	return out, nil
}

// fileOf is where data.a.b is, and its package.
func fileOf(path ast.Ref) (string, *ast.Package, bool) {
	pkg := &ast.Package{Path: ast.Ref{ast.DefaultRootDocument}, Location: path[0].Location}
	var parts []string
	for _, term := range path[1:] {
		s, ok := term.Value.(ast.String)
		if !ok {
			return "", nil, false
		}
		parts = append(parts, string(s))
		pkg.Path = append(pkg.Path, term)
	}
	return strings.Join(parts, "/") + ".rego", pkg, true
}

// refused are the functions of OPA that policies can not call, by the beginning of
// their names: those that docker buildx does not have either. Some reach the network
// or tell of this machine.
var refused = []string{
	"crypto.", "graph", "http.", "internal.test_case", "io.jwt.", "json.match_schema", "json.verify_schema", "net.", "opa.", "providers.",
	"rego.", "strings.split_n", "trace", "uri.", "walk",
}

// capabilities are the functions that policies can call.
func capabilities() *ast.Capabilities {
	all := &ast.Capabilities{Features: slices.Clone(ast.Features)}
	for _, b := range ast.Builtins {
		if !slices.ContainsFunc(refused, func(prefix string) bool { return strings.HasPrefix(b.Name, prefix) }) {
			all.Builtins = append(all.Builtins, b)
		}
	}
	for _, f := range functions {
		all.Builtins = append(all.Builtins, &ast.Builtin{Name: f.name, Description: f.does, Decl: f.decl})
	}
	slices.SortFunc(all.Builtins, func(a, b *ast.Builtin) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
