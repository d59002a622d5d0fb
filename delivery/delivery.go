// Package delivery knows where results are wanted: under tags of registries, in
// the local image store, in Docker, in archives and directories. It says
// whether they are there, and moves tags when only these are not.
//
// It makes nothing; what is missing has to be made by an engine.
package delivery

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/plan"
	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// A Registry answers for images in registries.
type Registry interface {
	// HeadDigest returns the digest that ref has, found false if there is
	// nothing of that name.
	HeadDigest(ctx context.Context, ref string) (m registry.Manifest, found bool, err error)
	// Retag gives the image from, a reference with a digest, the name to.
	Retag(ctx context.Context, from, to string) error
}

// A Docker answers for images of a Docker Engine.
type Docker interface {
	// ImageIDs returns the ids and digests of images by tag as Docker writes
	// it, and of images without one under their id.
	ImageIDs(ctx context.Context) (map[string][]string, error)
	TagImage(ctx context.Context, id, tag string) error
}

// Places are where results can be. A nil one is not there to be asked.
type Places struct {
	Dir      string // that paths are relative to
	Project  string // of images in Store
	Registry Registry
	// Patience is that with which registries are asked for tags; nil is all of it.
	Patience *registry.Patience
	Store    *store.Store
	// Blob reads what was kept with an entry as one of its trees.
	Blob   func(ctx context.Context, e index.Entry, digest string) ([]byte, bool)
	Docker Docker // results go there instead of to Store

	presence func() (*store.Presence, error)
	images   func() (map[string][]string, error)
	once     sync.Once
}

var _ plan.Deliveries = (*Places)(nil)

func (p *Places) open(ctx context.Context) {
	p.once.Do(func() {
		p.presence = sync.OnceValues(func() (*store.Presence, error) { return p.Store.Presence(ctx) })
		p.images = sync.OnceValues(func() (map[string][]string, error) { return p.Docker.ImageIDs(ctx) })
	})
}

// A Want is one thing that a target should leave behind.
type want struct {
	kind string // registry, store, docker, file, directory, stream, nothing
	tags []string
	out  config.Output

	byDigest bool // pushed without a tag: tags are names of repositories
}

// wants lists what t should leave behind.
func (p *Places) wants(t *config.Target) []want {
	outputs := t.Outputs
	if len(outputs) == 0 {
		outputs = []config.Output{{Type: "image"}}
	}
	var out []want
	for _, o := range outputs {
		push, _ := strconv.ParseBool(o.Attrs["push"])
		w := want{out: o, tags: t.Names(o)}
		w.byDigest, _ = strconv.ParseBool(o.Attrs["push-by-digest"])
		switch {
		case o.Type == "cacheonly":
			w.kind = "nothing"
		case o.Type != "local" && o.Streams(p.Dir):
			w.kind = "stream"
		case o.Type == "registry" || o.Type == "image" && push:
			w.kind = "registry"
		case o.Type == "image" || o.Type == "docker" && o.Dest == "":
			w.kind = "store"
			if p.Docker != nil {
				w.kind = "docker"
			}
		case o.Type == "local" || o.Type == "oci" && o.Attrs["tar"] == "false":
			w.kind = "directory"
		default:
			w.kind = "file"
		}
		out = append(out, w)
	}
	return out
}

// Check says whether what t should leave behind is there as entry tells.
func (p *Places) Check(ctx context.Context, t *config.Target, entry index.Entry) (plan.State, []plan.Reason, error) {
	p.open(ctx)
	state := plan.There
	var reasons []plan.Reason
	for _, w := range p.wants(t) {
		s, rs, err := p.check(ctx, w, entry)
		if err != nil {
			return plan.Missing, nil, err
		}
		state = min(state, s)
		reasons = append(reasons, rs...)
	}
	for i := range reasons {
		if reasons[i].Place == "" {
			reasons[i].Place = placeOf(t, reasons[i].Kind)
		}
	}
	return state, reasons, nil
}

func placeOf(t *config.Target, kind string) string {
	attr := "output"
	if kind == plan.KindTag {
		attr = "tags"
	}
	r := t.Place(attr)
	if r.Filename == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", r.Filename, r.Start.Line)
}

