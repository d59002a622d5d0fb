package index_test

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
)

// wrong is what problems say, in short.
func wrong(problems []index.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, strings.TrimSuffix(p.What+" "+p.Target, " "))
	}
	slices.Sort(all)
	return all
}

func TestUsageAndVerifyOfALocal(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	l, _ := openQuiet(dir)
	put(t, l, entry("a", "1"), detail("1"), "shared")
	put(t, l, entry("a", "2"), detail("2"), "shared")
	other := entry("b", "3")
	other.Project = "bar"
	put(t, l, other, nil, "shared")

	u := must(l.Usage())
	if journal := must(os.Stat(filepath.Join(dir, journal))).Size(); u.Bytes != journal+size(t, filepath.Join(dir, "blobs")) {
		t.Errorf("%d bytes; the files have %d", u.Bytes, journal+size(t, filepath.Join(dir, "blobs")))
	}
	for i := range u.Projects {
		if u.Projects[i].Bytes <= 0 {
			t.Errorf("%+v", u.Projects[i])
		}
		u.Projects[i].Bytes = 0
	}
	want := index.Usage{Entries: 3, Bytes: u.Bytes, Blobs: 3, BlobBytes: u.BlobBytes, Projects: []index.ProjectUsage{
		{Project: "bar", Targets: 1, Entries: 1}, {Project: "shop", Targets: 1, Entries: 2},
	}}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("got %+v\nwant %+v", u, want)
	}
	if got := must(l.Verify(t.Context())); got != nil {
		t.Errorf("problems %+v", got)
	}

	e, _ := l.Get(fp("1"))
	name := func(digest string) string { return filepath.Join(dir, "blobs", digest[7:9], digest[7:]) }
	if err := os.Remove(name(e.Detail)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name(e.Trees[0]), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	want2 := []string{"detail a", "listing a", "listing a", "listing b"}
	if got := wrong(must(l.Verify(t.Context()))); !reflect.DeepEqual(got, want2) {
		t.Errorf("problems %q, want %q", got, want2)
	}
	f := must(os.OpenFile(filepath.Join(dir, journal), os.O_APPEND|os.O_WRONLY, 0))
	must(f.WriteString("rubbish"))
	f.Close()
	if got := wrong(must(index.OpenLocal(dir, index.LocalOptions{}).Verify(t.Context()))); !slices.Contains(got, "journal") {
		t.Errorf("problems %q, want one of the journal", got)
	}
	for _, dir := range []string{"", filepath.Join(dir, "none")} {
		l := open(t, dir)
		if got, err := l.Verify(t.Context()); got != nil || err != nil {
			t.Errorf("%q: %v %v", dir, got, err)
		}
		if got, err := l.Usage(); got.Entries != 0 || got.Bytes != 0 || err != nil {
			t.Errorf("%q: %v %v", dir, got, err)
		}
	}
}

func TestRepositoryListsWhatIsThere(t *testing.T) {
	reg := testkit.NewRegistry(t)
	ref := reg.Host + "/shop/cache"
	r := must(index.OpenRepository(client(t), ref))
	if got := must(r.List(t.Context())); len(got) != 0 {
		t.Errorf("in nothing: %v", got)
	}
	publish(t, ref, 3, nil)
	c := client(t)
	repo := must(c.Repository(ref))
	for tag, raw := range map[string]string{"fp-nonsense": `{"schemaVersion":2,"config":` + emptyJSON + `,"layers":[]}`, "layers": `{"schemaVersion":2,"config":` + emptyJSON + `,"layers":[]}`} {
		must(repo.PutManifest(t.Context(), tag, "application/vnd.oci.image.manifest.v1+json", []byte(raw)))
	}
	all := must(r.List(t.Context()))
	var got []string
	for _, s := range all {
		got = append(got, strings.TrimSuffix(s.Entry.Target+" "+s.Problem, " "))
	}
	if want := []string{"t0", "t1", "t2", ` it is "" and not "application/vnd.strata.index.entry.v1"`}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	u := must(r.Usage(t.Context()))
	if u.Entries != 3 || u.Blobs != 7 || u.Bytes <= u.BlobBytes || len(u.Projects) != 1 || u.Projects[0].Targets != 3 {
		t.Errorf("usage %+v", u)
	}
	if got := must(r.Verify(t.Context(), index.Scope{Name: "main"})); len(got) != 1 || got[0].Name != "fp-nonsense" {
		t.Errorf("problems %+v", got)
	}
}

const emptyJSON = `{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}`

