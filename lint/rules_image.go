package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/strata-build/strata/config"
)

// named is the reference of i in full, or nil if it is none.
func (i image) named() reference.Named {
	n, err := reference.ParseNormalizedNamed(i.text)
	if err != nil {
		return nil
	}
	return n
}

// outside are the images that no target of the build files makes.
func (s *scope) outside() []image {
	return slices.DeleteFunc(slices.Clone(s.images), func(i image) bool { return s.meant(i) != nil })
}

func latestBase(s *scope, r *reporter) {
	for _, i := range s.outside() {
		n := i.named()
		if n == nil || isDigested(n) {
			continue
		}
		if tagged, ok := n.(reference.Tagged); !ok {
			r.at(i.spot, "%s names no tag, so it is whatever %s:latest is today.", i.text, i.text)
		} else if tagged.Tag() == "latest" {
			r.at(i.spot, "%s is another image from time to time.", i.text)
		}
	}
}

func isDigested(n reference.Named) bool {
	_, ok := n.(reference.Digested)
	return ok
}

func unpinnedBase(s *scope, r *reporter) {
	for _, i := range s.outside() {
		n := i.named()
		if n == nil || isDigested(n) {
			continue
		}
		if tagged, ok := n.(reference.Tagged); ok && tagged.Tag() != "latest" {
			r.at(i.spot, "%s is a tag, which its owner may move.", i.text)
		}
	}
}

func baseNotAllowed(s *scope, r *reporter) {
	if len(s.opts.AllowBase) == 0 {
		return
	}
	for _, i := range s.outside() {
		if n := i.named(); n != nil && !slices.ContainsFunc(s.opts.AllowBase, func(p string) bool { return allows(p, n) }) {
			r.at(i.spot, "%s is none of: %s.", reference.FamiliarString(n), strings.Join(s.opts.AllowBase, ", "))
		}
	}
}

// allows reports whether pattern allows the image n: "official" is Docker's own
// images; else * is anything but a slash and ** is anything, in the name with or
// without its registry, tag and digest.
func allows(pattern string, n reference.Named) bool {
	if pattern == "official" {
		return reference.Domain(n) == "docker.io" && strings.HasPrefix(reference.Path(n), "library/")
	}
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(quoted, `\*\*`, `.*`)
	quoted = strings.ReplaceAll(quoted, `\*`, `[^/]*`)
	re, err := regexp.Compile("^" + quoted + "$")
	if err != nil {
		return false
	}
	plain := reference.TrimNamed(n)
	forms := []string{n.String(), reference.FamiliarString(n), plain.String(), reference.FamiliarName(plain)}
	if t, ok := n.(reference.Tagged); ok {
		forms = append(forms, plain.String()+":"+t.Tag(), reference.FamiliarName(plain)+":"+t.Tag())
	}
	return slices.ContainsFunc(forms, re.MatchString)
}

// meant is the other target that i looks to mean, by its name or by a tag.
func (s *scope) meant(i image) *config.Name {
	n := i.named()
	if n == nil || i.word == "contexts" {
		return nil
	}
	found := slices.Concat(s.made[i.text], s.made[i.full()])
	if len(found) == 0 || slices.ContainsFunc(found, func(o *config.Name) bool { return o.Name == s.target.Name }) {
		return nil
	}
	return found[0]
}

// full is the reference as a registry understands it.
func (i image) full() string {
	n := i.named()
	if n == nil {
		return i.text
	}
	return reference.TagNameOnly(n).String()
}

// makers are the targets by their names and by the full forms of their tags.
func makers(names []config.Name) map[string][]*config.Name {
	out := map[string][]*config.Name{}
	for i := range names {
		if n := &names[i]; !n.Group {
			out[n.Name] = append(out[n.Name], n)
			if n.Short != n.Name {
				out[n.Short] = append(out[n.Short], n)
			}
			for _, tag := range n.Tags {
				full := image{text: tag}.full()
				out[full] = append(out[full], n)
			}
		}
	}
	return out
}

func forgottenLink(s *scope, r *reporter) {
	for _, i := range s.images {
		if o := s.meant(i); o != nil {
			f := r.at(i.spot, "%s is read from a registry, though the target %q (%s) makes an image of that name.", i.text, o.Name, o.Place)
			f.Fix = `Link it, so that it is built first: contexts = { "` + i.text + `" = "target:` + o.Name + `" }, or link = "auto" for all. If another image is meant, write its name in full.`
		}
	}
}

func rootUser(s *scope, r *reporter) {
	if s.final == nil {
		return
	}
	runs := false
	for st := s.final; st != nil; st = st.base {
		for _, c := range st.Commands {
			switch c.(type) {
			case *instructions.UserCommand:
				return
			case *instructions.CmdCommand, *instructions.EntrypointCommand:
				runs = true
			}
		}
		if st.base == nil && len(s.contexts) > 0 && s.contexts[contextKey(st.BaseName)] != "" {
			return // what it starts from is another target's matter
		}
	}
	if runs {
		r.at(s.file.at(s.final.Location, ""), "The image of target %q has a command and no USER, unless its base sets one.", s.target.Name)
	}
}

func sshPort(s *scope, r *reporter) {
	each(s, func(_ *stage, c *instructions.ExposeCommand) {
		for _, p := range c.Ports {
			if port, proto, _ := strings.Cut(p, "/"); port == "22" && proto != "udp" {
				r.at(s.file.at(c.Location(), p), "Port 22 is that of ssh; a server in the image is one more way in, with keys to be kept.")
			}
		}
	})
}

// severalCmd reports all but the last of instructions of which one counts.
func severalCmd(s *scope, r *reporter) {
	for _, st := range s.stages {
		last := map[string]instructions.Command{}
		for _, c := range st.Commands {
			switch c.(type) {
			case *instructions.CmdCommand, *instructions.EntrypointCommand, *instructions.HealthCheckCommand:
			default:
				continue
			}
			name := strings.ToUpper(c.Name())
			if before := last[name]; before != nil {
				r.at(s.file.at(before.Location(), ""), "A later %s in the same stage (%s) takes its place.",
					name, s.file.source.Place(c.Location()[0].Start.Line))
			}
			last[name] = c
		}
	}
}
