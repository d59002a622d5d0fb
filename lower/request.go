package lower

import (
	"cmp"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	contentlocal "github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/docker/go-units"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// The local names that the Dockerfile front end has built in.
const (
	localContext    = dockerui.DefaultLocalNameContext
	localDockerfile = dockerui.DefaultLocalNameDockerfile
)

// A Request is what a target asks of the Dockerfile front end, in the front
// end's own words. It can be sent to a daemon's front end as it is.
type Request struct {
	Attrs      map[string]string // front end options: filename, build-arg:X, context:NAME, ...
	Locals     map[string]string // local name -> absolute directory
	Dockerfile []byte            // contents, when the target has no file; else nil
	Stores     map[string]content.Store
	Inputs     map[string]llb.State // parents by input name
	Platforms  []ocispec.Platform   // wanted; empty is the engine's own
	// InEngine says that the engine's front end will be asked, whatever is known
	// here: for provenance, which records what that was told.
	InEngine bool

	target  *config.Target
	dir     string
	parents map[string]needed   // by target name
	names   map[string]string   // context name -> parent target
	called  map[string][]string // local name -> what the build file calls the directory, if it names it
	links   []link
	pins    map[string]digest.Digest // of images by reference, once they are known
	foreign string
}

// A needed is a needed target as far as a request has to know it.
type needed struct {
	shape     string              // see Brief.Shape; "" if nobody asks for the memo
	platforms []exptypes.Platform // of its result
	brief     *Brief              // nil if nobody asked for it
	result    *Result             // nil as long as only its brief is known
}

// A link is a named context that is a needed target's result, to be put in when
// that is lowered.
type link struct {
	key    string // context name, with the platform if there are several
	target string
	index  int // of the platform
}

// newRequest says t in the words of the Dockerfile front end. The options are
// those of docker buildx build (build/opt.go there), so that the same target
// gives the same image.
func newRequest(t *config.Target, parents map[string]needed, opts Options) (*Request, error) {
	req := &Request{
		Attrs:   map[string]string{},
		Locals:  map[string]string{},
		Stores:  map[string]content.Store{},
		Inputs:  map[string]llb.State{},
		target:  t,
		dir:     opts.Dir,
		parents: map[string]needed{},
		names:   map[string]string{},
		called:  map[string][]string{},
	}
	req.InEngine = opts.InEngine || slices.ContainsFunc(t.Attest, func(a config.Attest) bool { return a.Type == "provenance" && !a.Disabled })
	var errs []error
	for _, s := range []struct {
		attr string
		set  func() error
	}{{"platforms", req.setPlatforms}, {"context", req.setContext}, {"shm-size", req.setPlain}} {
		if err := s.set(); err != nil {
			errs = append(errs, at(t, s.attr, err))
		}
	}
	if len(errs) == 0 { // the Dockerfile's place depends on the context's
		if err := req.setDockerfile(); err != nil {
			errs = append(errs, at(t, "dockerfile", err))
		}
	}
	contexts := maps.Clone(t.Contexts)
	if t.Steps != nil {
		contexts = merge(contexts, t.Steps.Contexts)
	}
	for _, name := range slices.Sorted(maps.Keys(contexts)) {
		if err := req.addContext(name, contexts[name], parents); err != nil {
			errs = append(errs, at(t, "contexts."+name, err))
		}
	}
	return req, errors.Join(errs...)
}

func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, b)
	return out
}

// at blames err on an attribute, unless it already says where it belongs.
func at(t *config.Target, attr string, err error) error {
	if _, ok := errors.AsType[*graph.TargetError](err); ok {
		return err
	}
	return &graph.TargetError{ID: graph.ID(t.Name), Attr: attr, Err: err}
}

