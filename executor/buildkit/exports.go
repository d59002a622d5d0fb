package buildkit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// A Keeper keeps images on this machine: package store implements it.
type Keeper interface {
	Content() content.Store
	Tag(ctx context.Context, desc ocispec.Descriptor, tags []string, target string) error
}

// A Loader takes images as docker archives: a Docker Engine.
type Loader interface {
	Load(ctx context.Context, archive io.Reader) error
}

// exports are the outputs of one solve in BuildKit's words, and what has to be
// done on this side before and after.
type exports struct {
	entries  []client.ExportEntry
	finish   []func(ctx context.Context, desc *ocispec.Descriptor) (told string, err error)
	abort    []func()
	hasImage bool                // a manifest comes back
	written  map[string][]string // files of directories, by type and destination
}

func (x *exports) add(e client.ExportEntry, finish func(context.Context, *ocispec.Descriptor) (string, error)) {
	x.entries = append(x.entries, e)
	x.finish = append(x.finish, finish)
	x.hasImage = x.hasImage || e.Type == client.ExporterImage || e.Type == client.ExporterOCI || e.Type == client.ExporterDocker || e.Type == "moby"
}

// told makes a finish that only says what was done.
func told(format string, args ...any) func(context.Context, *ocispec.Descriptor) (string, error) {
	return func(context.Context, *ocispec.Descriptor) (string, error) { return fmt.Sprintf(format, args...), nil }
}

// exportsOf translates the outputs of t. Without any the image is kept under
// its tags: in the local store, or in Docker.
func (b *Builder) exportsOf(t *config.Target) (*exports, error) {
	x := &exports{}
	outputs := t.Outputs
	if t.Implicit {
		return x, nil // only others need it
	}
	if len(outputs) == 0 {
		outputs = []config.Output{{Type: "image"}}
	}
	var errs []error
	for _, tag := range t.Tags {
		if err := checkTag(tag); err != nil {
			errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: "tags", Err: err})
		}
	}
	for _, o := range outputs {
		if err := b.addExport(x, t, o); err != nil {
			errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: "output", Err: err})
		}
	}
	return x, errors.Join(errs...)
}

// checkTag refuses what no registry would take.
func checkTag(tag string) error {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return fmt.Errorf("the tag %q is no image name: %w; write [HOST/]NAME[:TAG] in lower case", tag, err)
	}
	if _, ok := named.(reference.Digested); ok {
		return fmt.Errorf("the tag %q has a digest; only a build can tell the digest", tag)
	}
	return nil
}

func (b *Builder) addExport(x *exports, t *config.Target, o config.Output) error {
	attrs := maps.Clone(o.Attrs)
	if attrs == nil {
		attrs = map[string]string{}
	}
	for _, a := range t.Annotations {
		key, value, _ := strings.Cut(a, "=")
		attrs[annotationKey(key)] = value
	}
	switch o.Type {
	case "cacheonly":
		return nil
	case "registry":
		attrs["push"] = "true"
		return b.addImage(x, t, attrs)
	case "image":
		return b.addImage(x, t, attrs)
	case "docker":
		if o.Dest == "" {
			delete(attrs, "push")
			return b.addImage(x, t, attrs)
		}
		return b.addFile(x, t, client.ExporterDocker, o.Dest, attrs)
	case "oci":
		if tar, err := strconv.ParseBool(attrs["tar"]); err == nil && !tar {
			return b.addLayout(x, o.Dest, attrs)
		}
		return b.addFile(x, t, client.ExporterOCI, o.Dest, attrs)
	case "tar":
		return b.addFile(x, t, client.ExporterTar, o.Dest, attrs)
	case "local":
		return b.addDirectory(x, o, attrs)
	}
	return fmt.Errorf("output type %q is not known; use image, registry, docker, oci, tar, local or cacheonly", o.Type)
}

// annotationKey is the exporter's word for bake's "type[platform]:key".
func annotationKey(key string) string {
	for _, kind := range []string{"index", "index-descriptor", "manifest", "manifest-descriptor"} {
		if rest, ok := strings.CutPrefix(key, kind+":"); ok {
			return "annotation-" + kind + "." + rest
		}
		if rest, ok := strings.CutPrefix(key, kind+"["); ok {
			plat, name, _ := strings.Cut(rest, "]:")
			return "annotation-" + kind + "[" + plat + "]." + name
		}
	}
	return "annotation." + key
}

