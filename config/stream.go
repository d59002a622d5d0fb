package config

import (
	"os"
	"path/filepath"
	"strings"
)

// Path is where o writes to, "" if that is no file or directory. Relative names
// start from dir.
func (o Output) Path(dir string) string {
	dest := strings.TrimPrefix(o.Dest, "cwd://")
	switch {
	case dest == "" || dest == "-":
		return ""
	case filepath.IsAbs(dest):
		return filepath.Clean(dest)
	}
	return filepath.Join(dir, dest)
}

// Streams reports whether what o writes goes by and stays nowhere under o's name:
// to standard output, a pipe or a device. Relative names start from dir.
func (o Output) Streams(dir string) bool {
	if o.Dest == "-" {
		return true
	}
	path := o.Path(dir)
	if path == "" {
		return false
	}
	for _, streams := range []string{"/dev/", "/proc/"} { // /dev/stdout may lead to a file
		if strings.HasPrefix(path, streams) {
			return true
		}
	}
	fi, err := os.Stat(path)
	return err == nil && !fi.Mode().IsRegular() && !fi.IsDir()
}
