package lint

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/hashicorp/hcl/v2"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lower"
)

// A dockerfile is one Dockerfile, parsed once for all targets that use it.
type dockerfile struct {
	source *lower.Source
	run    *run
	steps  []hcl.Range // of the lines, if step blocks stand for the file
	stages []instructions.Stage
	meta   []instructions.ArgCommand // before the first FROM
	escape rune
}

// dockerfile parses what res was lowered from. It returns nil if BuildKit's own
// parser does not read it, which a foreign front end may still do.
func (r *run) dockerfile(t *config.Target, res *lower.Result) *dockerfile {
	src := res.Source
	if src == nil {
		return nil
	}
	key := src.Name + "\x00" + string(src.Data)
	if t.Steps != nil || t.DockerfileInline != nil {
		key += "\x00" + t.Name // equal text may stand at several places
	}
	if d, ok := r.parsed[key]; ok {
		return d
	}
	if _, ok := r.sources[src.Name]; !ok {
		r.sources[src.Name] = src.Data
	}
	d := parse(src)
	if d != nil {
		d.run = r
		if t.Steps != nil {
			d.steps = t.Steps.Lines
		}
	}
	r.parsed[key] = d
	return d
}

func parse(src *lower.Source) *dockerfile {
	ast, err := parser.Parse(bytes.NewReader(src.Data))
	if err != nil {
		return nil
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil || len(stages) == 0 {
		return nil
	}
	for _, st := range stages {
		for _, c := range st.Commands {
			if c, ok := c.(*instructions.RunCommand); ok {
				// Mounts are read only when variables are expanded; one that does
				// not read without their values stays unknown.
				_ = c.Expand(func(word string) (string, error) { return word, nil })
			}
		}
	}
	return &dockerfile{source: src, stages: stages, meta: meta, escape: ast.EscapeToken}
}

// at is where an instruction stands, or word in it.
func (d *dockerfile) at(loc []parser.Range, word string) spot {
	first, last := 0, 0
	for _, r := range loc {
		if first == 0 || r.Start.Line < first {
			first = r.Start.Line
		}
		last = max(last, r.End.Line, r.Start.Line)
	}
	return d.between(first, last, word)
}

// between is at for lines of the Dockerfile.
func (d *dockerfile) between(first, last int, word string) spot {
	begin, end := d.source.Place(first), d.source.Place(last)
	if first > 0 && first <= len(d.steps) {
		rng := d.steps[first-1]
		t := d.run.text(rng.Filename)
		if to := d.steps[min(last, len(d.steps))-1].End.Byte; word != "" && rng.Start.Byte < to && to <= len(t.src) {
			if s, _ := wordIn(t.src[rng.Start.Byte:to], word); s >= 0 {
				rng = t.within(rng.Filename, rng.Start.Byte, to, word)
			}
		}
		return spot{rng, begin.Line}
	}
	return spot{d.run.lines(begin.File, begin.Line, max(end.Line, begin.Line), word), begin.Line}
}

// A scope is what rules see of one target.
type scope struct {
	*run
	target   *config.Target
	file     *dockerfile       // nil if the Dockerfile can not be read here
	contexts map[string]string // by the key that the front end looks up
	used     map[string]bool   // contexts that are used, by key
	stages   []*stage          // those that the target's image is made of or from, in order
	final    *stage
	images   []image // what is read from elsewhere

	lex *shell.Lex
	env environment
}

// A stage is one stage that is reached.
type stage struct {
	instructions.Stage
	base *stage // the stage it starts from, if it starts from one
}

// An image is a reference to what is neither a stage nor a named context.
type image struct {
	text string // variables expanded
	spot spot
	word string // FROM, COPY --from, RUN --mount, contexts
}

// environment answers for the variables that are known in FROM.
type environment map[string]string

func (e environment) Get(k string) (string, bool) { v, ok := e[k]; return v, ok }
func (e environment) Keys() []string              { return slices.Sorted(maps.Keys(e)) }

// read prepares s from the lowered target.
func (s *scope) read(res *lower.Result) {
	s.contexts, s.used = map[string]string{}, map[string]bool{}
	for k, v := range s.target.Contexts {
		s.contexts[contextKey(k)] = v
	}
	if s.target.Steps != nil {
		for k, v := range s.target.Steps.Contexts {
			s.contexts[contextKey(k)] = v
		}
	}
	if s.file = s.dockerfile(s.target, res); s.file == nil {
		return
	}
	s.lex = shell.NewLex(s.file.escape)
	s.metaArgs()
	r := &reacher{scope: s, reached: map[int]*stage{}}
	s.final = r.stage(s.lastStage())
	for _, i := range slices.Sorted(maps.Keys(r.reached)) {
		if r.reached[i] != nil {
			s.stages = append(s.stages, r.reached[i])
		}
	}
	s.contextImages()
	s.buildkit(res)
}

// metaArgs evaluates the arguments before the first FROM.
func (s *scope) metaArgs() {
	p := platforms.Normalize(platforms.DefaultSpec())
	if len(s.target.Platforms) > 0 {
		if parsed, err := platforms.Parse(s.target.Platforms[0]); err == nil {
			p = platforms.Normalize(parsed)
		}
	}
	s.env = environment{"TARGETSTAGE": s.target.Stage}
	for _, side := range []string{"BUILD", "TARGET"} {
		s.env[side+"PLATFORM"], s.env[side+"OS"] = platforms.FormatAll(p), p.OS
		s.env[side+"ARCH"], s.env[side+"VARIANT"], s.env[side+"OSVERSION"] = p.Architecture, p.Variant, p.OSVersion
	}
	for _, cmd := range s.file.meta {
		for _, arg := range cmd.Args {
			value, given := s.target.Args[arg.Key]
			if !given && arg.Value != nil {
				value, _, _ = s.lex.ProcessWord(*arg.Value, s.env)
				given = true
			}
			if given {
				s.env[arg.Key] = value
			}
		}
	}
}

// lastStage is the stage that the target is.
func (s *scope) lastStage() int {
	name := s.target.Stage
	if i, ok := instructions.HasStage(s.file.stages, name); ok && name != "" {
		return i
	}
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(s.file.stages) {
		return i
	}
	return len(s.file.stages) - 1
}

// A reacher follows references from the last stage.
type reacher struct {
	*scope
	reached map[int]*stage // nil for a stage that a named context replaces
}

func (r *reacher) stage(i int) *stage {
	if st, ok := r.reached[i]; ok {
		return st
	}
	st := &stage{Stage: r.file.stages[i]}
	if st.Name != "" && r.context(st.Name) {
		r.reached[i] = nil
		return nil
	}
	r.reached[i] = st
	r.from(st, i)
	for _, c := range st.Commands {
		switch c := c.(type) {
		case *instructions.CopyCommand:
			r.other(c.From, "COPY --from", c.Location(), i)
		case *instructions.RunCommand:
			for _, m := range instructions.GetMounts(c) {
				r.other(m.From, "RUN --mount", c.Location(), i)
			}
		}
	}
	return st
}

// from follows the base of st, the stage number i.
func (r *reacher) from(st *stage, i int) {
	name := st.BaseName
	res, err := r.lex.ProcessWordWithMatches(name, r.env)
	if err != nil || len(res.Unmatched) > 0 || res.Result == "" {
		return // BuildKit says what is wrong
	}
	st.BaseName = res.Result
	if j, ok := instructions.HasStage(r.file.stages[:i], st.BaseName); ok {
		st.base = r.stage(j)
		return
	}
	r.image(st.BaseName, "FROM", r.file.at(st.Location, name))
}

// other follows what stage i reads files from.
func (r *reacher) other(name, word string, loc []parser.Range, i int) {
	if name == "" || strings.Contains(name, "$") {
		return
	}
	if j, ok := instructions.HasStage(r.file.stages[:i], name); ok {
		r.stage(j)
		return
	}
	if j, err := strconv.Atoi(name); err == nil && j >= 0 && j < i {
		r.stage(j)
		return
	}
	r.image(name, word, r.file.at(loc, name))
}

// image notes a reference that is no stage.
func (r *reacher) image(text, word string, at spot) {
	if !r.context(text) && !strings.EqualFold(text, "scratch") {
		r.images = append(r.images, image{text, at, word})
	}
}

// context reports whether name is a named context, and notes that it is used.
func (s *scope) context(name string) bool {
	key := contextKey(name)
	if _, ok := s.contexts[key]; !ok {
		return false
	}
	s.used[key] = true
	return true
}

// contextImages adds the images that named contexts are.
func (s *scope) contextImages() {
	for _, k := range slices.Sorted(maps.Keys(s.target.Contexts)) {
		if ref, ok := strings.CutPrefix(s.target.Contexts[k], "docker-image://"); ok {
			s.images = append(s.images, image{ref, spot{rng: s.target.Place("contexts." + k)}, "contexts"})
		}
	}
}

// contextKey is the form in which the front end looks a named context up.
func contextKey(name string) string {
	name, _, _ = strings.Cut(name, "::") // one for each platform
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest")
}

// each calls f with every command of the stages.
func each[C instructions.Command](s *scope, f func(st *stage, c C)) {
	for _, st := range s.stages {
		for _, c := range st.Commands {
			if c, ok := c.(C); ok {
				f(st, c)
			}
		}
	}
}

// inFinal reports whether what st does is part of the target's image.
func (s *scope) inFinal(st *stage) bool {
	for at := s.final; at != nil; at = at.base {
		if at == st {
			return true
		}
	}
	return false
}

// script is all that a RUN hands to its shell.
func script(c *instructions.RunCommand) string {
	var b strings.Builder
	b.WriteString(strings.Join(c.CmdLine, " "))
	for _, f := range c.Files {
		b.WriteString("\n" + f.Data)
	}
	return b.String()
}
