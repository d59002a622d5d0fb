// Package realpath follows symbolic links for many paths of one tree.
package realpath

import (
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A Resolver does what [filepath.EvalSymlinks] does, and looks at each directory
// once: paths that lie side by side cost one lstat each. What it has seen it does
// not see change, so it is to be thrown away soon. The zero Resolver is ready; it
// may be used by many goroutines.
type Resolver struct{ seen sync.Map } // absolute path -> real path, of directories and files that exist

// Resolve returns path, which is absolute and is made clean, without symbolic
// links. Its errors are those of [filepath.EvalSymlinks].
func (r *Resolver) Resolve(path string) (string, error) {
	path = filepath.Clean(path)
	if real, ok := r.seen.Load(path); ok {
		return real.(string), nil
	}
	real, err := r.resolve(path)
	if err == nil {
		r.seen.Store(path, real)
	}
	return real, err
}

func (r *Resolver) resolve(path string) (string, error) {
	dir := filepath.Dir(path)
	if dir == path {
		return path, nil
	}
	realDir, err := r.Resolve(dir)
	if err != nil {
		return filepath.EvalSymlinks(path)
	}
	at := filepath.Join(realDir, filepath.Base(path))
	fi, err := os.Lstat(at)
	if err != nil || fi.Mode()&fs.ModeSymlink != 0 {
		return filepath.EvalSymlinks(path)
	}
	return at, nil
}