func TestRepositoryVerifies(t *testing.T) {
	public, private := keyPair(t)
	for name, tc := range map[string]struct {
		fault testkit.Fault
		scope index.Scope
		want  []string
	}{
		"good":              {scope: index.Scope{Name: "main"}},
		"signed":            {scope: index.Scope{Name: "main", Keys: []ed25519.PublicKey{public}}},
		"for another scope": {scope: index.Scope{Name: "pr", Keys: []ed25519.PublicKey{public}}, want: []string{"signature t0", "signature t1"}},
		"by another key":    {scope: index.Scope{Name: "main", Keys: []ed25519.PublicKey{must2(keyPair(t))}}, want: []string{"signature t0", "signature t1"}},
		"entries flipped":   {fault: testkit.Flip("^GET .*/manifests/fp-", 0, 40), want: []string{"entry", "entry"}},
		"snapshot flipped":  {fault: testkit.Flip("^GET .*/manifests/index-", 0, 40), want: []string{"snapshot"}},
		"blobs flipped": {
			fault: testkit.Flip("^GET .*/blobs/", 0, 9),
			want:  []string{"detail t0", "detail t1", "listing t0", "listing t0", "listing t1", "listing t1", "snapshot"},
		},
		"blobs gone": {
			fault: testkit.Status("^GET .*/blobs/", 0, 404),
			want:  []string{"detail t0", "detail t1", "listing t0", "listing t0", "listing t1", "listing t1", "snapshot"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			ref := reg.Host + "/shop/cache"
			publish(t, ref, 2, func(o *index.RemoteOptions) { o.Sign = private })
			if tc.fault.Match != nil {
				reg.Inject(tc.fault)
			}
			r := must(index.OpenRepository(client(t), ref))
			if got := wrong(must(r.Verify(t.Context(), tc.scope))); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("problems %q, want %q", got, tc.want)
			}
		})
	}
	r := must(index.OpenRepository(client(t), "127.0.0.1:1/a"))
	if _, err := r.Verify(t.Context(), index.Scope{}); err == nil {
		t.Error("a registry that is down is good")
	}
}

func TestRepositoryPrunes(t *testing.T) {
	for name, tc := range map[string]struct {
		policy index.Policy
		all    bool
		want   []string
		tags   int
	}{
		"nothing": {index.Policy{}, false, []string{"t3", "t2", "t1", "t0"}, 6},
		"entries": {index.Policy{MaxEntries: 3}, false, []string{"t3", "t2", "t1"}, 5},
		"age":     {index.Policy{MaxAge: 36 * time.Hour}, false, []string{"t3", "t2"}, 4},
		"bytes":   {index.Policy{MaxBytes: 3500}, false, []string{"t3", "t2"}, 4},
		"all":     {index.Policy{}, true, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			reg := testkit.NewRegistry(t)
			ref := reg.Host + "/shop/cache"
			m := fresh(t, []string{ref}, nil)
			for i := range 4 {
				e := entry(fmt.Sprint("t", i), fmt.Sprint(i))
				e.Built = time.Now().Add(time.Duration(i-3) * 24 * time.Hour)
				m.Put(t.Context(), e, detail("x"))
			}
			m.Flush(t.Context())
			quiet(t, m)
			c := client(t)
			repo := must(c.Repository(ref)) // with a tag of the layer cache
			must(repo.PutManifest(t.Context(), "layers", "application/vnd.oci.image.manifest.v1+json", []byte(`{"schemaVersion":2,"config":`+emptyJSON+`,"layers":[]}`)))

			r := must(index.OpenRepository(c, ref))
			done, err := r.Prune(t.Context(), tc.policy, tc.all)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range must(r.List(t.Context())) {
				got = append(got, s.Entry.Target)
			}
			if !reflect.DeepEqual(got, tc.want) || done.Entries != 4-len(tc.want) {
				t.Errorf("left %v, want %v; %+v", got, tc.want, done)
			}
			if tags := must(repo.Tags(t.Context())); len(tags) != tc.tags {
				t.Errorf("tags %v, want %d", tags, tc.tags)
			}
		})
	}
	reg := testkit.NewRegistry(t)
	ref := reg.Host + "/shop/cache"
	publish(t, ref, 1, nil)
	reg.Inject(testkit.Status("^DELETE ", 0, 405))
	r := must(index.OpenRepository(client(t), ref))
	if _, err := r.Prune(t.Context(), index.Policy{}, true); err == nil {
		t.Error("a registry that deletes nothing has deleted")
	}
}
