package buildkit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/strata-build/strata/cache"
	"github.com/strata-build/strata/internal/lazyregexp"
	"github.com/strata-build/strata/lower"
)

// This file is about images that stand in for the steps of needed targets: which
// solves have them, and what is done when one of them can not be read.

// TakeImages has images stand in for needed targets in all that is solved from now
// on. It is called after Prepare.
func (b *Builder) TakeImages(images *lower.StandIns) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.images, b.onImage = images, map[string]bool{}
	b.tracker.hush(images.Vertices())
}

// TookImages names the needed targets in whose place an image was when target was
// solved, and the images.
func (b *Builder) TookImages(target string) map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.took[target]
}

// SharedLayers reports whether the shared layer cache has layers of a target, made
// on the steps of those it needs. What is found is asked for once in a run.
func (b *Builder) SharedLayers(ctx context.Context, target string) bool {
	r := b.Lowered(target)
	if b.Cache == nil || r == nil {
		return false
	}
	var layers []cache.Layers
	for _, id := range b.platformsOf(b.Lowerer.Target(target), r) {
		layers = append(layers, cache.Layers{Target: target, Platform: id})
	}
	return b.Cache.Has(ctx, layers)
}

// takeImages puts images in the place of needed targets.
func (s *solve) takeImages() error {
	s.b.mu.Lock()
	images := s.b.images
	s.b.mu.Unlock()
	sent, was, used, err := images.Put(s.r)
	if err != nil {
		return err
	}
	s.sent, s.images = sent, used
	s.b.tracker.alias(was)
	return nil
}

// standsOnImage reports whether images stand in for targets that name needs, so
// that the layer cache has its steps under other keys.
func (b *Builder) standsOnImage(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.lowered[name]
	if b.images == nil || r == nil {
		return false
	}
	on, known := b.onImage[name]
	if !known {
		_, _, used, err := b.images.Put(r)
		on = err == nil && len(used) > 0
		b.onImage[name] = on
	}
	return on
}

// withoutImages solves again with the steps of needed targets if an image in their
// place may be why the solve failed. No other target takes these images any more.
func (s *solve) withoutImages(ctx context.Context, err error) (*client.SolveResponse, error) {
	if len(s.images) == 0 || !s.imageMayBeWhy(ctx, err) {
		return nil, err
	}
	refs := slices.Sorted(maps.Values(s.images))
	s.warn("it failed with %s in the place of %s, whose steps are run now: %s",
		strings.Join(refs, ", "), strings.Join(slices.Sorted(maps.Keys(s.images)), ", "), plainly(err.Error()))
	s.b.TakeImages(nil)
	s.sent, s.images = s.r, nil
	return s.again(ctx)
}

// What BuildKit says of a push that a registry refuses (util/push), and of a path
// that is not in what a COPY takes it from (solver/llbsolver/file).
var (
	pushText   = lazyregexp.New(`failed to push `)
	noPathText = lazyregexp.New(`^lstat .*: no such file or directory$`)
)

// imageMayBeWhy reports whether err may come of an image that can not be read.
// What a program in a step or the path of a COPY did wrong, they do on either.
func (s *solve) imageMayBeWhy(ctx context.Context, err error) bool {
	if _, exit := errors.AsType[*gatewaypb.ExitError](err); exit || ctx.Err() != nil || s.held != nil || lost(err) {
		return false
	}
	if text := trimError(err.Error()); missingText.MatchString(text) || noPathText.MatchString(text) {
		return false
	}
	return !pushText.MatchString(err.Error()) || s.namesImage(err.Error())
}

// namesImage reports whether text is about the repository of an image that is
// taken: as a reference, or as the address of one of its blobs.
func (s *solve) namesImage(text string) bool {
	for _, ref := range s.images {
		repo, _, _ := strings.Cut(ref, "@")
		_, path, _ := strings.Cut(repo, "/")
		if strings.Contains(text, repo+"@") || strings.Contains(text, "/v2/"+path+"/") {
			return true
		}
	}
	return false
}
