package testkit

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// A debFile is one entry of a Debian package.
type debFile struct {
	name string // "usr/bin/python3.11"
	mode os.FileMode
	link string // target of a symbolic link
	data []byte
}

// readDeb reads the directories, files and symbolic links of the package that
// scripts/setup.sh has downloaded, those below usr/share/doc and the like left
// out.
func readDeb(pkg string) (files []debFile, err error) {
	deb, err := debPath(pkg)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("dpkg-deb", "--fsys-tarfile", deb)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	defer func() {
		_, drain := io.Copy(io.Discard, out)
		if wait := errors.Join(drain, cmd.Wait()); wait != nil && err == nil {
			err = fmt.Errorf("unpacking %s: %w", deb, wait)
		}
	}()
	return untar(out)
}

func debPath(pkg string) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	found, err := filepath.Glob(filepath.Join(cache, "debs", pkg+"_*.deb"))
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("the Debian package %s is not in %s: run scripts/setup.sh test", pkg, cache)
	}
	return found[len(found)-1], nil
}

func untar(r io.Reader) ([]debFile, error) {
	var files []debFile
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		f := debFile{name: path.Clean(h.Name), mode: h.FileInfo().Mode(), link: h.Linkname}
		if f.name == "." || superfluous(f.name) {
			continue
		}
		if f.mode.IsRegular() {
			if f.data, err = io.ReadAll(tr); err != nil {
				return nil, err
			}
		}
		files = append(files, f)
	}
}

// superfluous says that no program in the stand-in images needs a file.
func superfluous(name string) bool {
	for _, part := range []string{
		"usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/info", "usr/share/applications",
		"usr/share/pixmaps", "usr/share/binfmts", "usr/lib/x86_64-linux-gnu/gconv",
		"usr/lib/aarch64-linux-gnu/gconv", "/pydoc_data", "libmvec", "EXTERNALLY-MANAGED",
	} {
		if strings.Contains("/"+name, part) {
			return true
		}
	}
	return false
}
