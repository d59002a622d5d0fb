package lint

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/internal/lazyregexp"
	"github.com/strata-build/strata/lower"
)

// checkArg is the build argument that steers BuildKit's checks.
const checkArg = "BUILDKIT_DOCKERFILE_CHECK"

// needBase are BuildKit's checks that depend on the base image's config.
var needBase = []string{"UndefinedVar", "InvalidBaseImagePlatform"}

// An asking resolver notes that it was asked. Without a resolver behind it, it
// answers with images that have nothing in them.
type asking struct {
	sourceresolver.ImageMetaResolver
	asked atomic.Bool // the front end asks for all images at once
}

// ResolveImageConfig returns no digest if there is no resolver.
func (a *asking) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	a.asked.Store(true)
	if a.ImageMetaResolver != nil {
		return a.ImageMetaResolver.ResolveImageConfig(ctx, ref, opt)
	}
	var p *ocispec.Platform
	if opt.ImageOpt != nil {
		p = opt.ImageOpt.Platform
	}
	return ref, "", emptyConfig(p), nil
}

// emptyConfig is the config of an image with nothing in it.
func emptyConfig(p *ocispec.Platform) []byte {
	if p == nil {
		local := platforms.Normalize(platforms.DefaultSpec())
		p = &local
	}
	// A diff ID says that there are layers.
	data, err := json.Marshal(ocispec.Image{Platform: *p, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("")}}})
	if err != nil {
		return []byte("{}") // strings and numbers do not fail
	}
	return data
}

// lintText is how BuildKit says a finding: "Rule: text (line 3)".
var lintText = lazyregexp.New(`(?s)^([A-Za-z]+): (.*?)(?: \(line \d+\))?$`)

// buildkit turns the checks of BuildKit into findings.
func (s *scope) buildkit(res *lower.Result) {
	cfg := directive(res.Source.Data)
	severity := Warning
	if cfg.ReturnAsError {
		severity = Error
	}
	for _, w := range res.Warnings {
		m := lintText.FindStringSubmatch(w.Text)
		if m == nil {
			m = []string{"", "DockerfileWarning", w.Text}
		}
		rule := m[1]
		own := s.target.Args[checkArg] != ""
		if !own && (cfg.SkipAll || slices.Contains(cfg.SkipRules, rule) || experimental[rule] && !cfg.ExperimentalAll && !slices.Contains(cfg.ExperimentalRules, rule)) {
			continue
		}
		if slices.Contains(needBase, rule) && s.unsure[s.target.Name] && !s.fromScratch(w.Line) {
			s.note("%s were not judged where base images are not known; --resolve asks the registries for them", strings.Join(needBase, " and "))
			continue
		}
		p := s.file.between(w.Line, w.Line, "")
		s.add(Finding{
			Rule: rule, Severity: severity, Targets: []string{s.target.Name}, Place: p.rng, first: p.first,
			Title: "Dockerfile check", Message: sentenceOf(m[2]), URL: w.URL,
		})
	}
}

func sentenceOf(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + strings.TrimSuffix(s[n:], ".") + "."
}

// experimental are the checks that a Dockerfile has to ask for.
var experimental = map[string]bool{linter.RuleInvalidDefinitionDescription.Name: true}

// directive is the "# check=" line of a Dockerfile.
func directive(data []byte) *linter.Config {
	text, _, _, _ := parser.ParseDirective("check", data)
	cfg, err := linter.ParseLintOptions(text)
	if err != nil {
		return &linter.Config{}
	}
	return cfg
}

// fromScratch reports whether the stage that has line starts from nothing, so
// that all is known of it.
func (s *scope) fromScratch(line int) bool {
	var in *stage
	for _, st := range s.stages {
		if len(st.Location) > 0 && st.Location[0].Start.Line <= line {
			in = st
		}
	}
	for in != nil && in.base != nil {
		in = in.base
	}
	return in != nil && strings.EqualFold(in.BaseName, "scratch")
}
