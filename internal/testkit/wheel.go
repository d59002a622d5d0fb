package testkit

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// pythonPackages are the Debian packages that become wheels: flask, and all it
// needs.
var pythonPackages = []string{
	"python3-flask", "python3-werkzeug", "python3-jinja2", "python3-markupsafe", "python3-itsdangerous", "python3-click",
}

// A wheel is a Python package in the form that pip installs.
type wheel struct {
	name string // "Flask-2.2.2-py3-none-any.whl"
	data []byte
}

// newWheel makes a wheel out of a Debian package of a Python library. Compiled
// parts are left out, so it must work without them.
func newWheel(pkg string) (*wheel, error) {
	files, err := readDeb(pkg)
	if err != nil {
		return nil, err
	}
	const home = "usr/lib/python3/dist-packages/"
	var sources []debFile
	info := map[string]string{} // the files of the egg-info directory
	var dist string             // "Flask-2.2.2"
	for _, f := range files {
		name, ok := strings.CutPrefix(f.name, home)
		if !ok || !f.mode.IsRegular() || path.Ext(name) == ".so" {
			continue
		}
		dir, base := path.Split(name)
		if egg, ok := strings.CutSuffix(strings.TrimSuffix(dir, "/"), ".egg-info"); ok {
			dist, info[base] = egg, string(f.data)
			continue
		}
		f.name = name
		sources = append(sources, f)
	}
	if dist == "" {
		return nil, fmt.Errorf("%s has no egg-info, so it cannot be made a wheel", pkg)
	}
	requires, err := requirements(pkg)
	if err != nil {
		return nil, err
	}
	data, err := zipWheel(dist, sources, info, requires)
	if err != nil {
		return nil, fmt.Errorf("making a wheel of %s: %w", pkg, err)
	}
	return &wheel{dist + "-py3-none-any.whl", data}, nil
}

// zipWheel adds the metadata of the wheel format (PEP 427) to sources.
func zipWheel(dist string, sources []debFile, info map[string]string, requires []string) ([]byte, error) {
	meta := dist + ".dist-info/"
	files := slices.Concat(sources, []debFile{
		{name: meta + "METADATA", data: []byte(metadata(info["PKG-INFO"], requires))},
		{name: meta + "WHEEL", data: []byte("Wheel-Version: 1.0\nGenerator: testkit\nRoot-Is-Purelib: true\nTag: py3-none-any\n")},
	})
	if scripts := info["entry_points.txt"]; scripts != "" {
		files = append(files, debFile{name: meta + "entry_points.txt", data: []byte(scripts)})
	}
	var record strings.Builder
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.data))
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", meta)
	files = append(files, debFile{name: meta + "RECORD", data: []byte(record.String())})

	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: epoch})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// metadata adds requirements to the description of an egg.
func metadata(pkgInfo string, requires []string) string {
	head, body, _ := strings.Cut(pkgInfo, "\n\n")
	for _, r := range requires {
		head += "\nRequires-Dist: " + r
	}
	return head + "\n\n" + body
}

// requirements are the Python packages that a Debian package depends on. Its
// own egg-info does not have them all.
func requirements(pkg string) ([]string, error) {
	deb, err := debPath(pkg)
	if err != nil {
		return nil, err
	}
	out, err := exec.Command("dpkg-deb", "--field", deb, "Depends").Output()
	if err != nil {
		return nil, fmt.Errorf("reading what %s depends on: %w", deb, err)
	}
	var names []string
	for _, d := range strings.Fields(string(out)) {
		d = strings.TrimSuffix(d, ",")
		if slices.Contains(pythonPackages, d) {
			names = append(names, strings.TrimPrefix(d, "python3-"))
		}
	}
	return names, nil
}
