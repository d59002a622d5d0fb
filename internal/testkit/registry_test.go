package testkit

import (
	"net/http"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, IgnoreRegistry()) }

func TestRegistryCountsFaultsAndAsksForALogin(t *testing.T) {
	r := NewRegistry(t)
	img, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Push(t.Context(), "a/b:1", img); err != nil {
		t.Fatal(err)
	}
	if got := r.Requests(); len(got) != 0 {
		t.Errorf("the test's own requests were counted: %v", got)
	}

	head := func(opts ...remote.Option) error {
		ref, err := name.NewTag(r.Host+"/a/b:1", name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		transport := &http.Transport{DisableKeepAlives: true}
		opts = append(opts, remote.WithContext(t.Context()), remote.WithTransport(transport), remote.WithRetryStatusCodes())
		_, err = remote.Head(ref, opts...)
		return err
	}
	if err := head(); err != nil {
		t.Fatal(err)
	}
	if n := r.Count(`^HEAD /v2/a/b/manifests/1$`); n != 1 {
		t.Errorf("%d requests for the manifest, want 1: %v", n, r.Requests())
	}

	r.Inject(Status(`^HEAD .*/manifests/`, 1, http.StatusNotFound))
	if err := head(); err == nil {
		t.Error("the fault did not strike")
	}
	if err := head(); err != nil {
		t.Errorf("the fault struck twice: %v", err)
	}

	r.RequireLogin("ann", "secret")
	if err := head(); err == nil {
		t.Error("nobody was let in")
	}
	if err := head(remote.WithAuth(&authn.Basic{Username: "ann", Password: "secret"})); err != nil {
		t.Errorf("ann was not let in: %v", err)
	}
}
