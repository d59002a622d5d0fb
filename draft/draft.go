// Package draft writes a first build.hcl for a tree that has Dockerfiles.
//
// It guesses what people mean by where files lie and what they are called:
// names of targets, build contexts, and which image is made by which other
// Dockerfile. It reads Dockerfiles, looks whether files exist, and writes
// nothing but text; whether the guesses build is for the build to tell.
package draft

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/internal/lazyregexp"
)

// A Found is what a tree has to start from. Paths are relative, with slashes.
type Found struct {
	Dockerfiles []string
	Compose     []string // only those in the directory itself
	Bake        []string // likewise, in the order bake reads them
	Whole       bool     // all of the tree was looked at
}

// maxEntries bounds how much of a tree is looked at.
const maxEntries = 200_000

// skipped are directories of other people's files.
var skipped = []string{"node_modules", "vendor", "third_party", "testdata", "target", "dist"}

var (
	composeNames = []string{"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"}
	bakeNames    = []string{"docker-bake.json", "docker-bake.hcl", "docker-bake.override.json", "docker-bake.override.hcl"}
)

// Find looks for files to start from in dir. Hidden directories and those of
// dependencies are left out, links are not followed.
func Find(dir string) (*Found, error) {
	out := &Found{Whole: true}
	seen := 0
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		switch {
		case err != nil && p == dir:
			return err
		case err != nil || p == dir:
			return nil //nolint:nilerr // what can not be read is left out
		}
		if seen++; seen > maxEntries {
			out.Whole = false
			return fs.SkipAll
		}
		name := e.Name()
		if e.IsDir() {
			if strings.HasPrefix(name, ".") && name != ".docker" || slices.Contains(skipped, name) {
				return fs.SkipDir
			}
			return nil
		}
		if e.Type().IsRegular() && isDockerfile(name) {
			rel, err := filepath.Rel(dir, p)
			if err != nil {
				return err
			}
			out.Dockerfiles = append(out.Dockerfiles, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out.Compose, out.Bake = Defaults(dir)
	return out, nil
}

// Defaults are the compose and bake files with default names in dir.
func Defaults(dir string) (compose, bake []string) {
	return existing(dir, composeNames), existing(dir, bakeNames)
}

func existing(dir string, names []string) []string {
	var out []string
	for _, n := range names {
		if fi, err := os.Stat(filepath.Join(dir, n)); err == nil && fi.Mode().IsRegular() {
			out = append(out, n)
		}
	}
	return out
}

// dockerfileName is Dockerfile, Dockerfile.x or x.Dockerfile, and the same for
// Containerfile.
var dockerfileName = lazyregexp.New(`^(?:(?:Docker|Container)file|dockerfile)(?:[.-]([A-Za-z0-9._-]+))?$|^([A-Za-z0-9._-]+)\.(?:[Dd]ocker|[Cc]ontainer)file$`)

func isDockerfile(name string) bool {
	for _, other := range []string{".dockerignore", ".md", ".txt", ".swp", ".bak", ".orig", ".tmpl", ".j2", ".erb"} {
		if strings.HasSuffix(name, other) {
			return false
		}
	}
	return dockerfileName.MatchString(name)
}

// variant is the x of Dockerfile.x and x.Dockerfile.
func variant(name string) string {
	m := dockerfileName.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	return cmp.Or(m[1], m[2])
}

// A Draft is a build.hcl.
type Draft struct {
	Text    []byte
	Targets []string
	Notes   []string // what could not be guessed, for people
}

// A target is one Dockerfile.
type target struct {
	name    string
	file    string // of the tree
	context string // directory of the tree
	links   map[string]string
	refs    []string // images it reads
}

// dockerfile is the file's path seen from the context.
func (t *target) dockerfile() string {
	if t.context == "." {
		return t.file
	}
	return strings.TrimPrefix(t.file, t.context+"/")
}

// FromDockerfiles writes a target for each of files, which lie in dir.
func FromDockerfiles(ctx context.Context, dir string, files []string) (*Draft, error) {
	d := &drafter{dir: dir, project: project(dir)}
	for _, f := range files {
		d.read(f)
	}
	if len(d.targets) == 0 {
		return nil, fmt.Errorf("none of the Dockerfiles can be read: %s", strings.Join(d.notes, "; "))
	}
	d.name()
	d.link()
	text := d.write()
	cfg, err := config.Load(ctx, config.LoadOptions{
		Dir: dir, Files: []string{"-"}, Stdin: strings.NewReader(string(text)), Mode: config.ModeStrata,
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	if err == nil {
		_, err = cfg.Resolve(config.Request{})
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was drafted: %w", err)
	}
	out := &Draft{Text: text, Notes: d.notes}
	for _, t := range d.targets {
		out.Targets = append(out.Targets, t.name)
	}
	return out, nil
}

// A drafter makes one draft.
type drafter struct {
	dir     string
	project string // what images are called after
	targets []*target
	notes   []string
}

func (d *drafter) note(format string, args ...any) {
	d.notes = append(d.notes, fmt.Sprintf(format, args...))
}

// project is the name of the directory, as an image may be called.
func project(dir string) string {
	abs, err := filepath.Abs(dir)
	if err != nil {
		abs = dir
	}
	return cmp.Or(imageName(filepath.Base(abs)), "app")
}

var (
	notInImage = lazyregexp.New(`[^a-z0-9]+`)
	notInName  = lazyregexp.New(`[^A-Za-z0-9_-]+`)
)

// imageName is s as a part of an image's name.
func imageName(s string) string {
	return strings.Trim(notInImage.ReplaceAllString(strings.ToLower(s), "-"), "-")
}

func targetName(s string) string { return strings.Trim(notInName.ReplaceAllString(s, "-"), "-") }

// name gives every target a name of its own: that of its directory, with as many
// of those above as it takes.
func (d *drafter) name() {
	taken := map[string]bool{"default": true}
	for _, t := range d.targets {
		for _, name := range d.names(t) {
			if name != "" && !taken[name] {
				t.name = name
				break
			}
		}
		for n := 2; t.name == ""; n++ {
			if name := fmt.Sprintf("image-%d", n); !taken[name] {
				t.name = name
			}
		}
		taken[t.name] = true
	}
}

// names are the candidates for t, best first.
func (d *drafter) names(t *target) []string {
	dir, x := path.Dir(t.file), targetName(variant(path.Base(t.file)))
	if dir == "." {
		return []string{cmp.Or(x, d.project), targetName(d.project + "-" + x), d.project + "-image"}
	}
	var out []string
	parts := strings.Split(dir, "/")
	for i := len(parts) - 1; i >= 0; i-- {
		name := targetName(strings.Join(parts[i:], "-"))
		if x != "" {
			name += "-" + x
		}
		out = append(out, name)
	}
	return append(out, d.project+"-"+out[len(out)-1], out[0]+"-image")
}

// write writes the draft.
func (d *drafter) write() []byte {
	f := hclwrite.NewEmptyFile()
	body := f.Body()
	names := make([]cty.Value, len(d.targets))
	for i, t := range d.targets {
		names[i] = cty.StringVal(t.name)
	}
	body.AppendNewBlock("group", []string{"default"}).Body().SetAttributeValue("targets", cty.TupleVal(names))
	for _, t := range d.targets {
		body.AppendNewline()
		b := body.AppendNewBlock("target", []string{t.name}).Body()
		if t.context != "." {
			b.SetAttributeValue("context", cty.StringVal(t.context))
		}
		if file := t.dockerfile(); file != "Dockerfile" {
			b.SetAttributeValue("dockerfile", cty.StringVal(file))
		}
		if len(t.links) > 0 {
			links := map[string]cty.Value{}
			for ref, to := range t.links {
				links[ref] = cty.StringVal("target:" + to)
			}
			b.SetAttributeValue("contexts", cty.ObjectVal(links))
		}
		b.SetAttributeValue("tags", cty.TupleVal([]cty.Value{cty.StringVal(d.tag(t))}))
	}
	return hclwrite.Format(f.Bytes())
}

// tag is what the image of t is called.
func (d *drafter) tag(t *target) string {
	name := cmp.Or(imageName(t.name), "image")
	if name == d.project {
		return name + ":dev"
	}
	return d.project + "/" + name + ":dev"
}
