package lint

import (
	"regexp"
	"slices"
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"

	"github.com/strata-build/strata/internal/lazyregexp"
)

// installers are commands that fetch what a project depends on, by the tool.
var installers = []struct {
	tool string
	re   *regexp.Regexp
}{
	{"apt", regexp.MustCompile(`\bapt(-get)?\s[^;&|\n]*\binstall\b`)},
	{"apk", regexp.MustCompile(`\bapk\s[^;&|\n]*\badd\b`)},
	{"yum", regexp.MustCompile(`\b(yum|dnf|microdnf|zypper)\s[^;&|\n]*\binstall\b`)},
	{"pip", regexp.MustCompile(`\b(pip3?|uv pip)\s+install\b`)},
	{"uv", regexp.MustCompile(`\buv\s+sync\b`)},
	{"poetry", regexp.MustCompile(`\bpoetry\s+install\b`)},
	{"npm", regexp.MustCompile(`\b(npm|pnpm)\s+(ci|install|i)\b`)},
	{"yarn", regexp.MustCompile(`\byarn\s+install\b|\byarn\s*($|[;&|\n])`)},
	{"go", regexp.MustCompile(`\bgo\s+mod\s+download\b`)},
	{"cargo", regexp.MustCompile(`\bcargo\s+(fetch|install|chef\s+cook)\b`)},
	{"bundle", regexp.MustCompile(`\bbundle\s+install\b`)},
	{"gem", regexp.MustCompile(`\bgem\s+install\b`)},
	{"composer", regexp.MustCompile(`\bcomposer(\.phar)?\s[^;&|\n]*\binstall\b`)},
	{"mvn", regexp.MustCompile(`\bmvnw?\s`)},
	{"gradle", regexp.MustCompile(`\bgradlew?\s[^;&|\n]*\bdependencies\b`)},
	{"dotnet", regexp.MustCompile(`\bdotnet\s+restore\b`)},
}

// installs names the tools that text installs with.
func installs(text string) []string {
	var out []string
	for _, i := range installers {
		if i.re.MatchString(text) {
			out = append(out, i.tool)
		}
	}
	return out
}

// copyBeforeInstall looks for a COPY of everything and a later step that
// installs with a tool that was not used before it. A step that keeps what it
// downloads in a cache mount is fast enough.
func copyBeforeInstall(s *scope, r *reporter) {
	takes := s.takes()
	for _, st := range s.stages {
		if copied, run, tool := lateInstall(st, takes); run != nil {
			r.at(s.file.at(copied.command.Location(), copied.word), "Every change of any file makes the %s step at %s run again.",
				tool, s.file.source.Place(run.Location()[0].Start.Line))
		}
	}
}

// lateInstall is the first step of st that installs with a new tool after all of
// the context was copied.
func lateInstall(st *stage, takes []take) (copied take, step *instructions.RunCommand, tool string) {
	known := map[string]bool{}
	for _, c := range st.Commands {
		if copied.command == nil {
			for _, t := range takes {
				if t.command == c && t.copies && t.whole() {
					copied = t
				}
			}
		}
		run, ok := c.(*instructions.RunCommand)
		if !ok {
			continue
		}
		for _, tool := range installs(script(run)) {
			if copied.command != nil && !known[tool] && !cached(run) {
				return copied, run, tool
			}
			known[tool] = true
		}
	}
	return take{}, nil, ""
}

func cached(c *instructions.RunCommand) bool {
	return slices.ContainsFunc(instructions.GetMounts(c), func(m *instructions.Mount) bool { return m.Type == instructions.MountTypeCache })
}

var (
	aptUpdate  = lazyregexp.New(`\bapt(-get)?\s([^;&|\n]*\s)?update\b`)
	aptInstall = lazyregexp.New(`\bapt(-get)?\s([^;&|\n]*\s)?(install|upgrade|dist-upgrade|full-upgrade|build-dep)\b`)
	aptClean   = lazyregexp.New(`/var/lib/apt/lists|\bapt(-get)?\s+dist-clean\b`)
	sudo       = lazyregexp.New(`(^|[;&|(\n]|\b(then|do|else)\b)\s*sudo\s`)
)

func aptUpdateAlone(s *scope, r *reporter) {
	each(s, func(_ *stage, c *instructions.RunCommand) {
		if text := script(c); aptUpdate.MatchString(text) && !aptInstall.MatchString(text) {
			r.at(s.file.at(c.Location(), aptWord(text)), "The lists are cached with this step, while the step that installs from them changes.")
		}
	})
}

// aptWord is the part of text to point at.
func aptWord(text string) string { return aptUpdate.FindString(text) }

// aptListsKept looks at the stages that end up in the image only.
func aptListsKept(s *scope, r *reporter) {
	each(s, func(st *stage, c *instructions.RunCommand) {
		text := script(c)
		if !s.inFinal(st) || !aptUpdate.MatchString(text) || !aptInstall.MatchString(text) || aptClean.MatchString(text) || mountsApt(c) {
			return
		}
		r.at(s.file.at(c.Location(), aptWord(text)), "The lists that apt has fetched stay in the layer, some 20 to 40 MB.")
	})
}

func mountsApt(c *instructions.RunCommand) bool {
	return slices.ContainsFunc(instructions.GetMounts(c), func(m *instructions.Mount) bool {
		return strings.HasPrefix(m.Target, "/var/lib/apt") || m.Target == "/var/lib" || m.Target == "/var"
	})
}

func sudoInRun(s *scope, r *reporter) {
	each(s, func(_ *stage, c *instructions.RunCommand) {
		exec := !c.PrependShell && len(c.CmdLine) > 0 && c.CmdLine[0] == "sudo"
		if exec || c.PrependShell && sudo.MatchString(script(c)) {
			r.at(s.file.at(c.Location(), "sudo"), "sudo gives a step nothing that USER does not, and stays in the image.")
		}
	})
}

func hostNetwork(s *scope, r *reporter) {
	if s.target.Network == "host" {
		r.at(spot{rng: s.target.Place("network")}, "Every RUN of target %q uses the network of the build machine.", s.target.Name)
	}
	each(s, func(_ *stage, c *instructions.RunCommand) {
		if instructions.GetNetwork(c) == instructions.NetworkHost {
			r.at(s.file.at(c.Location(), "--network=host"), "This step uses the network of the build machine.")
		}
	})
}

func uncheckedDownload(s *scope, r *reporter) {
	each(s, func(_ *stage, c *instructions.AddCommand) {
		if c.Checksum != "" {
			return
		}
		for _, src := range c.SourcePaths {
			if isDownload(src) {
				r.at(s.file.at(c.Location(), src), "%s is taken as it comes, today and whenever the cache is gone.", src)
			}
		}
	})
}

// isDownload reports whether src is a file of an http server. A repository has a
// commit to be named by.
func isDownload(src string) bool {
	if !strings.HasPrefix(src, "http://") && !strings.HasPrefix(src, "https://") {
		return false
	}
	plain, _, _ := strings.Cut(src, "#")
	plain, _, _ = strings.Cut(plain, "?")
	return !strings.HasSuffix(plain, ".git")
}
