package config

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/json"
	"golang.org/x/sync/errgroup"
)

// A reading is what all files of one Load share.
type reading struct {
	mode     Mode
	files    map[string]*hcl.File
	schema   *blockSchema         // of target blocks
	declared map[string]hcl.Range // labels, by type, name and place
	unread   bool                 // a file could not be read or parsed
	parsed   bool                 // there is a file that can declare variables
	diags    hcl.Diagnostics
	watch    *watch
	excerpts sync.Map // texts of included files by name, as *hcl.File without a body
}

// A module is what files declare, read but not evaluated: those of the command
// together, and each file that is included on its own.
type module struct {
	*reading
	dir       string // directory of the file if it is included, else ""
	inner     bool   // another file has led to it; the paths in it are relative to dir
	variables map[string]*variable
	functions map[string]*userFunction
	globals   map[string]*hcl.Attribute
	locals    map[string]*hcl.Attribute
	targets   []*block // in order of declaration
	groups    []*block
	shared    map[string]*block // steps blocks
	templates map[string]*block
	includes  []*include
	link      *string   // of the strata block; nil if it does not say
	includer  *includer // of included files; nil if there can be none
	pools     []*block
	cache     *block // all cache blocks as one; may be nil
}

// A block is one target or group block.
type block struct {
	typ, name string
	header    hcl.Range // `target "app"`
	label     hcl.Range
	content   *hcl.BodyContent
	instances []*instance
}

// A variable is a variable block.
type variable struct {
	name        string
	rng         hcl.Range
	typ         hcl.Expression
	def         *hcl.Attribute
	description string
	validations []validation
}

type validation struct{ condition, message hcl.Expression }

// A userFunction is a function block.
type userFunction struct {
	name                     string
	rng                      hcl.Range
	params, variadic, result *hcl.Attribute
}

// reserved names can not be variables or functions.
var reserved = map[string]bool{
	"target": true, "group": true, "BAKE_CMD_CONTEXT": true, "BAKE_LOCAL_PLATFORM": true,
}

var fileSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "target", LabelNames: []string{"name"}},
	{Type: "group", LabelNames: []string{"name"}},
	{Type: "variable", LabelNames: []string{"name"}},
	{Type: "function", LabelNames: []string{"name"}},
}}

// ownFileSchema is what a file in Strata's own language can hold besides.
var ownFileSchema = &hcl.BodySchema{Blocks: slices.Concat(fileSchema.Blocks, []hcl.BlockHeaderSchema{
	{Type: "strata"},
	{Type: "locals"},
	{Type: "steps", LabelNames: []string{"name"}},
	{Type: "template", LabelNames: []string{"name"}},
	{Type: "include"},
	{Type: "pool", LabelNames: []string{"name"}},
	{Type: "cache"},
})}

// topLevel is what a file may hold.
func (m *module) topLevel() *hcl.BodySchema {
	if m.mode == ModeStrata {
		return ownFileSchema
	}
	return fileSchema
}

func newModule(mode Mode) *module {
	r := &reading{
		mode:     mode,
		files:    map[string]*hcl.File{},
		schema:   newSchema(targetSchema(mode)),
		declared: map[string]hcl.Range{},
		watch:    &watch{},
	}
	return r.module()
}

// module is one that nothing was read into.
func (r *reading) module() *module {
	return &module{
		reading:   r,
		variables: map[string]*variable{},
		functions: map[string]*userFunction{},
		globals:   map[string]*hcl.Attribute{},
		locals:    map[string]*hcl.Attribute{},
		shared:    map[string]*block{},
		templates: map[string]*block{},
	}
}

func (r *reading) report(d ...*hcl.Diagnostic) { r.diags = append(r.diags, d...) }

// unknown reports something that Strata's own language does not have and that
// bake ignores.
func (m *module) unknown(d *hcl.Diagnostic) {
	if m.mode == ModeBake {
		d.Severity = hcl.DiagWarning
		d.Detail += " It is ignored."
	}
	m.report(d)
}

// parse adds one HCL or JSON file.
func (m *module) parse(src source) {
	m.watch.at.Store(&hcl.Range{Filename: src.name, Start: hcl.InitialPos, End: hcl.InitialPos})
	f, diags := parseFile(src)
	m.report(diags...)
	m.unread = m.unread || diags.HasErrors()
	if f == nil || f.Body == nil {
		m.files[src.name] = &hcl.File{Bytes: src.data}
		return
	}
	m.files[src.name] = f
	if diags.HasErrors() {
		return
	}
	if body, ok := f.Body.(*hclsyntax.Body); ok {
		m.report(metered(body)...)
	}
	m.read(f.Body)
}

