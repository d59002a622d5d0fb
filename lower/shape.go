package lower

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/proto"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// A Local is a directory and what of it an engine is sent: the include, exclude
// and follow patterns of BuildKit's local source.
type Local struct {
	Dir     string   `json:"dir"` // absolute
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	Follow  []string `json:"follow,omitempty"`
}

// A Use is what a vertex takes of a local source: BuildKit's cache looks at no
// more of it either.
type Use struct {
	Local int    `json:"local"`         // index into Brief.Locals
	Src   string `json:"src,omitempty"` // path or pattern from the directory, "" is all of it
	// Contents says that of a directory what is in it is taken and the directory
	// itself, with its mode and extended attributes, is not: see [taken].
	Contents bool `json:"contents,omitempty"`
	// Inherited says that a needed target does, not the target itself.
	Inherited bool `json:"inherited,omitempty"`
}

func (l Local) key() string {
	b, _ := json.Marshal(l) // strings do not fail
	return string(b)
}

// A shaper hashes definitions with what does not change an image taken out:
// names of directories, sessions and transfers, which registry an image of
// known digest comes from, proxies. Local sources are numbered; what is in
// them is not looked at.
type shaper struct {
	locals   []Local
	dirs     map[string]string // local name -> directory
	numbers  map[string]int    // key of a Local -> its place in locals
	byDir    bool              // local sources are named and not numbered, to compare targets
	uses     []Use
	used     map[Use]bool
	parents  map[digest.Digest]vertex // vertices of needed targets
	localOf  map[string]int           // digest of a vertex that is a local source -> its number
	unpinned []string
	done     map[string]string // digest of a vertex -> hash of it and of what it needs
	own      map[string]string // digest of a vertex -> hash of it alone
	images   imageFiles
}

func newShaper(r *Result) *shaper {
	return &shaper{dirs: r.Locals, images: r.imageFiles(), numbers: map[string]int{}, used: map[Use]bool{}, localOf: map[string]int{}, done: map[string]string{}, own: map[string]string{}}
}

// volatile are attributes of sources that name a session, a transfer or how to
// log in, and none that changes the content (solver/pb/attr.go).
var volatile = []string{
	pb.AttrLocalSessionID, pb.AttrLocalUniqueID, pb.AttrSharedKeyHint, pb.AttrLocalDiffer,
	pb.AttrOCILayoutSessionID, pb.AttrOCILayoutStoreID, pb.AttrImageResolveMode, pb.AttrImageRecordType,
	pb.AttrAuthTokenSecret, pb.AttrAuthHeaderSecret, pb.AttrKnownSSHHosts, pb.AttrMountSSHSock,
}

// definition returns the hash of what def makes.
func (s *shaper) definition(def *llb.Definition) (string, error) {
	last := "scratch"
	for _, dt := range def.Def {
		d := string(digest.FromBytes(dt))
		if h, ok := s.done[d]; ok {
			last = h
			continue
		}
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return "", fmt.Errorf("decoding LLB: %w", err)
		}
		own, whole, err := s.vertex(d, &op)
		if err != nil {
			return "", err
		}
		s.own[d], s.done[d] = own, whole
		last = whole
	}
	return last, nil
}