func (p *Places) check(ctx context.Context, w want, entry index.Entry) (plan.State, []plan.Reason, error) {
	switch w.kind {
	case "nothing":
		return plan.There, nil, nil
	case "registry":
		return p.checkRegistry(ctx, w, entry)
	case "store":
		return p.checkStore(ctx, w, entry)
	case "docker":
		return p.checkDocker(w, entry)
	case "file", "directory":
		return p.checkWritten(ctx, w, entry)
	}
	path := w.out.Dest
	if path == "-" {
		path = "standard output"
	}
	return plan.Missing, []plan.Reason{{Kind: plan.KindOutput, Path: path}}, nil
}

// checkRegistry asks for every wanted tag. If one is not what it should be, the
// image may still be in that repository, or in another that the entry names.
func (p *Places) checkRegistry(ctx context.Context, w want, entry index.Entry) (plan.State, []plan.Reason, error) {
	if entry.Digest == "" {
		return plan.Missing, []plan.Reason{{Kind: plan.KindOutput, Path: "image"}}, nil
	}
	if p.Registry == nil {
		return plan.Missing, []plan.Reason{{Kind: plan.KindUnknown, Path: "the registry was not asked"}}, nil
	}
	ctx = p.Patience.Context(ctx)
	state := plan.There
	var reasons []plan.Reason
	for _, tag := range w.tags {
		if w.byDigest {
			tag = repository(tag) + "@" + entry.Digest
		}
		m, found, err := p.Registry.HeadDigest(ctx, tag)
		if refuses(err) {
			reasons = append(reasons, plan.Reason{Kind: plan.KindUnknown, Path: "the registry does not say whether it has " + tag})
			state = plan.Missing
			continue
		}
		if err != nil {
			return plan.Missing, nil, err
		}
		if found && m.Digest == entry.Digest {
			continue
		}
		if w.byDigest {
			reasons = append(reasons, plan.Reason{Kind: plan.KindMissing, Path: tag})
			state = plan.Missing
			continue
		}
		reasons = append(reasons, plan.Reason{Kind: plan.KindTag, Path: tag, From: m.Digest, To: entry.Digest})
		if _, ok := p.source(ctx, tag, entry); ok {
			state = min(state, plan.Elsewhere)
			continue
		}
		reasons[len(reasons)-1] = plan.Reason{Kind: plan.KindMissing, Path: repository(tag) + "@" + entry.Digest}
		state = plan.Missing
	}
	return state, reasons, nil
}

// refuses reports whether a registry does not let the user look. One that lets him
// write all the same is not rare: some answer so for a repository that is yet to
// be made. Pushing will tell.
func refuses(err error) bool {
	status := registry.HTTPStatus(err)
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// source finds the image of entry in a registry, best in the repository of tag.
func (p *Places) source(ctx context.Context, tag string, entry index.Entry) (string, bool) {
	own := repository(tag)
	repos := slices.DeleteFunc(slices.Clone(entry.Repositories), func(r string) bool { return r == own })
	for _, repo := range slices.Insert(repos, 0, own) {
		from := repo + "@" + entry.Digest
		if m, found, err := p.Registry.HeadDigest(ctx, from); err == nil && found && m.Digest == entry.Digest {
			return from, true
		}
	}
	return "", false
}

// Published are the references under which the image of entry may be found in
// registries. All are in repositories that t itself names: what an entry tells of
// others could lead anywhere.
func (p *Places) Published(t *config.Target, entry index.Entry) []string {
	if entry.Digest == "" {
		return nil
	}
	repos := p.Repositories(t)
	for _, tag := range t.Tags {
		if repo := repository(tag); slices.Contains(entry.Repositories, repo) && !slices.Contains(repos, repo) {
			repos = append(repos, repo) // pushed at another time, as by --push
		}
	}
	for i, repo := range repos {
		repos[i] = repo + "@" + entry.Digest
	}
	return repos
}

// repository is the host and path of a tag: "docker.io/library/alpine".
func repository(tag string) string {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return tag
	}
	return reference.TrimNamed(named).Name()
}

func (p *Places) checkStore(ctx context.Context, w want, entry index.Entry) (plan.State, []plan.Reason, error) {
	if entry.Digest == "" {
		return plan.Missing, []plan.Reason{{Kind: plan.KindOutput, Path: "image"}}, nil
	}
	have, err := p.presence()
	if err != nil {
		return plan.Missing, nil, err
	}
	if _, ok := have.Whole(ctx, digest.Digest(entry.Digest)); !ok {
		return plan.Missing, []plan.Reason{{Kind: plan.KindMissing, Path: "kept image " + short(entry.Digest)}}, nil
	}
	state := plan.There
	var reasons []plan.Reason
	for _, tag := range w.tags {
		if d := have.Tagged(tag); d.String() != entry.Digest {
			state = plan.Elsewhere
			reasons = append(reasons, plan.Reason{Kind: plan.KindTag, Path: tag, From: d.String(), To: entry.Digest})
		}
	}
	return state, reasons, nil
}

