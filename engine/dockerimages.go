package engine

import (
	"context"
	"fmt"
	"strings"

	dockerclient "github.com/moby/moby/client"
)

// ImageIDs returns, for every tag of the Docker Engine's images, the id and the
// digests of the image it names, and under "" those of all images.
func (d *Docker) ImageIDs(ctx context.Context) (map[string][]string, error) {
	list, err := d.api.ImageList(ctx, dockerclient.ImageListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing docker's images: %w", err)
	}
	out := map[string][]string{}
	for _, img := range list.Items {
		ids := []string{img.ID}
		for _, ref := range img.RepoDigests {
			if _, dgst, ok := strings.Cut(ref, "@"); ok {
				ids = append(ids, dgst)
			}
		}
		out[""] = append(out[""], ids...)
		for _, tag := range img.RepoTags {
			out[tag] = ids
		}
	}
	return out, nil
}

// TagImage gives the image with this id or digest a tag.
func (d *Docker) TagImage(ctx context.Context, id, tag string) error {
	if _, err := d.api.ImageTag(ctx, dockerclient.ImageTagOptions{Source: id, Target: tag}); err != nil {
		return fmt.Errorf("tagging in docker: %w", err)
	}
	return nil
}
