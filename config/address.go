package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// An address names a target or group of a file by the file's directory, which is
// relative to the directory of the command: PATH:NAME. Written //PATH:NAME it is
// that from anywhere in the checkout. Either part can be a pattern, and PATH/...
// is every directory at and below PATH.
type address struct {
	dir  string // "" is the directory of the command
	name string // "" if only a directory is named
	deep bool   // all directories below dir too
}

// parseAddress reads text as an address; ok is false if it is a plain name. From
// inside of a file in dir, ":NAME" is a name in that file.
func parseAddress(text, dir string) (a address, ok bool) {
	rest, rooted := strings.CutPrefix(text, "//")
	p, name, named := strings.Cut(rest, ":")
	if !rooted && !named && !strings.Contains(rest, "/") && rest != "..." {
		return a, false
	}
	if named && p == "" && !rooted {
		return address{dir: dir, name: name}, true
	}
	if p == "..." || strings.HasSuffix(p, "/...") {
		a.deep = true
		p = strings.TrimSuffix(strings.TrimSuffix(p, "..."), "/")
	}
	if p = path.Clean(p); p == "." {
		p = ""
	}
	a.dir, a.name = p, name
	if !named && !a.deep {
		a.name = "default"
	}
	return a, true
}

// full is the name that the target has in a Config.
func (a address) full() string {
	if a.dir == "" {
		return a.name
	}
	return a.dir + ":" + a.name
}

func (a address) String() string {
	dir := "//" + a.dir
	switch {
	case a.deep && a.dir == "":
		dir = "//..."
	case a.deep:
		dir += "/..."
	}
	if a.name == "" {
		return dir
	}
	return dir + ":" + a.name
}

// one reports whether a names one directory.
func (a address) one() bool { return !a.deep && !isPattern(a.dir) }

func isPattern(s string) bool { return strings.ContainsAny(s, "*?[]{}\\") }

// inDir reports whether a is about what is declared in dir.
func (a address) inDir(dir string) bool {
	if !a.deep {
		ok, err := doublestar.Match(a.dir, dir)
		return a.dir == dir || ok && err == nil
	}
	if a.dir == "" || a.dir == dir {
		return true
	}
	pattern := a.dir + "/**"
	ok, err := doublestar.Match(pattern, dir)
	return ok && err == nil
}

// matches reports whether a means the target or group of a full name. Private
// names are only meant if they are written out.
func (a address) matches(full string) bool {
	dir, name := splitName(full)
	if !a.inDir(dir) {
		return false
	}
	if a.name == "" {
		return !strings.HasPrefix(name, "_")
	}
	ok, err := path.Match(a.name, name)
	return a.name == name || ok && err == nil && !strings.HasPrefix(name, "_")
}

// splitName takes a full name apart.
func splitName(full string) (dir, plain string) {
	i := strings.LastIndexByte(full, ':')
	if i < 0 {
		return "", full
	}
	return full[:i], full[i+1:]
}

var dirText = lazyregexp.New(`^[\pL\pN_.+@~/-]+$`)

// validDir reports whether the path of a directory can be part of a name.
func validDir(dir string) bool {
	return dirText.MatchString(dir) && !slices.Contains(strings.Split(dir, "/"), "...")
}

// validAddress reports whether text can name a target.
func validAddress(text string, mode Mode) bool {
	if mode != ModeStrata {
		return validName(text)
	}
	a, ok := parseAddress(text, "")
	if !ok {
		return validName(text)
	}
	return validName(a.name) && a.one()
}

// ambiguous says that a name means several targets.
func ambiguous(name string, full []string, rng hcl.Range) *hcl.Diagnostic {
	list := slices.Clone(full)
	for i, f := range list {
		if !strings.Contains(f, ":") {
			list[i] = "//:" + f
		}
	}
	d := &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Ambiguous name",
		Detail: fmt.Sprintf("Several files declare %q: %s. Write the path too.", name, someOf(list, 10)),
	}
	if rng.Filename != "" {
		d.Subject = rng.Ptr()
	}
	return d
}

// someOf lists at most n texts.
func someOf(list []string, n int) string {
	if len(list) > n {
		list = append(list[:n:n], fmt.Sprintf("and %d more", len(list)-n))
	}
	return strings.Join(list, ", ")
}
