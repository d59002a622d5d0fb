package lower

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// A Source is a Dockerfile, or the step blocks or inline text that stand for
// one, and how to say a place in it.
type Source struct {
	Name string            // file for people: "services/api/Dockerfile", "build.hcl"
	Data []byte            // Dockerfile text
	Args map[string]string // build arguments

	places []Place // for steps and inline text: place of each line
}

// A Place is a line of a file.
type Place struct {
	File string
	Line int
}

func (p Place) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// newSource describes the Dockerfile of req.
func newSource(req *Request, data []byte) *Source {
	t := req.target
	s := &Source{Data: data, Args: t.Args}
	switch {
	case t.Steps != nil:
		for _, r := range t.Steps.Lines {
			s.places = append(s.places, Place{r.Filename, r.Start.Line})
		}
		s.Name = t.Range.Filename
		if len(s.places) > 0 {
			s.Name = s.places[0].File
		}
	case t.DockerfileInline != nil:
		r := t.Place("dockerfile-inline")
		s.Name = r.Filename
		first := r.Start.Line
		if r.End.Line > r.Start.Line { // a heredoc: its text begins on the next line
			first++
		}
		for i := range strings.Count(string(data), "\n") + 1 {
			s.places = append(s.places, Place{r.Filename, min(first+i, r.End.Line)})
		}
	default:
		s.Name = rel(req.dir, filepath.Join(req.Locals[localDockerfile], req.Attrs["filename"]))
	}
	return s
}

// Place is where line of the Dockerfile was written. Line 0 is the whole file.
func (s *Source) Place(line int) Place {
	if s == nil {
		return Place{}
	}
	if line > 0 && len(s.places) > 0 {
		return s.places[min(line, len(s.places))-1]
	}
	return Place{s.Name, line}
}

// InBuildFile reports whether the Dockerfile's text stands in a build file: as
// steps, or inline.
func (s *Source) InBuildFile() bool { return s != nil && len(s.places) > 0 }

// A SourceError is something wrong in a Dockerfile or a step.
type SourceError struct {
	Target  string
	Place   Place
	EndLine int    // last guilty line of Place.File
	Text    []byte // the Dockerfile, nil if Place is in another file
	Err     error
}

func (e *SourceError) Error() string {
	return fmt.Sprintf("%s: target %q: %v", e.Place, e.Target, e.Err)
}

// Unwrap returns the cause.
func (e *SourceError) Unwrap() error { return e.Err }

// sourceError gives an error of the front end its place. One without a place in
// the Dockerfile belongs to the target as a whole.
func (req *Request) sourceError(err error, src *Source) error {
	line, end := errorLines(err)
	if src == nil || line == 0 {
		return at(req.target, "", clean(err))
	}
	return src.Error(req.target.Name, line, end, clean(err))
}

// Error is err at lines of the Dockerfile.
func (s *Source) Error(target string, line, end int, err error) *SourceError {
	e := &SourceError{Target: target, Place: s.Place(line), EndLine: s.Place(end).Line, Err: err}
	if len(s.places) == 0 {
		e.Text = s.Data
	}
	return e
}

// ErrorLines are the first and the last Dockerfile line that err blames, 0 if
// it blames none.
func ErrorLines(err error) (first, last int) { return errorLines(err) }

func errorLines(err error) (first, last int) {
	if at, ok := errors.AsType[*parser.LocationError](err); ok {
		for _, ranges := range at.Locations {
			for _, r := range ranges {
				if first == 0 || r.Start.Line < first {
					first = r.Start.Line
				}
				last = max(last, r.End.Line, r.Start.Line)
			}
		}
		return first, last
	}
	for _, src := range errdefs.Sources(err) {
		for _, r := range src.Ranges {
			l, e := int(r.Start.Line), int(r.End.Line)
			if first == 0 || l < first {
				first = l
			}
			last = max(last, e, l)
		}
		if first > 0 {
			return first, last
		}
	}
	return 0, 0
}

// parseErrorLine is how BuildKit's parser says a line that we say better.
var parseErrorLine = lazyregexp.New(`dockerfile parse error on line \d+: `)

// clean drops the wrapping that tells of the machinery, not of the mistake.
func clean(err error) error {
	msg := parseErrorLine.ReplaceAllString(err.Error(), "")
	for _, noise := range []string{"failed to solve: ", "failed to read dockerfile: "} {
		msg = strings.TrimPrefix(msg, noise)
	}
	return &cleanError{msg, err}
}

type cleanError struct {
	msg string
	err error
}

func (e *cleanError) Error() string { return e.msg }
func (e *cleanError) Unwrap() error { return e.err }
