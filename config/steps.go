package config

import (
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// Step blocks stand for a Dockerfile, one block for one instruction, and are
// compiled to its text: what is built is what the same Dockerfile would build,
// digest for digest. docs/reference/steps.md is the page for users.
//
// A value means the same string that it is in HCL, with one exception: where a
// Dockerfile expands $NAME, so does a step, and \$ is a dollar sign. What a
// Dockerfile can not express is reported, never changed.

// A script is a compiled sequence of steps and what it needs.
type script struct {
	StepScript
	needs []need
}

// stepOptions lists the instructions and the options each can have.
var stepOptions = map[string][]string{
	"from":        {"as", "platform"},
	"run":         {"network", "security", "device", "mounts"},
	"copy":        {"from", "chown", "chmod", "link", "parents", "exclude", "content", "expand"},
	"add":         {"chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack", "content", "expand"},
	"env":         nil,
	"arg":         nil,
	"label":       nil,
	"workdir":     nil,
	"user":        nil,
	"expose":      nil,
	"volume":      nil,
	"stopsignal":  nil,
	"entrypoint":  nil,
	"cmd":         nil,
	"shell":       nil,
	"healthcheck": {"interval", "timeout", "start-period", "start-interval", "retries"},
	"onbuild":     nil,
}

// stepSchema is all that a step block may hold.
var stepSchema = newSchema(makeStepSchema())

func makeStepSchema() *hcl.BodySchema {
	seen := map[string]bool{}
	for name, options := range stepOptions {
		seen[name] = true
		for _, o := range options {
			seen[o] = true
		}
	}
	schema := &hcl.BodySchema{
		Attributes: []hcl.AttributeSchema{{Name: "when"}, {Name: "use"}},
		Blocks:     []hcl.BlockHeaderSchema{{Type: "mount"}, {Type: "onbuild"}},
	}
	for _, name := range sortedKeys(seen) {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	return schema
}

// steps compiles the step blocks of a target.
func (e *evaluator) steps(in *instance) {
	c := &compiler{evaluator: e, in: in, stages: map[string]hcl.Range{}}
	c.sequence(in.block.content.Blocks)
	if len(in.block.content.Blocks) == 0 {
		return
	}
	if !slices.Contains(c.seen, "from") {
		e.report(problem(in.block.content.Blocks[0].DefRange, "Missing from", "The steps of a target need a from, such as step { from = \"alpine\" }."))
	}
	in.spec.steps = &c.script
	in.spec.places["step"] = in.block.content.Blocks[0].DefRange
}

// A compiler turns the steps of one target into Dockerfile text.
type compiler struct {
	*evaluator
	in     *instance
	script script
	seen   []string             // instructions so far
	stages map[string]hcl.Range // named so far
	ctx    *hcl.EvalContext     // of a repeated step, else nil
	used   []string             // shared steps that are being compiled
	count  int                  // steps so far
}

// scope is where the values of the current step stand.
func (c *compiler) scope() scope {
	sc := c.in.scope()
	if c.ctx != nil {
		sc.ctx = c.ctx
	}
	return sc
}

// An instruction is one step, ready to be written.
type instruction struct {
	name  string
	flags []string
	args  string
	rng   hcl.Range
	// body is the text of a here-document with its last line.
	body []bodyLine
}

type bodyLine struct {
	text string
	rng  hcl.Range
}

// step compiles one step block.
func (c *compiler) step(b *hcl.Block) {
	s := c.reader(b)
	if !s.wanted() || s.shared() {
		return
	}
	if !s.open() {
		c.seen = append(c.seen, "from") // what is missing is not known
		return
	}
	if len(c.seen) == 0 || !slices.Contains(c.seen, "from") {
		if s.name != "from" && s.name != "arg" {
			c.report(problem(b.DefRange, "Missing from", "Before %s there must be a step with from.", s.name))
			c.seen = append(c.seen, "from")
		}
	}
	c.seen = append(c.seen, s.name)
	if inst, ok := s.compile(); ok {
		c.write(inst, "")
	}
}

// write adds the lines of an instruction.
func (c *compiler) write(i *instruction, prefix string) {
	words := append([]string{prefix + strings.ToUpper(i.name)}, i.flags...)
	if i.args != "" {
		words = append(words, i.args)
	}
	c.line(strings.Join(words, " "), i.rng)
	for _, l := range i.body {
		c.line(l.text, l.rng)
	}
}

// maxLine is what the Dockerfile front end can read, with room to spare.
const maxLine = 65_000

func (c *compiler) line(text string, rng hcl.Range) {
	if len(text) > maxLine {
		c.report(problem(rng, "Line too long", "A line of a Dockerfile has at most %d bytes, this one has %d. Copy a file instead.", maxLine, len(text)))
	}
	c.script.Text += text + "\n"
	c.script.Lines = append(c.script.Lines, rng)
}

// A stepReader reads one step block.
type stepReader struct {
	*compiler
	block   *hcl.Block
	content *hcl.BodyContent
	name    string // the instruction
	nested  bool   // inside of onbuild
	bad     bool   // something was reported
}

func (c *compiler) reader(b *hcl.Block) *stepReader {
	return &stepReader{compiler: c, block: b, content: c.content(b, stepSchema), nested: b.Type == "onbuild"}
}

// open finds out which instruction a step block is.
func (s *stepReader) open() bool {
	found := s.instructions()
	switch len(found) {
	case 0:
		s.report(problem(s.block.DefRange, "Empty step", "A step has one instruction: %s.", strings.Join(sortedKeys(stepOptions), ", ")))
		return false
	case 1:
		s.name = found[0]
	default:
		s.report(problem(s.at(found[1]), "Two instructions", "A step has one instruction, this one has %s. Write one step block for each.",
			strings.Join(found, " and ")))
		return false
	}
	s.checkOptions()
	return true
}

// instructions lists which instructions the block has, in order of the source.
func (s *stepReader) instructions() []string {
	var found []string
	for _, name := range sortedKeys(stepOptions) {
		if s.content.Attributes[name] != nil || name == "onbuild" && len(s.blocks("onbuild")) > 0 {
			found = append(found, name)
		}
	}
	if len(found) > 1 && (slices.Contains(found, "copy") || slices.Contains(found, "add")) {
		found = slices.DeleteFunc(found, func(n string) bool { return n == "from" })
	}
	slices.SortFunc(found, func(a, b string) int { return s.at(a).Start.Byte - s.at(b).Start.Byte })
	return found
}

func (s *stepReader) blocks(typ string) hcl.Blocks { return s.content.Blocks.OfType(typ) }

// at is where the name of an attribute stands.
func (s *stepReader) at(name string) hcl.Range {
	if attr := s.content.Attributes[name]; attr != nil {
		return attr.NameRange
	}
	return s.block.DefRange
}

// checkOptions reports options that the instruction does not have.
func (s *stepReader) checkOptions() {
	for _, name := range sortedKeys(s.content.Attributes) {
		if name == s.name || name == "when" && !s.nested || slices.Contains(stepOptions[s.name], name) {
			continue
		}
		s.fail(s.at(name), "Unknown option", "The instruction %s has no option %q.%s", s.name, name, didYouMean(name, stepOptions[s.name]))
	}
	for _, m := range s.blocks("mount") {
		if s.name != "run" {
			s.fail(m.DefRange, "Unknown option", "Only run can have mounts, not %s.", s.name)
		}
	}
	if s.has("expand") && !s.has("content") {
		s.fail(s.at("expand"), "Unknown option", "The option expand is about content, which is not given.")
	}
}

func (s *stepReader) fail(rng hcl.Range, summary, format string, args ...any) {
	s.bad = true
	s.report(problem(rng, summary, format, args...))
}

func (s *stepReader) has(name string) bool { return s.content.Attributes[name] != nil }

// value evaluates an attribute; ok is false if it is not there, null or bad.
func (s *stepReader) get(name string) (cty.Value, hcl.Expression, bool) {
	attr := s.content.Attributes[name]
	if attr == nil {
		return cty.NilVal, nil, false
	}
	v, ok := s.value(attr.Expr, s.scope())
	if !ok {
		s.bad = true
		return cty.NilVal, nil, false
	}
	if v.IsNull() {
		if name == s.name {
			s.fail(attr.Expr.Range(), "Unsuitable value", "The instruction %s must not be null.", name)
		}
		return cty.NilVal, nil, false
	}
	return v, attr.Expr, true
}

// text reads an attribute that is one string.
func (s *stepReader) text(name string) (string, bool) {
	v, expr, ok := s.get(name)
	if !ok {
		return "", false
	}
	text, err := stringOf(v)
	if err != nil {
		s.fail(expr.Range(), "Unsuitable value", "The value of %s %s.", name, err)
		return "", false
	}
	return text, s.clean(name, text, expr.Range())
}

// clean reports what no Dockerfile can hold.
func (s *stepReader) clean(name, text string, rng hcl.Range) bool {
	if strings.ContainsRune(text, 0) {
		s.fail(rng, "Unsuitable value", "The value of %s has a NUL character.", name)
		return false
	}
	return true
}

// oneLine reports text that would have to span lines and can not.
func (s *stepReader) oneLine(name, text string, rng hcl.Range) bool {
	if strings.Contains(text, "\n") {
		s.fail(rng, "Line break", "The value of %s has a line break, which this instruction can not hold.", name)
		return false
	}
	return true
}

// list reads an attribute that is a list of strings, or one string if single.
func (s *stepReader) list(name string, single bool) ([]string, hcl.Expression, bool) {
	v, expr, ok := s.get(name)
	if !ok {
		return nil, nil, false
	}
	if single && v.Type().IsPrimitiveType() {
		text, ok := s.text(name)
		return []string{text}, expr, ok
	}
	list, err := stringsOf(v)
	if err != nil {
		s.fail(guilty(expr, err), "Unsuitable value", "The value of %s %s.", name, reason(err))
		return nil, nil, false
	}
	for i, text := range list {
		ok = s.clean(name, text, elementRange(expr, i)) && ok
	}
	return list, expr, ok
}

func elementRange(expr hcl.Expression, i int) hcl.Range {
	if e := element(expr, cty.IndexStep{Key: cty.NumberIntVal(int64(i))}); e != nil {
		return e.Range()
	}
	return expr.Range()
}

// compile makes the instruction; ok is false if there is none to write.
func (s *stepReader) compile() (*instruction, bool) {
	out := &instruction{name: s.name, rng: s.block.DefRange}
	if attr := s.content.Attributes[s.name]; attr != nil {
		out.rng = attr.Expr.Range()
	}
	ok := s.fill(out)
	return out, ok && !s.bad
}

func (s *stepReader) fill(out *instruction) bool {
	switch s.name {
	case "from":
		return s.from(out)
	case "run":
		return s.run(out)
	case "copy", "add":
		return s.copy(out)
	case "env", "label":
		return s.pairs(out)
	case "arg":
		return s.arg(out)
	case "workdir", "user", "stopsignal":
		return s.single(out)
	case "expose", "volume":
		return s.words(out)
	case "cmd", "entrypoint":
		return s.command(out)
	case "shell":
		return s.shell(out)
	case "healthcheck":
		return s.healthcheck(out)
	}
	return s.onbuild(out)
}

var stageName = lazyregexp.New(`^[a-z][a-z0-9-_.]*$`)

func (s *stepReader) from(out *instruction) bool {
	if s.nested {
		s.fail(out.rng, "Unsuitable instruction", "onbuild can not hold from.")
		return false
	}
	image, ok := s.source("from", out.rng)
	if !ok {
		return false
	}
	s.flag(out, "platform")
	out.args = image
	name, ok := s.text("as")
	if !ok {
		return true
	}
	rng := s.content.Attributes["as"].Expr.Range()
	if !stageName.MatchString(name) {
		s.fail(rng, "Invalid stage name", "%q can not be a stage: it starts with a lower-case letter and has lower-case letters, digits and - _ . only.", name)
	}
	if old, twice := s.stages[name]; twice {
		s.fail(rng, "Duplicate stage", "A stage named %q is at %s already.", name, position(old))
	}
	s.stages[name] = rng
	out.args += " AS " + name
	return true
}

// source reads an attribute that names an image, a stage or a target.
func (s *stepReader) source(name string, rng hcl.Range) (string, bool) {
	ref, ok := s.text(name)
	if !ok {
		return "", false
	}
	return s.reference(name, ref, rng)
}

// reference is how a Dockerfile names ref; a target becomes a named context.
func (s *stepReader) reference(name, ref string, rng hcl.Range) (string, bool) {
	if ref == "" || strings.ContainsFunc(ref, isSpaceOrQuote) {
		s.fail(rng, "Invalid reference", "%q in %s names no image, stage or target.", ref, name)
		return "", false
	}
	target, ok := targetName(ref)
	if !ok {
		return ref, true
	}
	if !validAddress(target, s.mode) {
		s.fail(rng, "Invalid reference", "%q in %s can not be the name of a target.", target, name)
		return "", false
	}
	target, ok = s.fullName(target, rng)
	if !ok {
		s.bad = true
		return "", false
	}
	word := s.script.link(target)
	s.script.needs = append(s.script.needs, need{target: target, rng: rng})
	return word, true
}

// link adds target as a named context and returns how a Dockerfile names it: by
// its plain name, so that the Dockerfile is the same wherever the file is, unless
// another target is called so already.
func (s *script) link(target string) string {
	_, plain := splitName(target)
	word, key := contextName(plain)
	if old, taken := s.Contexts[key]; taken && old != "target:"+target {
		word, key = contextName(target)
	}
	if s.Contexts == nil {
		s.Contexts = map[string]string{}
	}
	s.Contexts[key] = "target:" + target
	return word
}

// flag adds --name=value if the option is there.
func (s *stepReader) flag(out *instruction, name string) {
	text, ok := s.text(name)
	if !ok {
		return
	}
	rng := s.content.Attributes[name].Expr.Range()
	if text == "" {
		s.fail(rng, "Unsuitable value", "The value of %s is empty.", name)
		return
	}
	s.addFlag(out, name, word(text), rng)
}

// addFlag adds a flag whose value is Dockerfile text.
func (s *stepReader) addFlag(out *instruction, name, text string, rng hcl.Range) {
	if !s.oneLine(name, text, rng) {
		return
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r > 0x7e || r < 0x20 && r != '\t' }); i >= 0 {
		s.fail(rng, "Unsuitable value", "The value of %s has a character that flags of a Dockerfile can not hold; they are plain ASCII.", name)
		return
	}
	out.flags = append(out.flags, "--"+name+"="+escapeFlag(text))
}

// boolFlag adds --name; a false is written only where it is not the default.
func (s *stepReader) boolFlag(out *instruction, name string, writeFalse bool) {
	v, expr, ok := s.get(name)
	if !ok {
		return
	}
	on, err := optionalBool(v)
	if err != nil {
		s.fail(expr.Range(), "Unsuitable value", "The value of %s %s.", name, err)
		return
	}
	switch {
	case *on:
		out.flags = append(out.flags, "--"+name)
	case writeFalse:
		out.flags = append(out.flags, "--"+name+"=false")
	}
}

func (s *stepReader) choice(out *instruction, name string, allowed ...string) {
	text, ok := s.text(name)
	if ok && !slices.Contains(allowed, text) {
		s.fail(s.content.Attributes[name].Expr.Range(), "Unsuitable value", "The value of %s is one of %s, not %q.", name, strings.Join(allowed, ", "), text)
		return
	}
	s.flag(out, name)
}

func (s *stepReader) run(out *instruction) bool {
	s.mounts(out)
	s.choice(out, "network", "default", "none", "host")
	s.choice(out, "security", "sandbox", "insecure")
	if list, expr, ok := s.list("device", true); ok {
		for i, device := range list {
			s.addFlag(out, "device", device, elementRange(expr, i))
		}
	}
	v, expr, ok := s.get("run")
	if !ok {
		return false
	}
	if !v.Type().IsPrimitiveType() {
		list, _, ok := s.list("run", false)
		return ok && s.exec(out, list)
	}
	text, ok := s.text("run")
	if !ok {
		return false
	}
	if strings.TrimSpace(text) == "" {
		s.fail(out.rng, "Unsuitable value", "The command of run is empty.")
		return false
	}
	if line, plain := shellLine(text); plain && !strings.Contains(line, "<<") {
		out.args = line
		return true
	}
	if !strings.Contains(strings.TrimSpace(text), "\n") && strings.HasPrefix(text, "#!") {
		text = "\n" + text // a comment of one line is no script to execute
	}
	s.heredoc(out, text, expr, false)
	return true
}

// exec writes a list as a JSON array, which a Dockerfile takes literally.
func (s *stepReader) exec(out *instruction, list []string) bool {
	if len(list) == 0 && s.name != "cmd" && s.name != "entrypoint" {
		s.fail(out.rng, "Unsuitable value", "The list of %s is empty.", s.name)
		return false
	}
	out.args = jsonList(list)
	return true
}

// heredoc writes text as a here-document named by the first word in out.args.
func (s *stepReader) heredoc(out *instruction, text string, expr hcl.Expression, quoted bool) {
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	end := delimiter(lines)
	head := "<<" + end
	if quoted {
		head = `<<"` + end + `"`
	}
	out.args = strings.TrimSpace(head + " " + out.args)
	ranges := s.lineRanges(expr, len(lines))
	for i, l := range lines {
		out.body = append(out.body, bodyLine{l, ranges[i]})
	}
	out.body = append(out.body, bodyLine{end, out.rng})
}

func (s *stepReader) copy(out *instruction) bool {
	if s.name == "copy" && s.has("from") {
		attr := s.content.Attributes["from"]
		if ref, ok := s.source("from", attr.Expr.Range()); ok {
			s.addFlag(out, "from", ref, attr.Expr.Range())
		}
	}
	s.flag(out, "checksum")
	s.flag(out, "chown")
	s.flag(out, "chmod")
	s.boolFlag(out, "link", false)
	s.boolFlag(out, "parents", false)
	s.boolFlag(out, "keep-git-dir", true)
	s.boolFlag(out, "unpack", true)
	if list, expr, ok := s.list("exclude", true); ok {
		for i, pattern := range list {
			s.addFlag(out, "exclude", word(pattern), elementRange(expr, i))
		}
	}
	paths, expr, ok := s.list(s.name, false)
	if !ok {
		return false
	}
	for i, p := range paths {
		if p == "" {
			s.fail(elementRange(expr, i), "Unsuitable value", "A path in %s is empty.", s.name)
		}
		s.oneLine(s.name, p, elementRange(expr, i))
	}
	if s.has("content") {
		return s.inline(out, paths)
	}
	if len(paths) < 2 {
		s.fail(expr.Range(), "Unsuitable value", "The instruction %s takes sources and a destination: [\"src\", \"/dest\"].", s.name)
		return false
	}
	out.args = wordList(paths)
	return true
}

// inline writes a file whose content is given in the step.
func (s *stepReader) inline(out *instruction, paths []string) bool {
	content, ok := s.text("content")
	if !ok {
		return false
	}
	if len(paths) != 1 || strings.HasSuffix(paths[0], "/") {
		s.fail(out.rng, "Unsuitable value", "With content, %s takes the name of one file and nothing else: [\"/etc/motd\"].", s.name)
		return false
	}
	expand := true
	if v, expr, ok := s.get("expand"); ok {
		on, err := optionalBool(v)
		if err != nil {
			s.fail(expr.Range(), "Unsuitable value", "The value of expand %s.", err)
			return false
		}
		expand = *on
	}
	if strings.ContainsFunc(paths[0], isSpaceOrQuote) {
		s.fail(out.rng, "Unsuitable value", "With content, the name of the file can not have spaces or quotes.")
		return false
	}
	if expand {
		content = escapeBackslashes(content)
	}
	out.args = word(paths[0])
	s.heredoc(out, content, s.content.Attributes["content"].Expr, !expand)
	return true
}

// pairs writes ENV and LABEL. A null drops its key.
func (s *stepReader) pairs(out *instruction) bool {
	list, ok := s.entries(s.name)
	var words []string
	for _, p := range list {
		if p.value != nil {
			words = append(words, p.key+"="+word(*p.value))
		}
	}
	out.args = strings.Join(words, " ")
	return ok && len(words) > 0
}

// An entry is one key and value of a map in a step.
type entry struct {
	key   string
	value *string
}

// entries reads a map; the order is that of the source.
func (s *stepReader) entries(name string) ([]entry, bool) {
	v, expr, ok := s.get(name)
	if !ok {
		return nil, false
	}
	m, err := stringMap(v)
	if err != nil {
		s.fail(guilty(expr, err), "Unsuitable value", "The value of %s %s.", name, reason(err))
		return nil, false
	}
	axes := make(map[string]cty.Value, len(m))
	for k := range m {
		axes[k] = cty.NilVal
	}
	places := map[string]hcl.Range{}
	for _, p := range pairs(expr) {
		places[p.key] = p.value.Range()
	}
	var out []entry
	for _, key := range axisOrder(expr, axes) {
		rng, known := places[key]
		if !known {
			rng = expr.Range()
		}
		quoted := key
		if s.name == "label" {
			quoted = word(key)
		}
		if key == "" || key[0] == '-' || strings.ContainsAny(key, "=\n\x00") || s.name != "label" && strings.ContainsFunc(key, isSpaceOrQuote) {
			s.fail(rng, "Invalid key", "%q can not be a key of %s.", key, name)
			continue
		}
		if value := m[key]; value != nil {
			if !s.clean(name, *value, rng) || !s.oneLine(name, *value, rng) {
				continue
			}
		}
		out = append(out, entry{quoted, m[key]})
	}
	return out, true
}

// arg writes ARG: names, or NAME=default, or a map of both.
func (s *stepReader) arg(out *instruction) bool {
	v, expr, ok := s.get("arg")
	if !ok {
		return false
	}
	var list []entry
	if v.Type().IsObjectType() || v.Type().IsMapType() {
		if list, ok = s.entries("arg"); !ok {
			return false
		}
	} else {
		texts, _, ok := s.list("arg", true)
		if !ok {
			return false
		}
		for i, text := range texts {
			name, value, hasValue := strings.Cut(text, "=")
			rng := elementRange(expr, i)
			if name == "" || name[0] == '-' || strings.ContainsFunc(name, isSpaceOrQuote) {
				s.fail(rng, "Invalid key", "%q can not be the name of an argument.", name)
			}
			s.oneLine("arg", value, rng)
			e := entry{key: name}
			if hasValue {
				e.value = &value
			}
			list = append(list, e)
		}
	}
	var words []string
	for _, p := range list {
		if p.value == nil {
			words = append(words, p.key)
		} else {
			words = append(words, p.key+"="+word(*p.value))
		}
	}
	out.args = strings.Join(words, " ")
	return len(words) > 0
}

// single writes an instruction of one word.
func (s *stepReader) single(out *instruction) bool {
	text, ok := s.text(s.name)
	if !ok || !s.oneLine(s.name, text, out.rng) {
		return false
	}
	if text == "" {
		s.fail(out.rng, "Unsuitable value", "The value of %s is empty.", s.name)
		return false
	}
	out.args = word(text)
	return true
}

// words writes EXPOSE and VOLUME.
func (s *stepReader) words(out *instruction) bool {
	list, expr, ok := s.list(s.name, true)
	if !ok {
		return false
	}
	if len(list) == 0 {
		s.fail(out.rng, "Unsuitable value", "The list of %s is empty.", s.name)
		return false
	}
	for i, text := range list {
		rng := elementRange(expr, i)
		bad := strings.TrimSpace(text) == "" || s.name == "expose" && strings.ContainsFunc(text, isSpaceOrQuote)
		if bad {
			s.fail(rng, "Unsuitable value", "%q is nothing to %s.", text, s.name)
		}
		s.oneLine(s.name, text, rng)
	}
	out.args = wordList(list)
	return true
}

// command writes CMD and ENTRYPOINT.
func (s *stepReader) command(out *instruction) bool {
	v, _, ok := s.get(s.name)
	if !ok {
		return false
	}
	if !v.Type().IsPrimitiveType() {
		list, _, ok := s.list(s.name, false)
		return ok && s.exec(out, list)
	}
	text, ok := s.text(s.name)
	if !ok {
		return false
	}
	out.args, ok = s.shellForm(text, out.rng)
	return ok
}

// shellForm is text as a shell command of one line.
func (s *stepReader) shellForm(text string, rng hcl.Range) (string, bool) {
	if strings.TrimSpace(text) == "" {
		s.fail(rng, "Unsuitable value", "The command of %s is empty.", s.name)
		return "", false
	}
	line, plain := shellLine(text)
	if !plain {
		s.fail(rng, "Unsuitable command",
			"The instruction %s can not hold this shell command: it has a line break, ends in a backslash or begins with [ or --. Use a list: [\"/bin/sh\", \"-c\", ...].", s.name)
	}
	return line, plain
}

func (s *stepReader) shell(out *instruction) bool {
	list, _, ok := s.list("shell", false)
	return ok && s.exec(out, list)
}

func (s *stepReader) healthcheck(out *instruction) bool {
	for _, name := range []string{"interval", "timeout", "start-period", "start-interval"} {
		text, ok := s.text(name)
		if _, err := time.ParseDuration(text); ok && err != nil {
			s.fail(s.content.Attributes[name].Expr.Range(), "Unsuitable value", "The value of %s is a duration such as 30s, not %q.", name, text)
			continue
		}
		s.flag(out, name)
	}
	s.flag(out, "retries")
	v, _, ok := s.get("healthcheck")
	if !ok {
		return false
	}
	if !v.Type().IsPrimitiveType() {
		list, _, ok := s.list("healthcheck", false)
		ok = ok && s.exec(out, list)
		out.args = "CMD " + out.args
		return ok
	}
	text, ok := s.text("healthcheck")
	if !ok {
		return false
	}
	if strings.TrimSpace(text) == "NONE" {
		if len(out.flags) > 0 {
			s.fail(out.rng, "Unsuitable value", "NONE takes no options.")
		}
		out.args = "NONE"
		return true
	}
	line, ok := s.shellForm(text, out.rng)
	out.args = "CMD " + line
	return ok
}

// onbuild writes ONBUILD before an instruction given as text or as a block.
func (s *stepReader) onbuild(out *instruction) bool {
	if s.nested {
		s.fail(out.rng, "Unsuitable instruction", "onbuild can not hold onbuild.")
		return false
	}
	blocks := s.blocks("onbuild")
	if len(blocks) == 0 {
		text, ok := s.text("onbuild")
		if !ok || !s.oneLine("onbuild", strings.TrimSpace(text), out.rng) {
			return false
		}
		out.args = strings.TrimSpace(text)
		return true
	}
	if len(blocks) > 1 || s.has("onbuild") {
		s.fail(blocks[len(blocks)-1].DefRange, "Two instructions", "A step has one instruction: write one step block for each onbuild.")
		return false
	}
	inner := s.reader(blocks[0])
	ok := inner.open()
	if !ok {
		return false
	}
	i, ok := inner.compile()
	if !ok {
		return false
	}
	words := append([]string{strings.ToUpper(i.name)}, i.flags...)
	out.args = strings.Join(append(words, i.args), " ")
	out.rng, out.body = i.rng, i.body
	return true
}

// mountKeys are the keys of each type of mount.
var mountKeys = map[string][]string{
	"bind":   {"target", "source", "from", "rw"},
	"cache":  {"id", "target", "readonly", "sharing", "from", "source", "mode", "uid", "gid"},
	"tmpfs":  {"target", "size"},
	"secret": {"id", "target", "env", "required", "mode", "uid", "gid"},
	"ssh":    {"id", "target", "required", "mode", "uid", "gid"},
}

// mounts writes the mounts of run: blocks, and texts as after --mount=.
func (s *stepReader) mounts(out *instruction) {
	for _, b := range s.blocks("mount") {
		s.mount(out, b)
	}
	list, expr, ok := s.list("mounts", true)
	if !ok {
		return
	}
	for i, text := range list {
		rng := elementRange(expr, i)
		text, ok := s.mountText(text, rng)
		if ok {
			s.addFlag(out, "mount", text, rng)
		}
	}
}

func (s *stepReader) mount(out *instruction, b *hcl.Block) {
	attrs, diags := b.Body.JustAttributes()
	s.report(diags...)
	s.bad = s.bad || diags.HasErrors()
	vals := map[string]string{}
	for _, name := range sortedKeys(attrs) {
		v, ok := s.value(attrs[name].Expr, s.scope())
		if !ok {
			s.bad = true
			continue
		}
		p, err := optionalString(v)
		if err != nil {
			s.fail(attrs[name].Expr.Range(), "Unsuitable value", "The key %s of the mount %s.", name, err)
		}
		if p != nil && s.clean(name, *p, attrs[name].Expr.Range()) {
			vals[name] = *p
		}
	}
	typ := vals["type"]
	if typ == "" {
		typ = "bind"
	}
	known, ok := mountKeys[typ]
	if !ok {
		s.fail(b.DefRange, "Unknown mount", "There is no type of mount %q.%s", typ, didYouMean(typ, sortedKeys(mountKeys)))
		return
	}
	fields := []string{"type=" + typ}
	for _, name := range sortedKeys(vals) {
		switch {
		case name == "type":
		case !slices.Contains(known, name):
			s.fail(attrs[name].NameRange, "Unknown option", "A mount of type %s has no key %q.%s", typ, name, didYouMean(name, known))
		case name == "from":
			if ref, ok := s.reference("from", vals[name], attrs[name].Expr.Range()); ok {
				fields = append(fields, csvField("from="+ref))
			}
		default:
			fields = append(fields, csvField(name+"="+word(vals[name])))
		}
	}
	s.addFlag(out, "mount", strings.Join(fields, ","), b.DefRange)
}

// lineRanges is where each of n lines of a text is written: its own line if expr
// is a here-document, else all of expr.
func (e *evaluator) lineRanges(expr hcl.Expression, n int) []hcl.Range {
	out := make([]hcl.Range, n)
	for i := range out {
		out[i] = expr.Range()
	}
	lines := textLines(expr)
	f := e.files[expr.Range().Filename]
	if len(lines) != n || f == nil || !expr.Range().CanSliceBytes(f.Bytes) {
		return out
	}
	at := expr.Range().Start
	written := map[int]hcl.Range{}
	for text := range strings.SplitAfterSeq(string(expr.Range().SliceBytes(f.Bytes)), "\n") {
		indent := len(text) - len(strings.TrimLeft(text, " \t"))
		size := len(strings.TrimRight(text, " \t\r\n"))
		rng := hcl.Range{Filename: expr.Range().Filename, Start: at, End: at}
		rng.Start.Byte, rng.Start.Column = at.Byte+min(indent, size), at.Column+min(indent, size)
		rng.End.Byte, rng.End.Column = at.Byte+size, at.Column+size
		written[at.Line] = rng
		at = hcl.Pos{Line: at.Line + 1, Column: 1, Byte: at.Byte + len(text)}
	}
	for i, l := range lines {
		out[i] = written[l]
	}
	return out
}

// textLines are the lines of the source that the lines of a here-document stand
// on, or nil if expr is not one or an expression in it could have added lines.
func textLines(expr hcl.Expression) []int {
	tmpl, ok := expr.(*hclsyntax.TemplateExpr)
	if !ok {
		return nil
	}
	var lines []int
	begin := true
	for _, part := range tmpl.Parts {
		rng := part.Range()
		if begin {
			lines = append(lines, rng.Start.Line)
			begin = false
		}
		lit, ok := part.(*hclsyntax.LiteralValueExpr)
		if !ok || lit.Val.Type() != cty.String {
			continue
		}
		count := strings.Count(lit.Val.AsString(), "\n")
		if count != rng.End.Line-rng.Start.Line {
			return nil // the line breaks are written as \n
		}
		for i := range count {
			lines = append(lines, rng.Start.Line+i+1)
		}
		if strings.HasSuffix(lit.Val.AsString(), "\n") && count > 0 {
			lines = lines[:len(lines)-1]
			begin = true
		}
	}
	return lines
}
