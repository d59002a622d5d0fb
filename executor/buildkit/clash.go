package buildkit

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// Clashes reports targets that would overwrite each other: the same tag, or the
// same archive or layout. Which of them would win is a matter of timing; on
// standard output they would be mixed. Local directories may be shared; files merge
// there. Relative names start from dir.
func Clashes(dir string, targets []*config.Target) error {
	owner := map[string]string{}
	var errs []error
	claim := func(t *config.Target, attr, what, key string) {
		first, taken := owner[key]
		if !taken {
			owner[key] = t.Name
			return
		}
		if first != t.Name {
			errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: attr, Err: fmt.Errorf(
				"it writes %s, and so does target %q; which one wins would be chance", what, first)})
		}
	}
	for _, t := range targets {
		if t.Implicit {
			continue
		}
		outputs := t.Outputs
		if len(outputs) == 0 {
			outputs = []config.Output{{Type: "image"}}
		}
		for _, o := range outputs {
			for _, tag := range tagsOf(t, o) {
				claim(t, "tags", "the tag "+tag, "tag "+normal(tag))
			}
			switch {
			case !slices.Contains([]string{"oci", "docker", "tar"}, o.Type) || o.Dest == "":
			case o.Dest == "-":
				claim(t, "output", "to standard output", "-")
			case !o.Streams(dir):
				claim(t, "output", o.Dest, "file "+realPath(o.Path(dir)))
			}
		}
	}
	return errors.Join(errs...)
}

// tagsOf are the tags under which o has t's image leave the process: kept, loaded
// or pushed.
func tagsOf(t *config.Target, o config.Output) []string {
	switch byDigest, _ := strconv.ParseBool(o.Attrs["push-by-digest"]); {
	case byDigest:
		return nil
	case o.Type != "image" && o.Type != "registry" && (o.Type != "docker" || o.Dest != ""):
		return nil
	case o.Attrs["name"] != "":
		return strings.Split(o.Attrs["name"], ",")
	}
	return t.Tags
}

// realPath is path with the links of its directory followed, if there are any.
func realPath(path string) string {
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// normal is a tag as every registry and store understands it.
func normal(tag string) string {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return tag
	}
	return reference.TagNameOnly(named).String()
}