func short(d string) string {
	d = strings.TrimPrefix(d, "sha256:")
	return d[:min(12, len(d))]
}

// dockerOutput is the type of the Output that tells a Docker image's id.
const dockerOutput = "docker-engine"

func (p *Places) checkDocker(w want, entry index.Entry) (plan.State, []plan.Reason, error) {
	i := slices.IndexFunc(entry.Outputs, func(o index.Output) bool { return o.Type == dockerOutput })
	if i < 0 {
		return plan.Missing, []plan.Reason{{Kind: plan.KindOutput, Path: "image in Docker"}}, nil
	}
	id := entry.Outputs[i].Digest
	have, err := p.images()
	if err != nil {
		return plan.Missing, nil, err
	}
	if !slices.ContainsFunc(slices.Collect(maps.Values(have)), func(ids []string) bool { return slices.Contains(ids, id) }) {
		return plan.Missing, []plan.Reason{{Kind: plan.KindMissing, Path: "Docker image " + short(id)}}, nil
	}
	state := plan.There
	var reasons []plan.Reason
	for _, tag := range w.tags {
		name, err := store.Normalize(tag)
		if err != nil {
			return plan.Missing, nil, err
		}
		if !slices.Contains(have[store.Familiar(name)], id) {
			state = plan.Elsewhere
			reasons = append(reasons, plan.Reason{Kind: plan.KindTag, Path: tag, To: id})
		}
	}
	return state, reasons, nil
}

// Retag puts the tags of t on the image of entry, which Check found Elsewhere.
// It returns what was done, for people.
func (p *Places) Retag(ctx context.Context, t *config.Target, entry index.Entry) ([]string, error) {
	p.open(ctx)
	var told []string
	for _, w := range p.wants(t) {
		var err error
		switch {
		case w.byDigest: // there is no tag to move
		case w.kind == "registry":
			err = p.retagRegistry(ctx, w, entry)
			told = append(told, "tagged "+strings.Join(w.tags, ", "))
		case w.kind == "store":
			err = p.retagStore(ctx, t.Name, w, entry)
			told = append(told, "kept as "+strings.Join(w.tags, ", "))
		case w.kind == "docker":
			err = p.retagDocker(ctx, w, entry)
			told = append(told, "tagged in Docker as "+strings.Join(w.tags, ", "))
		}
		if err != nil {
			return nil, err
		}
	}
	return told, nil
}

func (p *Places) retagRegistry(ctx context.Context, w want, entry index.Entry) error {
	for _, tag := range w.tags {
		m, found, err := p.Registry.HeadDigest(ctx, tag)
		if err != nil {
			return err
		}
		if found && m.Digest == entry.Digest {
			continue
		}
		from, ok := p.source(ctx, tag, entry)
		if !ok {
			return fmt.Errorf("the image %s is no longer in the registry; run the command again to build it", short(entry.Digest))
		}
		if err := p.Registry.Retag(ctx, from, tag); err != nil {
			return fmt.Errorf("tagging %s: %w", tag, err)
		}
	}
	return nil
}

func (p *Places) retagStore(ctx context.Context, target string, w want, entry index.Entry) error {
	have, err := p.presence()
	if err != nil {
		return err
	}
	desc, ok := have.Whole(ctx, digest.Digest(entry.Digest))
	if !ok {
		return errors.New("the kept image is gone; run the command again to build it")
	}
	return p.Store.Tag(ctx, ocispec.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, w.tags,
		store.Meta{Target: target, Project: p.Project, Created: time.Now()})
}

func (p *Places) retagDocker(ctx context.Context, w want, entry index.Entry) error {
	i := slices.IndexFunc(entry.Outputs, func(o index.Output) bool { return o.Type == dockerOutput })
	if i < 0 {
		return errors.New("no Docker image is recorded")
	}
	for _, tag := range w.tags {
		if err := p.Docker.TagImage(ctx, entry.Outputs[i].Digest, tag); err != nil {
			return fmt.Errorf("tagging %s: %w", tag, err)
		}
	}
	return nil
}
