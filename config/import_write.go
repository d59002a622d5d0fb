package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

// This file turns what other files declare into declarations, and those into
// text.

// A declaration is one block to write, or an attribute outside of blocks: that
// has one assignment and no kind.
type declaration struct {
	kind, name string
	attrs      []assignment
	blocks     []*declaration // without a name: validation
}

type assignment struct {
	name string
	expr hclwrite.Tokens
}

func (d *declaration) set(name string, expr hclwrite.Tokens) {
	for i := range d.attrs {
		if d.attrs[i].name == name {
			d.attrs[i].expr = expr
			return
		}
	}
	d.attrs = append(d.attrs, assignment{name, expr})
}

func (d *declaration) get(name string) hclwrite.Tokens {
	for _, a := range d.attrs {
		if a.name == name {
			return a.expr
		}
	}
	return nil
}

func (d *declaration) drop(name string) {
	d.attrs = slices.DeleteFunc(d.attrs, func(a assignment) bool { return a.name == name })
}

// growing are the attributes that a second block of a target adds to, by the
// function that says so.
var growing = map[string]string{
	"args": "merge", "labels": "merge", "extra-hosts": "merge", "contexts": "merge", "resources": "merge",
	"inherits": "concat", "annotations": "concat", "no-cache-filter": "concat", "ulimits": "concat",
	"entitlements": "concat", "policy": "concat", "attest": "concat", "secret": "concat", "ssh": "concat", "cache-from": "concat",
}

// merge lays a later block of the same target over d.
func (d *declaration) merge(over *declaration) {
	for _, a := range over.attrs {
		old := d.get(a.name)
		if f := growing[a.name]; f != "" && old != nil {
			a.expr = hclwrite.TokensForFunctionCall(f, old, a.expr)
		}
		d.set(a.name, a.expr)
	}
}

// A declarationList holds what is to be written, each name of a kind once.
type declarationList struct{ list []*declaration }

func (w *declarationList) find(kind, name string) *declaration {
	for _, d := range w.list {
		if d.kind == kind && d.name == name {
			return d
		}
	}
	return nil
}

// add appends declarations. Blocks of one target are merged; of anything else
// the last one counts.
func (w *declarationList) add(list ...*declaration) {
	for _, d := range list {
		switch old := w.find(d.kind, d.name); {
		case old == nil:
			w.list = append(w.list, d)
		case d.kind == "target":
			old.merge(d)
		default:
			*old = *d
		}
	}
}

// bytes writes the declarations: attributes and variables first.
func (w *declarationList) bytes() []byte {
	rank := func(d *declaration) int {
		return slices.Index([]string{"", "variable", "function", "group", "target"}, d.kind)
	}
	slices.SortStableFunc(w.list, func(a, b *declaration) int { return rank(a) - rank(b) })
	f := hclwrite.NewEmptyFile()
	for i, d := range w.list {
		if i > 0 && (d.kind != "" || w.list[i-1].kind != "") {
			f.Body().AppendNewline()
		}
		if d.kind == "" {
			f.Body().SetAttributeRaw(d.name, d.attrs[0].expr)
			continue
		}
		d.write(f.Body().AppendNewBlock(d.kind, []string{d.name}).Body())
	}
	return f.Bytes()
}

func (d *declaration) write(body *hclwrite.Body) {
	if d.kind == "target" && d.get("dockerfile-inline") != nil {
		d.drop("dockerfile") // bake does not look at it
	}
	for _, a := range d.attrs {
		body.SetAttributeRaw(a.name, a.expr)
	}
	for _, b := range d.blocks {
		b.write(body.AppendNewBlock(b.kind, nil).Body())
	}
}

func groupDeclaration(g *group) *declaration {
	d := &declaration{kind: "group", name: g.name}
	if g.description != "" {
		d.set("description", hclwrite.TokensForValue(cty.StringVal(g.description)))
	}
	d.set("targets", hclwrite.TokensForValue(stringList(g.targets)))
	return d
}

