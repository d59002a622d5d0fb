package history

import v1 "github.com/google/go-containerregistry/pkg/v1"

// FromImage reads the layer history of one platform's image. Base is left
// empty: an image does not say where its base ends.
func FromImage(img v1.Image) (Image, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return Image{}, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return Image{}, err
	}
	digest, err := img.Digest()
	if err != nil {
		return Image{}, err
	}
	h := fromManifest(manifest, config)
	h.Digest = digest.String()
	return h, nil
}
