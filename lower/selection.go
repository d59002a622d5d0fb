package lower

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// A Selection is what one step reads of a local source: a COPY's source, or
// the part that a RUN mounts. Links are not followed.
type Selection struct {
	Local Local
	// Src is a path or pattern from the directory: "" is all of it, and one with a
	// slash at its end what is in that directory.
	Src string
}

// A taken is what an op takes of its input.
//
// A COPY or ADD puts what is in a directory into its destination. That is there
// already, or is made with a mode of its own, before the directory is looked at
// (fsutil's copy, prepareTargetDir): nothing of the directory itself but its times
// gets into the image. BuildKit's cache looks at it all the same.
type taken struct {
	src      string // as in Use
	contents bool
}

// Matches reports whether the step reads file, a slash-separated path from the
// directory.
func (s Selection) Matches(file string) bool {
	if s.Src == "" || file == s.Src || strings.HasPrefix(file, strings.TrimSuffix(s.Src, "/")+"/") {
		return true
	}
	if !strings.ContainsAny(s.Src, `*?[\`) {
		return false
	}
	parts, n := strings.Split(file, "/"), strings.Count(s.Src, "/")+1
	if len(parts) < n {
		return false
	}
	ok, err := path.Match(s.Src, strings.Join(parts[:n], "/"))
	return ok && err == nil
}

// A Reading is a step and what it reads of local sources itself.
type Reading struct {
	Step   Step
	Place  string // "Dockerfile:8"
	Reads  []Selection
	vertex digest.Digest
}

// Readings are the target's own steps that do something, with what they read.
func (r *Result) Readings() []Reading {
	var out []Reading
	seen := map[digest.Digest]bool{}
	for _, p := range r.Platforms {
		if p.Def == nil {
			continue
		}
		v, err := newVertices(p.Def)
		if err != nil {
			continue
		}
		for _, st := range p.Steps {
			if st.Internal || st.Source || seen[st.Digest] {
				continue
			}
			seen[st.Digest] = true
			out = append(out, Reading{Step: st, Place: placeIn(r.Source, st.Line), Reads: r.selections(v, v.ops[st.Digest]), vertex: st.Digest})
		}
	}
	slices.SortStableFunc(out, func(a, b Reading) int { return a.Step.Number - b.Step.Number })
	return out
}

// selections lists what op reads of local sources.
func (r *Result) selections(v *vertices, op *pb.Op) []Selection {
	var out []Selection
	for i, in := range op.Inputs {
		src := v.ops[digest.Digest(in.Digest)].GetSource()
		if src == nil || !strings.HasPrefix(src.Identifier, "local://") {
			continue
		}
		s := newShaper(r)
		if _, err := s.local(src.CloneVT(), strings.TrimPrefix(src.Identifier, "local://")); err != nil {
			continue
		}
		for _, t := range takings(op, int64(i)) {
			out = append(out, Selection{s.locals[0], t.src})
		}
	}
	return out
}

// takings are what op takes of its input.
func takings(op *pb.Op, input int64) []taken {
	var out []taken
	switch o := op.Op.(type) {
	case *pb.Op_File:
		for _, a := range o.File.Actions {
			if c := a.GetCopy(); c != nil && a.SecondaryInput == input {
				out = append(out, taken{relative(c.Src), c.DirCopyContents})
			}
			if a.Input == input { // files are put on top of it
				out = append(out, taken{})
			}
		}
	case *pb.Op_Exec:
		for _, m := range o.Exec.Mounts {
			if m.Input == input {
				out = append(out, taken{src: relative(m.Selector)})
			}
		}
	default:
		out = append(out, taken{})
	}
	return out
}

func relative(p string) string { return strings.TrimPrefix(path.Clean("/"+p), "/") }

// StepKeys returns a key for each of the target's own steps, by step digest: it
// is the same as long as the step and all before it are the same and content
// answers the same for what they read. That is how the engine's cache decides,
// so a step with a known key is expected to be there.
func (r *Result) StepKeys(content func(Selection) string) (map[digest.Digest]string, error) {
	keys := map[digest.Digest]string{}
	s := newShaper(r)
	for _, p := range r.Platforms {
		if p.Def == nil {
			continue
		}
		v, err := newVertices(p.Def)
		if err != nil {
			return nil, err
		}
		for _, d := range v.order {
			if _, ok := keys[d]; ok {
				continue
			}
			h := sha256.New()
			own, _, err := s.vertex(string(d), v.ops[d].CloneVT())
			if err != nil {
				return nil, err
			}
			if v.ops[d].GetSource() == nil { // the number of a local source says nothing
				fmt.Fprintf(h, "%s\n", own)
			}
			for _, in := range v.ops[d].Inputs {
				fmt.Fprintf(h, "%s %d\n", keys[digest.Digest(in.Digest)], in.Index)
			}
			for _, sel := range r.selections(v, v.ops[d]) {
				fmt.Fprintf(h, "%q %s\n", sel.Src, content(sel))
			}
			if src := v.ops[d].GetSource(); src != nil && !strings.HasPrefix(src.Identifier, "local://") {
				fmt.Fprintf(h, "%s\n", own)
			}
			keys[d] = hex.EncodeToString(h.Sum(nil)[:12])
		}
	}
	return keys, nil
}
