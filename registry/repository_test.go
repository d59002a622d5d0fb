package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

const ociManifest = "application/vnd.oci.image.manifest.v1+json"

// putIndex pushes an image for two platforms and returns its digest.
func putIndex(t *testing.T, r *testkit.Registry, image string) string {
	t.Helper()
	h := must(pushIndex(t, r, image, "amd64", "arm64").Digest())
	return h.String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestHeadDigest(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	idx := pushIndex(t, r, "a/b:1", "amd64", "arm64")
	raw, hash := must(idx.RawManifest()), must(idx.Digest())
	dgst := hash.String()
	want := registry.Manifest{Digest: dgst, MediaType: string(types.OCIImageIndex), Size: int64(len(raw))}
	for what, tc := range map[string]struct {
		fault  []testkit.Fault
		counts map[string]int
	}{
		"HEAD":               {nil, map[string]int{"HEAD manifest": 3}},
		"HEAD fails for 5xx": {[]testkit.Fault{testkit.Status("^HEAD", 1, 503)}, map[string]int{"HEAD manifest": 4}},
		"HEAD is limited":    {[]testkit.Fault{testkit.Limited("^HEAD", 1, "0")}, map[string]int{"HEAD manifest": 4}},
		"no HEAD":            {[]testkit.Fault{testkit.Status("^HEAD", 0, 405)}, map[string]int{"HEAD manifest": 3, "GET manifest": 3}},
		"HEAD is nonsense":   {[]testkit.Fault{testkit.Status("^HEAD", 0, 400)}, map[string]int{"HEAD manifest": 3, "GET manifest": 3}},
		"no digest":          {[]testkit.Fault{testkit.Header("^HEAD", 0, "Docker-Content-Digest", "")}, map[string]int{"HEAD manifest": 3, "GET manifest": 3}},
		"no digest at all":   {[]testkit.Fault{testkit.Header("manifests", 0, "Docker-Content-Digest", "")}, map[string]int{"HEAD manifest": 3, "GET manifest": 3}},
	} {
		r.Heal()
		r.Forget()
		r.Inject(tc.fault...)
		for _, ref := range []string{":1", "@" + dgst, ":1"} {
			got, found, err := c.HeadDigest(t.Context(), r.Host+"/a/b"+ref)
			if err != nil || !found || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: %+v %v %v", what, ref, got, found, err)
			}
		}
		if got := r.Counts(); !reflect.DeepEqual(got, tc.counts) {
			t.Errorf("%s: requests %v, want %v", what, got, tc.counts)
		}
	}
}

func TestHeadDigestOfWhatIsNotThere(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	for _, fault := range []testkit.Fault{testkit.Status("^none", 0, 0), testkit.Status("^HEAD", 0, 405)} {
		r.Heal()
		r.Inject(fault)
		if _, found, err := c.HeadDigest(t.Context(), r.Host+"/a/b:1"); err != nil || found {
			t.Errorf("%v %v", found, err)
		}
	}
	r.Heal()
	r.Inject(testkit.Status("manifests", 0, 503))
	_, _, err := c.HeadDigest(t.Context(), r.Host+"/a/b:1")
	if e, ok := errors.AsType[*registry.Error](err); !ok || e.Host != r.Host || !strings.Contains(err.Error(), "503") {
		t.Errorf("a registry that is out of order: %v", err)
	}
	r.Heal()
	r.RequireLogin("ann", "secret")
	_, _, err = c.HeadDigest(t.Context(), r.Host+"/a/b:1")
	if e, ok := errors.AsType[*registry.Error](err); !ok || !strings.Contains(e.Hint, "docker login") {
		t.Errorf("without a login: %v", err)
	}
	if _, _, err := c.HeadDigest(t.Context(), "UPPER CASE"); err == nil {
		t.Error("nonsense is found")
	}
}

// A registry that wants a login is asked one time in vain.
func TestHeadDigestWithALogin(t *testing.T) {
	r := testkit.NewRegistry(t)
	img := linuxImage(t, "amd64")
	if err := r.Push(t.Context(), "a/b:1", img); err != nil {
		t.Fatal(err)
	}
	r.RequireLogin("ann", "secret")
	c := newClient(t, registry.Settings{}, keysOf(t, map[string]string{r.Host: "ann:secret"}))
	for range 5 {
		if _, found, err := c.HeadDigest(t.Context(), r.Host+"/a/b:1"); err != nil || !found {
			t.Fatal(found, err)
		}
	}
	if got := r.Counts(); !reflect.DeepEqual(got, map[string]int{"HEAD manifest": 6}) {
		t.Errorf("requests %v", got)
	}
}

