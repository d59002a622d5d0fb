package testkit

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// epoch is the time of all files in the stand-in images.
var epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// Busybox is an image with one layer, in which sh and the usual small programs
// are found. It stands in for alpine and busybox.
func Busybox() (v1.Image, error) { return busybox() }

// Python is an image with python, and with a pip that installs flask and what
// it needs from files inside the image. It stands in for python:3.8-alpine,
// and like it has several layers and steps without one.
func Python() (v1.Image, error) { return python() }

// The images are made once in a process: that takes seconds.
var (
	busybox = sync.OnceValues(makeBusybox)
	python  = sync.OnceValues(makePython)
)

func makeBusybox() (v1.Image, error) {
	files, err := busyboxFiles()
	if err != nil {
		return nil, err
	}
	return assemble("/bin:/sbin:/usr/bin:/usr/sbin", []step{
		{by: "ADD busybox.tar / # stand-in", files: files},
		{by: `CMD ["/bin/sh"]`, config: func(c *v1.Config) { c.Cmd = []string{"/bin/sh"} }},
	})
}

func makePython() (v1.Image, error) {
	system, err := busyboxFiles()
	if err != nil {
		return nil, err
	}
	interpreter, err := interpreterFiles()
	if err != nil {
		return nil, err
	}
	pip, err := pipFiles()
	if err != nil {
		return nil, err
	}
	return assemble("/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", []step{
		{by: "ADD busybox.tar / # stand-in", files: system},
		{by: "ENV LANG=C.UTF-8", config: func(c *v1.Config) { c.Env = append(c.Env, "LANG=C.UTF-8") }},
		{by: "ADD python.tar / # stand-in", files: interpreter},
		{by: "ADD pip.tar / # stand-in", files: pip},
		{by: `CMD ["python3"]`, config: func(c *v1.Config) { c.Cmd = []string{"python3"} }},
	})
}

// A step is one line of a stand-in's history.
type step struct {
	by     string
	files  []debFile // nil for a step without a layer
	config func(*v1.Config)
}

func assemble(searchPath string, steps []step) (v1.Image, error) {
	img := mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1)
	conf, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture, conf.Created = "linux", runtime.GOARCH, v1.Time{Time: epoch}
	conf.Config.Env = []string{"PATH=" + searchPath}
	for _, s := range steps {
		if s.config != nil {
			s.config(&conf.Config)
		}
	}
	if img, err = mutate.ConfigFile(img, conf); err != nil {
		return nil, err
	}
	for _, s := range steps {
		add := mutate.Addendum{History: v1.History{CreatedBy: s.by, Created: v1.Time{Time: epoch}, EmptyLayer: s.files == nil}}
		if s.files != nil {
			if add.Layer, err = layer(s.files); err != nil {
				return nil, fmt.Errorf("making the layer %q: %w", s.by, err)
			}
		}
		if img, err = mutate.Append(img, add); err != nil {
			return nil, err
		}
	}
	return img, nil
}

func layer(files []debFile) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	seen := map[string]bool{}
	for _, f := range files {
		if f.mode.IsDir() && seen[f.name] {
			continue
		}
		seen[f.name] = true
		h := &tar.Header{Name: f.name, Mode: int64(f.mode.Perm()), ModTime: epoch, Typeflag: tar.TypeReg, Size: int64(len(f.data))}
		if f.mode&os.ModeSticky != 0 {
			h.Mode |= 0o1000
		}
		switch {
		case f.mode.IsDir():
			h.Typeflag, h.Name = tar.TypeDir, f.name+"/"
		case f.mode&os.ModeSymlink != 0:
			h.Typeflag, h.Linkname = tar.TypeSymlink, f.link
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}

func dir(name string, mode os.FileMode) debFile {
	return debFile{name: name, mode: os.ModeDir | mode}
}

func file(name, text string) debFile {
	return debFile{name: name, mode: 0o644, data: []byte(text)}
}

func symlink(name, to string) debFile {
	return debFile{name: name, mode: os.ModeSymlink | 0o777, link: to}
}

// applets are the names that busybox goes by in the stand-in images.
const applets = `[ ash base64 basename cat chmod chown cmp cp cut date dd df dirname du echo env expr false
	find grep gzip head hostname id kill ln ls md5sum mkdir mktemp mv nc od printf ps pwd readlink realpath rm rmdir
	sed seq sh sha256sum sleep sort stat sync tail tar tee test touch tr true uname uniq vi wc wget which whoami xargs yes`

// busyboxFiles is a root file system with busybox and no more.
func busyboxFiles() ([]debFile, error) {
	deb, err := readDeb("busybox-static")
	if err != nil {
		return nil, err
	}
	files := []debFile{
		dir("bin", 0o755), dir("dev", 0o755), dir("etc", 0o755), dir("proc", 0o755), dir("root", 0o700),
		dir("sys", 0o755), dir("tmp", 0o777|os.ModeSticky), dir("usr", 0o755), dir("usr/bin", 0o755),
		file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
		file("etc/group", "root:x:0:\nnobody:x:65534:\n"),
	}
	for _, f := range deb {
		if path.Base(f.name) == "busybox" && f.mode.IsRegular() {
			f.name = "bin/busybox"
			files = append(files, f)
			for _, a := range strings.Fields(applets) {
				files = append(files, symlink("bin/"+a, "busybox"))
			}
			return files, nil
		}
	}
	return nil, fmt.Errorf("the package busybox-static has no busybox in it")
}

// interpreterFiles is the Python of Debian with the libraries that it links.
func interpreterFiles() ([]debFile, error) {
	var files []debFile
	for _, pkg := range []string{
		"libc6", "libgcc-s1", "zlib1g", "libexpat1", "libffi8", "libssl3",
		"libpython3.11-minimal", "python3.11-minimal", "libpython3.11-stdlib",
	} {
		deb, err := readDeb(pkg)
		if err != nil {
			return nil, err
		}
		files = append(files, deb...)
	}
	return append(files,
		dir("usr/local", 0o755), dir("usr/local/bin", 0o755),
		symlink("usr/local/bin/python", "/usr/bin/python3.11"),
		symlink("usr/local/bin/python3", "/usr/bin/python3.11")), nil
}

// pipConf keeps pip from the network: all it knows are the wheels beside it.
const pipConf = `[global]
no-index = true
find-links = /usr/share/python-wheels
disable-pip-version-check = true
root-user-action = ignore
no-compile = true
`

// pipFiles is pip, unchanged, run from its own wheel, and the wheels of flask
// and of what it needs.
func pipFiles() ([]debFile, error) {
	const wheels = "usr/share/python-wheels"
	files := []debFile{dir("usr/share", 0o755), dir(wheels, 0o755)}
	pip, err := readDeb("python3-pip-whl")
	if err != nil {
		return nil, err
	}
	for _, f := range pip {
		if path.Ext(f.name) == ".whl" {
			run := fmt.Sprintf("#!/usr/bin/python3.11\nimport sys\nsys.path.insert(0, %q)\nfrom pip._internal.cli.main import main\nsys.exit(main())\n", "/"+f.name)
			files = append(files, f, debFile{name: "usr/local/bin/pip", mode: 0o755, data: []byte(run)})
		}
	}
	for _, pkg := range pythonPackages {
		w, err := newWheel(pkg)
		if err != nil {
			return nil, err
		}
		files = append(files, file(path.Join(wheels, w.name), string(w.data)))
	}
	return append(files, file("etc/pip.conf", pipConf)), nil
}
