package lower

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// rewrite gives every local source a name of its directory, one unique id per
// run and no session, so that equal sources of several targets are one vertex
// that the engine transfers once; and it lifts the no-cache mark from vertices
// of parents, which have been solved already in this run. Digests, metadata and
// source locations are linked anew. Rewriting twice changes nothing more. What is
// a parent's vertex is the parent's own copy of it: a thousand targets on one base
// hold it once.
//
// The SharedKeyHint decides which earlier transfer the engine updates, so it
// names the directory and the patterns: two targets that read different parts
// of one directory do not evict each other.
func rewrite(def *llb.Definition, req *Request, opts Options) (*llb.Definition, error) {
	in := def.ToPB()
	out := &pb.Definition{Metadata: map[string]*pb.OpMetadata{}}
	moved := map[string]string{}
	parents := req.parentVertices()
	shared := map[digest.Digest]llb.OpMetadata{}
	for _, dt := range in.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, fmt.Errorf("decoding LLB: %w", err)
		}
		old := string(digest.FromBytes(dt))
		for _, i := range op.Inputs {
			if n, ok := moved[i.Digest]; ok {
				i.Digest = n
			}
		}
		if src := op.GetSource(); src != nil {
			req.rewriteSource(src, opts)
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(&op)
		if err != nil {
			return nil, fmt.Errorf("encoding LLB: %w", err)
		}
		now := digest.FromBytes(b)
		moved[old] = string(now)
		v, inherited := parents[now]
		if inherited {
			b = v.op
		}
		switch md, described := in.Metadata[old]; {
		case !described:
		case inherited && v.metadata != nil:
			shared[now] = *v.metadata
		case inherited:
			md = md.CloneVT()
			md.IgnoreCache = false
			out.Metadata[string(now)] = md
		default:
			out.Metadata[string(now)] = md
		}
		out.Def = append(out.Def, b)
	}
	relinkSource(in, out, moved)
	d := &llb.Definition{}
	d.FromPB(out)
	for now, md := range shared {
		md.IgnoreCache = false
		d.Metadata[now] = md
	}
	d.Constraints = def.Constraints
	return d, nil
}

func relinkSource(in, out *pb.Definition, moved map[string]string) {
	if in.Source == nil {
		return
	}
	out.Source = &pb.Source{Infos: in.Source.Infos, Locations: map[string]*pb.Locations{}}
	for k, v := range in.Source.Locations {
		if n, ok := moved[k]; ok {
			out.Source.Locations[n] = distinct(v)
		}
	}
}

func (req *Request) rewriteSource(src *pb.SourceOp, opts Options) {
	delete(src.Attrs, pb.AttrOCILayoutSessionID)
	req.pin(src)
	name, ok := strings.CutPrefix(src.Identifier, "local://")
	if !ok {
		return
	}
	delete(src.Attrs, pb.AttrLocalSessionID)
	src.Attrs[pb.AttrLocalUniqueID] = opts.RunID
	if _, own := req.Locals[name]; !own {
		return // a parent's, already unique
	}
	unique := req.unique(name)
	src.Identifier = "local://" + unique
	h := sha256.New()
	for _, key := range []string{pb.AttrIncludePatterns, pb.AttrExcludePatterns, pb.AttrFollowPaths} {
		fmt.Fprintf(h, "%q\n", src.Attrs[key])
	}
	if opts.Generation != nil {
		fmt.Fprintf(h, "%s\n", opts.Generation(req.Locals[name]))
	}
	src.Attrs[pb.AttrSharedKeyHint] = unique + "-" + hex.EncodeToString(h.Sum(nil)[:6])
}

// pin names the digest of an image that the front end names by its tag alone, as
// it does for a named context. The engine would ask again what the tag is.
func (req *Request) pin(src *pb.SourceOp) {
	ref, ok := strings.CutPrefix(src.Identifier, "docker-image://")
	if d := req.pins[ref]; ok && d != "" && !strings.Contains(ref, "@") {
		src.Identifier += "@" + d.String()
	}
}
