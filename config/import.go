package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// An Imported is a build.hcl that says what files in another language say.
type Imported struct {
	Text     []byte
	Targets  []string        // as declared
	Notes    []string        // what differs from what the files say, for people
	Warnings hcl.Diagnostics // what the files say and nobody heeds
	Files    map[string]*hcl.File
}

// Import rewrites bake and compose files as one build.hcl. Variables, functions
// and references are kept where the result is the same; else they are replaced
// by their values, with a note. What is returned has been read again and means
// the same, target by target. Problems of the files are joined in an *Error.
func Import(ctx context.Context, opts LoadOptions) (*Imported, error) {
	opts.Mode = ModeBake
	opts = opts.withEnviron().without("SOURCE_DATE_EPOCH") // that is of a build, not of the files
	files, _, diags := opts.read(ctx)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, &Error{Diags: diags, Files: map[string]*hcl.File{}}
	}
	im := &importer{opts: opts, files: files}
	return im.run(ctx)
}

// without hides a variable of the environment.
func (o LoadOptions) without(name string) LoadOptions {
	lookup := o.LookupEnv
	o.LookupEnv = func(k string) (string, bool) {
		if k == name {
			return "", false
		}
		return lookup(k)
	}
	o.Environ = slices.DeleteFunc(slices.Clone(o.Environ), func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
	return o
}

// An importer rewrites files.
type importer struct {
	opts   LoadOptions
	files  []source
	module *module // of the files
	config *Config
	want   *meaning
	stubs  []string // targets that are inherited and declared nowhere
	notes  []string
}

func (im *importer) note(format string, args ...any) {
	im.notes = append(im.notes, fmt.Sprintf(format, args...))
}

func (im *importer) run(ctx context.Context) (*Imported, error) {
	im.module = newModule(ModeBake)
	var err error
	if im.config, err = im.module.load(ctx, im.files, im.opts); err != nil {
		return nil, err
	}
	im.addStubs()
	im.dropUnknownMembers()
	if im.want, err = im.config.meaning(); err != nil {
		return nil, err
	}
	text, err := im.write(ctx)
	if err != nil {
		return nil, err
	}
	return &Imported{
		Text: text, Targets: slices.Clone(im.config.order), Notes: im.notes,
		Warnings: im.config.Warnings, Files: im.config.Files,
	}, nil
}

// addStubs declares the targets that others inherit from and that are declared
// nowhere, as those of docker/metadata-action are outside of CI.
func (im *importer) addStubs() {
	c := im.config
	for _, name := range slices.Clone(c.order) {
		for _, parent := range c.specs[name].inherits {
			if c.specs[parent] != nil || !validName(parent) || c.findGroup(parent) != nil {
				continue
			}
			c.addTarget(&spec{name: parent, places: map[string]hcl.Range{}})
			im.stubs = append(im.stubs, parent)
			im.note("target %q is inherited and declared nowhere; an empty one was added, to which another file can add", parent)
		}
	}
}

// dropUnknownMembers forgets what groups name and is declared nowhere.
func (im *importer) dropUnknownMembers() {
	c := im.config
	for _, g := range c.groups {
		known := slices.DeleteFunc(slices.Clone(g.targets), func(member string) bool {
			return c.specs[member] == nil && c.findGroup(member) == nil
		})
		for _, member := range g.targets {
			if !slices.Contains(known, member) {
				im.note("group %q names %q, which is declared nowhere; it was left out", g.name, member)
			}
		}
		if len(known) != len(g.targets) {
			g.targets, g.places = known, nil
		}
	}
}

// write tries from what is nearest to the files to what is plainest, and returns
// the first text that means the same.
func (im *importer) write(ctx context.Context) ([]byte, error) {
	var problems []error
	for _, attempt := range []func(context.Context) ([]byte, error){im.verbatim, im.composeVariables, im.declarations, im.values} {
		text, err := attempt(ctx)
		if text == nil && err == nil {
			continue // does not apply
		}
		if err == nil {
			text = hclwrite.Format(text)
			if err = im.same(ctx, text, im.opts, im.want); err == nil {
				return text, nil
			}
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("these files can not be said in %s: %w", OwnFile, errors.Join(problems[len(problems)-1:]...))
}

// A meaning is all that files declare, with everything decided.
type meaning struct {
	targets map[string]string // as printed
	groups  map[string]string
}

// meaning resolves all targets.
func (c *Config) meaning() (*meaning, error) {
	r := newResolver(c, &watch{})
	for _, name := range c.order {
		r.choose(name, hcl.Range{})
	}
	r.follow()
	if r.diags.HasErrors() {
		return nil, r.failure()
	}
	sel, err := r.selection(c.order)
	if err != nil {
		return nil, err
	}
	out := &meaning{targets: map[string]string{}, groups: map[string]string{}}
	for _, t := range sel.Targets {
		p := t.spec.print()
		if p.DockerfileInline != nil {
			p.Dockerfile = nil // it is not looked at
		}
		text, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out.targets[t.Name] = string(text)
	}
	for _, g := range c.groups {
		out.groups[g.name] = fmt.Sprintf("%q %q", g.description, g.targets)
	}
	return out, nil
}

// same checks that text means want.
func (*importer) same(ctx context.Context, text []byte, opts LoadOptions, want *meaning) error {
	opts.Mode = ModeStrata
	c, err := newModule(ModeStrata).load(ctx, []source{{OwnFile, text}}, opts)
	if err != nil {
		return err
	}
	got, err := c.meaning()
	if err != nil {
		return err
	}
	if name := difference(got.targets, want.targets); name != "" {
		return fmt.Errorf("target %q would be\n%s\nand not\n%s", name, got.targets[name], want.targets[name])
	}
	if name := difference(got.groups, want.groups); name != "" {
		return fmt.Errorf("group %q would be %s and not %s", name, got.groups[name], want.groups[name])
	}
	return nil
}

// difference is a key whose values differ, or "".
func difference(a, b map[string]string) string {
	for _, k := range slices.Sorted(maps.Keys(a)) {
		if v, ok := b[k]; !ok || v != a[k] {
			return k
		}
	}
	for _, k := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[k]; !ok {
			return k
		}
	}
	return ""
}

// values writes every target with everything decided.
func (im *importer) values(context.Context) ([]byte, error) {
	im.note("variables, functions and what is inherited were replaced by their values: the language of %s reads them otherwise", OwnFile)
	r := newResolver(im.config, &watch{})
	for _, name := range im.config.order {
		r.choose(name, hcl.Range{})
	}
	r.follow()
	if _, err := r.selection(im.config.order); err != nil {
		return nil, err
	}
	w := &declarationList{}
	for _, g := range im.config.groups {
		w.add(groupDeclaration(g))
	}
	for _, name := range im.config.order {
		w.add(specDeclaration(r.chosen[name]))
	}
	return w.bytes(), nil
}

// declarations writes what the files declare, expressions as they are.
func (im *importer) declarations(context.Context) ([]byte, error) {
	w := &declarationList{}
	services, err := im.services(im.opts)
	if err != nil {
		return nil, err
	}
	w.add(services...)
	for _, f := range im.files {
		if len(f.data) == 0 || im.isCompose(f) {
			continue
		}
		list, err := im.module.declarationsOf(f)
		if err != nil {
			return nil, err
		}
		w.add(list...)
	}
	im.finish(w)
	return w.bytes(), nil
}

// finish adds stubs and corrects groups.
func (im *importer) finish(w *declarationList) {
	for _, name := range im.stubs {
		w.add(&declaration{kind: "target", name: name})
	}
	for _, g := range im.config.groups {
		if d := w.find("group", g.name); d != nil && g.places == nil && g.targets != nil {
			d.set("targets", hclwrite.TokensForValue(stringList(g.targets)))
		}
	}
}

// isCompose reports whether f was read as a compose file.
func (im *importer) isCompose(f source) bool {
	file := im.module.files[f.name]
	return file != nil && file.Body == nil
}

// services declares the targets and the group that compose files make.
func (im *importer) services(opts LoadOptions) ([]*declaration, error) {
	m := newModule(ModeBake)
	c, err := newComposer(m, opts)
	if err != nil {
		return nil, err
	}
	for _, f := range im.files {
		if im.isCompose(f) {
			c.add(f)
		}
	}
	specs, all := c.targets()
	if m.diags.HasErrors() {
		return nil, &Error{Diags: m.diags, Files: m.files}
	}
	var out []*declaration
	if all != nil {
		out = append(out, groupDeclaration(all))
	}
	for _, s := range specs {
		out = append(out, specDeclaration(s))
	}
	return out, nil
}