// written is the order in which attributes of a target are written.
var written = []string{
	"description", "context", "contexts", "dockerfile", "dockerfile-inline", "target", "args", "labels",
	"annotations", "tags", "platforms", "cache-from", "cache-to", "secret", "ssh", "attest", "output",
	"pull", "no-cache", "no-cache-filter", "network", "shm-size", "ulimits", "resources", "entitlements",
	"extra-hosts", "call", "policy",
}

// specDeclaration says all that s does but what it inherits.
func specDeclaration(s *spec) *declaration {
	d := &declaration{kind: "target", name: s.name}
	for _, name := range written {
		v := attributes[name].get(s)
		if v.IsNull() || v.Type() == cty.String && v.AsString() == "" || v.CanIterateElements() && v.LengthInt() == 0 {
			continue
		}
		switch name {
		case "context", "dockerfile":
			if text := v.AsString(); text == "." || text == "Dockerfile" && name == "dockerfile" {
				continue
			}
		case "dockerfile-inline":
			d.set(name, textTokens(v.AsString()))
			continue
		case "output", "cache-from", "cache-to", "secret", "ssh", "resources":
			v = pruned(v)
		case "policy":
			v = policyTexts(s.policy)
		}
		d.set(name, hclwrite.TokensForValue(v))
	}
	return d
}

// pruned leaves out what is empty or null in objects.
func pruned(v cty.Value) cty.Value {
	switch t := v.Type(); {
	case v.IsNull():
		return v
	case t.IsListType():
		var out []cty.Value
		for _, elem := range v.Elements() {
			out = append(out, pruned(elem))
		}
		return cty.TupleVal(out)
	case t.IsMapType() || t.IsObjectType():
		out := map[string]cty.Value{}
		for k, elem := range v.Elements() {
			empty := elem.IsNull() || elem.Type() == cty.String && elem.AsString() == "" && slices.Contains([]string{"id", "src", "env", "dest"}, k.AsString())
			if empty || !elem.IsNull() && elem.CanIterateElements() && elem.LengthInt() == 0 {
				continue
			}
			out[k.AsString()] = elem
		}
		return cty.ObjectVal(out)
	}
	return v
}

// policyTexts are policies as bake's files say them.
func policyTexts(list []Policy) cty.Value {
	var out []cty.Value
	for _, p := range list {
		var fields []string
		for _, f := range p.Files {
			fields = append(fields, csvField("filename="+f))
		}
		if p.Reset {
			fields = append(fields, "reset=true")
		}
		if p.Disabled {
			fields = append(fields, "disabled=true")
		}
		if p.Strict != nil {
			fields = append(fields, fmt.Sprintf("strict=%t", *p.Strict))
		}
		if p.LogLevel != "" {
			fields = append(fields, "log-level="+p.LogLevel)
		}
		out = append(out, cty.StringVal(strings.Join(fields, ",")))
	}
	return cty.TupleVal(out)
}

// textTokens writes text as a here-document if it is made of whole lines.
func textTokens(text string) hclwrite.Tokens {
	if strings.Count(text, "\n") > 1 && strings.HasSuffix(text, "\n") && !strings.ContainsAny(text, "\r\x00") {
		name := delimiter(trimmedLines(text))
		if tokens, err := exprTokens("<<" + name + "\n" + escapeTemplate.Replace(text) + name); err == nil {
			return tokens
		}
	}
	return hclwrite.TokensForValue(cty.StringVal(text))
}

func trimmedLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// exprTokens are the tokens of an expression in HCL's native syntax.
func exprTokens(text string) (hclwrite.Tokens, error) {
	f, diags := hclwrite.ParseConfig([]byte("x = "+text+"\n"), "", hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	attr := f.Body().GetAttribute("x")
	if attr == nil {
		return nil, fmt.Errorf("%q is no expression", text)
	}
	return attr.Expr().BuildTokens(nil), nil
}

// knownAttributes are those that are kept, by the kind of a block; nil for a
// block that there is not.
func knownAttributes(kind string) []string {
	switch kind {
	case "target":
		return append([]string{"matrix"}, attributeNames...)
	case "group":
		return []string{"description", "targets"}
	case "variable":
		return []string{"type", "default", "description"}
	case "validation":
		return []string{"condition", "error_message"}
	case "function":
		return []string{"params", "variadic_params", "result"}
	}
	return nil
}

// declarationsOf reads a bake file without evaluating it.
func (m *module) declarationsOf(f source) ([]*declaration, error) {
	file := m.files[f.name]
	if file == nil {
		return nil, fmt.Errorf("%s was not read", f.name)
	}
	if _, native := file.Body.(*hclsyntax.Body); !native {
		return jsonDeclarations(f.data)
	}
	parsed, diags := hclwrite.ParseConfig(f.data, f.name, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, diags
	}
	var out []*declaration
	for name, attr := range parsed.Body().Attributes() {
		if !reserved[name] && name != "function" {
			out = append(out, &declaration{name: name, attrs: []assignment{{name, attr.Expr().BuildTokens(nil)}}})
		}
	}
	slices.SortFunc(out, func(a, b *declaration) int { return strings.Compare(a.name, b.name) })
	for _, b := range parsed.Body().Blocks() {
		if knownAttributes(b.Type()) == nil || len(b.Labels()) != 1 || reserved[b.Labels()[0]] && b.Type() != "target" && b.Type() != "group" {
			continue
		}
		out = append(out, blockDeclaration(b, b.Labels()[0]))
	}
	return out, nil
}

func blockDeclaration(b *hclwrite.Block, name string) *declaration {
	d := &declaration{kind: b.Type(), name: name}
	for _, known := range knownAttributes(b.Type()) {
		if attr := b.Body().GetAttribute(known); attr != nil {
			d.set(known, attr.Expr().BuildTokens(nil))
		}
	}
	for _, inner := range b.Body().Blocks() {
		if inner.Type() == "validation" {
			d.blocks = append(d.blocks, blockDeclaration(inner, ""))
		}
	}
	return d
}

// A member is one entry of a JSON object, in the order written.
type member struct {
	name  string
	value any // []member, []any, string, json.Number, bool or nil
}

// jsonDeclarations reads a bake file in JSON.
func jsonDeclarations(data []byte) ([]*declaration, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	root, err := jsonValue(dec)
	if err != nil {
		return nil, err
	}
	var out []*declaration
	for _, top := range objects(root) {
		for _, m := range top {
			if m.name == "//" {
				continue
			}
			list, err := topDeclarations(m)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.name, err)
			}
			out = append(out, list...)
		}
	}
	return out, nil
}

func topDeclarations(m member) ([]*declaration, error) {
	if knownAttributes(m.name) == nil || m.name == "validation" {
		if reserved[m.name] {
			return nil, nil
		}
		expr, err := jsonTokens(m.value)
		return []*declaration{{name: m.name, attrs: []assignment{{m.name, expr}}}}, err
	}
	var out []*declaration
	for _, labels := range objects(m.value) {
		for _, label := range labels {
			if label.name == "//" {
				continue
			}
			for _, body := range objects(label.value) {
				d, err := jsonBlock(m.name, label.name, body)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", label.name, err)
				}
				out = append(out, d)
			}
		}
	}
	return out, nil
}

func jsonBlock(kind, name string, body []member) (*declaration, error) {
	d := &declaration{kind: kind, name: name}
	for _, m := range body {
		if kind == "variable" && m.name == "validation" {
			for _, v := range objects(m.value) {
				inner, err := jsonBlock("validation", "", v)
				if err != nil {
					return nil, err
				}
				d.blocks = append(d.blocks, inner)
			}
			continue
		}
		if !slices.Contains(knownAttributes(kind), m.name) {
			continue
		}
		expr, err := jsonAttribute(kind, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.name, err)
		}
		d.set(m.name, expr)
	}
	return d, nil
}

