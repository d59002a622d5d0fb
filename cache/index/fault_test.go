package index_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
)

// hasty is not patient: what hangs shall not hold up the tests.
func hasty(o *index.RemoteOptions) { o.Patience = time.Second }

func answers(pattern string, h http.HandlerFunc) testkit.Fault {
	return testkit.Fault{Match: regexp.MustCompile(pattern), Handler: h}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		_, _ = w.Write([]byte(s))
	}
}

// F18, F19, T12: whatever is wrong with answers, no entry is invented, nothing
// fails, and there is one warning. Where the fault is of single answers, the
// others still count.
func TestFault_F18_reading(t *testing.T) {
	const all, snapshot, entries, blobs = "^GET ", "^GET .*/manifests/index-", "^GET .*/manifests/fp-", "^GET .*/blobs/"
	huge := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1099511627776")
		_, _ = w.Write([]byte("x"))
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				return
			}
		}
	}
	for name, tc := range map[string]struct {
		fault testkit.Fault
		found int // of 20
		warns int
	}{
		"no snapshot":              {testkit.Status(snapshot, 0, 404), 20, 0},
		"no blob":                  {testkit.Status(blobs, 0, 404), 20, 0},
		"nothing":                  {testkit.Status(all, 0, 404), 0, 0},
		"snapshot flipped":         {testkit.Flip(snapshot, 0, 20), 20, 1},
		"snapshot cut":             {testkit.Truncate(snapshot, 0, 20), 20, 1},
		"snapshot is no manifest":  {answers(snapshot, text(`[]`)), 20, 1},
		"snapshot is an image":     {answers(snapshot, text(`{"schemaVersion":2}`)), 20, 1},
		"snapshot without a layer": {answers(snapshot, text(`{"artifactType":"application/vnd.strata.index.snapshot.v1"}`)), 20, 1},
		"snapshot's blob flipped":  {testkit.Flip(blobs, 0, 9), 20, 1},
		"snapshot's blob cut":      {testkit.Truncate(blobs, 0, 9), 20, 1},
		"snapshot without an end":  {answers(snapshot, endless), 20, 1},
		"blob without an end":      {answers(blobs, huge), 20, 1},
		"entries flipped":          {testkit.Flip(entries, 0, 40), 20, 0}, // the snapshot has them
		"all flipped":              {testkit.Flip(all, 0, 40), 0, 1},
		"all cut":                  {testkit.Truncate(all, 0, 40), 0, 1},
		"all are nonsense":         {answers(all, text(`{"schemaVersion":2}`)), 0, 2}, // snapshot, entries
		"all without an end":       {answers(all, endless), 0, 1},
		"all forbidden":            {testkit.Status(all, 0, 403), 0, 1},
		"all out of order":         {testkit.Status(all, 0, 503), 0, 1},
		"all limited":              {testkit.Limited(all, 0, "3600"), 0, 1},
		"all limited, no word":     {testkit.Limited(all, 0, ""), 0, 1},
		"all reset":                {testkit.Reset(all, 0), 0, 1},
		"all hang":                 {testkit.Hang(all, 0), 0, 1},
		"snapshot hangs":           {testkit.Hang(snapshot, 0), 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			repo := reg.Host + "/shop/cache"
			fps := publish(t, repo, 20, nil)
			reg.Inject(tc.fault)
			change := hasty
			if tc.found > 0 || tc.warns != 1 || strings.Contains(name, "end") {
				change = nil
			}
			m := fresh(t, []string{repo}, change)
			m.Load(t.Context())
			got := m.GetAll(t.Context(), fps)
			if len(got) != tc.found {
				t.Errorf("%d of 20 were found, want %d", len(got), tc.found)
			}
			for fp, e := range got {
				if want := sealed(entry(e.Target, e.Target), detail(e.Target), "shared", e.Target); fp != want.Fingerprint || !reflect.DeepEqual(e, want) {
					t.Errorf("got %+v, want %+v", e, want)
				}
			}
			if w := m.warned(); len(w) != tc.warns {
				t.Errorf("%d warnings, want %d: %q", len(w), tc.warns, w)
			}
		})
	}
}

