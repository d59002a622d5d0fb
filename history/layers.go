package history

import (
	"strings"
	"time"

	"github.com/containerd/platforms"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// fromManifest lines the steps of a config up with the layers of a manifest.
func fromManifest(m *v1.Manifest, config *v1.ConfigFile) Image {
	img := Image{
		Platform: platformOf(config),
		Config:   m.Config.Digest.String(),
		SizeKind: "compressed",
		Created:  realTime(config.Created),
		Base:     m.Annotations[ocispec.AnnotationBaseImageName],
		Layers:   steps(m.Layers, config.History),
	}
	for _, l := range m.Layers {
		img.Size += l.Size
	}
	return img
}

// steps matches history and layers from their ends, as a base that was made
// without history lies below what was made with it. A layer without history is
// a step of which nothing is known; a step that claims a layer more than there
// are changes the config only.
func steps(layers []v1.Descriptor, history []v1.History) []Layer {
	var out []Layer
	left := len(layers)
	for i := len(history) - 1; i >= 0; i-- {
		h := history[i]
		l := Layer{
			CreatedBy: Instruction(h.CreatedBy),
			Created:   realTime(h.Created),
			State:     Config,
			Empty:     true,
		}
		if !h.EmptyLayer && left > 0 {
			left--
			l.State, l.Empty = "", false
			l.Size, l.Digest = layers[left].Size, layers[left].Digest.String()
		}
		out = append(out, l)
	}
	for ; left > 0; left-- {
		d := layers[left-1]
		out = append(out, Layer{Size: d.Size, Digest: d.Digest.String()})
	}
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	for i := range out {
		out[i].Step = i + 1
	}
	return out
}

// Instruction cleans the text of a config's history as "docker history" shows
// it: "/bin/sh -c #(nop)  CMD [x]" is CMD [x], and "RUN /bin/sh -c x #
// buildkit" is RUN x. Build arguments before a command are kept, without their
// count.
func Instruction(createdBy string) string {
	text := strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(createdBy), "# buildkit"))
	for _, shell := range []string{"/bin/sh -c ", "cmd /S /C "} {
		if rest, ok := strings.CutPrefix(text, shell+"#(nop)"); ok {
			return strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(text, shell); ok {
			return "RUN " + strings.TrimSpace(rest)
		}
		if rest, ok := strings.CutPrefix(text, "RUN "+shell); ok {
			return "RUN " + strings.TrimSpace(rest)
		}
		if rest, ok := argsBefore(text, shell); ok {
			return rest
		}
	}
	return text
}

// argsBefore cleans "RUN |2 A=1 B=2 /bin/sh -c x" and "|2 A=1 B=2 /bin/sh -c x"
// to "RUN A=1 B=2 x".
func argsBefore(text, shell string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(text, "RUN "), "|")
	if !ok {
		return "", false
	}
	args, command, ok := strings.Cut(rest, shell)
	if !ok {
		return "", false
	}
	_, args, _ = strings.Cut(args, " ") // the count
	return "RUN " + args + strings.TrimSpace(command), true
}

// realTime is at, unless it is the beginning of Unix time, which reproducible
// builders write for "no time".
func realTime(at v1.Time) time.Time {
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at.UTC()
}

func platformOf(config *v1.ConfigFile) string {
	if config.OS == "" {
		return ""
	}
	return platforms.Format(platforms.Normalize(ocispec.Platform{
		OS: config.OS, Architecture: config.Architecture, Variant: config.Variant,
	}))
}