// parseFile parses by the name's suffix; a name without a known one is tried as
// HCL and then as JSON.
func parseFile(src source) (*hcl.File, hcl.Diagnostics) {
	if strings.HasSuffix(src.name, ".json") {
		return parseJSON(src)
	}
	f, diags := parseHCL(src)
	if diags.HasErrors() && !strings.HasSuffix(src.name, ".hcl") {
		if f, diags := parseJSON(src); !diags.HasErrors() {
			return f, diags
		}
	}
	return f, diags
}

func parseHCL(src source) (*hcl.File, hcl.Diagnostics) {
	if !utf8.Valid(src.data) {
		return &hcl.File{Bytes: src.data}, hcl.Diagnostics{badUTF8(src.data, src.name)}
	}
	parts, ok := pieces(src.data)
	if !ok {
		if diags := guardHCL(src.data, src.name); diags.HasErrors() {
			return &hcl.File{Bytes: src.data}, diags
		}
		return hclsyntax.ParseConfig(src.data, src.name, hcl.InitialPos)
	}
	for _, p := range parts {
		if tooLarge := guardWords(p, src.name); tooLarge != nil {
			return &hcl.File{Bytes: src.data}, hcl.Diagnostics{tooLarge}
		}
	}
	if len(parts) > 1 {
		return parsePieces(src, parts)
	}
	return hclsyntax.ParseConfig(src.data, src.name, hcl.InitialPos)
}

// parsePieces parses the parts of a large file at the same time.
func parsePieces(src source, parts []piece) (*hcl.File, hcl.Diagnostics) {
	bodies := make([]*hclsyntax.Body, len(parts))
	problems := make([]hcl.Diagnostics, len(parts))
	var wrong atomic.Int32
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, p := range parts {
		g.Go(func() error {
			if wrong.Load() > maxShown { // more are of no use
				return nil
			}
			f, diags := hclsyntax.ParseConfig(p.data, src.name, p.start)
			bodies[i], problems[i] = f.Body.(*hclsyntax.Body), diags
			if diags.HasErrors() {
				wrong.Add(1)
			}
			return nil
		})
	}
	_ = g.Wait() // no part returns an error
	if wrong.Load() > 0 {
		return &hcl.File{Bytes: src.data}, slices.Concat(problems...)
	}
	body, diags := joined(bodies)
	return &hcl.File{Body: body, Bytes: src.data}, diags
}

// joined is one body with what all have.
func joined(bodies []*hclsyntax.Body) (*hclsyntax.Body, hcl.Diagnostics) {
	var diags hcl.Diagnostics
	whole := bodies[0]
	for _, b := range bodies[1:] {
		for _, name := range sortedKeys(b.Attributes) {
			attr := b.Attributes[name]
			if old := whole.Attributes[name]; old != nil {
				diags = append(diags, problem(attr.NameRange, "Attribute redefined",
					"The argument %q was already set at %s. Each argument may be set only once.", name, old.NameRange))
				continue
			}
			whole.Attributes[name] = attr
		}
		whole.Blocks = append(whole.Blocks, b.Blocks...)
		whole.SrcRange.End, whole.EndRange = b.SrcRange.End, b.EndRange
	}
	return whole, diags
}

func parseJSON(src source) (*hcl.File, hcl.Diagnostics) {
	if diags := guardJSON(src.data, src.name); diags.HasErrors() {
		return &hcl.File{Bytes: src.data}, diags
	}
	return json.Parse(src.data, src.name)
}

func (m *module) read(body hcl.Body) {
	m.checkTopLevel(body)
	content, rest, diags := body.PartialContent(m.topLevel())
	m.report(diags...)
	for _, b := range content.Blocks {
		switch b.Type {
		case "target":
			m.targets = m.addBlock(m.targets, b, m.schema)
		case "group":
			m.groups = m.addBlock(m.groups, b, groupSchema)
		case "variable":
			m.addVariable(b)
		case "function":
			m.addFunction(b)
		case "strata":
			m.checkEdition(b)
		case "locals":
			m.addLocals(b)
		case "steps":
			m.addSteps(b)
		case "template":
			m.addTemplate(b)
		case "include":
			m.addInclude(b)
		case "pool":
			m.pools = m.addBlock(m.pools, b, poolSchema)
		case "cache":
			m.addCache(b)
		}
	}
	m.addGlobals(rest)
}

