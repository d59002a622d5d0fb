package lower

import (
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// vertices is a definition taken apart.
type vertices struct {
	order []digest.Digest // inputs first; without the closing pointer
	ops   map[digest.Digest]*pb.Op
	def   *pb.Definition
	head  digest.Digest
}

func newVertices(def *llb.Definition) (*vertices, error) {
	v := &vertices{ops: map[digest.Digest]*pb.Op{}, def: def.ToPB()}
	for i, dt := range v.def.Def {
		op := &pb.Op{}
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		d := digest.FromBytes(dt)
		if i == len(v.def.Def)-1 { // a pointer to the result, not a vertex
			if len(op.Inputs) > 0 {
				v.head = digest.Digest(op.Inputs[0].Digest)
			}
			break
		}
		v.ops[d] = op
		v.order = append(v.order, d)
	}
	return v, nil
}

// steps lists the vertices that are not in parents.
func (v *vertices) steps(parents map[digest.Digest]vertex) []Step {
	var out []Step
	for _, d := range v.order {
		if _, ok := parents[d]; ok {
			continue
		}
		name := v.description(d)["llb.customname"]
		s := ParseVertexName(name)
		s.Digest, s.Vertex, s.Source = d, name, v.ops[d].GetSource() != nil
		s.Line = v.line(d)
		out = append(out, s)
	}
	return out
}

func (v *vertices) description(d digest.Digest) map[string]string {
	if md := v.def.Metadata[string(d)]; md != nil {
		return md.Description
	}
	return nil
}

// line is the first source line of d, 0 if it has none.
func (v *vertices) line(d digest.Digest) int {
	if v.def.Source == nil {
		return 0
	}
	for _, loc := range v.def.Source.Locations[string(d)].GetLocations() {
		for _, r := range loc.Ranges {
			return int(r.Start.Line)
		}
	}
	return 0
}

// A vertex of the Dockerfile front end is named "[build 2/4] RUN x",
// "[linux/arm64 2/4] RUN x" or "[internal] load build context"
// (frontend/dockerfile/dockerfile2llb, prefixCommand).
var vertexName = lazyregexp.New(`^\[([^\]]*?)\s*\d+/\d+\] (.*)$`)

// ParseVertexName fills in what a vertex's name tells of a step.
func ParseVertexName(name string) Step {
	if m := vertexName.FindStringSubmatch(strings.ReplaceAll(name, "\n", " ")); m != nil {
		words := strings.Fields(m[1])
		stage := ""
		if n := len(words); n > 0 && !strings.Contains(words[n-1], "/") {
			stage = words[n-1]
		}
		return Step{Name: m[2], Stage: stage}
	}
	if rest, ok := strings.CutPrefix(name, "[internal] "); ok {
		return Step{Name: rest, Internal: true}
	}
	if strings.HasPrefix(name, "[context ") {
		return Step{Name: name[1:strings.Index(name+"]", "]")] + name[strings.Index(name+"]", "]")+1:], Internal: true}
	}
	return Step{Name: name, Internal: name == ""}
}

// layerChain lists, oldest first, the vertices that each add a layer to the
// root file system of d, walking from the result to its base. The base source
// itself is not in it but returned beside it, "" for scratch. For the shape of
// the ops see solver/pb/ops.proto.
func (v *vertices) layerChain() (chain []digest.Digest, source digest.Digest) {
	for cur := v.head; cur != ""; {
		op := v.ops[cur]
		if op == nil || op.GetSource() != nil {
			source = cur
			break
		}
		chain = append(chain, cur)
		cur = below(op)
	}
	for i, j := 0, len(chain)-1; i < j; i, j = i+1, j-1 {
		chain[i], chain[j] = chain[j], chain[i]
	}
	return chain, source
}

// below is the vertex whose root file system op changes, "" for scratch.
func below(op *pb.Op) digest.Digest {
	input := func(i int64) digest.Digest {
		if i < 0 || i >= int64(len(op.Inputs)) {
			return ""
		}
		return digest.Digest(op.Inputs[i].Digest)
	}
	switch o := op.Op.(type) {
	case *pb.Op_Exec:
		for _, m := range o.Exec.Mounts {
			if m.Dest == "/" {
				return input(m.Input)
			}
		}
	case *pb.Op_File:
		n := int64(len(op.Inputs))
		a := o.File.Actions[len(o.File.Actions)-1]
		for a.Input >= n { // the output of an earlier action
			a = o.File.Actions[a.Input-n]
		}
		return input(a.Input)
	case *pb.Op_Merge: // COPY --link: the base first, the new layer last
		return input(o.Merge.Inputs[0].Input)
	}
	return ""
}
