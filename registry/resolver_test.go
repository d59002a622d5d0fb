package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

var anyPlatform = sourceresolver.Opt{}

func forPlatform(arch string) sourceresolver.Opt {
	return sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{
		Platform: &ocispec.Platform{OS: "linux", Architecture: arch},
	}}
}

// pushIndex pushes an image for each architecture and their index.
func pushIndex(t *testing.T, reg *testkit.Registry, image string, archs ...string) v1.ImageIndex {
	t.Helper()
	idx := v1.ImageIndex(empty.Index)
	for _, arch := range archs {
		idx = mutate.AppendManifests(idx, mutate.IndexAddendum{
			Add:        linuxImage(t, arch),
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	push(t, reg.Host+"/"+image, idx)
	return idx
}

func push(t *testing.T, ref string, idx v1.ImageIndex) {
	t.Helper()
	rt := &http.Transport{}
	defer rt.CloseIdleConnections()
	n, err := name.ParseReference(ref, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(n, idx, remote.WithTransport(rt), remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func TestResolverAsksOnce(t *testing.T) {
	reg := testkit.NewRegistry(t)
	idx := pushIndex(t, reg, "library/python:3.8", "amd64", "arm64")
	want, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	r := newResolver(t, withFlags(t, []string{"docker.io=" + reg.URL()}, nil), noKeys(t))
	reg.Forget()

	var wg sync.WaitGroup
	for i := range 40 {
		arch := []string{"amd64", "arm64"}[i%2]
		ref := []string{"python:3.8", "docker.io/library/python:3.8"}[i/2%2]
		wg.Go(func() {
			full, dgst, config, err := r.ResolveImageConfig(t.Context(), ref, forPlatform(arch))
			if err != nil {
				t.Error(err)
				return
			}
			var got ocispec.Image
			if err := json.Unmarshal(config, &got); err != nil || got.Architecture != arch {
				t.Errorf("config for %s is %s, %v", arch, config, err)
			}
			if full != "docker.io/library/python:3.8" || dgst.String() != want.String() {
				t.Errorf("got %s, %s", full, dgst)
			}
		})
	}
	wg.Wait()
	if n := reg.Count(`/manifests/3\.8`); n != 1 {
		t.Errorf("the tag was asked for %d times: %q", n, reg.Requests())
	}
	if n := reg.Count(`GET .*/manifests/`); n != 3 { // index and two images
		t.Errorf("%d manifests were read: %q", n, reg.Requests())
	}
	wantResolved := map[string]digest.Digest{"docker.io/library/python:3.8": digest.Digest(want.String())}
	if got := r.Resolved(); !reflect.DeepEqual(got, wantResolved) {
		t.Errorf("resolved %v, want %v", got, wantResolved)
	}
}

func TestResolverPinsTheTag(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "base:1", "amd64", "arm64")
	r := newResolver(t, registry.Settings{}, noKeys(t))
	_, first, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/base:1", forPlatform("amd64"))
	if err != nil {
		t.Fatal(err)
	}
	pushIndex(t, reg, "base:1", "amd64", "arm64") // the tag moves
	_, second, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/base:1", forPlatform("arm64"))
	if err != nil || first != second {
		t.Errorf("two targets of one run see %s and %s, %v", first, second, err)
	}
}

func TestResolverRemembersFailures(t *testing.T) {
	reg := testkit.NewRegistry(t)
	r := newResolver(t, registry.Settings{}, noKeys(t))
	for range 3 {
		_, _, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/none:1", anyPlatform)
		var e *registry.Error
		if !errors.As(err, &e) || e.Host != reg.Host || !strings.Contains(err.Error(), "not found in "+reg.Host) {
			t.Fatalf("got %v", err)
		}
	}
	if n := reg.Count("/manifests/1"); n != 1 {
		t.Errorf("asked %d times: %q", n, reg.Requests())
	}
}

// One who gave up does not spoil the answer for others.
func TestResolverForgetsCancellation(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "base:1", "amd64")
	r := newResolver(t, registry.Settings{}, noKeys(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := r.ResolveImageConfig(ctx, reg.Host+"/base:1", forPlatform("amd64")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, _, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/base:1", forPlatform("amd64")); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestResolverMissingPlatform(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "base:1", "amd64")
	r := newResolver(t, registry.Settings{}, noKeys(t))
	_, _, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/base:1", forPlatform("s390x"))
	var pe *registry.PlatformError
	if !errors.As(err, &pe) || !strings.Contains(err.Error(), "has no image for linux/s390x") {
		t.Errorf("got %v", err)
	}
}

func TestResolverBadReference(t *testing.T) {
	r := newResolver(t, registry.Settings{}, noKeys(t))
	for _, ref := range []string{"", "UPPER", "a:b:c", "a b", "x@sha256:123"} {
		_, _, _, err := r.ResolveImageConfig(t.Context(), ref, anyPlatform)
		var re *registry.ReferenceError
		if !errors.As(err, &re) || re.Ref != ref {
			t.Errorf("%q: got %v", ref, err)
		}
	}
}

func TestResolverByDigest(t *testing.T) {
	reg := testkit.NewRegistry(t)
	dgst, err := pushIndex(t, reg, "base:1", "amd64").Digest()
	if err != nil {
		t.Fatal(err)
	}
	r := newResolver(t, registry.Settings{}, noKeys(t))
	for _, ref := range []string{"/base@" + dgst.String(), "/base:moved@" + dgst.String()} {
		_, got, _, err := r.ResolveImageConfig(t.Context(), reg.Host+ref, forPlatform("amd64"))
		if err != nil || got.String() != dgst.String() {
			t.Errorf("%s: got %s, %v", ref, got, err)
		}
	}
}

// Indexes in indexes in indexes end somewhere.
func TestResolverNestedIndexes(t *testing.T) {
	reg := testkit.NewRegistry(t)
	for depth, fine := range map[int]bool{4: true, 5: false} {
		idx := pushIndex(t, reg, "nested:0", "amd64")
		for i := 1; i < depth; i++ {
			idx = mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: idx})
		}
		image := fmt.Sprintf("nested:%d", depth)
		push(t, reg.Host+"/"+image, idx)
		r := newResolver(t, registry.Settings{}, noKeys(t))
		_, _, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/"+image, forPlatform("amd64"))
		if (err == nil) != fine || (err != nil && !strings.Contains(err.Error(), "nested deeper than 4")) {
			t.Errorf("depth %d: got %v", depth, err)
		}
	}
}

func TestMirrorFallsBackToTheRegistry(t *testing.T) {
	reg, mirror := testkit.NewRegistry(t), testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	s := withFlags(t, []string{reg.Host + "=" + mirror.URL(), reg.Host + "=http://127.0.0.1:1"}, nil)
	r := newResolver(t, s, noKeys(t))
	if _, _, _, err := r.ResolveImageConfig(t.Context(), reg.Host+"/app:1", forPlatform("amd64")); err != nil {
		t.Error(err)
	}
	if _, err := newClient(t, s, noKeys(t)).Get(t.Context(), reg.Host+"/app:1"); err != nil {
		t.Error(err)
	}
	if mirror.Count("manifests") == 0 {
		t.Error("the mirror was not asked")
	}
	_, err := newClient(t, s, noKeys(t)).Get(t.Context(), reg.Host+"/none:1")
	if err == nil || !strings.Contains(err.Error(), "mirror "+mirror.Host) {
		t.Errorf("the failure of the mirror is not told: %v", err)
	}
}

func TestMirrorIsPreferred(t *testing.T) {
	mirror := testkit.NewRegistry(t)
	pushIndex(t, mirror, "cached/library/app:1", "amd64")
	s := withFlags(t, []string{"docker.io=" + mirror.URL() + "/cached"}, nil)
	if _, _, _, err := newResolver(t, s, noKeys(t)).ResolveImageConfig(t.Context(), "app:1", forPlatform("amd64")); err != nil {
		t.Error(err)
	}
	if _, err := newClient(t, s, noKeys(t)).Get(t.Context(), "app:1"); err != nil {
		t.Error(err)
	}
}

func TestLogin(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	reg.RequireLogin("ann", "s3cret")
	tests := map[string]struct {
		keys *registry.Keychain
		want string // in the error, "" for none
		hint string
	}{
		"right": {keysOf(t, map[string]string{reg.Host: "ann:s3cret"}), "", ""},
		"none":  {noKeys(t), "wants a login", "has no credentials for it. Log in with docker login " + reg.Host},
		"wrong": {keysOf(t, map[string]string{reg.Host: "bob:s3cret"}), `answers 401: account "bob" is not accepted`, "The account comes from "},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := newResolver(t, registry.Settings{}, tt.keys).ResolveImageConfig(t.Context(), reg.Host+"/app:1", forPlatform("amd64"))
			checkError(t, "resolver", err, tt.want, tt.hint)
			_, err = newClient(t, registry.Settings{}, tt.keys).Get(t.Context(), reg.Host+"/app:1")
			checkError(t, "client", err, tt.want, tt.hint)
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the password is in the message: %v", err)
			}
		})
	}
}

func TestForbidden(t *testing.T) {
	reg := testkit.NewRegistry(t)
	reg.Inject(testkit.Status("/manifests/", 0, http.StatusForbidden))
	keys := keysOf(t, map[string]string{reg.Host: "ann:s3cret"})
	_, err := newClient(t, registry.Settings{}, keys).Get(t.Context(), reg.Host+"/app:1")
	checkError(t, "client", err, `answers 403: account "ann" may not do this`, "The account comes from "+keys.File())
	_, _, _, err = newResolver(t, registry.Settings{}, keys).ResolveImageConfig(t.Context(), reg.Host+"/app:1", anyPlatform)
	checkError(t, "resolver", err, `answers 403: account "ann" may not do this`, "The account comes from "+keys.File())
}

// checkError wants an *Error that says want and hints at hint, or none if want
// is empty.
func checkError(t *testing.T, who string, err error, want, hint string) {
	t.Helper()
	if want == "" {
		if err != nil {
			t.Errorf("%s: %v", who, err)
		}
		return
	}
	var e *registry.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: got %v (%T), want an Error", who, err, err)
		return
	}
	if !strings.Contains(err.Error(), want) || !strings.Contains(e.Hint, hint) {
		t.Errorf("%s: got %q, hint %q; want %q, hint %q", who, err, e.Hint, want, hint)
	}
}

func TestTLS(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	ca, dir := newCA(t), t.TempDir()
	ca.writeTo(t, filepath.Join(dir, "ca.pem"))
	pass := func(h http.Handler) http.Handler { return h }
	good := front(t, "127.0.0.1:0", ca.sign(t, "127.0.0.1", time.Now().Add(time.Hour)), pass, reg)
	expired := front(t, "127.0.0.1:0", ca.sign(t, "127.0.0.1", time.Now().Add(-time.Hour)), pass, reg)
	misnamed := front(t, "127.0.0.1:0", ca.sign(t, "127.0.0.3", time.Now().Add(time.Hour)), pass, reg)
	withCA := `ca = ["` + dir + `/ca.pem"]`
	tests := map[string]struct {
		host, conf string
		want, hint string
	}{
		"own CA":      {good, withCA, "", ""},
		"unchecked":   {expired, "http = false\ninsecure = true", "", ""},
		"both":        {good, "http = true\ninsecure = true", "", ""},
		"unknown CA":  {good, "http = false", "signed by an unknown authority", "Put ca = ["},
		"expired":     {expired, withCA, "is not valid", "Have the certificate renewed"},
		"other name":  {misnamed, withCA, "is for another host", "Use the name"},
		"plain":       {reg.Host, "http = false", "does not speak TLS", "put http = true under [registry."},
		"spoken down": {good, "http = true", "does not understand plain http", "put http = false under"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := loadSettings(t, fmt.Sprintf("[registry.%q]\n%s\n", tt.host, tt.conf))
			_, _, _, err := newResolver(t, s, noKeys(t)).ResolveImageConfig(t.Context(), tt.host+"/app:1", forPlatform("amd64"))
			checkError(t, "resolver", err, tt.want, tt.hint)
			if name == "spoken down" {
				return // go-containerregistry tries TLS before plain http
			}
			_, err = newClient(t, s, noKeys(t)).Get(t.Context(), tt.host+"/app:1")
			checkError(t, "client", err, tt.want, tt.hint)
		})
	}
}

