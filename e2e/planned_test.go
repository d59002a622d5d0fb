package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-build/strata/internal/testkit"
)

// image is the script command for images of the registry at $REGISTRY_HOST:
//
//	image push NAME             makes an image, another one each time
//	image index NAME            puts the image into an index, with another one for arm64 each time
//	image edit NAME FILE TEXT   writes FILE as soon as a layer of the image is asked for
func image(ts *testscript.TestScript, neg bool, args []string) {
	r := ts.Value(registryKey{}).(*testkit.Registry)
	switch {
	case !neg && len(args) == 2 && args[0] == "push":
		ts.Check(r.Push(context.Background(), args[1], imageFor(ts, "amd64")))
	case !neg && len(args) == 2 && args[0] == "index":
		img, err := r.Image(context.Background(), args[1])
		ts.Check(err)
		ts.Check(r.PushIndex(context.Background(), args[1], mutate.AppendManifests(empty.Index,
			mutate.IndexAddendum{Add: img}, mutate.IndexAddendum{Add: imageFor(ts, "arm64")})))
	case !neg && len(args) == 4 && args[0] == "edit":
		r.Inject(editWhenPulled(ts, r, args[1], ts.MkAbs(args[2]), args[3]))
	default:
		ts.Fatalf("usage: image push NAME; image index NAME; image edit NAME FILE TEXT")
	}
}

// imageFor is another image each time.
func imageFor(ts *testscript.TestScript, arch string) v1.Image {
	img, err := random.Image(1000, 1)
	ts.Check(err)
	config, err := img.ConfigFile()
	ts.Check(err)
	config.OS, config.Architecture = "linux", arch
	img, err = mutate.ConfigFile(img, config)
	ts.Check(err)
	return img
}

func editWhenPulled(ts *testscript.TestScript, r *testkit.Registry, name, file, text string) testkit.Fault {
	img, err := r.Image(context.Background(), name)
	ts.Check(err)
	layers, err := img.Layers()
	ts.Check(err)
	d, err := layers[0].Digest()
	ts.Check(err)
	return testkit.Fault{Match: regexp.MustCompile("GET .*/blobs/" + d.String()), Times: 1, Wrap: func(registry http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				http.Error(w, err.Error(), http.StatusTeapot)
				return
			}
			registry.ServeHTTP(w, req)
		})
	}}
}

// sent is the script command "sent N": the events on the last standard error, of
// --progress rawjson, tell of a transfer of files of at most N bytes, and of one.
func sent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sent N")
	}
	sum, found := int64(0), false
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		var e struct {
			ID      string
			Current int64
			Done    bool
		}
		if json.Unmarshal([]byte(line), &e) == nil && e.Done && strings.HasPrefix(e.ID, "transferring ") {
			sum, found = sum+e.Current, true
		}
	}
	if !found || sum > int64(number(ts, args[0])) {
		ts.Fatalf("%d bytes were sent, at most %s may be; was there a transfer: %t", sum, args[0], found)
	}
}
