package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"syscall"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// This file reads files for expressions: below the directory of the command,
// whatever the path and the symlinks in it say, regular ones, and not too much.

const (
	maxRead    = 1 << 20  // bytes of one file
	maxReads   = 64 << 20 // bytes of all
	maxVisited = 100_000  // files and directories that fileset looks at
	maxPattern = 256      // bytes of a pattern
)

// A checkout is the directory that expressions can read. A file is read once, so
// that one evaluation sees one content of it.
type checkout struct {
	dir    string
	root   *os.Root
	texts  map[string][]byte
	sets   map[[2]string]cty.Value
	parsed map[string]hclsyntax.Expression // templates
	total  int
}

func (c *checkout) close() {
	if c.root != nil {
		_ = c.root.Close() // it was only read
	}
}

func (c *checkout) open() error {
	if c.root != nil {
		return nil
	}
	dir := c.dir
	if dir == "" {
		dir = "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	c.root = root
	c.texts, c.sets, c.parsed = map[string][]byte{}, map[[2]string]cty.Value{}, map[string]hclsyntax.Expression{}
	return nil
}

// read returns the content of a file.
func (c *checkout) read(name string) ([]byte, error) {
	if err := c.open(); err != nil {
		return nil, readError(name, err)
	}
	if data, ok := c.texts[name]; ok {
		return data, nil
	}
	data, err := c.readFile(name)
	if err != nil {
		return nil, readError(name, err)
	}
	if c.total += len(data); c.total > maxReads {
		return nil, readError(name, fmt.Errorf("all files together are larger than %d MiB", maxReads>>20))
	}
	c.texts[name] = data
	return data, nil
}

func (c *checkout) readFile(name string) ([]byte, error) {
	return readRegular(c.root, name, maxRead)
}

// readRegular reads a file below root that has content of its own, of at most
// most bytes.
func readRegular(root *os.Root, name string, most int) ([]byte, error) {
	st, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, notRegular(st)
	}
	// It may have been exchanged for a pipe since.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err = f.Stat(); err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, notRegular(st)
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	if err == nil && len(data) > most {
		err = fmt.Errorf("it is larger than %d MiB", most>>20)
	}
	return data, err
}

// regular checks that name is a file with content of its own.
func (c *checkout) regular(name string) (fs.FileInfo, error) {
	st, err := c.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, notRegular(st)
	}
	return st, nil
}

func notRegular(st fs.FileInfo) error {
	if st.IsDir() {
		return errors.New("it is a directory")
	}
	return errors.New("it is not a regular file")
}

func readError(name string, err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	switch {
	case path.IsAbs(name):
		return fmt.Errorf("reading %q: the path starts at the root; only files below the directory of the command can be read, by a relative path", name)
	case err.Error() == "path escapes from parent":
		return fmt.Errorf("reading %q: it leads out of the directory of the command, below which all files must be", name)
	}
	return fmt.Errorf("reading %q: %w", name, err)
}

// path is a path in a file of the directory as a path of the checkout.
func (w *world) path(name string) string {
	if w.from == "" || path.IsAbs(name) {
		return name
	}
	return path.Join(w.from, name)
}

// fileFunctions are the functions that read files.
func (w *world) fileFunctions() map[string]function.Function {
	return map[string]function.Function{
		"file": w.textFunc("Returns the text of a file below the directory of the command, at most 1 MiB of UTF-8.", func(data []byte) (string, error) {
			if !utf8.Valid(data) {
				return "", errors.New("the file is not text in UTF-8; filebase64 reads others")
			}
			return string(data), nil
		}),
		"filebase64": w.textFunc("Returns the content of a file in base64.", func(data []byte) (string, error) {
			return base64.StdEncoding.EncodeToString(data), nil
		}),
		"fileexists":   w.fileexistsFunc(),
		"fileset":      w.filesetFunc(),
		"templatefile": w.templatefileFunc(),
	}
}

func (w *world) textFunc(description string, text func([]byte) (string, error)) function.Function {
	return function.New(&function.Spec{
		Description: description,
		Params:      []function.Parameter{{Name: "path", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			data, err := w.read(w.path(args[0].AsString()))
			if err != nil {
				return cty.NilVal, err
			}
			s, err := text(data)
			return cty.StringVal(s), err
		},
	})
}

func (w *world) fileexistsFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Says whether a file is there. A directory, a device or a path that leads out of the directory of the command is an error.",
		Params:      []function.Parameter{{Name: "path", Type: cty.String}},
		Type:        function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := w.path(args[0].AsString())
			err := w.open()
			if err == nil {
				_, err = w.regular(name)
			}
			if errors.Is(err, fs.ErrNotExist) {
				return cty.False, nil
			}
			if err != nil {
				return cty.NilVal, readError(name, err)
			}
			return cty.True, nil
		},
	})
}

