package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/registry"
	"github.com/strata-build/strata/store"
)

// Sources are the places that Read looks into. A nil one is passed over.
type Sources struct {
	Store    *store.Store
	Registry *registry.Client
}

// AllPlatforms asks for the histories of all platforms of an image.
const AllPlatforms = "all"

// Read reads the layer history of the image that ref names: a tag, digest or
// target in the store; an archive or OCI layout directory, with :TAG if it has
// several images; else an image in a registry. docker:// and oci-layout:// say
// which is meant.
//
// platform is one platform or AllPlatforms. If it is empty, all platforms of an
// image in the store are read, and of another image the one for this machine,
// or all if there is none.
func Read(ctx context.Context, where Sources, ref, platform string) (Record, error) {
	o, err := open(ctx, where, ref)
	if err != nil {
		return Record{}, err
	}
	rec := Record{Schema: Schema, Ref: o.ref, Tags: o.tags}
	if o.images == nil {
		rec.Digest = o.root.Digest.String()
	}
	if rec.Images, err = o.platforms(ctx, platform); err != nil {
		return Record{}, fmt.Errorf("reading the history of %s: %w", ref, err)
	}
	return rec, nil
}

func open(ctx context.Context, where Sources, ref string) (*opened, error) {
	if image, ok := strings.CutPrefix(ref, "docker://"); ok {
		return where.inRegistry(ctx, image, nil)
	}
	if image, ok := strings.CutPrefix(ref, "oci-layout://"); ok {
		path, name, err := splitPath(image)
		if err != nil {
			return nil, fmt.Errorf("OCI layout %s: %w", image, fs.ErrNotExist)
		}
		return fromLayout(path, name)
	}
	var missing error
	if where.Store != nil {
		o, err := fromStore(ctx, where.Store, ref)
		if _, ok := errors.AsType[*store.NotFoundError](err); !ok {
			return o, err
		}
		missing = err
	}
	if path, name, err := splitPath(ref); err == nil {
		o, err := fromFile(path, name)
		if !errors.Is(err, fs.ErrNotExist) || looksLikePath(ref) {
			return o, err
		}
	} else if looksLikePath(ref) {
		return nil, fmt.Errorf("image archive %s: %w", ref, fs.ErrNotExist)
	}
	return where.inRegistry(ctx, ref, missing)
}

// looksLikePath reports whether ref is a path even if there is no such file.
func looksLikePath(ref string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(ref, prefix) }
	ends := func(suffix string) bool { return strings.HasSuffix(ref, suffix) }
	return slices.ContainsFunc([]string{"/", "./", "../"}, begins) ||
		slices.ContainsFunc([]string{".tar", ".tar.gz", ".tgz", ".tar.zst"}, ends)
}

// inRegistry opens an image of a registry; missing is why it is not in the
// store, and the better answer if ref cannot be in a registry at all.
func (where Sources) inRegistry(ctx context.Context, ref string, missing error) (*opened, error) {
	if where.Registry == nil || missing != nil && isDigest(ref) {
		if missing == nil {
			missing = &store.NotFoundError{Ref: ref}
		}
		return nil, missing
	}
	o, err := fromRegistry(ctx, where.Registry, ref)
	if nf, ok := errors.AsType[*store.NotFoundError](missing); ok && nf.Similar != "" {
		if e, ok := errors.AsType[*registry.Error](err); ok {
			e.Hint = strings.TrimSpace(fmt.Sprintf("In the image store there is %q. %s", nf.Similar, e.Hint))
		}
	}
	return o, err
}

// isDigest reports whether ref is a digest or the beginning of one, which names
// nothing in a registry.
func isDigest(ref string) bool {
	hex, pinned := strings.CutPrefix(ref, "sha256:")
	return strings.Trim(hex, "0123456789abcdef") == "" && (pinned || len(hex) >= 12)
}

// A candidate is one platform's manifest.
type candidate struct {
	desc     v1.Descriptor
	platform ocispec.Platform
	image    *Image // nil if it has not been read
}

