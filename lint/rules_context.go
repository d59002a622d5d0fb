package lint

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/strata-build/strata/cache"
)

// keyInContext looks at the stages that end up in the image: tests of a project
// may need keys in others.
func keyInContext(s *scope, r *reporter) {
	for _, t := range s.takes() {
		tree := s.treeIf(t.copies && s.inFinal(t.stage))
		if tree == nil {
			continue
		}
		var found []string
		for _, key := range tree.keys {
			if t.covers(key) {
				found = append(found, key)
			}
		}
		if len(found) == 0 {
			continue
		}
		more := ""
		if len(found) > 1 {
			more = fmt.Sprintf(" and %d more", len(found)-1)
		}
		r.at(s.file.at(t.command.Location(), t.word), "It copies the private key %s%s.", path.Join(s.target.Context, found[0]), more)
	}
}

// treeIf is the context's tree if it has to be known.
func (s *scope) treeIf(needed bool) *tree {
	if !needed {
		return nil
	}
	return s.tree()
}

func gitInContext(s *scope, r *reporter) {
	for _, t := range s.takes() {
		if tree := s.treeIf(t.copies && t.whole()); tree != nil && tree.git && t.covers(".git") {
			r.at(s.file.at(t.command.Location(), t.word), "The context %s holds .git, and no .dockerignore leaves it out.", s.target.Context)
		}
	}
}

func missingDockerignore(s *scope, r *reporter) {
	for _, t := range s.takes() {
		tree := s.treeIf(t.whole())
		if tree == nil || tree.ignored || !tree.large() {
			continue
		}
		least := ""
		if !tree.whole {
			least = "at least "
		}
		r.at(s.file.at(t.command.Location(), t.word), "The whole context %s is sent to the engine: %s%d files, %d MB.",
			s.target.Context, least, tree.files, tree.bytes>>20)
		return
	}
}

func contextTooWide(s *scope, r *reporter) {
	res := s.lowered[s.target.Name]
	if res == nil || s.file == nil {
		return
	}
	switch dir := res.Request.Locals["context"]; {
	case dir == "":
	case dir == "/":
		r.at(spot{rng: s.target.Place("context")}, "The context of target %q is the whole file system.", s.target.Name)
	case s.opts.Home != "" && dir == filepath.Clean(s.opts.Home):
		r.at(spot{rng: s.target.Place("context")}, "The context of target %q is your home directory, keys and all.", s.target.Name)
	}
}

// unusedContext reports contexts that no target of those that have them uses:
// one that is inherited may be meant for some of the heirs only.
func unusedContext(s *scope, r *reporter) {
	if s.file == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(s.target.Contexts)) {
		place := s.target.Place("contexts." + name)
		mark := fmt.Sprint("context ", name, place)
		if s.used[contextKey(name)] {
			s.marks[mark] = true
			continue
		}
		r.at(spot{rng: place}, "No stage of target %q reads the context %q.", s.target.Name, name).unless = mark
	}
}

// predefined are arguments that a Dockerfile need not declare.
var predefined = []string{
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY", "SOURCE_DATE_EPOCH",
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETOSVERSION", "TARGETSTAGE",
	"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "BUILDOSVERSION",
}

func isPredefined(name string) bool {
	return strings.HasPrefix(name, "BUILDKIT_") || slices.Contains(predefined, strings.ToUpper(name))
}

func unusedArg(s *scope, r *reporter) {
	if s.file == nil {
		return
	}
	declared := map[string]bool{}
	for _, c := range s.file.meta {
		note(declared, &c)
	}
	for _, st := range s.file.stages { // also those of other targets: who shares a file shares arguments
		for _, c := range st.Commands {
			if c, ok := c.(*instructions.ArgCommand); ok {
				note(declared, c)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.target.Args)) {
		place := s.target.Place("args." + name)
		mark := fmt.Sprint("arg ", name, place)
		if declared[name] || isPredefined(name) {
			s.marks[mark] = true
			continue
		}
		r.at(spot{rng: place}, "The Dockerfile of target %q has no ARG %s.", s.target.Name, name).unless = mark
	}
}

func note(declared map[string]bool, c *instructions.ArgCommand) {
	for _, a := range c.Args {
		declared[a.Key] = true
	}
}

// duplicateTag compares the targets whose images get their tags.
func duplicateTag(r *reporter) {
	owner := map[string]*scope{}
	for _, s := range r.run.scopes {
		if !s.publishes() {
			continue
		}
		for _, tag := range s.target.Tags {
			key := image{text: tag}.full()
			first, taken := owner[key]
			if !taken {
				owner[key] = s
				continue
			}
			if first != s {
				f := r.at(spot{rng: s.target.Place("tags")}, "The targets %q and %q both write the tag %s.", first.target.Name, s.target.Name, tag)
				f.Targets = []string{first.target.Name, s.target.Name}
			}
		}
	}
}

// publishes reports whether the target's tags leave the build.
func (s *scope) publishes() bool {
	if s.target.Implicit {
		return false
	}
	if len(s.target.Outputs) == 0 {
		return true
	}
	for _, o := range s.target.Outputs {
		if o.Type == "image" || o.Type == "registry" || o.Type == "docker" && o.Dest == "" {
			return true
		}
	}
	return false
}

func sharedCache(r *reporter) {
	place := map[string]spot{}
	for _, t := range r.run.sel.Targets {
		place[t.Name] = spot{rng: t.Place("cache-to")}
	}
	for _, c := range cache.Clashes(r.run.sel.Targets) {
		last := c.Targets[len(c.Targets)-1]
		r.at(place[last], "The targets %s all write the cache %s.", quoted(c.Targets), c.Ref).Targets = c.Targets
	}
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, ", ")
}
