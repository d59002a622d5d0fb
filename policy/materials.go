package policy

import (
	"context"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
)

var materialsRef = ast.MustParseRef("input.image.provenance.materials")

// wantsOfMaterials are the missing fields of materials that rules read while they
// go through all of them. OPA takes an element of a list as it is, without what is
// unknown of it, so that the list as a whole has to be unknown to find them.
func (r *rules) wantsOfMaterials(ctx context.Context, e *evaluation, input ast.Value) (map[*source][]string, error) {
	if len(e.src.materials) == 0 {
		return nil, nil
	}
	var paths []ast.Ref
	err := r.refsLeft(ctx, e, input, []*ast.Term{ast.NewTerm(materialsRef)}, func(ref ast.Ref) {
		switch {
		case ref.HasPrefix(materialsRef):
			if len(ref) > len(materialsRef)+1 {
				paths = append(paths, ref[len(materialsRef)+1:])
			}
		case ref.HasPrefix(ast.InputRootRef), ref.HasPrefix(ast.DefaultRootRef):
		default: // of a variable of every, which may be a material
			paths = append(paths, ref[1:])
		}
	})
	if err != nil {
		return nil, err
	}
	out := map[*source][]string{}
	for _, path := range paths {
		for _, m := range e.src.materials {
			m.wanted(path, out)
		}
	}
	return out, nil
}

// wanted notes the missing field of s that path leads through, or those of its
// materials.
func (s *source) wanted(path ast.Ref, out map[*source][]string) {
	if s == nil {
		return
	}
	words := wordsOf(path)
	for _, f := range s.unknown {
		if slices.Equal(words[:min(2, len(words))], strings.Split(f, ".")) && !slices.Contains(out[s], f) {
			out[s] = append(out[s], f)
		}
	}
	below := []string{"image", "provenance", "materials"}
	if len(words) > 4 && slices.Equal(words[:3], below) {
		for _, m := range s.materials {
			m.wanted(path[4:], out)
		}
	}
}

// wordsOf are the parts of a path; one that is no text is "".
func wordsOf(path ast.Ref) []string {
	out := make([]string, len(path))
	for i, term := range path {
		if s, ok := term.Value.(ast.String); ok {
			out[i] = string(s)
		}
	}
	return out
}
