package buildkit

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/distribution/reference"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/graph"
)

// Clashes reports targets that would overwrite each other: the same tag, or the
// same archive or layout. Which of them would win is a matter of timing. Local
// directories may be shared; files merge there.
func Clashes(targets []*config.Target) error {
	owner := map[string]string{}
	var errs []error
	claim := func(t *config.Target, attr, what, key string) {
		if first, taken := owner[key]; taken && first != t.Name {
			errs = append(errs, &graph.TargetError{ID: graph.ID(t.Name), Attr: attr, Err: fmt.Errorf(
				"it writes %s, and so does target %q; which one wins would be chance", what, first)})
			return
		}
		owner[key] = t.Name
	}
	for _, t := range targets {
		if t.Implicit {
			continue
		}
		if writesTags(t) {
			for _, tag := range t.Tags {
				claim(t, "tags", "the tag "+tag, "tag "+normal(tag))
			}
		}
		for _, o := range t.Outputs {
			if o.Dest != "" && o.Dest != "-" && slices.Contains([]string{"oci", "docker", "tar"}, o.Type) {
				claim(t, "output", o.Dest, "file "+filepath.Clean(strings.TrimPrefix(o.Dest, "cwd://")))
			}
		}
	}
	return errors.Join(errs...)
}

// writesTags reports whether t's tags leave the process: kept, loaded or pushed.
func writesTags(t *config.Target) bool {
	return len(t.Outputs) == 0 || slices.ContainsFunc(t.Outputs, func(o config.Output) bool {
		return o.Type == "image" || o.Type == "registry" || o.Type == "docker" && o.Dest == ""
	})
}

// normal is a tag as every registry and store understands it.
func normal(tag string) string {
	named, err := reference.ParseNormalizedNamed(tag)
	if err != nil {
		return tag
	}
	return reference.TagNameOnly(named).String()
}