// platforms reads the histories that platform asks for.
func (o *opened) platforms(ctx context.Context, platform string) ([]Image, error) {
	match, err := o.matcher(platform)
	if err != nil {
		return nil, err
	}
	all, err := o.candidates(ctx)
	if err != nil {
		return nil, err
	}
	wanted := all
	if match != nil {
		wanted = slices.DeleteFunc(slices.Clone(all), func(c candidate) bool { return !match.Match(c.platform) })
	}
	switch {
	case len(all) == 0:
		return nil, errors.New("it has no image, only attestations")
	case len(wanted) == 0 && platform != "":
		return nil, &PlatformError{Platform: platform, Has: names(all)}
	case len(wanted) == 0:
		wanted = all
	case platform == "" && match != nil:
		wanted = []candidate{slices.MinFunc(wanted, func(a, b candidate) int { return less(match, a, b) })}
	}
	out := make([]Image, len(wanted))
	for i, c := range wanted {
		if out[i], err = o.image(ctx, c); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func less(match platforms.MatchComparer, a, b candidate) int {
	switch {
	case match.Less(a.platform, b.platform):
		return -1
	case match.Less(b.platform, a.platform):
		return 1
	}
	return 0
}

// matcher is what the platforms of interest match, nil for all.
func (o *opened) matcher(platform string) (platforms.MatchComparer, error) {
	switch {
	case platform == AllPlatforms, platform == "" && o.local:
		return nil, nil
	case platform == "":
		return platforms.Default(), nil
	}
	p, err := platforms.Parse(platform)
	if err != nil {
		return nil, &PlatformError{Platform: platform}
	}
	return platforms.OnlyStrict(p), nil
}

// Only returns rec with the images of one platform; with all of them for "" and
// AllPlatforms. Its error is a *PlatformError.
func (rec Record) Only(platform string) (Record, error) {
	o := &opened{images: rec.Images, local: true}
	var err error
	if len(rec.Images) > 0 {
		rec.Images, err = o.platforms(context.Background(), platform)
	}
	return rec, err
}

// A PlatformError says that an image exists, but not for a platform.
type PlatformError struct {
	Platform string
	Has      []string
}

// Error names the platforms that there are.
func (e *PlatformError) Error() string {
	if len(e.Has) == 0 {
		return fmt.Sprintf("%q is not a platform; write it as linux/amd64", e.Platform)
	}
	return fmt.Sprintf("there is no image for %s; there is one for %s", e.Platform, strings.Join(e.Has, ", "))
}

func names(all []candidate) []string {
	var list []string
	for _, c := range all {
		list = append(list, platforms.Format(c.platform))
	}
	return list
}

// candidates lists the images of all platforms.
func (o *opened) candidates(ctx context.Context) (all []candidate, err error) {
	if o.images == nil {
		return all, o.manifests(ctx, o.root, 0, &all)
	}
	for _, img := range o.images {
		c := candidate{image: &img}
		if img.Platform != "" {
			if c.platform, err = platforms.Parse(img.Platform); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	return all, nil
}

// manifests collects the manifests under desc, attestations left out.
func (o *opened) manifests(ctx context.Context, desc v1.Descriptor, depth int, all *[]candidate) error {
	if depth > maxDepth {
		return fmt.Errorf("indexes are nested deeper than %d", maxDepth)
	}
	if !desc.MediaType.IsIndex() {
		c, err := o.candidate(ctx, desc)
		if err == nil {
			*all = append(*all, c)
		}
		return err
	}
	data, err := o.document(ctx, desc)
	if err != nil {
		return err
	}
	idx, err := v1.ParseIndexManifest(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("index %s: %w", desc.Digest, err)
	}
	for _, m := range idx.Manifests {
		if isAttestation(m) {
			continue
		}
		if err := o.manifests(ctx, m, depth+1, all); err != nil {
			return err
		}
	}
	return nil
}

func isAttestation(desc v1.Descriptor) bool {
	return desc.Annotations["vnd.docker.reference.type"] == "attestation-manifest" ||
		desc.Platform != nil && desc.Platform.OS == "unknown"
}

// candidate finds out the platform of a manifest, from its descriptor if that
// tells.
func (o *opened) candidate(ctx context.Context, desc v1.Descriptor) (candidate, error) {
	c := candidate{desc: desc}
	if p := desc.Platform; p != nil && p.OS != "" {
		c.platform = platforms.Normalize(ocispec.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant})
		return c, nil
	}
	img, err := o.image(ctx, c)
	if err != nil {
		return c, err
	}
	c.image = &img
	if img.Platform != "" {
		c.platform, err = platforms.Parse(img.Platform)
	}
	return c, err
}

// image reads manifest and config, if that has not been done.
func (o *opened) image(ctx context.Context, c candidate) (Image, error) {
	if c.image != nil {
		return *c.image, nil
	}
	data, err := o.document(ctx, c.desc)
	if err != nil {
		return Image{}, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(data))
	if err != nil {
		return Image{}, fmt.Errorf("manifest %s: %w", c.desc.Digest, err)
	}
	if data, err = o.document(ctx, m.Config); err != nil {
		return Image{}, err
	}
	config, err := v1.ParseConfigFile(bytes.NewReader(data))
	if err != nil {
		return Image{}, fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	img := fromManifest(m, config)
	img.Digest = c.desc.Digest.String()
	return img, nil
}