func (req *Request) setPlatforms() error {
	var ids []string
	for _, p := range req.target.Platforms {
		spec := platforms.DefaultSpec()
		if p != "local" {
			var err error
			if spec, err = platforms.Parse(p); err != nil {
				return fmt.Errorf("platform %q: %w; write os/arch or os/arch/variant, as in linux/arm64", p, err)
			}
		}
		spec = platforms.Normalize(spec)
		if id := platforms.FormatAll(spec); !slices.Contains(ids, id) {
			ids = append(ids, id)
			req.Platforms = append(req.Platforms, spec)
		}
	}
	if len(ids) > 0 {
		req.Attrs["platform"] = strings.Join(ids, ",")
	}
	return nil
}

// setContext finds the main context: a directory, or a URL that only the
// engine can read.
func (req *Request) setContext() error {
	c := req.target.Context
	switch {
	case c == "-":
		return errors.New(`the context cannot be read from standard input; name a directory`)
	case isURL(c):
		req.Attrs["context"] = c
		req.foreign = "its context is " + c
		return nil
	}
	dir, err := req.directory(strings.TrimPrefix(c, "cwd://"))
	if err != nil {
		return err
	}
	req.Locals[localContext] = dir
	return nil
}

// RemoteContext reports whether c is a context that only an engine reads.
func RemoteContext(c string) bool { return isURL(c) }

// isURL reports whether c is a git or http context.
func isURL(c string) bool {
	if _, _, ok := dockerui.DetectHTTPContext(c); ok {
		return true
	}
	_, ok, _ := dockerui.DetectGitContext(c, nil)
	return ok
}

// directory makes dir absolute and checks that it is a directory.
func (req *Request) directory(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(req.dir, dir)
	}
	fi, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no directory %q", rel(req.dir, dir))
	}
	if err != nil {
		return "", err
	}
	if !fi.IsDir() {
		return "", fmt.Errorf("%q is a file; a context is a directory", rel(req.dir, dir))
	}
	return filepath.Clean(dir), nil
}

// setDockerfile finds the Dockerfile: steps win over inline text, inline text
// over a file.
func (req *Request) setDockerfile() error {
	t := req.target
	switch {
	case t.Steps != nil:
		req.Dockerfile = []byte(t.Steps.Text)
	case t.DockerfileInline != nil:
		req.Dockerfile = []byte(*t.DockerfileInline)
	case req.foreign != "" && !strings.HasPrefix(t.Dockerfile, "cwd://") && !filepath.IsAbs(t.Dockerfile):
		req.Attrs["filename"] = cmp.Or(t.Dockerfile, dockerui.DefaultDockerfileName)
		return nil
	default:
		return req.setDockerfilePath(cmp.Or(t.Dockerfile, dockerui.DefaultDockerfileName))
	}
	req.Attrs["filename"] = dockerui.DefaultDockerfileName
	if req.foreign != "" { // tells the front end not to look into the context
		req.Attrs["dockerfilekey"] = localDockerfile
	}
	return nil
}