func (m *module) checkTopLevel(body hcl.Body) {
	native, ok := body.(*hclsyntax.Body)
	if !ok {
		return
	}
	var known []string
	for _, b := range m.topLevel().Blocks {
		known = append(known, b.Type)
	}
	for _, b := range native.Blocks {
		if !slices.Contains(known, b.Type) {
			m.unknown(problem(b.TypeRange, "Unknown block", "There is no block %q.%s", b.Type, didYouMean(b.Type, known)))
		}
	}
}

// edition is the version of the language that this program speaks.
const edition = "1"

var editionSchema = newSchema(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "edition"}, {Name: "link"}}})

// checkEdition reads a strata block, which says what language the file is in and
// what holds for all of its targets.
func (m *module) checkEdition(b *hcl.Block) {
	attrs := m.content(b, editionSchema).Attributes
	m.readLink(attrs["link"])
	attr := attrs["edition"]
	if attr == nil {
		return
	}
	if got, ok := m.literal(attr); ok && got != edition {
		m.report(problem(attr.Expr.Range(), "Unknown edition",
			"The file is in edition %s of the language; this strata knows edition %s. Update strata, or write edition = %s.", got, edition, edition))
	}
}

// addGlobals reads the attributes that stand outside of blocks: each is a value
// that expressions can name. The last file wins.
func (m *module) addGlobals(body hcl.Body) {
	attrs, diags := body.JustAttributes()
	for _, d := range diags {
		// The library complains of blocks even if all of them were read.
		if d.Detail != "Blocks are not allowed here." {
			m.report(d)
		}
	}
	for name, attr := range attrs {
		if !reserved[name] && name != "function" {
			m.globals[name] = attr
		}
	}
}

func (m *module) addBlock(list []*block, b *hcl.Block, schema *blockSchema) []*block {
	out := &block{
		typ: b.Type, name: b.Labels[0], header: b.DefRange, label: b.LabelRanges[0],
		content: m.content(b, schema),
	}
	m.liftDemand(b, out.content)
	if !validName(out.name) {
		m.report(problem(out.label, "Invalid name",
			"%q can not be the name of a %s: only letters, digits, _ and - are allowed.", out.name, b.Type))
	}
	if m.mode == ModeStrata {
		m.checkTwice(out)
	}
	return append(list, out)
}

// checkTwice reports a second block of one name in one file. In another file it
// adds to the first, as an override does.
func (m *module) checkTwice(b *block) {
	key := b.typ + "\x00" + b.name + "\x00" + b.label.Filename
	if first, ok := m.declared[key]; ok {
		m.report(problem(b.label, "Duplicate "+b.typ, "A %s named %q is declared at %s already.",
			b.typ, b.name, position(first)))
		return
	}
	m.declared[key] = b.label
}

// A blockSchema is what a block may hold.
type blockSchema struct {
	hcl    *hcl.BodySchema
	attrs  map[string]bool
	blocks map[string]bool
}

func newSchema(body *hcl.BodySchema) *blockSchema {
	s := &blockSchema{hcl: body, attrs: map[string]bool{}, blocks: map[string]bool{}}
	for _, a := range body.Attributes {
		s.attrs[a.Name] = true
	}
	for _, b := range body.Blocks {
		s.blocks[b.Type] = true
	}
	return s
}

func (s *blockSchema) names() []string {
	return slices.Concat(sortedKeys(s.attrs), sortedKeys(s.blocks))
}

