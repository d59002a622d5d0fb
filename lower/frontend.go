package lower

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/attestations/sbom"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerui"
	gwclient "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests/lint"
	"github.com/moby/buildkit/frontend/subrequests/outline"
	"github.com/moby/buildkit/frontend/subrequests/targets"
	"github.com/moby/buildkit/solver/result"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A frontend is BuildKit's Dockerfile front end for one request, put together
// from its parts (dockerui, dockerfile2llb). BuildKit's own composition,
// frontend/dockerfile/builder, is not used because its cache of image configs
// has a data race (v0.34.2, resolvecache.go: CacheError is written by the
// goroutines of all stages); our resolver needs no cache before it.
type frontend struct {
	gw   *gateway
	ui   *dockerui.Client
	src  *dockerui.Source
	conv dockerfile2llb.ConvertOpt
}

// runFrontend reads the Dockerfile of g's request and answers as the daemon's
// front end would. errNeedsEngine is in the error if only the engine can.
func runFrontend(ctx context.Context, g *gateway) (*gwclient.Result, error) {
	ui, err := dockerui.NewClient(g)
	if err != nil {
		return nil, err
	}
	src, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		return nil, err
	}
	if image := foreignSyntax(g.req.Attrs, src.Data); image != "" {
		return nil, g.needsFrontend(image)
	}
	f := &frontend{gw: g, ui: ui, src: src}
	f.conv = dockerfile2llb.ConvertOpt{Config: ui.Config, Client: ui, SourceMap: src.SourceMap, MetaResolver: g, Warn: f.warn}
	res, asked, err := ui.HandleSubrequest(ctx, f.subrequests())
	if err != nil || asked {
		return res, err
	}
	return f.build(ctx)
}

// foreignSyntax is the front end's image that the Dockerfile or the argument
// BUILDKIT_SYNTAX names, "" if none is named or this process stands for it.
func foreignSyntax(attrs map[string]string, dockerfile []byte) string {
	image := ""
	if line := strings.TrimSpace(attrs["build-arg:BUILDKIT_SYNTAX"]); line != "" {
		image, _, _ = strings.Cut(line, " ")
	} else if ref, _, _, ok := parser.DetectSyntax(dockerfile); ok {
		image = ref
	}
	if image == "" || isBuiltin(image) {
		return ""
	}
	return image
}

// namedFrontend is the foreign front end that the request names, as far as its
// Dockerfile can be read here. It is asked for wherever the front end in this
// process does not get to see the Dockerfile: who may read it has to be granted.
func (g *gateway) namedFrontend() string {
	var data []byte
	if g.req.Dockerfile != nil || g.req.Locals[localDockerfile] != "" {
		data, _ = g.dockerfile() // what is wrong with it, the engine says
	}
	return foreignSyntax(g.req.Attrs, data)
}

// builtinSyntax is what a syntax line names when it is not foreign.
func builtinSyntax(attrs map[string]string, src *Source) string {
	if line := strings.Fields(attrs["build-arg:BUILDKIT_SYNTAX"]); len(line) > 0 {
		return line[0]
	}
	if src == nil {
		return ""
	}
	ref, _, _, _ := parser.DetectSyntax(src.Data)
	return ref
}

// isBuiltin accepts docker/dockerfile with tag 1, 1.x or none, without a digest.
func isBuiltin(image string) bool {
	name := strings.TrimPrefix(image, "docker.io/")
	name, tag, tagged := strings.Cut(name, ":")
	if name != "docker/dockerfile" || strings.Contains(image, "@") {
		return false
	}
	if !tagged || tag == "latest" || tag == "1" {
		return true
	}
	minor, ok := strings.CutPrefix(tag, "1.")
	return ok && minor != "" && strings.Trim(minor, "0123456789.") == ""
}

func (f *frontend) warn(rule, about, url, msg string, location []parser.Range) {
	line := 0
	if len(location) > 0 {
		line = location[0].Start.Line
	}
	f.gw.mu.Lock()
	defer f.gw.mu.Unlock()
	f.gw.warnings = append(f.gw.warnings, Warning{Line: line, Text: linter.LintFormatShort(rule, msg, line), Detail: about, URL: url})
}