// vertex returns the hash of op alone, and of op with all that it needs.
func (s *shaper) vertex(d string, op *pb.Op) (own, whole string, err error) {
	inputs := op.Inputs
	s.noteUses(d, op)
	op.Inputs, op.Constraints = nil, nil
	if src := op.GetSource(); src != nil {
		if err := s.source(d, src, op.Platform); err != nil {
			return "", "", err
		}
	}
	if exec := op.GetExec(); exec != nil && exec.Meta != nil {
		exec.Meta.ProxyEnv = nil // as in BuildKit's cache key (solver/llbsolver/ops/exec.go)
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(op)
	if err != nil {
		return "", "", fmt.Errorf("encoding LLB: %w", err)
	}
	own = sum(b)
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", own)
	for _, in := range inputs {
		fmt.Fprintf(h, "%s %d\n", s.done[in.Digest], in.Index)
	}
	return own, hex.EncodeToString(h.Sum(nil)), nil
}

func (s *shaper) source(d string, src *pb.SourceOp, platform *pb.Platform) error {
	for _, key := range volatile {
		delete(src.Attrs, key)
	}
	scheme, rest, _ := strings.Cut(src.Identifier, "://")
	switch scheme {
	case "local":
		n, err := s.local(src, rest)
		s.localOf[d] = n
		return err
	case "docker-image", "oci-layout":
		_, dgst, pinned := strings.Cut(rest, "@")
		if pinned {
			src.Identifier = scheme + "://@" + s.images.of(dgst, platform)
		} else {
			s.unpinned = append(s.unpinned, src.Identifier)
		}
	case "git":
		if !pinnedGit(src) {
			s.unpinned = append(s.unpinned, src.Identifier)
		}
	case "http", "https":
		if src.Attrs[pb.AttrHTTPChecksum] == "" {
			s.unpinned = append(s.unpinned, src.Identifier)
		}
	}
	return nil
}

// noteUses notes what op takes of local sources. A definition's closing pointer
// takes all: the source is the result.
func (s *shaper) noteUses(d string, op *pb.Op) {
	_, inherited := s.parents[digest.Digest(d)]
	for i, in := range op.Inputs {
		n, ok := s.localOf[in.Digest]
		if !ok {
			continue
		}
		for _, t := range takings(op, int64(i)) {
			if u := (Use{n, t.src, t.contents, inherited}); !s.used[u] {
				s.used[u] = true
				s.uses = append(s.uses, u)
			}
		}
	}
}

// local replaces a directory by its number, in the order met, and returns it.
func (s *shaper) local(src *pb.SourceOp, name string) (int, error) {
	l := Local{Dir: s.dirs[name]}
	for key, list := range map[string]*[]string{
		pb.AttrIncludePatterns: &l.Include, pb.AttrExcludePatterns: &l.Exclude, pb.AttrFollowPaths: &l.Follow,
	} {
		if v := src.Attrs[key]; v != "" {
			if err := json.Unmarshal([]byte(v), list); err != nil {
				return 0, fmt.Errorf("reading the patterns of a local source: %w", err)
			}
		}
		delete(src.Attrs, key) // what they leave is looked at, see Use
	}
	n, ok := s.numbers[l.key()]
	if !ok {
		n = len(s.locals)
		s.numbers[l.key()] = n
		s.locals = append(s.locals, l)
	}
	src.Identifier = "local://" + strconv.Itoa(n)
	if s.byDir {
		src.Identifier = "local://" + sum([]byte(l.key()))
	}
	return n, nil
}

var commitID = lazyregexp.New(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// pinnedGit reports whether a git source names one commit.
func pinnedGit(src *pb.SourceOp) bool {
	if commitID.MatchString(src.Attrs[pb.AttrGitChecksum]) {
		return true
	}
	u, err := url.Parse(src.Identifier)
	if err != nil {
		return false
	}
	ref, _, _ := strings.Cut(u.Fragment, ":")
	return commitID.MatchString(ref)
}

// shapeOf hashes all that r makes: every platform's definition and image config,
// attestations, and what else the exporter is told.
func shapeOf(r *Result) (string, *shaper, error) {
	s := newShaper(r)
	s.parents = r.Request.parentVertices()
	h := sha256.New()
	fmt.Fprintf(h, "shape 1 %v\n", r.Multi)
	for _, p := range r.Platforms {
		d, err := s.definition(p.Def)
		if err != nil {
			return "", nil, err
		}
		fmt.Fprintf(h, "platform %q %s %s\n", p.ID, d, sum(p.Config))
	}
	for _, id := range slices.Sorted(maps.Keys(r.Attestations)) {
		for _, a := range r.Attestations[id] {
			if a.Def == nil {
				fmt.Fprintf(h, "attestation %q %v\n", id, a.Kind)
				continue
			}
			d, err := s.definition(a.Def)
			if err != nil {
				return "", nil, err
			}
			fmt.Fprintf(h, "attestation %q %v %s\n", id, a.Kind, d)
		}
	}
	writeMetadata(h, r.Metadata)
	return hex.EncodeToString(h.Sum(nil)), s, nil
}

func writeMetadata(w io.Writer, md map[string][]byte) {
	for _, key := range slices.Sorted(maps.Keys(md)) {
		fmt.Fprintf(w, "metadata %q %s\n", key, sum(md[key]))
	}
}