func (req *Request) setDockerfilePath(file string) error {
	full := filepath.Join(req.Locals[localContext], file)
	if p, ok := strings.CutPrefix(file, "cwd://"); ok {
		full = filepath.Join(req.dir, p)
	} else if filepath.IsAbs(file) {
		full = file
	}
	fi, err := os.Stat(full)
	if errors.Is(err, fs.ErrNotExist) && path.Base(file) == dockerui.DefaultDockerfileName {
		lower := filepath.Join(filepath.Dir(full), strings.ToLower(dockerui.DefaultDockerfileName))
		if fi2, err2 := os.Stat(lower); err2 == nil { // moby/moby#10858
			full, fi, err = lower, fi2, nil
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file %q", rel(req.dir, full))
	case err != nil:
		return err
	case fi.IsDir():
		return fmt.Errorf("%q is a directory; name the Dockerfile in it", rel(req.dir, full))
	}
	req.Locals[localDockerfile] = filepath.Dir(full)
	req.Attrs["filename"] = filepath.Base(full)
	if req.foreign != "" {
		req.Attrs["dockerfilekey"] = localDockerfile
	}
	return nil
}

// setPlain sets what needs no looking up.
func (req *Request) setPlain() error {
	t := req.target
	setAll(req.Attrs, "build-arg:", t.Args)
	setAll(req.Attrs, "label:", t.Labels)
	setIf(req.Attrs, "target", t.Stage)
	setIf(req.Attrs, "ulimit", strings.Join(t.Ulimits, ","))
	setIf(req.Attrs, "no-cache", strings.Join(t.NoCacheFilter, ","))
	if t.NoCache {
		req.Attrs["no-cache"] = ""
	}
	if t.Pull {
		req.Attrs["image-resolve-mode"] = "pull"
	}
	if t.Network != "default" {
		setIf(req.Attrs, "force-network-mode", t.Network)
	}
	var hosts []string
	for _, h := range slices.Sorted(maps.Keys(t.ExtraHosts)) {
		for address := range strings.SplitSeq(t.ExtraHosts[h], ",") {
			if n := len(address); n > 2 && address[0] == '[' && address[n-1] == ']' {
				address = address[1 : n-1] // as IPv6 may be written
			}
			hosts = append(hosts, h+"="+address)
		}
	}
	setIf(req.Attrs, "add-hosts", strings.Join(hosts, ","))
	for _, a := range t.Attest {
		if !a.Disabled {
			req.Attrs["attest:"+a.Type] = csvAttrs(a.Attrs)
		}
	}
	if t.ShmSize == "" {
		return nil
	}
	n, err := units.RAMInBytes(t.ShmSize)
	if err != nil {
		return fmt.Errorf("%q is no size; write 64m or 1g", t.ShmSize)
	}
	req.Attrs["shm-size"] = strconv.FormatInt(n, 10)
	return nil
}

func setIf(m map[string]string, key, value string) {
	if value != "" {
		m[key] = value
	}
}

func setAll(m map[string]string, prefix string, values map[string]string) {
	for k, v := range values {
		m[prefix+k] = v
	}
}

// csvAttrs joins attributes as the attest option wants them: k=v,k=v with CSV
// quoting, sorted.
func csvAttrs(attrs map[string]string) string {
	var fields []string
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		fields = append(fields, k+"="+attrs[k])
	}
	var b strings.Builder
	w := csv.NewWriter(&b)
	if len(fields) > 0 {
		_ = w.Write(fields) // a strings.Builder does not fail
		w.Flush()
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// addContext adds one named context.
func (req *Request) addContext(name, value string, parents map[string]needed) error {
	key := contextKey(name)
	if target, ok := strings.CutPrefix(value, "target:"); ok {
		return req.addParent(key, target, parents)
	}
	if p, ok := strings.CutPrefix(value, "oci-layout://"); ok {
		return req.addLayout(key, p)
	}
	if strings.HasPrefix(value, "docker-image://") || isURL(value) {
		req.Attrs["context:"+key] = value
		return nil
	}
	dir, err := req.directory(strings.TrimPrefix(value, "cwd://"))
	if err != nil {
		return err
	}
	local := localName(dir)
	req.Locals[local] = dir
	req.called[local] = append(req.called[local], name)
	req.Attrs["context:"+key] = "local:" + local
	return nil
}

// Dockerfile says where t's Dockerfile is: in a file here, or by its path in a
// context that only the engine reads; neither if the target holds it.
func Dockerfile(t *config.Target, dir string) (here, remote string, err error) {
	req := &Request{Attrs: map[string]string{}, Locals: map[string]string{}, target: t, dir: dir}
	if err := req.setContext(); err != nil {
		return "", "", err
	}
	if err := req.setDockerfile(); err != nil || req.Dockerfile != nil {
		return "", "", err
	}
	name := req.Attrs["filename"]
	if in, ok := req.Locals[localDockerfile]; ok {
		return filepath.Join(in, name), "", nil
	}
	return "", name, nil
}

// LocalNames are the names that docker buildx has for the directory which a solve
// of r sends as the local source called name. They are several if targets that r
// stands on call it otherwise.
func (r *Result) LocalNames(name string) []string {
	var out []string
	if _, own := r.Request.Locals[name]; own {
		out = r.Request.buildxNames(name)
	}
	for _, p := range slices.Sorted(maps.Keys(r.Request.parents)) {
		if parent := r.Request.parents[p].result; parent != nil {
			out = append(out, parent.namesBelow(name)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// namesBelow is LocalNames for the LLB of r, where directories have unique names.
func (r *Result) namesBelow(name string) []string {
	var out []string
	for own := range r.Request.Locals {
		if r.Request.unique(own) == name {
			out = append(out, r.Request.buildxNames(own)...)
		}
	}
	for _, p := range r.Request.parents {
		if p.result != nil {
			out = append(out, p.result.namesBelow(name)...)
		}
	}
	return out
}

func (req *Request) buildxNames(local string) []string {
	if local == localContext || local == localDockerfile {
		return []string{local}
	}
	var out []string
	for _, name := range req.called[local] {
		if name == localContext || name == localDockerfile {
			name = "_" + name // as buildx keeps them apart
		}
		out = append(out, name)
	}
	return out
}

// contextKey is the form in which the front end looks a context up
// (frontend/dockerui, NamedContext).
func contextKey(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return name
	}
	return strings.TrimSuffix(reference.FamiliarString(named), ":latest")
}

func (req *Request) addParent(key, target string, parents map[string]needed) error {
	p, ok := parents[target]
	if !ok {
		return fmt.Errorf("target %q has not been lowered", target)
	}
	req.parents[target] = p
	req.names[key] = target
	if len(p.platforms) == 0 {
		return fmt.Errorf("target %q has no result yet", target)
	}
	for i, plat := range p.platforms {
		k := key
		if len(p.platforms) > 1 {
			k += "::" + plat.ID
		}
		req.Attrs["context:"+k] = "input:" + inputName(k)
		req.links = append(req.links, link{k, target, i})
	}
	for _, want := range req.Platforms {
		if _, ok := platformIndex(p.platforms, &want); !ok {
			return fmt.Errorf("target %q is not built for %s; add it to that target's platforms", target, platforms.FormatAll(want))
		}
	}
	return nil
}

func inputName(key string) string { return "parent-" + key }

// platformIndex picks what a child for want starts from.
func platformIndex(list []exptypes.Platform, want *ocispec.Platform) (int, bool) {
	if want == nil || len(list) == 1 {
		return 0, len(list) > 0
	}
	for i := range list {
		if platforms.OnlyStrict(*want).Match(list[i].Platform) {
			return i, true
		}
	}
	return 0, false
}

// attach puts the results of the needed targets in. All of them are lowered.
func (req *Request) attach() error {
	for _, l := range req.links {
		plat := &req.parents[l.target].result.Platforms[l.index]
		if err := req.addInput(l.key, plat); err != nil {
			return at(req.target, "contexts."+l.key, err)
		}
	}
	return nil
}

func (req *Request) addInput(key string, plat *Platform) error {
	op, err := llb.NewDefinitionOp(unmarked(plat.Def))
	if err != nil {
		return fmt.Errorf("reading the LLB of a needed target: %w", err)
	}
	input := inputName(key)
	req.Inputs[input] = llb.NewState(op)
	if len(plat.Def.Def) == 0 {
		req.Inputs[input] = llb.Scratch()
	}
	if len(plat.Config) > 0 {
		if plat.metadata == "" { // one text for all that need it
			md, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: plat.Config})
			if err != nil {
				return err
			}
			plat.metadata = string(md)
		}
		req.Attrs["input-metadata:"+input] = plat.metadata
	}
	return nil
}

// unmarked is a needed target's definition without no-cache marks: it has been
// solved in this run, and an engine whose front end is handed it would run its
// steps again, for a session that may not have the secrets they need.
func unmarked(def *llb.Definition) *pb.Definition {
	out := def.ToPB()
	metadata := make(map[string]*pb.OpMetadata, len(out.Metadata))
	for d, md := range out.Metadata {
		if md.IgnoreCache {
			md = md.CloneVT()
			md.IgnoreCache = false
		}
		metadata[d] = md
	}
	out.Metadata = metadata
	return out
}

// addLayout adds an OCI layout directory: path[:tag][@digest].
func (req *Request) addLayout(key, spec string) error {
	dir, dgst, _ := strings.Cut(spec, "@")
	dir, tag, _ := strings.Cut(dir, ":")
	full, err := req.directory(dir)
	if err != nil {
		return err
	}
	if dgst == "" {
		if dgst, err = layoutDigest(full, cmp.Or(tag, "latest")); err != nil {
			return err
		}
	}
	store, err := contentlocal.NewStore(full)
	if err != nil {
		return fmt.Errorf("opening OCI layout %s: %w", dir, err)
	}
	id := localName(full)
	req.Stores[id] = store
	req.Attrs["context:"+key] = "oci-layout://" + id + "@" + dgst
	return nil
}

// layoutDigest looks tag up in an OCI layout's index
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).
func layoutDigest(dir, tag string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, ocispec.ImageIndexFile))
	if err != nil {
		return "", fmt.Errorf("reading OCI layout: %w", err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(b, &index); err != nil {
		return "", fmt.Errorf("reading OCI layout %s: %w", dir, err)
	}
	for _, m := range index.Manifests {
		if m.Annotations[ocispec.AnnotationRefName] == tag {
			return m.Digest.String(), nil
		}
	}
	if len(index.Manifests) == 1 {
		return index.Manifests[0].Digest.String(), nil
	}
	return "", fmt.Errorf("OCI layout %s has no image tagged %q", dir, tag)
}

// localName is the one name of a directory in all targets of all runs.
func localName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return "dir-" + hex.EncodeToString(sum[:8])
}

// localNames are the names of the directories in an order that does not depend
// on where these are: main context, Dockerfile, named contexts by name.
func (req *Request) localNames() []string {
	var out []string
	add := func(name string) {
		if req.Locals[name] != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	add(localContext)
	add(localDockerfile)
	for _, key := range slices.Sorted(maps.Keys(req.Attrs)) {
		if name, ok := strings.CutPrefix(req.Attrs[key], "local:"); ok && strings.HasPrefix(key, "context:") {
			add(name)
		}
	}
	return out
}

// unique is the run-wide name of one of the front end's local names.
func (req *Request) unique(name string) string {
	if dir, ok := req.Locals[name]; ok {
		return localName(dir)
	}
	return name
}

// parentNamed is the target that a FROM word means, if it means one.
func (req *Request) parentNamed(name string) (string, bool) {
	t, ok := req.names[contextKey(name)]
	return t, ok
}

// parentVertices are the vertices that belong to needed targets. The caller must
// not change them.
func (req *Request) parentVertices() map[digest.Digest]vertex {
	var all map[digest.Digest]vertex
	own := false
	for _, p := range req.parents {
		switch {
		case p.result == nil:
		case all == nil:
			all = p.result.index()
		case !own:
			all, own = maps.Clone(all), true
			fallthrough
		default:
			maps.Copy(all, p.result.index())
		}
	}
	return all
}

// workers are the engine's platforms, or this machine's if none are known.
func workers(opts Options) []gwclient.WorkerInfo {
	if len(opts.Workers) > 0 {
		return opts.Workers
	}
	return []gwclient.WorkerInfo{{ID: "local", Platforms: []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())}}}
}

// rel shortens p for people.
func rel(dir, p string) string {
	if r, err := filepath.Rel(dir, p); err == nil && !strings.HasPrefix(r, "..") {
		return r
	}
	return p
}
