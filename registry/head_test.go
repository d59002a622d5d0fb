package registry

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"github.com/strata-build/strata/internal/testkit"
)

func TestHead(t *testing.T) {
	reg := testkit.NewRegistry(t)
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Push(t.Context(), "app:1", img); err != nil {
		t.Fatal(err)
	}
	c := NewClient(Settings{}, NewKeychain(func(string) (string, bool) { return "", false }))
	defer c.Close()
	look := func(ref string) (string, bool, error) {
		desc, ok, err := c.Head(t.Context(), reg.Host+"/"+ref)
		return desc.Digest.String(), ok, err
	}
	if got, ok, err := look("app:1"); err != nil || !ok || got != want.String() {
		t.Errorf("got %s, %v, %v, want %s", got, ok, err, want)
	}
	before := len(reg.Requests())
	if _, ok, err := look("app:2"); err != nil || ok {
		t.Errorf("a tag that is not there: %v, %v", ok, err)
	}
	if n := len(reg.Requests()) - before; n != 1 {
		t.Errorf("%d requests, want 1: %v", n, reg.Requests())
	}
	reg.Inject(testkit.Status("^HEAD ", 0, http.StatusMethodNotAllowed))
	if got, ok, err := look("app:1"); err != nil || !ok || got != want.String() {
		t.Errorf("without HEAD: got %s, %v, %v", got, ok, err)
	}
	reg.Inject(testkit.Status("/denied/", 0, http.StatusForbidden))
	if _, ok, err := look("denied/app:1"); err == nil || ok {
		t.Errorf("denied: %v, %v", ok, err)
	}
	if _, _, err := look("UPPER"); err == nil {
		t.Error("a reference that is none is looked for")
	}
}
