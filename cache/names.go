package cache

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/internal/lazyregexp"
)

// This file makes names that a registry takes of names that people give. What is
// legal already stays readable as it is; all else is shortened to what is legal
// and gets half of a SHA-256 behind it. A legal name that ends like that gets
// one too, so that no two names ever become one.
//
// The limits are those of the OCI distribution specification 1.1 ("Pulling
// manifests"): a component of a repository, a tag of at most 128 characters.

// sumLength is how many hexadecimal digits tell names apart.
const sumLength = 32

var (
	plainComponent = lazyregexp.New(`^[a-z0-9]+(?:[._-][a-z0-9]+)*$`)
	plainTag       = lazyregexp.New(`^[A-Za-z0-9_-]+$`)
	summed         = lazyregexp.New(`-[0-9a-f]{32}$`)
	noComponent    = lazyregexp.New(`[^a-z0-9]+`)
	noTag          = lazyregexp.New(`[^A-Za-z0-9_-]+`)
)

// The lengths that names are cut to. A tag is "layers-" or "images-" with a target and
// a platform; the name of a repository with its registry is at most 255 long.
const (
	maxComponent = 64
	maxTarget    = 72
	maxPlatform  = 47
)

// legal is name if plain takes it, else what is legal in it, without what strip
// matches, and a sum of it.
func legal(name string, plain, strip *lazyregexp.Regexp, longest int) string {
	if len(name) <= longest && plain.MatchString(name) && !summed.MatchString(name) {
		return name
	}
	return cut(name, name, strip, longest)
}

// cut is readable without what strip matches, and a sum of name.
func cut(readable, name string, strip *lazyregexp.Regexp, longest int) string {
	sum := sha256.Sum256([]byte(name))
	kept := strip.ReplaceAllString(readable, "-")
	kept = strings.Trim(kept[:min(len(kept), longest-sumLength-1)], "-")
	if kept == "" {
		kept = "x"
	}
	return kept + "-" + hex.EncodeToString(sum[:])[:sumLength]
}

// Repository is the repository of a scope: its own, or below that of the block.
func Repository(block *config.CacheBlock, scope config.CacheScope) string {
	if scope.Repository != "" {
		return scope.Repository
	}
	name := legal(scope.Name, plainComponent, noComponent, maxComponent)
	if strings.ToLower(scope.Name) != scope.Name { // stays readable, and the sum is of the name as given
		name = cut(strings.ToLower(scope.Name), scope.Name, noComponent, maxComponent)
	}
	return block.Repository + "/" + name
}

// A Layers names the layers of one target for one platform.
type Layers struct {
	Target   string
	Platform string // "linux/arm64/v8"
	// OnImages says that they were made on images of needed targets and not on
	// their steps: BuildKit's keys are others then.
	OnImages bool
}

// tag is the tag of the layers in a scope. No target is named with a dot by
// legal, so target and platform are kept apart.
func (l Layers) tag() string {
	kind := "layers-"
	if l.OnImages {
		kind = "images-"
	}
	return kind + legal(l.Target, plainTag, noTag, maxTarget) + "." + platformTag(l.Platform)
}

// platformTag is "linux-arm64-v8". Slashes become dashes; a platform that has
// dashes of its own gets a sum.
func platformTag(platform string) string {
	if strings.ContainsAny(platform, "-") {
		return cut(platform, platform, noTag, maxPlatform)
	}
	if t := strings.ReplaceAll(platform, "/", "-"); len(t) <= maxPlatform && plainTag.MatchString(t) && !summed.MatchString(t) {
		return t
	}
	return cut(platform, platform, noTag, maxPlatform)
}
