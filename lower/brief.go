package lower

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher/ignorefile"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A Brief is what there is to know of a lowered target without its LLB: enough
// to tell whether it would come out the same as before. It does not depend on
// what is in the files that the engine is sent; Locals says which these are.
type Brief struct {
	Target string `json:"target"`

	// Shape is a hash of all that is made: LLB, needed targets included, image
	// configs, attestations. Equal shapes with equal content of all Uses make
	// equal images.
	Shape  string  `json:"shape"`
	Uses   []Use   `json:"uses,omitempty"`   // what is taken of Locals
	Locals []Local `json:"locals,omitempty"` // in the order that Shape numbers them, needed targets' included

	Multi     bool                `json:"multi,omitempty"` // the result is an index
	Platforms []exptypes.Platform `json:"platforms,omitempty"`

	// Foreign says why only the engine can lower the target. Shape then covers
	// the request, and Locals the whole of its contexts.
	Foreign  string `json:"foreign,omitempty"`
	Frontend string `json:"frontend,omitempty"` // image of the front end that the Dockerfile names, if it is another
	// Unpinned are sources that may change with nothing here telling: a git
	// branch, a URL without a checksum.
	Unpinned []string `json:"unpinned,omitempty"`

	Images   []BaseImage `json:"images,omitempty"` // base images asked for
	Reads    []Read      `json:"reads,omitempty"`
	Warnings []Warning   `json:"warnings,omitempty"`
	Inputs   []Input     `json:"inputs,omitempty"` // what Shape is made of, for people
	Steps    int         `json:"steps,omitempty"`  // numbered steps
	Layers   []string    `json:"layers,omitempty"` // keys of the images' layers, see Result.layerKeys

	places []Place // of warnings, see WarningPlace
}

// An Input is one named part of what a target is made of.
type Input struct {
	Kind  string `json:"kind"` // arg, base, config, step, frontend, platform
	Name  string `json:"name"`
	Value string `json:"value"` // as a person would compare it, or a hash; both on a line each of a base or a step
	Place string `json:"place,omitempty"`
}

// brief says r shortly.
func (r *Result) brief() (*Brief, error) {
	b := &Brief{
		Target: r.Target, Multi: r.Multi, Platforms: r.platformList(), Reads: r.reads, Images: uniqueImages(r.asked),
		Warnings: r.Warnings, Foreign: r.Foreign, Frontend: r.Frontend, Steps: r.StepCount(),
	}
	for _, w := range r.Warnings {
		b.places = append(b.places, r.Source.Place(w.Line))
	}
	if r.Foreign != "" {
		return b, r.foreignBrief(b)
	}
	shape, s, err := shapeOf(r)
	if err != nil {
		return nil, err
	}
	b.Shape, b.Locals, b.Uses = shape, s.locals, s.uses
	if b.Layers, err = r.layerKeys(); err != nil {
		return nil, err
	}
	slices.Sort(s.unpinned)
	b.Unpinned = slices.Compact(s.unpinned)
	b.Inputs = slices.Concat(r.argInputs(), r.baseInputs(), r.stepInputs(s), r.configInputs())
	return b, nil
}

// argInputs are the build arguments that the Dockerfile declares.
func (r *Result) argInputs() []Input {
	var out []Input
	for _, name := range declaredArgs(r.Source) {
		if v, ok := r.Request.target.Args[name]; ok {
			out = append(out, Input{Kind: "arg", Name: name, Value: v, Place: r.place("args." + name)})
		}
	}
	return out
}

// place is where the build file declares attr.
func (r *Result) place(attr string) string {
	rng := r.Request.target.Place(attr)
	if rng.Filename == "" {
		return ""
	}
	return Place{rng.Filename, rng.Start.Line}.String()
}

