package testkit

import (
	"archive/tar"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
)

func TestPythonInstallsAndRunsFlask(t *testing.T) {
	root := unpack(t, Python)
	chroot(t, root, "/bin/sh", "-c", "pip install flask")
	out := chroot(t, root, "/usr/local/bin/python", "-c",
		`import flask; app = flask.Flask("x"); app.add_url_rule("/", view_func=lambda: "served"); print(app.test_client().get("/").text)`)
	if strings.TrimSpace(out) != "served" {
		t.Errorf("flask answered %q", out)
	}
}

func TestBusyboxHasAShell(t *testing.T) {
	out := chroot(t, unpack(t, Busybox), "/bin/sh", "-c", "echo a b | cut -d' ' -f2")
	if strings.TrimSpace(out) != "b" {
		t.Errorf("the shell said %q", out)
	}
}

func TestStandInsAreTheSameEveryTime(t *testing.T) {
	files, err := busyboxFiles()
	if err != nil {
		t.Fatal(err)
	}
	a, err := layer(files)
	if err != nil {
		t.Fatal(err)
	}
	b, err := layer(files)
	if err != nil {
		t.Fatal(err)
	}
	da, _ := a.Digest()
	db, _ := b.Digest()
	if da != db || da == (v1.Hash{}) {
		t.Errorf("digests %s and %s", da, db)
	}
}

// unpack writes the root file system of an image to a directory.
func unpack(t *testing.T, image func() (v1.Image, error)) string {
	t.Helper()
	img, err := image()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	r := mutate.Extract(img)
	defer r.Close()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return root
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := place(filepath.Join(root, h.Name), h, tr); err != nil {
			t.Fatal(err)
		}
	}
}

func place(to string, h *tar.Header, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(to, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, to)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, h.FileInfo().Mode())
}
