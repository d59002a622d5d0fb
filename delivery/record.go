package delivery

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/config"
)

// A Made tells what came of a target that was solved.
type Made interface {
	// Written are the files that an output wrote to a directory, nil if it is
	// not known or no directory.
	Written(target string, o config.Output) []string
	// Response is what the exporters said.
	Response(target string) map[string]string
}

// Record describes what t has left behind, so that Check can look for it later,
// and blobs that have to be kept with it.
func (p *Places) Record(ctx context.Context, t *config.Target, made Made) ([]index.Output, [][]byte, error) {
	p.open(ctx)
	var outputs []index.Output
	var blobs [][]byte
	for _, w := range p.wants(t) {
		switch w.kind {
		case "docker":
			response := made.Response(t.Name)
			// With a graph driver an image's id is the digest of its config.
			if id := cmp.Or(response["containerimage.digest"], response["containerimage.config.digest"]); id != "" {
				outputs = append(outputs, index.Output{Type: dockerOutput, Digest: id})
			}
		case "file":
			o, blob, err := p.Written(w.out, nil)
			if err != nil {
				return nil, nil, err
			}
			outputs, blobs = append(outputs, o), append(blobs, blob)
		case "directory":
			paths := made.Written(t.Name, w.out)
			if paths == nil {
				var err error
				if paths, err = allFiles(p.path(w.out.Dest)); err != nil {
					return nil, nil, err
				}
			}
			o, blob, err := p.Written(w.out, paths)
			if err != nil {
				return nil, nil, err
			}
			outputs, blobs = append(outputs, o), append(blobs, blob)
		}
	}
	return outputs, blobs, nil
}

// allFiles lists what is no directory below dir by slash-separated path.
func allFiles(dir string) ([]string, error) {
	paths := []string{}
	err := filepath.WalkDir(dir, func(full string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, full)
		paths = append(paths, filepath.ToSlash(rel))
		return err
	})
	return paths, err
}

// Repositories are the repositories that t is pushed to.
func (p *Places) Repositories(t *config.Target) []string {
	var out []string
	for _, w := range p.wants(t) {
		if w.kind != "registry" {
			continue
		}
		for _, tag := range w.tags {
			if repo := repository(tag); !slices.Contains(out, repo) {
				out = append(out, repo)
			}
		}
	}
	return out
}

// Writes reports whether one of targets writes path, or below it.
func (p *Places) Writes(targets []*config.Target, path string) bool {
	for _, t := range targets {
		for _, w := range p.wants(t) {
			if w.kind != "file" && w.kind != "directory" {
				continue
			}
			dest := p.path(w.out.Dest)
			if path == dest || strings.HasPrefix(dest, path+string(os.PathSeparator)) || strings.HasPrefix(path, dest+string(os.PathSeparator)) ||
				w.kind == "file" && filepath.Dir(path) == filepath.Dir(dest) && strings.HasPrefix(filepath.Base(path), "."+filepath.Base(dest)+"-") {
				return true
			}
		}
	}
	return false
}
