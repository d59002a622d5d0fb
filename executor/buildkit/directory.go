package buildkit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/buildkit/client"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/config"
)

// addDirectory writes files to a directory. The engine sends them to a new one
// inside; when all are there each is moved to its place, so that an interrupted
// export leaves no half a file, and nothing that the engine sends is followed
// out of the directory.
func (b *Builder) addDirectory(x *exports, o config.Output, attrs map[string]string) error {
	dest := b.path(o.Dest)
	if attrs["mode"] == "delete" { // what is not sent is removed, there and then
		x.add(client.ExportEntry{Type: client.ExporterLocal, Attrs: attrs, OutputDir: dest}, told("wrote %s", o.Dest))
		return nil
	}
	tmp := filepath.Join(dest, ".strata-"+rand.Text()[:8]) // the client makes it
	drop := func() { _ = os.RemoveAll(tmp) }
	x.abort = append(x.abort, drop)
	x.add(client.ExportEntry{Type: client.ExporterLocal, Attrs: attrs, OutputDir: tmp}, func(context.Context, *ocispec.Descriptor) (string, error) {
		defer drop()
		paths, err := moveTree(tmp, dest)
		if err != nil {
			return "", fmt.Errorf("writing %s: %w", o.Dest, err)
		}
		if x.written == nil {
			x.written = map[string][]string{}
		}
		x.written[o.Type+" "+o.Dest] = paths
		return "wrote " + o.Dest, nil
	})
	return nil
}

// moveTree moves all in from to the same place in to, which may hold other
// files already, and lists what is no directory by slash-separated path.
func moveTree(from, to string) ([]string, error) {
	dst, err := os.OpenRoot(to)
	if err != nil {
		return nil, err
	}
	defer dst.Close()
	paths := []string{}
	err = filepath.WalkDir(from, func(full string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, full)
		if err != nil || rel == "." {
			return err
		}
		if d.IsDir() {
			return moveDirectory(dst, rel, d)
		}
		paths = append(paths, filepath.ToSlash(rel))
		return moveFile(dst, full, to, rel)
	})
	return paths, err
}

// moveDirectory makes a directory as it was sent.
func moveDirectory(dst *os.Root, rel string, d fs.DirEntry) error {
	fi, err := d.Info()
	if err != nil {
		return err
	}
	err = dst.Mkdir(rel, 0o755)
	if errors.Is(err, fs.ErrExist) {
		if have, err := dst.Lstat(rel); err != nil || have.IsDir() {
			return err
		}
		if err := dst.Remove(rel); err != nil { // a file or link is in the way
			return err
		}
		err = dst.Mkdir(rel, 0o755)
	}
	if err != nil {
		return err
	}
	return dst.Chmod(rel, fi.Mode().Perm())
}

// moveFile moves one file. Its directory exists and, made through dst, is
// inside.
func moveFile(dst *os.Root, full, to, rel string) error {
	if have, err := dst.Lstat(rel); err == nil && have.IsDir() {
		if err := dst.RemoveAll(rel); err != nil {
			return err
		}
	}
	if _, err := dst.Stat(filepath.Dir(rel)); err != nil { // leads outside
		return err
	}
	return os.Rename(full, filepath.Join(to, rel))
}