// jsonAttribute writes the value of an attribute. Some are no expressions but
// names or plain text.
func jsonAttribute(kind string, m member) (hclwrite.Tokens, error) {
	text, isText := m.value.(string)
	switch {
	case kind == "variable" && m.name == "type" && isText:
		return exprTokens(text)
	case kind == "variable" && m.name == "description" && isText:
		return hclwrite.TokensForValue(cty.StringVal(text)), nil
	case kind == "function" && (m.name == "params" || m.name == "variadic_params"):
		if isText {
			return exprTokens(text)
		}
		list, _ := m.value.([]any)
		var names []hclwrite.Tokens
		for _, v := range list {
			names = append(names, hclwrite.TokensForIdentifier(fmt.Sprint(v)))
		}
		return hclwrite.TokensForTuple(names), nil
	}
	return jsonTokens(m.value)
}

// objects are the objects that v is: one, or a list of them.
func objects(v any) [][]member {
	switch v := v.(type) {
	case []member:
		return [][]member{v}
	case []any:
		var out [][]member
		for _, elem := range v {
			out = append(out, objects(elem)...)
		}
		return out
	}
	return nil
}

// jsonValue reads one value and keeps the order of objects.
func jsonValue(dec *json.Decoder) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch tok {
	case json.Delim('{'):
		out := []member{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			v, err := jsonValue(dec)
			if err != nil {
				return nil, err
			}
			name, ok := key.(string)
			if !ok {
				return nil, errors.New("a key is no text")
			}
			out = append(out, member{name, v})
		}
		_, err := dec.Token()
		return out, err
	case json.Delim('['):
		out := []any{}
		for dec.More() {
			v, err := jsonValue(dec)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		_, err := dec.Token()
		return out, err
	case json.Delim('}'), json.Delim(']'):
		return nil, io.ErrUnexpectedEOF
	}
	return tok, nil
}

// jsonTokens writes a JSON value as an expression: its texts are templates.
func jsonTokens(v any) (hclwrite.Tokens, error) {
	switch v := v.(type) {
	case nil:
		return exprTokens("null")
	case bool:
		return hclwrite.TokensForValue(cty.BoolVal(v)), nil
	case json.Number:
		return exprTokens(v.String())
	case string:
		return exprTokens(quotedTemplate(v))
	case []any:
		var list []hclwrite.Tokens
		for _, elem := range v {
			t, err := jsonTokens(elem)
			if err != nil {
				return nil, err
			}
			list = append(list, t)
		}
		return hclwrite.TokensForTuple(list), nil
	case []member:
		var attrs []hclwrite.ObjectAttrTokens
		for _, m := range v {
			t, err := jsonTokens(m.value)
			if err != nil {
				return nil, err
			}
			name := hclwrite.TokensForIdentifier(m.name)
			if !hclsyntax.ValidIdentifier(m.name) {
				if name, err = exprTokens(quotedTemplate(m.name)); err != nil {
					return nil, err
				}
			}
			attrs = append(attrs, hclwrite.ObjectAttrTokens{Name: name, Value: t})
		}
		return hclwrite.TokensForObject(attrs), nil
	}
	return nil, fmt.Errorf("%T is no value of JSON", v)
}

// quotedTemplate writes a template in quotes: what stands in ${} and %{} stays,
// all else is escaped.
func quotedTemplate(text string) string {
	tokens, _ := hclsyntax.LexTemplate([]byte(text), "", hcl.InitialPos)
	var b strings.Builder
	b.WriteByte('"')
	depth, at := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			if depth == 0 {
				b.WriteString(escapeQuoted(text[at:t.Range.Start.Byte]))
				at = t.Range.Start.Byte
			}
			depth++
		case hclsyntax.TokenTemplateSeqEnd:
			if depth--; depth == 0 {
				b.WriteString(text[at:t.Range.End.Byte])
				at = t.Range.End.Byte
			}
		}
	}
	b.WriteString(escapeQuoted(text[at:]))
	b.WriteByte('"')
	return b.String()
}

// escapeQuoted escapes what can not stand in quotes. Template marks are left.
func escapeQuoted(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
