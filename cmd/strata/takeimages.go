package main

import (
	"context"
	"slices"
	"time"

	"github.com/containerd/platforms"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/history"
	"github.com/strata-build/strata/plan"
)

// takeImages has images of registries stand in for needed targets whose steps the
// engine does not have.
func (r *buildRun) takeImages(ctx context.Context) error {
	c := &plan.Chooser{
		Plan: r.plan, Lowerer: r.planning.lowerer, Index: r.planning.index, Engine: r.planning.engine.ID(),
		Image: r.publishedImage, Shared: r.builder.SharedLayers,
	}
	images, err := c.Choose(ctx)
	if err != nil {
		return err
	}
	r.builder.TakeImages(images)
	r.images = images.Images()
	return nil
}

// imagePatience is how long a registry may take to say what an image is, before the
// steps are run.
const imagePatience = 10 * time.Second

// publishedImage reads what a registry has of the image of a success, nil if there
// is nothing to be had: then the steps are run.
func (r *buildRun) publishedImage(ctx context.Context, target string, e index.Entry) *plan.Image {
	ctx, cancel := context.WithTimeout(ctx, imagePatience)
	defer cancel()
	for _, ref := range r.planning.places.Published(r.target(target), e) {
		rec, err := history.Read(ctx, history.Sources{Registry: r.planning.client}, "docker://"+ref, history.AllPlatforms)
		if err != nil {
			continue
		}
		img := &plan.Image{Ref: ref}
		for _, one := range rec.Images {
			p, err := platforms.Parse(one.Platform)
			if err != nil {
				continue
			}
			part := plan.ImagePlatform{Platform: p}
			for _, l := range one.Layers {
				part.Lines = append(part.Lines, plan.ImageLine{Empty: l.Empty, Size: l.Size})
			}
			img.Platforms = append(img.Platforms, part)
		}
		return img
	}
	return nil
}

// tookImage says for people that an image stands in for a target.
func (r *buildRun) tookImage(target string) []string {
	ref, ok := r.images[target]
	if !ok {
		return nil
	}
	return []string{"taken as image " + ref}
}

// dropImages takes back what tookImage has said of targets whose image served
// nobody: it was not to be read.
func (r *buildRun) dropImages(results []executor.TargetResult) {
	if len(r.images) == 0 {
		return
	}
	served := map[string]bool{}
	for _, res := range results {
		for target := range r.builder.TookImages(res.Target) {
			served[target] = true
		}
	}
	for i, res := range results {
		if !served[res.Target] {
			said := r.tookImage(res.Target)
			results[i].Outputs = slices.DeleteFunc(slices.Clone(res.Outputs), func(o string) bool { return slices.Contains(said, o) })
		}
	}
}