// addImage pushes an image, or keeps it under its tags, or both in Docker.
func (b *Builder) addImage(x *exports, t *config.Target, attrs map[string]string) error {
	names := t.Names(config.Output{Attrs: attrs})
	if push, _ := strconv.ParseBool(attrs["push"]); push {
		if len(names) == 0 {
			return errors.New("there is nothing to push under; give the target tags")
		}
		if b.Docker != nil && !b.DockerPushes {
			return errors.New("this Docker Engine cannot push while building; turn on its containerd image store or use --engine embedded")
		}
		attrs["name"] = strings.Join(names, ",")
		x.add(client.ExportEntry{Type: client.ExporterImage, Attrs: attrs}, told("pushed %s", strings.Join(names, ", ")))
		return nil
	}
	delete(attrs, "push")
	if b.Docker != nil {
		attrs["name"] = strings.Join(names, ",")
		x.add(client.ExportEntry{Type: "moby", Attrs: attrs}, told("loaded into Docker%s", as(names)))
		return nil
	}
	delete(attrs, "name")
	delete(attrs, "unpack")
	delete(attrs, "store")
	attrs["tar"] = "false"
	x.add(client.ExportEntry{Type: client.ExporterOCI, Attrs: attrs, OutputStore: b.Keep.Content()},
		func(ctx context.Context, desc *ocispec.Descriptor) (string, error) {
			if desc == nil {
				return "", errors.New("the engine named no image")
			}
			if err := b.Keep.Tag(ctx, *desc, names, t.Name); err != nil {
				return "", fmt.Errorf("keeping the image: %w", err)
			}
			return "kept" + as(names), nil
		})
	return nil
}

func as(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return " as " + strings.Join(names, ", ")
}

// addLayout writes an OCI layout directory.
func (b *Builder) addLayout(x *exports, dest string, attrs map[string]string) error {
	for _, e := range x.entries {
		if e.OutputStore != nil || e.OutputDir != "" && e.Type == client.ExporterOCI {
			return errors.New("an OCI layout directory cannot be combined with a kept image or another layout; write an archive (tar=true) and unpack it")
		}
	}
	x.add(client.ExportEntry{Type: client.ExporterOCI, Attrs: attrs, OutputDir: b.path(dest)}, told("wrote %s", dest))
	return nil
}

// addFile writes an archive. It appears under its name only when it is whole.
func (b *Builder) addFile(x *exports, t *config.Target, kind, dest string, attrs map[string]string) error {
	if names := t.Names(config.Output{Attrs: attrs}); kind != client.ExporterTar && len(names) > 0 {
		attrs["name"] = strings.Join(names, ",")
	}
	o := config.Output{Dest: dest}
	switch {
	case dest == "-":
		x.add(client.ExportEntry{Type: kind, Attrs: attrs, Output: func(map[string]string) (io.WriteCloser, error) {
			return keepOpen{b.Stdout}, nil
		}}, told(""))
		return nil
	case dest == "":
		return fmt.Errorf("an output of type %s needs dest=FILE", kind)
	case o.Streams(b.Lower.Dir): // a file in its place would be the end of a device
		x.add(client.ExportEntry{Type: kind, Attrs: attrs, Output: func(map[string]string) (io.WriteCloser, error) {
			return os.OpenFile(o.Path(b.Lower.Dir), os.O_WRONLY|os.O_TRUNC, 0)
		}}, told("wrote to %s", dest))
		return nil
	}
	full := o.Path(b.Lower.Dir)
	if fi, err := os.Stat(full); err == nil && fi.IsDir() {
		return fmt.Errorf("%s is a directory; an output of type %s is a file", dest, kind)
	}
	var tmp *os.File
	x.abort = append(x.abort, func() {
		if tmp != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	})
	x.add(client.ExportEntry{Type: kind, Attrs: attrs, Output: func(map[string]string) (io.WriteCloser, error) {
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return nil, err
		}
		var err error
		tmp, err = os.CreateTemp(filepath.Dir(full), "."+filepath.Base(full)+"-*")
		return tmp, err
	}}, func(context.Context, *ocispec.Descriptor) (string, error) {
		if tmp == nil {
			return "", fmt.Errorf("the engine sent nothing for %s", dest)
		}
		if err := publish(tmp.Name(), full); err != nil {
			return "", fmt.Errorf("writing %s: %w", dest, err)
		}
		return "wrote " + dest, nil
	})
	return nil
}

// publish syncs a finished temporary file and gives it its name.
func publish(tmp, full string) error {
	f, err := os.OpenFile(tmp, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close(), os.Chmod(tmp, 0o644)); err != nil {
		return err
	}
	return os.Rename(tmp, full)
}

func (b *Builder) path(p string) string {
	p = strings.TrimPrefix(p, "cwd://")
	if filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(b.Lower.Dir, p)
}

// keepOpen writes to a stream that is not ours to close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }
