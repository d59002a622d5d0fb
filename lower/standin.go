package lower

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"
)

// A StandIn is an image that was made of a target and stands in for its steps
// where others need it.
type StandIn struct {
	Result *Result // of the target
	Ref    string  // "host/repo@sha256:...", for all platforms of Result
}

// name says for people what a vertex does that reads the image: it is shown if it
// takes long.
func (in StandIn) name() string {
	repository, _, _ := strings.Cut(in.Ref, "@")
	return fmt.Sprintf("take %s from %s", in.Result.Target, repository)
}

// StandIns are what is put in the place of needed targets in the definitions of
// a run: the same in all of them, so that what several definitions have in
// common stays one vertex. They are not changed once NewStandIns has returned
// them. The zero value and nil stand in for nothing.
type StandIns struct {
	list   []StandIn
	places map[place]*image
}

// A place is what an input of a vertex points to.
type place struct {
	vertex string
	index  int64
}

// An image is the vertex of a StandIn for one platform.
type image struct {
	of       int // in StandIns.list
	digest   string
	vertex   []byte
	metadata *pb.OpMetadata
}

// NewStandIns puts list together. If two of them are made by the same vertex, as
// one that only changes the image config of the other, the first one counts.
func NewStandIns(ctx context.Context, list []StandIn) (*StandIns, error) {
	s := &StandIns{list: slices.Clone(list), places: map[place]*image{}}
	for i, in := range s.list {
		for _, p := range in.Result.Platforms {
			at, ok, err := headOf(p.Def)
			if err != nil {
				return nil, err
			}
			if _, taken := s.places[at]; !ok || taken {
				continue
			}
			img, err := newImage(ctx, in, p)
			if err != nil {
				return nil, err
			}
			img.of = i
			s.places[at] = img
		}
	}
	return s, nil
}

// newImage is the vertex that reads in for p.
func newImage(ctx context.Context, in StandIn, p Platform) (*image, error) {
	name := llb.WithCustomName("[internal] " + in.name())
	def, err := llb.Image(in.Ref, llb.Platform(p.Platform), name).Marshal(ctx)
	if err != nil {
		return nil, fmt.Errorf("naming image %s: %w", in.Ref, err)
	}
	d := digest.FromBytes(def.Def[0])
	return &image{digest: d.String(), vertex: def.Def[0], metadata: def.ToPB().Metadata[d.String()]}, nil
}

// Images names the targets for which an image stands in, and the image.
func (s *StandIns) Images() map[string]string {
	out := map[string]string{}
	if s != nil {
		for _, in := range s.list {
			out[in.Result.Target] = in.Ref
		}
	}
	return out
}

// Vertices are those that read the images.
func (s *StandIns) Vertices() []digest.Digest {
	var out []digest.Digest
	if s != nil {
		for _, img := range s.places {
			out = append(out, digest.Digest(img.digest))
		}
	}
	return out
}

// Put returns r as it is sent to an engine: definitions whose inputs are s where
// they were the results of needed targets, without what is not needed any more.
// Config, metadata and history stay what they were. was leads from each vertex
// that changed to what it is in r, and used names the targets for which an image
// stands in, with the image; both are empty, and sent is r, if none does.
//
// Putting the same in twice changes nothing more.
func (s *StandIns) Put(r *Result) (sent *Result, was map[digest.Digest]digest.Digest, used map[string]string, err error) {
	p := putting{s: s, was: map[digest.Digest]digest.Digest{}, used: map[string]string{}}
	if s == nil || len(s.places) == 0 {
		return r, p.was, p.used, nil
	}
	out := r.clone()
	for i := range out.Platforms {
		if out.Platforms[i].Def, err = p.put(r.Platforms[i].Def); err != nil {
			return nil, nil, nil, err
		}
	}
	out.Attestations = map[string][]Attestation{}
	for id, list := range r.Attestations {
		list = slices.Clone(list)
		for i := range list {
			if list[i].Def, err = p.put(list[i].Def); err != nil {
				return nil, nil, nil, err
			}
		}
		out.Attestations[id] = list
	}
	if len(p.used) == 0 {
		return r, p.was, p.used, nil
	}
	return out, p.was, p.used, nil
}

// A putting is one call of Put.
type putting struct {
	s    *StandIns
	was  map[digest.Digest]digest.Digest
	used map[string]string
}

// put rewrites def; it is returned as it is if nothing in it is replaced.
func (p *putting) put(def *llb.Definition) (*llb.Definition, error) {
	if def == nil || len(def.Def) == 0 {
		return def, nil
	}
	ops, err := decode(def.Def)
	if err != nil {
		return nil, err
	}
	old := make([]string, len(ops))
	moved := map[string]string{}
	images := map[string]*image{}
	data := slices.Clone(def.Def)
	for i, op := range ops {
		old[i] = digest.FromBytes(data[i]).String()
		if !p.relink(op, moved, images) {
			continue
		}
		if data[i], err = (proto.MarshalOptions{Deterministic: true}).Marshal(op); err != nil {
			return nil, fmt.Errorf("encoding LLB: %w", err)
		}
		moved[old[i]] = digest.FromBytes(data[i]).String()
	}
	if len(moved) == 0 {
		return def, nil
	}
	return p.collect(def, ops, old, data, moved, images), nil
}

// relink points the inputs of op to what they have become, and notes images that
// are among them. It reports whether there was something to do.
func (p *putting) relink(op *pb.Op, moved map[string]string, images map[string]*image) (changed bool) {
	for _, in := range op.Inputs {
		if img, ok := p.s.places[place{in.Digest, in.Index}]; ok {
			images[img.digest] = img
			in.Digest, in.Index, changed = img.digest, 0, true
			continue
		}
		if now, ok := moved[in.Digest]; ok {
			in.Digest, changed = now, true
		}
	}
	return changed
}

// collect is a definition of what the last of ops still needs, inputs first.
func (p *putting) collect(def *llb.Definition, ops []*pb.Op, old []string, data [][]byte, moved map[string]string, images map[string]*image) *llb.Definition {
	needed := map[string]bool{}
	last := len(ops) - 1
	for i := last; i >= 0; i-- {
		now := old[i]
		if n, ok := moved[now]; ok {
			now = n
		}
		if i < last && !needed[now] {
			continue
		}
		for _, in := range ops[i].Inputs {
			needed[in.Digest] = true
		}
	}
	in := def.ToPB()
	out := &pb.Definition{Metadata: map[string]*pb.OpMetadata{}}
	for _, op := range ops { // in the order of use
		for _, input := range op.Inputs {
			img, ok := images[input.Digest]
			if !ok || !needed[img.digest] {
				continue
			}
			delete(images, img.digest)
			out.Def = append(out.Def, img.vertex)
			out.Metadata[img.digest] = img.metadata
			from := p.s.list[img.of]
			p.used[from.Result.Target] = from.Ref
		}
	}
	kept := map[string]string{}
	for i := range ops {
		now := digest.FromBytes(data[i]).String()
		if i < last && !needed[now] {
			continue
		}
		kept[old[i]] = now
		out.Def = append(out.Def, data[i])
		if md, ok := in.Metadata[old[i]]; ok {
			out.Metadata[now] = md
		}
		if now != old[i] {
			p.was[digest.Digest(now)] = digest.Digest(old[i])
		}
	}
	relinkSource(in, out, kept)
	d := &llb.Definition{}
	d.FromPB(out)
	d.Constraints = def.Constraints
	return d
}
