package lower

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
)

// A BaseImage is an image whose config was asked for.
type BaseImage struct {
	Ref    string        `json:"ref"`
	Digest digest.Digest `json:"digest"` // of what Ref named then
	// Content is the same for all digests with these files and this config on
	// the platforms asked for, "" if it was not told.
	Content string `json:"content,omitempty"`

	platform string        // as platforms.FormatAll says it
	files    digest.Digest // of the layers' own digests, "" if they were not told
}

func newBaseImage(ref string, opt sourceresolver.Opt, d digest.Digest, config []byte) BaseImage {
	img := BaseImage{Ref: ref, Digest: d}
	var told struct {
		RootFS struct {
			DiffIDs []digest.Digest `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if opt.ImageOpt == nil || opt.ImageOpt.Platform == nil || json.Unmarshal(config, &told) != nil || len(told.RootFS.DiffIDs) == 0 {
		return img
	}
	img.platform = platforms.FormatAll(platforms.Normalize(*opt.ImageOpt.Platform))
	img.files = digest.FromString(fmt.Sprint(told.RootFS.DiffIDs))
	img.Content = sum(config)
	return img
}

// pinned reports whether the reference itself names the digest.
func (b BaseImage) pinned() bool { return strings.HasSuffix(b.Ref, "@"+b.Digest.String()) }

// uniqueImages has each image once, with what it is on all platforms.
func uniqueImages(list []BaseImage) []BaseImage {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b BaseImage) int {
		return cmp.Or(strings.Compare(a.Ref, b.Ref), strings.Compare(string(a.Digest), string(b.Digest)),
			strings.Compare(a.platform, b.platform), strings.Compare(a.Content, b.Content))
	})
	var out []BaseImage
	for _, img := range slices.Compact(list) {
		last := len(out) - 1
		if last < 0 || out[last].Ref != img.Ref || out[last].Digest != img.Digest {
			out = append(out, BaseImage{Ref: img.Ref, Digest: img.Digest, Content: img.Content})
			continue
		}
		if out[last].Content == "" || img.Content == "" {
			out[last].Content = ""
			continue
		}
		out[last].Content = sum([]byte(out[last].Content + img.Content))
	}
	return out
}

// imageFiles tells of images by digest and platform what files they have. An
// index is given a new digest when any of its platforms changes, and an image
// when its config alone does: what is made from its files stays the same.
type imageFiles map[string]digest.Digest

func (f imageFiles) add(list []BaseImage) {
	for _, img := range list {
		if img.files != "" {
			f[img.Digest.String()+" "+img.platform] = img.files
		}
	}
}

// of is what an image source reads, its digest if no more is known.
func (f imageFiles) of(d string, platform *pb.Platform) string {
	if platform != nil {
		if files, ok := f[d+" "+platforms.FormatAll(platforms.Normalize(platform.Spec()))]; ok {
			return "files:" + files.Encoded()
		}
	}
	return d
}

// imageFiles is empty if r states where it is from: a statement has the digests.
func (r *Result) imageFiles() imageFiles {
	for key := range r.Request.Attrs {
		if strings.HasPrefix(key, "attest:") {
			return nil
		}
	}
	return r.files
}