// content reads a block by its schema and reports what else it holds.
func (m *module) content(b *hcl.Block, schema *blockSchema) *hcl.BodyContent {
	body, ok := b.Body.(*hclsyntax.Body)
	if !ok {
		return m.contentJSON(b, schema)
	}
	out := &hcl.BodyContent{Attributes: make(hcl.Attributes, len(body.Attributes)), MissingItemRange: body.MissingItemRange()}
	var unknown []string
	for name, attr := range body.Attributes {
		if schema.attrs[name] {
			out.Attributes[name] = attr.AsHCLAttribute()
		} else {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown {
		m.unknownAttribute(b, name, body.Attributes[name].NameRange, schema)
	}
	for _, inner := range body.Blocks {
		switch {
		case !schema.blocks[inner.Type]:
			m.unknown(problem(inner.TypeRange, "Unknown block", "A %s has no block %q.%s",
				b.Type, inner.Type, didYouMean(inner.Type, schema.names())))
		case len(inner.Labels) > 0 && inner.Type != "dynamic":
			m.report(problem(inner.LabelRanges[0], "Unexpected label", "A block %q has no labels.", inner.Type))
		default:
			out.Blocks = append(out.Blocks, inner.AsHCLBlock())
		}
	}
	m.missing(b, schema, out)
	return out
}

func (m *module) missing(b *hcl.Block, schema *blockSchema, content *hcl.BodyContent) {
	for _, a := range schema.hcl.Attributes {
		if a.Required && content.Attributes[a.Name] == nil {
			m.report(problem(b.DefRange, "Missing attribute", "A %s needs the attribute %q.", b.Type, a.Name))
		}
	}
}

func (m *module) contentJSON(b *hcl.Block, schema *blockSchema) *hcl.BodyContent {
	want := *schema.hcl
	want.Blocks = slices.DeleteFunc(slices.Clone(want.Blocks), func(h hcl.BlockHeaderSchema) bool {
		return schema.attrs[h.Type] // in JSON one name is not both: it is the attribute
	})
	content, rest, diags := b.Body.PartialContent(&want)
	m.report(diags...)
	extra, _ := rest.JustAttributes()
	for _, name := range sortedKeys(extra) {
		m.unknownAttribute(b, name, extra[name].NameRange, schema)
	}
	return content
}

func (m *module) unknownAttribute(b *hcl.Block, name string, rng hcl.Range, schema *blockSchema) {
	if b.Type == "group" && (name == "name" || name == "matrix") && m.mode == ModeBake {
		m.report(problem(rng, "Unknown attribute", "%s is not supported for groups: a target has it, and makes a group of its own.", name))
		return
	}
	m.unknown(problem(rng, "Unknown attribute", "A %s has no attribute %q.%s", b.Type, name, didYouMean(name, schema.names())))
}

var variableSchema = newSchema(&hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "description"}},
	Blocks:     []hcl.BlockHeaderSchema{{Type: "validation"}},
})

var validationSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "condition", Required: true}, {Name: "error_message", Required: true}},
}

func (m *module) addVariable(b *hcl.Block) {
	content := m.content(b, variableSchema)
	v := &variable{name: b.Labels[0], rng: b.DefRange, def: content.Attributes["default"]}
	if attr := content.Attributes["type"]; attr != nil {
		v.typ = attr.Expr
	}
	if attr := content.Attributes["description"]; attr != nil {
		v.description, _ = m.literal(attr)
	}
	for _, inner := range content.Blocks {
		c, diags := inner.Body.Content(validationSchema)
		m.report(diags...)
		if !diags.HasErrors() {
			v.validations = append(v.validations, validation{c.Attributes["condition"].Expr, c.Attributes["error_message"].Expr})
		}
	}
	if reserved[v.name] {
		m.unknown(problem(b.LabelRanges[0], "Reserved name", "%q is built in and can not be a variable.", v.name))
		return
	}
	if old := m.variables[v.name]; old != nil && m.mode == ModeStrata && old.rng.Filename == v.rng.Filename {
		m.report(problem(b.LabelRanges[0], "Duplicate variable", "The variable %q is declared at %s already.", v.name, position(old.rng)))
	}
	m.variables[v.name] = v
}

// literal reads a string that may not depend on anything.
func (m *module) literal(attr *hcl.Attribute) (string, bool) {
	val, diags := attr.Expr.Value(nil)
	m.report(diags...)
	if diags.HasErrors() {
		return "", false
	}
	s, err := stringOf(val)
	if err != nil {
		m.report(problem(attr.Expr.Range(), "Unsuitable value", "The %s %s.", attr.Name, err))
	}
	return s, err == nil
}

var functionSchema = &hcl.BodySchema{
	Attributes: []hcl.AttributeSchema{{Name: "params", Required: true}, {Name: "variadic_params"}, {Name: "result", Required: true}},
}

func (m *module) addFunction(b *hcl.Block) {
	content, diags := b.Body.Content(functionSchema)
	m.report(diags...)
	f := &userFunction{
		name: b.Labels[0], rng: b.DefRange,
		params: content.Attributes["params"], variadic: content.Attributes["variadic_params"], result: content.Attributes["result"],
	}
	if diags.HasErrors() || reserved[f.name] {
		return
	}
	if old := m.functions[f.name]; old != nil && m.mode == ModeStrata && old.rng.Filename == f.rng.Filename {
		m.report(problem(b.LabelRanges[0], "Duplicate function", "The function %q is declared at %s already.", f.name, position(old.rng)))
	}
	m.functions[f.name] = f
}

func (b *block) String() string { return fmt.Sprintf("%s %q", b.typ, b.name) }