// A registry that is down is not asked again: neither for other entries nor in
// other scopes, nor written.
func TestARegistryThatIsDownIsLeftAlone(t *testing.T) {
	for name, fault := range map[string]testkit.Fault{
		"hangs": testkit.Hang(".", 0), "out of order": testkit.Status(".", 0, 503), "limited": testkit.Limited(".", 0, "3600"),
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			reg.Inject(fault)
			m := fresh(t, []string{reg.Host + "/a", reg.Host + "/b"}, func(o *index.RemoteOptions) {
				hasty(o)
				o.Parallel = 1
			})
			m.Load(t.Context())
			for i := range 200 {
				m.Get(t.Context(), fp(fmt.Sprint(i)))
				m.Put(t.Context(), entry("a", fmt.Sprint(i)), detail("a"))
			}
			m.Flush(t.Context())
			if n := len(reg.Requests()); n > 3 { // one, with its tries
				t.Errorf("%d requests were sent to a registry that is down", n)
			}
			if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], "is not asked again") {
				t.Errorf("warnings %q", w)
			}
		})
	}
	m := fresh(t, []string{"127.0.0.1:1/a"}, nil) // nobody listens
	m.Load(t.Context())
	m.GetAll(t.Context(), []index.Fingerprint{fp("1"), fp("2")})
	if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], "nothing listens") {
		t.Errorf("warnings %q", w)
	}
}

// One repository that refuses does not take the others with it.
func TestOneScopeRefuses(t *testing.T) {
	reg := testkit.NewRegistry(t)
	own, main := reg.Host+"/own", reg.Host+"/main"
	fps := publish(t, main, 3, nil)
	reg.Inject(testkit.Status("^GET /v2/own/", 0, 403))
	m := fresh(t, []string{own, main}, nil)
	if got := m.GetAll(t.Context(), fps); len(got) != 3 {
		t.Errorf("%d of 3 were found", len(got))
	}
	if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], own+" is not asked again") {
		t.Errorf("warnings %q", w)
	}
}

// A pass of a fault is waited for, and nobody is told.
func TestFault_F09_F10(t *testing.T) {
	for name, fault := range map[string]testkit.Fault{
		"503": testkit.Status("^GET .*/manifests/", 1, 503), "429": testkit.Limited("^GET .*/manifests/", 1, "0"),
		"reset": testkit.Reset("^GET .*/manifests/", 1), "lost PUT": testkit.Lost("^PUT .*/manifests/", 1),
		"lost upload": testkit.Lost("^PUT .*/uploads/", 1), "503 on POST": testkit.Status("^POST ", 1, 503),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			reg := testkit.NewRegistry(t)
			repo := reg.Host + "/shop/cache"
			reg.Inject(fault)
			fps := publish(t, repo, 2, nil)
			m := fresh(t, []string{repo}, nil)
			m.Load(t.Context())
			if got := m.GetAll(t.Context(), fps); len(got) != 2 {
				t.Errorf("%d of 2 were found", len(got))
			}
			quiet(t, m)
		})
	}
}

// What cannot be written is one warning, and what is there can still be read.
func TestFault_F19_writing(t *testing.T) {
	for name, tc := range map[string]struct {
		fault testkit.Fault
		want  string
	}{
		"uploads forbidden":     {testkit.Status("^POST ", 0, 403), "nothing is written to"},
		"uploads need a login":  {testkit.Status("^POST ", 0, 401), "nothing is written to"},
		"uploads not allowed":   {testkit.Status("^POST ", 0, 405), "nothing is written to"},
		"upload lost":           {testkit.Status("^PUT .*/uploads/", 0, 404), "nothing is written to"},
		"manifests refused":     {testkit.Status("^PUT .*/manifests/", 0, 400), "others will not find it"},
		"manifests forbidden":   {testkit.Status("^PUT .*/manifests/", 0, 403), "others will not find it"},
		"manifests unavailable": {testkit.Status("^PUT .*/manifests/", 0, 404), "nothing is written to"},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			repo := reg.Host + "/shop/cache"
			fps := publish(t, repo, 2, nil)
			reg.Inject(tc.fault)
			m := fresh(t, []string{repo}, nil)
			m.Load(t.Context())
			for i := range 20 {
				m.Put(t.Context(), entry("new", fmt.Sprint(i)), detail(fmt.Sprint(i)), []byte("new"))
			}
			m.Flush(t.Context())
			if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], tc.want) {
				t.Errorf("warnings %q, want one with %q", w, tc.want)
			}
			if got := m.GetAll(t.Context(), fps); len(got) != 2 {
				t.Errorf("%d of 2 are found still", len(got))
			}
		})
	}
}