func TestRepository(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	repo := must(c.Repository(r.Host + "/a/cache"))
	if tags, err := repo.Tags(t.Context()); err != nil || tags != nil {
		t.Errorf("tags of nothing: %v %v", tags, err)
	}
	blob := []byte("a blob")
	dgst := must(repo.WriteBlob(t.Context(), blob))
	r.Forget()
	if again := must(repo.WriteBlob(t.Context(), blob)); again != dgst {
		t.Error(again)
	}
	if got := r.Counts(); !reflect.DeepEqual(got, map[string]int{"HEAD blob": 1}) {
		t.Errorf("a blob that is there takes %v", got)
	}
	if data, found, err := repo.ReadBlob(t.Context(), dgst, 100); err != nil || !found || string(data) != "a blob" {
		t.Errorf("%q %v %v", data, found, err)
	}
	if _, _, err := repo.ReadBlob(t.Context(), dgst, 5); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a blob over the limit: %v", err)
	}
	if _, found, err := repo.ReadBlob(t.Context(), "sha256:"+strings.Repeat("0", 64), 5); found || err != nil {
		t.Errorf("no blob: %v %v", found, err)
	}
	raw := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"x/y","digest":"` + dgst + `","size":6},"layers":[]}`)
	m := must(repo.PutManifest(t.Context(), "t1", ociManifest, raw))
	if got, found, err := repo.Manifest(t.Context(), "t1"); err != nil || !found || got.Digest != m || got.MediaType != ociManifest || string(got.Raw) != string(raw) {
		t.Errorf("%+v %v %v", got, found, err)
	}
	if tags := must(repo.Tags(t.Context())); !reflect.DeepEqual(tags, []string{"t1"}) {
		t.Errorf("tags %v", tags)
	}
	for range 2 {
		if err := repo.DeleteManifest(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if _, found, err := repo.Manifest(t.Context(), "t1"); found || err != nil {
		t.Errorf("after removing: %v %v", found, err)
	}
}

// F18: what does not have the digest it is named by is refused, and so is a
// manifest without an end.
func TestFault_F18_repository(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	repo := must(c.Repository(r.Host + "/a/cache"))
	if err := r.Push(t.Context(), "a/cache:1", linuxImage(t, "amd64")); err != nil {
		t.Fatal(err)
	}
	dgst := must(repo.WriteBlob(t.Context(), []byte("a blob")))
	for what, fault := range map[string]testkit.Fault{
		"wrong digest":     testkit.Flip("^GET", 0, 3),
		"unexpected EOF":   testkit.Truncate("^GET", 0, 3),
		"larger than any":  {Match: allGet, Handler: endless},
		"connection reset": testkit.Reset("^GET", 0),
		"503":              testkit.Status("^GET", 0, 503),
		"403":              testkit.Status("^GET", 0, 403),
	} {
		r.Heal()
		r.Inject(fault)
		if _, _, err := repo.Manifest(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("manifest, %s: %v", what, err)
		}
		if _, _, err := repo.ReadBlob(t.Context(), dgst, 1<<20); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("blob, %s: %v", what, err)
		}
	}
}

func TestRetag(t *testing.T) {
	r, other := testkit.NewRegistry(t), testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	dgst := putIndex(t, r, "shop/api:1")
	from := r.Host + "/shop/api@" + dgst
	for _, tc := range []struct {
		what, to string
		counts   map[string]int
	}{
		{"one repository", r.Host + "/shop/api:2", map[string]int{"HEAD manifest": 2, "GET manifest": 1, "PUT manifest": 1}},
		{"again", r.Host + "/shop/api:2", map[string]int{"HEAD manifest": 1}},
		{"another repository", r.Host + "/shop/copy:2", nil},
		{"again", r.Host + "/shop/copy:2", map[string]int{"HEAD manifest": 1}},
		{"another registry", other.Host + "/x/y:3", nil},
	} {
		r.Forget()
		other.Forget()
		if err := c.Retag(t.Context(), from, tc.to); err != nil {
			t.Fatalf("%s: %v", tc.what, err)
		}
		if got := r.Counts(); tc.counts != nil && !reflect.DeepEqual(got, tc.counts) {
			t.Errorf("%s: requests %v, want %v", tc.what, got, tc.counts)
		}
		if tc.what == "another repository" && (r.Count("^PATCH ") > 0 || r.Count("^GET .*/blobs/") > 0) {
			t.Errorf("%s: blobs were copied, not mounted: %v", tc.what, r.Requests())
		}
		wholeImage(t, c, tc.to, dgst)
	}
}

// wholeImage fails unless every blob of the image ref is there.
func wholeImage(t *testing.T, c *registry.Client, ref, dgst string) {
	t.Helper()
	n := must(c.Parse(ref))
	idx := must(remote.Index(n, c.Options(t.Context())...))
	if h := must(idx.Digest()); h.String() != dgst {
		t.Fatalf("%s is %s, not %s", ref, h, dgst)
	}
	for _, m := range must(idx.IndexManifest()).Manifests {
		img := must(idx.Image(m.Digest))
		if _, err := img.ConfigFile(); err != nil {
			t.Error(err)
		}
		for _, l := range must(img.Layers()) {
			rc, err := l.Uncompressed()
			if err != nil {
				t.Error(err)
				continue
			}
			rc.Close()
		}
	}
}

// Where mounting is refused blobs are copied.
func TestRetagWithoutMount(t *testing.T) {
	for what, fault := range map[string]testkit.Fault{
		"refused": {Match: allPost, Wrap: func(registry http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				req.URL.RawQuery = "" // an upload begins instead
				registry.ServeHTTP(w, req)
			})
		}},
		"forbidden": {Match: allPost, Wrap: func(registry http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.URL.Query().Get("mount") != "" {
					http.Error(w, `{"errors":[{"code":"DENIED"}]}`, http.StatusForbidden)
					return
				}
				registry.ServeHTTP(w, req)
			})
		}},
	} {
		t.Run(what, func(t *testing.T) {
			r := testkit.NewRegistry(t)
			c := newClient(t, registry.Settings{}, noKeys(t))
			dgst := putIndex(t, r, "shop/api:1")
			r.Inject(fault)
			if err := c.Retag(t.Context(), r.Host+"/shop/api@"+dgst, r.Host+"/shop/copy:1"); err != nil {
				t.Fatal(err)
			}
			wholeImage(t, c, r.Host+"/shop/copy:1", dgst)
		})
	}
}

func TestRetagInParallel(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	dgst := putIndex(t, r, "shop/api:1")
	var wg sync.WaitGroup
	for i := range 20 {
		for _, repo := range []string{"api", "b", "c"} {
			wg.Go(func() {
				to := r.Host + "/shop/" + repo + ":v" + string(rune('a'+i%5))
				if err := c.Retag(t.Context(), r.Host+"/shop/api@"+dgst, to); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, repo := range []string{"api", "b", "c"} {
		for i := range 5 {
			wholeImage(t, c, r.Host+"/shop/"+repo+":v"+string(rune('a'+i)), dgst)
		}
	}
}

// F13: a tag that does not name what was put there is an error, whatever the
// registry answers.
func TestFault_F13_retag(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	dgst := putIndex(t, r, "shop/api:1")
	from := r.Host + "/shop/api@" + dgst
	accepted := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusCreated) }
	r.Inject(testkit.Fault{Match: allPut, Handler: accepted})
	for _, to := range []string{r.Host + "/shop/api:2", r.Host + "/shop/other:2"} {
		if err := c.Retag(t.Context(), from, to); err == nil || !strings.Contains(err.Error(), "then has nothing") {
			t.Errorf("%s: %v", to, err)
		}
	}
	r.Heal()
	r.Inject(testkit.Lost("^PUT ", 1)) // the answer is lost, the tag is there
	if err := c.Retag(t.Context(), from, r.Host+"/shop/api:3"); err != nil {
		t.Error(err)
	}
	for want, args := range map[string][2]string{
		"has no digest":      {r.Host + "/shop/api:1", r.Host + "/shop/api:2"},
		"is no tag":          {from, from},
		"not there any more": {r.Host + "/shop/api@sha256:" + strings.Repeat("0", 64), r.Host + "/shop/api:9"},
		"not found":          {r.Host + "/shop/api@sha256:" + strings.Repeat("0", 64), r.Host + "/shop/other:9"},
		"could not parse":    {from, "UPPER CASE"},
	} {
		if err := c.Retag(t.Context(), args[0], args[1]); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

// A tag that may not be moved stays, and is told.
func TestRetagOfAnImmutableTag(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	first := putIndex(t, r, "shop/api:1")
	second := putIndex(t, r, "shop/api:2")
	r.Inject(testkit.Status("^PUT .*/manifests/1$", 0, 409))
	err := c.Retag(t.Context(), r.Host+"/shop/api@"+second, r.Host+"/shop/api:1")
	if e, ok := errors.AsType[*registry.Error](err); !ok || !strings.Contains(e.Error(), "409") && !strings.Contains(e.Error(), "a fault of the test") {
		t.Errorf("got %v", err)
	}
	if err := c.Retag(t.Context(), r.Host+"/shop/api@"+first, r.Host+"/shop/api:1"); err != nil {
		t.Errorf("a tag that is right already: %v", err)
	}
}

var (
	allGet  = regexp.MustCompile("^GET ")
	allPost = regexp.MustCompile("^POST ")
	allPut  = regexp.MustCompile("^PUT .*/manifests/")
)

// endless answers without an end.
func endless(w http.ResponseWriter, _ *http.Request) {
	chunk := []byte(strings.Repeat("x", 1<<20))
	for range 64 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Tokens are fetched when they are asked for, once for what they allow, and
// again when they have expired.
func TestRepositoryWithTokens(t *testing.T) {
	for name, s := range map[string]*tokenServer{
		"long":  {oauth: true, lives: 1000},
		"short": {oauth: true, lives: 2},
	} {
		t.Run(name, func(t *testing.T) {
			host := tokenRegistry(t, s)
			c := newClient(t, registry.Settings{}, keysOf(t, map[string]string{host: "ann:s3cret"}))
			repo := must(c.Repository(host + "/app"))
			for range 5 {
				m, found, err := c.HeadDigest(t.Context(), host+"/app:1")
				if err != nil || !found {
					t.Fatal(found, err)
				}
				if err := c.Retag(t.Context(), host+"/app@"+m.Digest, host+"/app:2"); err != nil {
					t.Fatal(err)
				}
				must(repo.WriteBlob(t.Context(), []byte("a blob")))
			}
			if name == "long" && s.issued != 2 {
				t.Errorf("%d tokens were fetched, want one to read and one to write", s.issued)
			}
			stranger := newClient(t, registry.Settings{}, keysOf(t, map[string]string{host: "bob:x"}))
			_, _, err := stranger.HeadDigest(t.Context(), host+"/app:1")
			if got := registry.HTTPStatus(err); got != http.StatusUnauthorized {
				t.Errorf("status %d of %v", got, err)
			}
		})
	}
}

// Tags come in pages; a registry that sends the same page for ever is not
// asked for ever.
func TestTagsInPages(t *testing.T) {
	r := testkit.NewRegistry(t)
	c := newClient(t, registry.Settings{}, noKeys(t))
	repo := must(c.Repository(r.Host + "/a/many"))
	dgst := must(repo.WriteBlob(t.Context(), []byte("a blob")))
	raw := []byte(`{"schemaVersion":2,"mediaType":"` + ociManifest + `","config":{"mediaType":"x/y","digest":"` + dgst + `","size":6},"layers":[]}`)
	for i := range 1003 {
		must(repo.PutManifest(t.Context(), fmt.Sprintf("t%04d", i), ociManifest, raw))
	}
	r.Forget()
	if tags := must(repo.Tags(t.Context())); len(tags) != 1003 || tags[1002] != "t1002" {
		t.Errorf("%d tags", len(tags))
	}
	if got := r.Counts(); !reflect.DeepEqual(got, map[string]int{"GET tags": 2}) {
		t.Errorf("requests %v", got)
	}
	r.Inject(testkit.Fault{Match: allGet, Handler: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", `</v2/a/many/tags/list?n=2&last=b>; rel="next"`)
		_, _ = w.Write([]byte(`{"tags":["a","b"]}`))
	}})
	r.Forget()
	if tags := must(repo.Tags(t.Context())); len(tags) != 4 || r.Count(".") != 2 {
		t.Errorf("tags %v after %d requests", tags, r.Count("."))
	}
}