func TestUnreachable(t *testing.T) {
	tests := map[string]struct{ ref, want, hint string }{
		"nothing listens": {"127.0.0.1:1/app:1", "nothing listens at 127.0.0.1:1", "--registry-mirror 127.0.0.1:1=URL"},
		"no such host":    {"registry.invalid/app:1", "host name registry.invalid", "name"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := newResolver(t, registry.Settings{}, noKeys(t)).ResolveImageConfig(t.Context(), tt.ref, anyPlatform)
			checkError(t, "resolver", err, tt.want, tt.hint)
			_, err = newClient(t, registry.Settings{}, noKeys(t)).Get(t.Context(), tt.ref)
			checkError(t, "client", err, tt.want, tt.hint)
		})
	}
}

func TestHelperFailureIsExplained(t *testing.T) {
	reg := testkit.NewRegistry(t)
	pushIndex(t, reg, "app:1", "amd64")
	reg.RequireLogin("ann", "s3cret")
	keys := withHelper(t, `{"credsStore": "x"}`, `echo "the keyring is locked" >&2; exit 3`)
	_, _, _, err := newResolver(t, registry.Settings{}, keys).ResolveImageConfig(t.Context(), reg.Host+"/app:1", anyPlatform)
	checkError(t, "resolver", err, "the keyring is locked", "docker login "+reg.Host)
	_, err = newClient(t, registry.Settings{}, keys).Get(t.Context(), reg.Host+"/app:1")
	checkError(t, "client", err, "the keyring is locked", "docker login "+reg.Host)
}
