package soundness

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/store"
)

// An outcome is what a build has left of one target: a digest, and how to look
// closer at an image.
type outcome struct {
	digest string
	image  func() (v1.Image, error) // nil for a directory
	files  map[string]string        // of a directory
	name   string                   // that an archive has in it
}

// outcome reads what is at the places of the builds called out, whose images
// are kept in the store data.
func (w *world) outcome(ctx context.Context, t *target, out, name, data string) (outcome, error) {
	switch t.Kind {
	case "registry":
		tag := strings.TrimPrefix(w.project.tag(t, out, name), w.project.host+"/")
		img, err := w.registry.Image(ctx, tag)
		return ofImage(img, err)
	case "oci":
		return ofArchive(w.project.at(w.project.dest(t, out, name)))
	case "local":
		files, err := ofDirectory(w.project.at(w.project.dest(t, out, name)))
		return outcome{files: files, digest: "a directory"}, err
	}
	s, err := store.Open(filepath.Join(data, "strata", "images"))
	if err != nil {
		return outcome{}, err
	}
	img, err := s.Image(ctx, w.project.tag(t, out, name))
	o, err := ofImage(img, err)
	return o, errors.Join(err, s.Close())
}

func ofImage(img v1.Image, err error) (outcome, error) {
	if err != nil {
		return outcome{}, err
	}
	d, err := img.Digest()
	return outcome{digest: d.String(), image: func() (v1.Image, error) { return img, nil }}, err
}

// ofArchive reads the index of an OCI archive.
func ofArchive(file string) (outcome, error) {
	var idx ocispec.Index
	err := eachEntry(file, func(h *tar.Header, r io.Reader) error {
		if h.Name != ocispec.ImageIndexFile {
			return nil
		}
		return json.NewDecoder(r).Decode(&idx)
	})
	if err != nil {
		return outcome{}, err
	}
	if len(idx.Manifests) != 1 {
		return outcome{}, fmt.Errorf("%s has %d images", file, len(idx.Manifests))
	}
	d := idx.Manifests[0].Digest.String()
	name := idx.Manifests[0].Annotations[ocispec.AnnotationRefName]
	return outcome{digest: d, image: func() (v1.Image, error) { return unpacked(file, d) }, name: name}, nil
}

func eachEntry(file string, do func(*tar.Header, io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return eachIn(f, do)
}

func eachIn(r io.Reader, do func(*tar.Header, io.Reader) error) error {
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(h, in); err != nil {
			return err
		}
	}
}

// unpacked is the image of an archive, unpacked beside it.
func unpacked(file, digest string) (v1.Image, error) {
	dir, err := os.MkdirTemp(filepath.Dir(file), "unpacked-")
	if err != nil {
		return nil, err
	}
	err = eachEntry(file, func(h *tar.Header, r io.Reader) error {
		to := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			return os.MkdirAll(to, 0o755)
		}
		data, err := io.ReadAll(r)
		return errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644))
	})
	if err != nil {
		return nil, err
	}
	p, err := layout.FromPath(dir)
	if err != nil {
		return nil, err
	}
	h, err := v1.NewHash(digest)
	if err != nil {
		return nil, err
	}
	return p.Image(h)
}

// ofDirectory lists what is in dir, by path.
func ofDirectory(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil || full == dir {
			return err
		}
		text := fi.Mode().String()
		switch fi.Mode().Type() {
		case 0:
			data, err := os.ReadFile(full)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case fs.ModeSymlink:
			to, err := os.Readlink(full)
			if err != nil {
				return err
			}
			text += " " + to
		}
		rel, err := filepath.Rel(dir, full)
		files[rel] = text
		return err
	})
	return files, err
}

// compare tells how the outcome of a planned build differs from that of a clean
// one; "" if it does not. Of a directory only what a build sends is compared,
// because exports leave other files alone.
func (planned outcome) compare(clean outcome) (string, error) {
	if clean.files != nil {
		for name, want := range clean.files {
			if got := planned.files[name]; got != want {
				return fmt.Sprintf("%s is %q, in a clean build %q", name, got, want), nil
			}
		}
		return "", nil
	}
	if planned.digest == clean.digest {
		return "", nil
	}
	a, errA := canonical(planned)
	b, errB := canonical(clean)
	if err := errors.Join(errA, errB); err != nil { // an index of several platforms
		return fmt.Sprintf("it is %s, a clean build's is %s (%v)", planned.digest, clean.digest, err), nil
	}
	for i := range max(len(a), len(b)) {
		x, y := at(a, i), at(b, i)
		if x != y {
			return fmt.Sprintf("%s has %q, a clean build's %s has %q", planned.digest, x, clean.digest, y), nil
		}
	}
	return "", nil // BuildKit's cache takes a hard link for a file of the same content, and so does a plan
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// canonical lists config and layers, with a file in the place of a hard link.
func canonical(o outcome) ([]string, error) {
	img, err := o.image()
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.RootFS.DiffIDs = nil
	text, err := json.Marshal(config)
	if err != nil {
		return nil, err
	}
	out := []string{string(text)}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	for i, l := range layers {
		entries, err := layerEntries(l)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			out = append(out, fmt.Sprintf("layer %d: %s", i, e))
		}
	}
	return out, nil
}

func layerEntries(l v1.Layer) ([]string, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	err = eachIn(z, func(h *tar.Header, r io.Reader) error {
		if h.Typeflag == tar.TypeLink {
			texts[h.Name] = texts[h.Linkname]
			return nil
		}
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return err
		}
		texts[h.Name] = fmt.Sprintf("%c %o %d:%d %d %q %v %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.ModTime.Unix(), h.Linkname, h.PAXRecords, hex.EncodeToString(sum.Sum(nil)[:6]))
		return nil
	})
	var out []string
	for name, text := range texts {
		out = append(out, name+" "+text)
	}
	slices.Sort(out)
	return out, err
}
