package config

import (
	"io/fs"
	"os"
	"path/filepath"
)

// withOverlay names what lies over the files by absolute path.
func (o LoadOptions) withOverlay() (LoadOptions, error) {
	if len(o.Overlay) == 0 {
		return o, nil
	}
	over := make(map[string][]byte, len(o.Overlay))
	for name, data := range o.Overlay {
		abs, err := filepath.Abs(o.path(name))
		if err != nil {
			return o, err
		}
		over[abs] = data
	}
	o.Overlay = over
	return o, nil
}

// overlaid is what lies over the file name, which is relative to Dir.
func (o LoadOptions) overlaid(name string) ([]byte, bool) {
	if len(o.Overlay) == 0 {
		return nil, false
	}
	abs, err := filepath.Abs(o.path(name))
	if err != nil {
		return nil, false
	}
	data, ok := o.Overlay[abs]
	if !ok {
		return nil, false
	}
	return withoutMark(data), true
}

// exists is nil if there is a file name, on disk or over it.
func (o LoadOptions) exists(name string, stat func(string) (fs.FileInfo, error)) error {
	if _, ok := o.overlaid(name); ok {
		return nil
	}
	_, err := stat(name)
	return err
}

// statFile is os.Stat of a name that is relative to Dir.
func (o LoadOptions) statFile(name string) (fs.FileInfo, error) { return os.Stat(o.path(name)) }