func (f *frontend) subrequests() dockerui.RequestHandler {
	return dockerui.RequestHandler{
		Outline: func(ctx context.Context) (*outline.Outline, error) {
			return dockerfile2llb.Dockerfile2Outline(ctx, f.src.Data, f.conv)
		},
		ListTargets: func(ctx context.Context) (*targets.List, error) {
			return dockerfile2llb.ListTargets(ctx, f.src.Data)
		},
		Lint: func(ctx context.Context) (*lint.LintResults, error) {
			return dockerfile2llb.DockerfileLint(ctx, f.src.Data, f.conv)
		},
	}
}

// A scanned is the definitions of the platforms, for the SBOM scanner.
type scanned struct {
	mu sync.Mutex
	by map[string]*dockerfile2llb.Result
}

// build converts every platform.
func (f *frontend) build(ctx context.Context) (*gwclient.Result, error) {
	scanner, err := f.scanner(ctx)
	if err != nil {
		return nil, err
	}
	all := &scanned{by: map[string]*dockerfile2llb.Result{}}
	rb, err := f.ui.Build(ctx, func(ctx context.Context, platform *ocispec.Platform, idx int) (*dockerui.BuildResult, error) {
		conv := f.conv
		conv.BuildArgs = maps.Clone(conv.BuildArgs)
		conv.TargetPlatform = platform
		if idx != 0 {
			conv.Warn = nil // the same for all
		}
		res, err := dockerfile2llb.Dockerfile2LLB(ctx, f.src.Data, conv)
		if err != nil {
			return nil, err
		}
		def, err := res.State.Marshal(ctx)
		if err != nil {
			return nil, fmt.Errorf("marshalling LLB: %w", err)
		}
		all.mu.Lock()
		all.by[platformID(platform)] = res
		all.mu.Unlock()
		return &dockerui.BuildResult{Reference: &defRef{def: def}, Image: res.Image, BaseImage: res.BaseImage, Epoch: res.Epoch}, nil
	})
	if err != nil {
		return nil, err
	}
	if scanner != nil {
		if err := f.scan(ctx, rb, scanner, all); err != nil {
			return nil, err
		}
	}
	return rb.Finalize()
}

func platformID(p *ocispec.Platform) string {
	if p == nil {
		return platforms.FormatAll(platforms.Normalize(platforms.DefaultSpec()))
	}
	return platforms.FormatAll(platforms.Normalize(*p))
}

// scanner is what makes a bill of materials, nil if none is wanted.
func (f *frontend) scanner(ctx context.Context) (sbom.Scanner, error) {
	if f.ui.SBOM == nil {
		return nil, nil
	}
	platform := f.ui.BuildPlatforms[0]
	return sbom.CreateSBOMScanner(ctx, f.gw, f.ui.SBOM.Generator, platform, sourceresolver.Opt{
		ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: f.gw.req.Attrs["image-resolve-mode"], Platform: &platform},
	}, f.ui.SBOM.Parameters)
}

// scan attaches a bill of materials to every platform.
func (f *frontend) scan(ctx context.Context, rb *dockerui.ResultBuilder, scan sbom.Scanner, all *scanned) error {
	var mu sync.Mutex
	return rb.EachPlatform(ctx, func(ctx context.Context, id string, _ ocispec.Platform) error {
		all.mu.Lock()
		res := all.by[id]
		all.mu.Unlock()
		if res == nil {
			return fmt.Errorf("there is nothing to scan for %s", id)
		}
		var opts []llb.ConstraintsOpt
		if res.IsIgnoreCache {
			opts = append(opts, llb.IgnoreCache)
		}
		att, err := scan(ctx, id, res.SBOM.Core, res.SBOM.Extras, opts...)
		if err != nil {
			return err
		}
		done, err := result.ConvertAttestation(&att, func(st *llb.State) (gwclient.Reference, error) {
			def, err := st.Marshal(ctx)
			if err != nil {
				return nil, err
			}
			return &defRef{def: def}, nil
		})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		rb.AddAttestation(id, *done)
		return nil
	})
}