func declaredArgs(src *Source) []string {
	if src == nil {
		return nil
	}
	ast, err := parser.Parse(bytes.NewReader(src.Data))
	if err != nil {
		return nil
	}
	stages, meta, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	add := func(a *instructions.ArgCommand) {
		for _, kv := range a.Args {
			names[kv.Key] = true
		}
	}
	for i := range meta {
		add(&meta[i])
	}
	for _, st := range stages {
		for _, c := range st.Commands {
			if a, ok := c.(*instructions.ArgCommand); ok {
				add(a)
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

func (r *Result) baseInputs() []Input {
	var out []Input
	for _, img := range uniqueImages(r.asked) {
		value := img.Digest.String()
		if img.Content != "" {
			value += "\n" + img.Content
		}
		out = append(out, Input{Kind: "base", Name: img.Ref, Value: value, Place: r.fromPlace(img.Ref)})
	}
	return out
}

// fromPlace is the line of the Dockerfile that names an image.
func (r *Result) fromPlace(ref string) string {
	if r.Source == nil {
		return ""
	}
	short := strings.TrimPrefix(strings.TrimPrefix(ref, "docker.io/"), "library/")
	short, _, _ = strings.Cut(short, "@")
	for _, word := range []string{short, strings.TrimSuffix(short, ":latest")} {
		for i, line := range strings.Split(string(r.Source.Data), "\n") {
			if strings.Contains(line, word) {
				return r.Source.Place(i + 1).String()
			}
		}
	}
	return r.Source.Place(onlyVariableFrom(r.Source.Data)).String()
}

// onlyVariableFrom is the line of the one FROM instruction that names its image
// by an argument, 0 if there is none or more than one.
func onlyVariableFrom(dockerfile []byte) int {
	found := 0
	for i, line := range strings.Split(string(dockerfile), "\n") {
		words := strings.Fields(line)
		if len(words) < 2 || !strings.EqualFold(words[0], "FROM") || !strings.Contains(line, "$") {
			continue
		}
		if found != 0 {
			return 0
		}
		found = i + 1
	}
	return found
}

// stepInputs are the target's own steps, each without what it needs.
func (r *Result) stepInputs(s *shaper) []Input {
	var out []Input
	for _, p := range r.Platforms {
		for _, st := range p.Steps {
			if st.Internal || st.Source {
				continue
			}
			name := fmt.Sprint(st.Number)
			if st.Platform != "" {
				name += " " + st.Platform
			}
			out = append(out, Input{Kind: "step", Name: name, Value: st.Name + "\n" + s.own[string(st.Digest)][:16], Place: placeIn(r.Source, st.Line)})
		}
	}
	slices.SortFunc(out, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	return slices.Compact(out)
}

func placeIn(src *Source, line int) string {
	if src == nil || line == 0 {
		return ""
	}
	return src.Place(line).String()
}

// configInputs are the parts of the image config that a container sees.
func (r *Result) configInputs() []Input {
	var out []Input
	for _, p := range r.Platforms {
		suffix := ""
		if len(r.Platforms) > 1 {
			suffix = " " + p.ID
		}
		out = append(out, Input{Kind: "platform", Name: p.ID, Value: p.ID, Place: r.place("platforms")})
		var img struct {
			Config map[string]json.RawMessage `json:"config"`
		}
		if len(p.Config) == 0 || json.Unmarshal(p.Config, &img) != nil {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(img.Config)) {
			out = append(out, Input{Kind: "config", Name: key + suffix, Value: string(img.Config[key]), Place: placeOfSource(r.Source)})
		}
	}
	return out
}

func placeOfSource(src *Source) string {
	if src == nil {
		return ""
	}
	return src.Place(0).String()
}

// foreignBrief fills in what can be told of a target that only the engine can
// lower: its request, and the whole of what the engine may read.
func (r *Result) foreignBrief(b *Brief) error {
	req := &r.Request
	var err error
	if b.Locals, err = wholeLocals(req); err != nil {
		return err
	}
	b.Uses = wholeUses(b.Locals)
	b.Shape = requestHash(req)
	if c := req.Attrs["context"]; c != "" && !pinnedURL(c) {
		b.Unpinned = append(b.Unpinned, c)
	}
	for _, key := range slices.Sorted(maps.Keys(req.Attrs)) {
		if v := req.Attrs[key]; strings.HasPrefix(key, "context:") && isURL(v) && !pinnedURL(v) {
			b.Unpinned = append(b.Unpinned, v)
		}
	}
	// FROM and ADD are not read here, and a front end may do as it likes.
	names := "what its Dockerfile names"
	if req.foreign == "" && r.Frontend == "" { // it could be lowered here
		names += " (" + r.Foreign + ")"
	}
	b.Unpinned = append(b.Unpinned, names)
	return nil
}

// pinnedURL reports whether a git context names one commit.
func pinnedURL(c string) bool {
	_, fragment, _ := strings.Cut(c, "#")
	ref, _, _ := strings.Cut(fragment, ":")
	return commitID.MatchString(ref)
}

// wholeLocals are the request's directories with all that is not ignored.
func wholeLocals(req *Request) ([]Local, error) {
	var out []Local
	for _, name := range req.localNames() {
		l := Local{Dir: req.Locals[name]}
		if name == localDockerfile {
			l.Include = []string{req.Attrs["filename"], req.Attrs["filename"] + ".dockerignore"}
			out = append(out, l)
			continue
		}
		var err error
		if l.Exclude, err = ignorePatterns(req, l.Dir, name == localContext); err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	for _, t := range slices.Sorted(maps.Keys(req.parents)) {
		if p := req.parents[t]; p.brief != nil {
			out = append(out, p.brief.Locals...) // see wholeUses
		}
	}
	return out, nil
}

// wholeUses takes all of all locals.
func wholeUses(locals []Local) []Use {
	var out []Use
	for i := range locals {
		out = append(out, Use{Local: i})
	}
	return out
}

// ignorePatterns reads the ignore file that holds for dir.
func ignorePatterns(req *Request, dir string, main bool) ([]string, error) {
	names := []string{filepath.Join(dir, ".dockerignore")}
	if script, ok := req.Locals[localDockerfile]; ok && main {
		names = slices.Insert(names, 0, filepath.Join(script, req.Attrs["filename"]+".dockerignore"))
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return ignorefile.ReadAll(bytes.NewReader(data))
	}
	return nil, nil
}

// platformsOf are the platforms that a request asks for, or the engine's own.
func platformsOf(req *Request, opts Options) []exptypes.Platform {
	list := req.Platforms
	if len(list) == 0 {
		list = []ocispec.Platform{platforms.Normalize(workers(opts)[0].Platforms[0])}
	}
	var out []exptypes.Platform
	for _, p := range list {
		out = append(out, exptypes.Platform{ID: platforms.FormatAll(p), Platform: p})
	}
	return out
}
