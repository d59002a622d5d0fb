package lower

import (
	"fmt"
	"maps"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// This file says what of a definition an image can stand in for, and what needs
// it.

// headOf is what def makes, ok false if it is nothing or read as it is: no step
// makes it.
func headOf(def *llb.Definition) (at place, ok bool, err error) {
	if def == nil || len(def.Def) == 0 {
		return place{}, false, nil
	}
	last := len(def.Def) - 1
	ops, err := decode(def.Def[last:])
	if err != nil || len(ops[0].Inputs) == 0 {
		return place{}, false, err
	}
	at = place{ops[0].Inputs[0].Digest, ops[0].Inputs[0].Index}
	for i := last - 1; i >= 0; i-- {
		if digest.FromBytes(def.Def[i]).String() != at.vertex {
			continue
		}
		ops, err := decode(def.Def[i : i+1])
		return at, err == nil && ops[0].GetSource() == nil, err
	}
	return place{}, false, nil
}

func decode(def [][]byte) ([]*pb.Op, error) {
	ops := make([]*pb.Op, len(def))
	for i, dt := range def {
		ops[i] = &pb.Op{}
		if err := ops[i].UnmarshalVT(dt); err != nil {
			return nil, fmt.Errorf("decoding LLB: %w", err)
		}
	}
	return ops, nil
}

// Replaceable reports whether an image can stand in for r: this process has
// lowered it, and it has a step of its own or of a target it needs on every
// platform. One that the engine's front end makes is left as it is.
func (r *Result) Replaceable() bool {
	for _, p := range r.Platforms {
		if _, ok, err := headOf(p.Def); err != nil || !ok {
			return false
		}
	}
	return len(r.Platforms) > 0 && !r.InEngine()
}

// InEngine reports whether the engine's front end has to run: for a Dockerfile
// that only it can read, and for provenance, which records what the engine's
// front end was told.
func (r *Result) InEngine() bool {
	return r.Foreign != "" || r.Request.InEngine
}

// Heads are what targets make, to find it in the definitions of others.
type Heads struct{ at map[place][]string }

// HeadsOf are those of results, by target.
func HeadsOf(results map[string]*Result) (*Heads, error) {
	h := &Heads{map[place][]string{}}
	for _, name := range slices.Sorted(maps.Keys(results)) {
		for _, p := range results[name].Platforms {
			at, ok, err := headOf(p.Def)
			if err != nil {
				return nil, err
			}
			if ok && !slices.Contains(h.at[at], name) {
				h.at[at] = append(h.at[at], name)
			}
		}
	}
	return h, nil
}

// Under names, sorted, the targets whose result r still needs when s is put in.
func (h *Heads) Under(r *Result, s *StandIns) ([]string, error) {
	found := map[string]bool{}
	for _, def := range r.definitions() {
		if err := h.under(def, s, found); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// definitions are all that an engine is sent for r.
func (r *Result) definitions() []*llb.Definition {
	var out []*llb.Definition
	for _, p := range r.Platforms {
		out = append(out, p.Def)
	}
	for _, list := range r.Attestations {
		for _, a := range list {
			out = append(out, a.Def)
		}
	}
	return out
}

func (h *Heads) under(def *llb.Definition, s *StandIns, found map[string]bool) error {
	if def == nil || len(def.Def) == 0 {
		return nil
	}
	ops, err := decode(def.Def)
	if err != nil {
		return err
	}
	last := len(ops) - 1
	needed := map[string]bool{}
	for i := last; i >= 0; i-- { // users come after what they use
		if i < last && !needed[digest.FromBytes(def.Def[i]).String()] {
			continue
		}
		for _, in := range ops[i].Inputs {
			at := place{in.Digest, in.Index}
			if s != nil && s.places[at] != nil {
				continue
			}
			needed[in.Digest] = true
			for _, name := range h.at[at] {
				found[name] = true
			}
		}
	}
	return nil
}

// MadeBy are the vertices that make r, one a platform; none for a platform that no
// step makes.
func (r *Result) MadeBy() []digest.Digest {
	var out []digest.Digest
	for _, p := range r.Platforms {
		if at, ok, err := headOf(p.Def); ok && err == nil {
			out = append(out, digest.Digest(at.vertex))
		}
	}
	return out
}
