package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/strata-build/strata/bench/internal/run"
)

// builder is the name that buildx gives the daemon.
const builder = "bench"

// A host is what a program keeps outside of the checkout: everything below
// one home directory.
type host struct{ home string }

// newHost makes a home that has seen nothing, on which buildx knows the
// daemon.
func (b *bench) newHost(ctx context.Context, home, engine string) (host, error) {
	h := host{home}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return h, err
	}
	create := run.Command{
		Words: []string{b.buildx, "create", "--name", builder, "--driver", "remote", "unix://" + engine},
		Env:   h.env(),
	}
	return h, create.Run(ctx).Err
}

// env is the environment of both programs. Both make images without provenance,
// which is the default of only one of them.
func (h host) env() []string {
	return []string{
		"HOME=" + h.home,
		"XDG_CACHE_HOME=" + filepath.Join(h.home, "cache"),
		"XDG_CONFIG_HOME=" + filepath.Join(h.home, "config"),
		"XDG_DATA_HOME=" + filepath.Join(h.home, "data"),
		"XDG_STATE_HOME=" + filepath.Join(h.home, "state"),
		"XDG_RUNTIME_DIR=" + filepath.Join(h.home, "run"),
		"DOCKER_CONFIG=" + filepath.Join(h.home, "docker"),
		"BUILDX_CONFIG=" + filepath.Join(h.home, "buildx"),
		"BUILDX_NO_DEFAULT_ATTESTATIONS=1",
		"CI=",
	}
}

// Build files: both say the same, but for where results are looked up.
const (
	strataFile = "build.hcl"
	bakeFile   = "docker-bake.hcl"
)

// words is the command that builds targets, all by default, in a checkout.
func (b *bench) words(p program, engine, progress string, targets []string) []string {
	switch p {
	case strata:
		return append([]string{
			b.strata, "build", "-f", strataFile, "--engine", "unix://" + engine, "--registry-http", b.registry.Host,
			"--progress", progress, "--history", "none",
		}, targets...)
	default:
		return append([]string{b.buildx, "bake", "--builder", builder, "-f", bakeFile, "--progress", progress}, targets...)
	}
}