// A registry whose tags cannot be moved is as good, but for the snapshot.
func TestImmutableTags(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	fps := publish(t, repo, 2, nil)
	reg.Inject(testkit.Status("^PUT .*/manifests/(index-|fp-"+string(fp("t0")[:32])+"|fp-"+string(fp("t1")[:32])+")", 0, 409))

	m := fresh(t, []string{repo}, nil)
	again := entry("t0", "t0")
	again.Run = "r2"
	m.Put(t.Context(), again, detail("again"))
	quiet(t, m)
	m.Put(t.Context(), entry("new", "new"), detail("new"))
	quiet(t, m)
	m.Flush(t.Context())
	if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], "others will not find it there") {
		t.Errorf("warnings %q", w)
	}
	m = fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	if got := m.GetAll(t.Context(), append(fps, fp("new"))); len(got) != 3 || got[fp("t0")].Run != "r1" {
		t.Errorf("found %+v", got)
	}
	other := entry("t1", "t1")
	other.Digest = index.DigestOf([]byte("another image"))
	m.Put(t.Context(), other, nil)
	if w := m.warned(); len(w) != 1 || !strings.Contains(w[0], "others will not find it there") {
		t.Errorf("another result under a tag that is taken: warnings %q", w)
	}
}

func TestNoHead(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	reg.Inject(testkit.Status("^HEAD ", 0, 405))
	fps := publish(t, repo, 3, nil)
	m := fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	if got := m.GetAll(t.Context(), fps); len(got) != 3 {
		t.Errorf("%d of 3 were found", len(got))
	}
	quiet(t, m)
}

// Who ends a run is not told of it.
func TestCancelled(t *testing.T) {
	reg := testkit.NewRegistry(t)
	reg.Inject(testkit.Hang(".", 0))
	m := fresh(t, []string{reg.Host + "/a"}, nil)
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.GetAll(ctx, []index.Fingerprint{fp("1"), fp("2")})
		m.Put(ctx, entry("a", "a"), nil)
	}()
	for reg.Count(".") == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel(errors.New("stopped"))
	<-done
	quiet(t, m)
}

// An entry of another schema, or of another fingerprint under this one's tag,
// is a miss.
func TestOtherEntriesUnderATag(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	publish(t, repo, 2, nil)
	c := client(t)
	r := must(c.Repository(repo))
	m, _ := must3(r.Manifest(t.Context(), "fp-"+string(fp("t0")[:32])))
	for name, raw := range map[string]string{
		"another schema":      strings.Replace(string(m.Raw), `{\"schema\":1,`, `{\"schema\":2,`, 1),
		"another fingerprint": strings.Replace(string(m.Raw), `fingerprint\":\"`+string(fp("t0")), `fingerprint\":\"`+string(fp("t0")[:32]+fp("t1")[32:]), 1),
		"no entry":            strings.Replace(string(m.Raw), `build.strata.entry`, `build.strata.other`, 1),
		"another artifact":    strings.Replace(string(m.Raw), `index.entry.v1`, `index.entry.v2`, 1),
	} {
		if raw == string(m.Raw) {
			t.Fatalf("%s: nothing was changed in %s", name, raw)
		}
		if _, err := r.PutManifest(t.Context(), "fp-"+string(fp("t0")[:32]), m.MediaType, []byte(raw)); err != nil {
			t.Fatal(err)
		}
		remote := fresh(t, []string{repo}, nil)
		if e, ok := remote.Get(t.Context(), fp("t0")); ok {
			t.Errorf("%s: found %+v", name, e)
		}
		if w := remote.warned(); len(w) != 1 {
			t.Errorf("%s: warnings %q", name, w)
		}
	}
}
