package engine

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	digest "github.com/opencontainers/go-digest"
)

func TestAnswersAreChecked(t *testing.T) {
	good := []byte("a manifest")
	sum := digest.FromBytes(good).String()
	large := bytes.Repeat([]byte("x"), maxChecked+1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/moved/"):
			http.Redirect(w, r, "/elsewhere?"+r.URL.RawQuery, http.StatusFound)
			return
		case r.URL.Query().Get("cut") != "":
			w.Header().Set("Content-Length", fmt.Sprint(len(good)))
			_, _ = w.Write(good[:3])
			return
		case r.URL.Query().Get("large") != "":
			w.Header().Set("Content-Length", fmt.Sprint(len(large)))
			_, _ = w.Write(large)
			return
		case r.URL.Query().Get("bad") != "":
			_, _ = w.Write([]byte("b manifest"))
			return
		}
		_, _ = w.Write(good)
	}))
	defer server.Close()
	hosts := checked(func(string) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{Client: server.Client()}, {}}, nil
	})
	list, err := hosts("r")
	if err != nil || len(list) != 2 || list[1].Client == nil {
		t.Fatal(list, err)
	}
	for _, tt := range []struct {
		path string
		ok   bool
	}{
		{"/v2/c/manifests/" + sum, true},
		{"/v2/c/blobs/" + sum, true},
		{"/v2/c/blobs/" + sum + "?bad=1", false},
		{"/v2/c/manifests/" + sum + "?bad=1", false},
		{"/v2/c/blobs/" + sum + "?cut=1", false},
		{"/moved/v2/c/blobs/" + sum, true},
		{"/moved/v2/c/blobs/" + sum + "?bad=1", false},
		{"/v2/c/manifests/latest?bad=1", true},
		{"/v2/c/blobs/" + sum + "?large=1", true}, // BuildKit checks layers
	} {
		resp, err := list[0].Client.Get(server.URL + tt.path)
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			_ = resp.Body.Close()
		}
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.path, err)
		}
	}
	if server.Client().Transport == list[0].Client.Transport {
		t.Error("the given client was changed")
	}
}