func (w *world) filesetFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the files below a directory whose paths, relative to it, match a pattern; ** stands for any directories. What is in .git is left out.",
		Params:      []function.Parameter{{Name: "directory", Type: cty.String}, {Name: "pattern", Type: cty.String}},
		Type:        function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			dir, pattern := w.path(args[0].AsString()), args[1].AsString()
			if err := w.open(); err != nil {
				return cty.NilVal, readError(dir, err)
			}
			key := [2]string{dir, pattern}
			if v, ok := w.sets[key]; ok {
				return v, nil
			}
			names, err := w.glob(dir, pattern)
			if err != nil {
				return cty.NilVal, readError(dir, err)
			}
			v := cty.SetValEmpty(cty.String)
			if len(names) > 0 {
				vals := make([]cty.Value, len(names))
				for i, name := range names {
					vals[i] = cty.StringVal(name)
				}
				v = cty.SetVal(vals)
			}
			w.sets[key] = v
			return v, nil
		},
	})
}

// glob lists the regular files below dir that match pattern.
func (c *checkout) glob(dir, pattern string) ([]string, error) {
	if len(pattern) > maxPattern || !doublestar.ValidatePattern(pattern) {
		return nil, fmt.Errorf("%q is not a pattern such as **/*.go", pattern)
	}
	if pattern == ".." || path.IsAbs(pattern) || slices.Contains(splitPath(pattern), "..") {
		return nil, fmt.Errorf("the pattern %q leads out of the directory", pattern)
	}
	top, err := c.root.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer top.Close()
	var names []string
	visited := 0
	err = fs.WalkDir(top.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if visited++; visited > maxVisited {
			return fmt.Errorf("there are more than %d files", maxVisited)
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		if d.IsDir() || !doublestar.MatchUnvalidated(pattern, name) {
			return nil
		}
		// A symlink counts if it leads to a file in here.
		if st, err := top.Stat(name); err == nil && st.Mode().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

func splitPath(p string) []string {
	var out []string
	for p != "" {
		dir, last := path.Split(p)
		out = append(out, last)
		if p = dir; p != "" {
			p = p[:len(p)-1]
		}
	}
	return out
}

func (w *world) templatefileFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Returns the text of a file in which ${...} and %{...} are evaluated with the given values. Built-in functions can be called there.",
		Params:      []function.Parameter{{Name: "path", Type: cty.String}, {Name: "values", Type: cty.DynamicPseudoType}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if typ := args[1].Type(); !typ.IsObjectType() && !typ.IsMapType() {
				return cty.NilVal, function.NewArgErrorf(1, "must be an object")
			}
			tmpl, err := w.template(w.path(args[0].AsString()))
			if err != nil {
				return cty.NilVal, err
			}
			ctx := w.templates.NewChild()
			ctx.Variables = args[1].AsValueMap()
			v, diags := tmpl.Value(ctx)
			if diags.HasErrors() {
				return cty.NilVal, diags
			}
			return convertTo(v, cty.String)
		},
	})
}

// template reads a template. It is guarded and counted like a build file.
func (w *world) template(name string) (hclsyntax.Expression, error) {
	data, err := w.read(name)
	if err != nil {
		return nil, err
	}
	if tmpl := w.parsed[name]; tmpl != nil {
		return tmpl, nil
	}
	if !utf8.Valid(data) {
		return nil, readError(name, errors.New("it is not text in UTF-8"))
	}
	tokens, _ := hclsyntax.LexTemplate(data, name, hcl.InitialPos)
	if rng, deep := tooDeep(tokens); deep {
		return nil, hcl.Diagnostics{tooDeepProblem(rng)}
	}
	tmpl, diags := hclsyntax.ParseTemplate(data, name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	if diags := hclsyntax.Walk(tmpl, rewriter{}); diags.HasErrors() {
		return nil, diags
	}
	w.parsed[name] = tmpl
	return tmpl, nil
}
