package config

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"go.yaml.in/yaml/v3"
)

// verbatim is the text of a single bake file in HCL, comments and all, without
// what bake ignores.
func (im *importer) verbatim(context.Context) ([]byte, error) {
	if len(im.files) != 1 || len(im.files[0].data) == 0 {
		return nil, nil
	}
	data := im.files[0].data
	file := im.module.files[im.files[0].name]
	if file == nil {
		return nil, nil
	}
	body, native := file.Body.(*hclsyntax.Body)
	if !native {
		return nil, nil
	}
	var cuts []span
	for _, b := range body.Blocks {
		known := knownAttributes(b.Type)
		if known == nil || b.Type == "validation" {
			cuts = append(cuts, span{b.TypeRange.Start.Byte, b.CloseBraceRange.End.Byte})
			continue
		}
		for name, attr := range b.Body.Attributes {
			if !slices.Contains(known, name) {
				cuts = append(cuts, span{attr.SrcRange.Start.Byte, attr.SrcRange.End.Byte})
			}
		}
		for _, inner := range b.Body.Blocks {
			if b.Type != "variable" || inner.Type != "validation" {
				cuts = append(cuts, span{inner.TypeRange.Start.Byte, inner.CloseBraceRange.End.Byte})
			}
		}
	}
	text := append(bytes.TrimRight(without(data, cuts), "\n"), '\n')
	for _, name := range im.stubs {
		text = fmt.Appendf(text, "\ntarget %q {}\n", name)
	}
	return text, nil
}

type span struct{ from, to int }

// without cuts spans out of text, with their lines if only a comment is left.
func without(text []byte, cuts []span) []byte {
	slices.SortFunc(cuts, func(a, b span) int { return a.from - b.from })
	var out bytes.Buffer
	at := 0
	for _, c := range cuts {
		from := bytes.LastIndexByte(text[:c.from], '\n') + 1
		to := len(text)
		if i := bytes.IndexByte(text[c.to:], '\n'); i >= 0 {
			to = c.to + i + 1
		}
		if rest := bytes.TrimSpace(text[c.to:to]); len(bytes.TrimSpace(text[from:c.from])) > 0 ||
			len(rest) > 0 && !bytes.HasPrefix(rest, []byte("#")) && !bytes.HasPrefix(rest, []byte("//")) {
			from, to = c.from, c.to
		}
		if from < at {
			continue
		}
		out.Write(text[at:from])
		at = to
	}
	out.Write(text[at:])
	return out.Bytes()
}

// A composeVariable is a variable of compose files: while they are read, its
// value is a mark, by which the places it goes to are found. A nil fallback
// leaves out what is not set.
type composeVariable struct {
	name, mark string
	fallback   *string
}

func (v composeVariable) declaration() *declaration {
	d := &declaration{kind: "variable", name: v.name}
	if v.fallback == nil {
		d.set("type", hclwrite.TokensForIdentifier("string"))
	} else {
		d.set("default", hclwrite.TokensForValue(cty.StringVal(*v.fallback)))
	}
	return d
}

// composeVariables declares the variables of compose files as variables, as far
// as the result is the same.
func (im *importer) composeVariables(ctx context.Context) ([]byte, error) {
	if !slices.ContainsFunc(im.files, im.isCompose) {
		return nil, nil
	}
	vars := im.markedVariables()
	if len(vars) == 0 {
		return nil, nil
	}
	text, err := im.withVariables(ctx, vars)
	if err == nil {
		return text, nil
	}
	var good []composeVariable
	for _, v := range vars {
		if _, err := im.withVariables(ctx, []composeVariable{v}); err == nil {
			good = append(good, v)
		}
	}
	if len(good) == 0 {
		return nil, nil
	}
	return im.withVariables(ctx, good)
}

// maxMarked bounds how often files are read again.
const maxMarked = 100

// markedVariables are the variables that have a default or none, and the
// arguments without a value, which are variables too.
func (im *importer) markedVariables() []composeVariable {
	c, err := newComposer(newModule(ModeBake), im.opts)
	if err != nil {
		return nil
	}
	fallbacks := map[string]*string{}
	for _, f := range im.files {
		var raw map[string]any
		if !im.isCompose(f) || yaml.Unmarshal(f.data, &raw) != nil {
			continue
		}
		for _, name := range argsWithoutValue(raw) {
			fallbacks[name] = nil
		}
		for name, v := range template.ExtractVariables(raw, template.DefaultPattern) {
			if v.PresenceValue != "" || v.Required || strings.Contains(v.DefaultValue, "$") {
				continue
			}
			fallbacks[name] = &v.DefaultValue
		}
	}
	var out []composeVariable
	for _, name := range sortedKeys(fallbacks) {
		if reserved[name] || !hclsyntax.ValidIdentifier(name) || len(out) == maxMarked {
			continue
		}
		fallback := fallbacks[name]
		if given, ok := c.env[name]; ok {
			if _, ok := im.opts.lookup(name); !ok { // from .env
				fallback = &given
			}
		}
		out = append(out, composeVariable{name, fmt.Sprintf("zq%dvariablezq", len(out)), fallback})
	}
	return out
}

// argsWithoutValue are the build arguments whose value comes from outside.
func argsWithoutValue(raw map[string]any) []string {
	var out []string
	services, _ := raw["services"].(map[string]any)
	for _, svc := range services {
		service, _ := svc.(map[string]any)
		build, _ := service["build"].(map[string]any)
		switch args := build["args"].(type) {
		case map[string]any:
			for name, v := range args {
				if v == nil {
					out = append(out, name)
				}
			}
		case []any:
			for _, v := range args {
				if text, ok := v.(string); ok && !strings.Contains(text, "=") {
					out = append(out, text)
				}
			}
		}
	}
	return out
}

// withVariables writes the declarations with vars. It fails if they do not mean
// the same, with the environment of now and without one.
func (im *importer) withVariables(ctx context.Context, vars []composeVariable) ([]byte, error) {
	marked := im.opts
	marked.Vars = maps.Clone(im.opts.Vars)
	if marked.Vars == nil {
		marked.Vars = map[string]string{}
	}
	for _, v := range vars {
		marked.Vars[v.name] = v.mark
	}
	services, err := im.services(marked)
	if err != nil {
		return nil, err
	}
	w := &declarationList{}
	w.add(services...)
	made := w.bytes()
	for _, v := range vars {
		if bytes.Contains(made, []byte(v.mark)) {
			w.add(v.declaration())
		}
	}
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
	text := w.bytes()
	unset := im.opts
	for _, v := range vars {
		text = bytes.ReplaceAll(text, []byte(`"`+v.mark+`"`), []byte(v.name))
		text = bytes.ReplaceAll(text, []byte(v.mark), []byte("${"+v.name+"}"))
		unset = unset.without(v.name)
	}
	if err := im.same(ctx, text, im.opts, im.want); err != nil {
		return nil, err
	}
	return text, im.sameUnset(ctx, text, unset)
}

// sameUnset compares what text and the files mean where no variable is set.
func (im *importer) sameUnset(ctx context.Context, text []byte, unset LoadOptions) error {
	c, err := newModule(ModeBake).load(ctx, im.files, unset)
	if err != nil {
		return err
	}
	other := &importer{opts: unset, files: im.files, config: c}
	other.addStubs()
	other.dropUnknownMembers()
	want, err := c.meaning()
	if err != nil {
		return err
	}
	return im.same(ctx, text, unset, want)
}
