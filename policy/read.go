package policy

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A Reader reads a file by the name that a policy or a build file has for it. Its
// error is fs.ErrNotExist if there is none.
type Reader func(ctx context.Context, name string) ([]byte, error)

// ofCommand starts the names of files in the directory of the command.
const ofCommand = "cwd://"

// MaxFile is how large a file may be that a policy reads.
const MaxFile = 8 << 20

// Local reads files of a context, which is a directory, and those of the command's directory whose names
// start with cwd://. Nothing outside of these is read, whatever links say.
func Local(dir, cwd string) Reader {
	return func(_ context.Context, name string) ([]byte, error) {
		if own, ok := strings.CutPrefix(name, ofCommand); ok {
			return readBelow(cwd, own)
		}
		if filepath.IsAbs(name) {
			if rel, err := filepath.Rel(dir, name); err == nil {
				name = rel
			}
		}
		return readBelow(dir, name)
	}
}

// Remote reads files of a context by read, and those of the command's directory
// here.
func Remote(cwd string, read Reader) Reader {
	return func(ctx context.Context, name string) ([]byte, error) {
		if own, ok := strings.CutPrefix(name, ofCommand); ok {
			return readBelow(cwd, own)
		}
		clean := strings.TrimPrefix(path.Join("/", filepath.ToSlash(name)), "/")
		if clean == "" {
			return nil, fmt.Errorf("%q names no file", name)
		}
		return read(ctx, clean)
	}
}

func readBelow(dir, name string) ([]byte, error) {
	if name == "" {
		return nil, fmt.Errorf("a file of a policy has no name")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.Open(filepath.Clean(filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("%s is larger than %d MiB", name, MaxFile>>20)
	}
	return data, err
}
