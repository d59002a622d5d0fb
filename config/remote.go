package config

import (
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// A Remote is a definition that came from elsewhere: bake's first argument, if
// it is a URL.
type Remote struct {
	// Files are its build files. They are read before those of
	// LoadOptions.Files, and then there are no default names.
	Files []RemoteFile
	// Context is the git URL that contexts are relative to, or a directory; ""
	// is LoadOptions.Dir. What starts with cwd:// stays local.
	Context string
}

// A RemoteFile is the text of a build file and the name that it is called by.
type RemoteFile struct {
	Name string
	Data []byte
}

// rebase makes the contexts of s those of the remote definition.
func (r *Remote) rebase(s *spec) {
	if r == nil || r.Context == "" {
		return
	}
	context := "."
	if s.context != nil {
		context = *s.context
	}
	context = r.context(context)
	s.context = &context
	for name, c := range s.contexts {
		s.contexts[name] = r.context(c)
	}
}

// mixesDockerfile reports whether s has a context in dir, or below, and a
// Dockerfile of the remote definition whose name a file in that context has as
// well. Which of them is meant can not be told.
func (r *Remote) mixesDockerfile(s *spec, dir string) bool {
	if r == nil || !isRemote(r.Context) || s.context == nil || s.inline != nil {
		return false
	}
	local, ok := strings.CutPrefix(*s.context, "cwd://")
	file := s.dockerfileName()
	if !ok || isRemote(file) || strings.HasPrefix(file, "cwd://") {
		return false
	}
	_, err := os.Stat(filepath.Join(dir, local, file))
	return err == nil
}

// dockerfileName is the Dockerfile as it is named, or the default.
func (s *spec) dockerfileName() string {
	if s.dockerfile == nil || *s.dockerfile == "" {
		return "Dockerfile"
	}
	return *s.dockerfile
}

// context is what a context means in the remote definition.
func (r *Remote) context(c string) string {
	if c == "" || isRemote(c) {
		return c
	}
	for _, scheme := range []string{"cwd://", "target:", "docker-image:", "oci-layout:"} {
		if strings.HasPrefix(c, scheme) {
			return c
		}
	}
	if !isRemote(r.Context) {
		return path.Join(r.Context, path.Join("/", c)) // never above it
	}
	return withSubdir(r.Context, path.Clean(c))
}

// withSubdir is the git URL of a directory in what remote stands for.
func withSubdir(remote, dir string) string {
	if dir == "." {
		return remote
	}
	address, fragment, marked := strings.Cut(remote, "#")
	if u, err := url.Parse(address); err == nil && !marked && u.Query().Has("subdir") {
		q := u.Query()
		q.Set("subdir", path.Join(q.Get("subdir"), dir))
		u.RawQuery = q.Encode()
		return u.String()
	}
	ref, sub, _ := strings.Cut(fragment, ":")
	return address + "#" + ref + ":" + path.Join(sub, dir)
}

// BakeFiles are the names that bake looks for, in its order.
func BakeFiles() []string { return slices.Clone(bakeFiles) }
