package draft

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/lint"
)

// tree writes the files of an archive into a directory called shop.
func tree(t *testing.T, archive string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "shop")
	for _, f := range txtar.Parse([]byte(archive)).Files {
		file := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	dir := tree(t, `
-- Dockerfile --
-- Dockerfile.dev --
-- Dockerfile.dockerignore --
-- Dockerfile.md --
-- api.Dockerfile --
-- Dockerfiles --
-- a/Containerfile --
-- a/dockerfile --
-- .docker/Dockerfile --
-- .git/Dockerfile --
-- node_modules/x/Dockerfile --
-- a/vendor/x/Dockerfile --
-- a/compose.yaml --
-- docker-compose.yml --
-- docker-bake.hcl --
`)
	if err := os.Symlink("a", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	got, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".docker/Dockerfile", "Dockerfile", "Dockerfile.dev", "a/Containerfile", "a/dockerfile", "api.Dockerfile"}
	if !slices.Equal(got.Dockerfiles, want) || !got.Whole {
		t.Errorf("got %v, want %v", got.Dockerfiles, want)
	}
	if !slices.Equal(got.Compose, []string{"docker-compose.yml"}) || !slices.Equal(got.Bake, []string{"docker-bake.hcl"}) {
		t.Errorf("got %v and %v", got.Compose, got.Bake)
	}
	if _, err := Find(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a missing directory is searched")
	}
}

func TestFromDockerfiles(t *testing.T) {
	for _, tt := range []struct{ name, tree, want, notes string }{
		{
			name: "one at the root",
			tree: "-- Dockerfile --\nFROM scratch\nCOPY . /\n",
			want: `group "default" {
  targets = ["shop"]
}

target "shop" {
  tags = ["shop:dev"]
}
`,
		},
		{
			name: "names",
			tree: `
-- Dockerfile --
FROM scratch
-- Dockerfile.dev --
FROM scratch
-- default/Dockerfile --
FROM scratch
-- new/api/Dockerfile --
FROM scratch
-- old/api/Dockerfile --
FROM scratch
-- old/api/test.Dockerfile --
FROM scratch
-- old/a b!/Dockerfile --
FROM scratch
`,
			want: `group "default" {
  targets = ["shop", "dev", "shop-default", "api", "a-b", "old-api", "api-test"]
}

target "shop" {
  tags = ["shop:dev"]
}

target "dev" {
  dockerfile = "Dockerfile.dev"
  tags       = ["shop/dev:dev"]
}

target "shop-default" {
  context = "default"
  tags    = ["shop/shop-default:dev"]
}

target "api" {
  context = "new/api"
  tags    = ["shop/api:dev"]
}

target "a-b" {
  context = "old/a b!"
  tags    = ["shop/a-b:dev"]
}

target "old-api" {
  context = "old/api"
  tags    = ["shop/old-api:dev"]
}

target "api-test" {
  context    = "old/api"
  dockerfile = "test.Dockerfile"
  tags       = ["shop/api-test:dev"]
}
`,
		},
		{
			name: "contexts",
			tree: `
-- go.mod --
-- services/lib/x.go --
-- services/own/Dockerfile --
FROM scratch
COPY main.go lib* /src/
-- services/own/main.go --
-- services/up/Dockerfile --
FROM scratch
COPY --from=0 /nowhere /
COPY lib/*.go /src/
RUN --mount=type=bind,source=own,target=/own true
-- services/up/main.go --
-- docker/Dockerfile --
FROM scratch
COPY . /src
ADD https://example.com/x $Y /
-- docker/README.md --
-- lost/Dockerfile --
FROM scratch
COPY generated.bin /
`,
			notes: "lost/Dockerfile copies generated.bin, which is in no directory above it",
			want: `group "default" {
  targets = ["docker", "lost", "own", "up"]
}

target "docker" {
  dockerfile = "docker/Dockerfile"
  tags       = ["shop/docker:dev"]
}

target "lost" {
  context = "lost"
  tags    = ["shop/lost:dev"]
}

target "own" {
  context = "services/own"
  tags    = ["shop/own:dev"]
}

target "up" {
  context    = "services"
  dockerfile = "up/Dockerfile"
  tags       = ["shop/up:dev"]
}
`,
		},
		{
			name: "links",
			tree: `
-- base/Dockerfile --
FROM alpine:3.20
-- alpine/Dockerfile --
FROM base
FROM ghcr.io/acme/shop/tools:1.2
COPY --from=acme/base:2 / /
-- tools/Dockerfile --
ARG TAG=dev
FROM shop/base:${TAG} AS base
FROM base AS for-linux
FROM for-$TARGETOS
COPY --from=shop-alpine / /
-- circle/Dockerfile --
FROM circle
FROM base:1.2
FROM base@sha256:4bcff63911fcb4448bd4fdacec207030997caf25e9bea4045fa6c8c44de311d1
`,
			want: `group "default" {
  targets = ["alpine", "base", "circle", "tools"]
}

target "alpine" {
  context = "alpine"
  contexts = {
    base                          = "target:base"
    "ghcr.io/acme/shop/tools:1.2" = "target:tools"
  }
  tags = ["shop/alpine:dev"]
}

target "base" {
  context = "base"
  tags    = ["shop/base:dev"]
}

target "circle" {
  context = "circle"
  tags    = ["shop/circle:dev"]
}

target "tools" {
  context = "tools"
  contexts = {
    "shop/base:dev" = "target:base"
  }
  tags = ["shop/tools:dev"]
}
`,
		},
		{
			name:  "what does not read",
			tree:  "-- a/Dockerfile --\nRUMOR\n-- b/Dockerfile --\nARG BASE\nFROM $BASE\n",
			notes: "a/Dockerfile is left out: dockerfile parse error on line 1: unknown instruction: RUMOR\nb/Dockerfile:2 starts from $BASE, an argument without a value: set it in args",
			want:  "group \"default\" {\n  targets = [\"b\"]\n}\n\ntarget \"b\" {\n  context = \"b\"\n  tags    = [\"shop/b:dev\"]\n}\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := tree(t, tt.tree)
			found, err := Find(dir)
			if err != nil {
				t.Fatal(err)
			}
			d, err := FromDockerfiles(context.Background(), dir, found.Dockerfiles)
			if err != nil {
				t.Fatal(err)
			}
			if string(d.Text) != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", d.Text, tt.want)
			}
			if got := strings.Join(d.Notes, "\n"); got != tt.notes {
				t.Errorf("notes:\n%s\nwant:\n%s", got, tt.notes)
			}
			if tt.notes == "" {
				lowers(t, dir, d)
			}
		})
	}
}

// lowers checks that all targets of d can be turned into LLB.
func lowers(t *testing.T, dir string, d *Draft) {
	t.Helper()
	ctx := context.Background()
	cfg, err := config.Load(ctx, config.LoadOptions{Dir: dir, Files: []string{"-"}, Stdin: strings.NewReader(string(d.Text)), Mode: config.ModeStrata})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(config.Request{})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := lint.Check(ctx, cfg, sel, lint.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range rep.Findings {
		if f.Severity == lint.Error {
			t.Errorf("%v: %s", f.Place, f.Message)
		}
	}
}

func TestFromNothing(t *testing.T) {
	dir := tree(t, "-- Dockerfile --\nnonsense\n")
	if d, err := FromDockerfiles(context.Background(), dir, []string{"Dockerfile", "gone/Dockerfile"}); err == nil {
		t.Errorf("got %s", d.Text)
	}
}
