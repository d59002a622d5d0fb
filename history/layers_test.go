package history_test

import (
	"reflect"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/strata-build/strata/history"
)

func TestInstruction(t *testing.T) {
	tests := map[string]string{
		"/bin/sh -c #(nop)  CMD [\"/bin/sh\"]":                              "CMD [\"/bin/sh\"]",
		"/bin/sh -c #(nop) ADD file:7119167b56ff1228b2fb639c768955ce in / ": "ADD file:7119167b56ff1228b2fb639c768955ce in /",
		"/bin/sh -c apk add --no-cache ca-certificates":                     "RUN apk add --no-cache ca-certificates",
		"RUN /bin/sh -c pip install flask # buildkit":                       "RUN pip install flask",
		"RUN |2 A=1 B=two words /bin/sh -c make # buildkit":                 "RUN A=1 B=two words make",
		"|1 A=1 /bin/sh -c make":                                            "RUN A=1 make",
		"COPY app.py /app.py # buildkit":                                    "COPY app.py /app.py",
		"CMD [\"python\" \"app.py\"]":                                       "CMD [\"python\" \"app.py\"]",
		"RUN cmd /S /C dir # buildkit":                                      "RUN dir",
		"RUN true | grep /bin/sh -c x":                                      "RUN true | grep /bin/sh -c x",
		"bazel build ...":                                                   "bazel build ...",
		"":                                                                  "",
	}
	for in, want := range tests {
		if got := history.Instruction(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestFromImage(t *testing.T) {
	img := built(t, "amd64", "ADD rootfs.tar /", "-CMD [\"sh\"]", "RUN /bin/sh -c make # buildkit", "-USER 1")
	layers := must(img.Manifest()).Layers
	want := history.Image{
		Platform: "linux/amd64",
		Digest:   must(img.Digest()).String(),
		Config:   must(img.ConfigName()).String(),
		Size:     layers[0].Size + layers[1].Size,
		SizeKind: "compressed",
		Created:  day,
		Layers: []history.Layer{
			{Step: 1, CreatedBy: "ADD rootfs.tar /", Created: day, Size: layers[0].Size, Digest: layers[0].Digest.String()},
			{Step: 2, CreatedBy: "CMD [\"sh\"]", Created: day.Add(time.Hour), State: history.Config, Empty: true},
			{Step: 3, CreatedBy: "RUN make", Created: day.Add(2 * time.Hour), Size: layers[1].Size, Digest: layers[1].Digest.String()},
			{Step: 4, CreatedBy: "USER 1", Created: day.Add(3 * time.Hour), State: history.Config, Empty: true},
		},
	}
	got, err := history.FromImage(img)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
}

// The lists of history and layers do not always fit; what is known is shown,
// from the top.
func TestFromImageWithOddHistory(t *testing.T) {
	img := built(t, "arm64", "one", "two", "three")
	tests := map[string]struct {
		history []v1.History
		want    []string // text, "+" if it has a layer
	}{
		"none":          {nil, []string{"+", "+", "+"}},
		"fewer":         {[]v1.History{{CreatedBy: "top"}}, []string{"+", "+", "+top"}},
		"fewer, empty":  {[]v1.History{{CreatedBy: "top"}, {CreatedBy: "CMD x", EmptyLayer: true}}, []string{"+", "+", "+top", "CMD x"}},
		"only empty":    {[]v1.History{{CreatedBy: "CMD x", EmptyLayer: true}}, []string{"+", "+", "+", "CMD x"}},
		"more":          {[]v1.History{{CreatedBy: "a"}, {CreatedBy: "b"}, {CreatedBy: "c"}, {CreatedBy: "d"}}, []string{"a", "+b", "+c", "+d"}},
		"empty between": {[]v1.History{{CreatedBy: "a"}, {CreatedBy: "E", EmptyLayer: true}, {CreatedBy: "b"}, {CreatedBy: "c"}}, []string{"+a", "E", "+b", "+c"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cf := must(img.ConfigFile()).DeepCopy()
			cf.History, cf.Created = tt.history, v1.Time{Time: time.Unix(0, 0)}
			h, err := history.FromImage(must(mutate.ConfigFile(img, cf)))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			total := int64(0)
			for i, l := range h.Layers {
				text := l.CreatedBy
				if l.Digest != "" {
					text = "+" + text
				}
				if l.Empty != (l.Digest == "") || l.Empty != (l.State == history.Config) || l.Empty != (l.Size == 0) || l.Step != i+1 {
					t.Errorf("layer %d contradicts itself: %+v", i, l)
				}
				total += l.Size
				got = append(got, text)
			}
			if !reflect.DeepEqual(got, tt.want) || total != h.Size {
				t.Errorf("got %q of %d bytes, want %q of %d", got, total, tt.want, h.Size)
			}
			if !h.Created.IsZero() {
				t.Errorf("the beginning of time is shown as a date: %s", h.Created)
			}
		})
	}
}
