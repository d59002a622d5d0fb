package index_test

import (
	"crypto/ed25519"
	"fmt"
	"reflect"
	"sync"
	"testing"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
	"github.com/strata-build/strata/registry"
)

// client speaks to the registries of the tests.
func client(t testing.TB) *registry.Client {
	t.Helper()
	dir := t.TempDir()
	keys := registry.NewKeychain(func(k string) (string, bool) { return dir, k == "DOCKER_CONFIG" })
	c := registry.NewClient(registry.Settings{}, keys)
	t.Cleanup(c.Close)
	return c
}

// A machine is one that has no state but its remote index.
type machine struct {
	*index.Remote
	mu       sync.Mutex
	warnings []string
}

func (m *machine) warned() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.warnings
}

// fresh makes a machine. change may change its options.
func fresh(t testing.TB, repositories []string, change func(*index.RemoteOptions)) *machine {
	t.Helper()
	m := &machine{}
	opts := index.RemoteOptions{Project: "shop", Write: true, Warn: func(err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.warnings = append(m.warnings, err.Error())
	}}
	for _, r := range repositories {
		opts.Scopes = append(opts.Scopes, index.Scope{Name: "main", Repository: r})
	}
	if change != nil {
		change(&opts)
	}
	m.Remote = must(index.NewRemote(client(t), opts))
	return m
}

// quiet fails the test if a machine has warned.
func quiet(t testing.TB, m *machine) {
	t.Helper()
	if w := m.warned(); len(w) > 0 {
		t.Errorf("warnings %q", w)
	}
}

// publish puts entries of targets t0, t1... from a machine.
func publish(t testing.TB, repository string, n int, change func(*index.RemoteOptions)) []index.Fingerprint {
	t.Helper()
	m := fresh(t, []string{repository}, change)
	var fps []index.Fingerprint
	for i := range n {
		target := fmt.Sprint("t", i)
		m.Put(t.Context(), entry(target, target), detail(target), []byte("shared"), []byte(target))
		fps = append(fps, fp(target))
	}
	m.Flush(t.Context())
	quiet(t, m)
	return fps
}

func TestRemoteKeepsWhatIsPut(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	for what, load := range map[string]bool{"with the snapshot": true, "without": false} {
		t.Run(what, func(t *testing.T) {
			publish(t, repo, 3, nil)
			m := fresh(t, []string{repo}, nil)
			if load {
				m.Load(t.Context())
			}
			for i := range 3 {
				target := fmt.Sprint("t", i)
				want := sealed(entry(target, target), detail(target), "shared", target)
				got, ok := m.Get(t.Context(), fp(target))
				if !ok || !reflect.DeepEqual(got, want) {
					t.Fatalf("got %v %+v\nwant %+v", ok, got, want)
				}
				d, ok := m.Detail(t.Context(), got)
				if !ok || !reflect.DeepEqual(d.Inputs, detail(target).Inputs) || string(d.Record) != `{"schema":1}` {
					t.Errorf("detail: %v %+v", ok, d)
				}
				if tree, ok := m.Tree(t.Context(), got, got.Trees[1]); !ok || string(tree) != target {
					t.Errorf("listing: %v %q", ok, tree)
				}
			}
			for _, nothing := range []index.Fingerprint{fp("nothing"), "nonsense", ""} {
				if _, ok := m.Get(t.Context(), nothing); ok {
					t.Errorf("%q was found", nothing)
				}
			}
			if got := scopeOf(m, fp("t1")); got != "main" {
				t.Errorf("t1 is of scope %q", got)
			}
			quiet(t, m)
		})
	}
}

// A fresh machine needs two requests for all targets that have not changed, one
// for each that has, and none for what it has asked already.
func TestRequests(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	fps := publish(t, repo, 50, nil)
	publish(t, repo, 1, func(o *index.RemoteOptions) { o.Project = "other" })

	reg.Forget()
	m := fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	if got := m.GetAll(t.Context(), fps); len(got) != 50 {
		t.Errorf("%d of 50 were found", len(got))
	}
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 1, "GET blob": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("nothing changed: requests %v, want %v", got, want)
	}
	reg.Forget()
	changed := []index.Fingerprint{fp("a"), fp("b"), fp("c")}
	if got := m.GetAll(t.Context(), changed); len(got) != 0 {
		t.Errorf("found %v", got)
	}
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 3}); !reflect.DeepEqual(got, want) {
		t.Errorf("three changed: requests %v, want %v", got, want)
	}

	reg.Forget()
	m = fresh(t, []string{repo}, nil) // the snapshot is lost
	reg.Inject(testkit.Status("/manifests/index-", 0, 404))
	m.Load(t.Context())
	if got := m.GetAll(t.Context(), fps); len(got) != 50 {
		t.Errorf("%d of 50 were found", len(got))
	}
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 51}); !reflect.DeepEqual(got, want) {
		t.Errorf("without a snapshot: requests %v, want %v", got, want)
	}
	quiet(t, m)
}

// Many requests go over few connections: not many more than may be under way at
// once, since one that is being made when another comes free is kept.
func TestConnections(t *testing.T) {
	reg := testkit.NewRegistry(t)
	before := reg.Connections()
	m := fresh(t, []string{reg.Host + "/shop/cache"}, nil)
	var fps []index.Fingerprint
	for i := range 200 {
		fps = append(fps, fp(fmt.Sprint(i)))
	}
	m.GetAll(t.Context(), fps)
	if n := reg.Connections() - before; n < 1 || n > 24 {
		t.Errorf("%d connections for 200 requests, want few more than 8", n)
	}
	if n := reg.Count("^GET "); n != 200 {
		t.Errorf("%d requests, want 200", n)
	}
}

// Listings and the config are sent once, whoever has sent them.
func TestRequestsOfWriting(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	m := fresh(t, []string{repo}, nil)
	m.Put(t.Context(), entry("a", "a"), detail("a"), []byte("shared"), []byte("a"))
	if got, want := reg.Counts(), (map[string]int{"HEAD blob": 4, "POST upload": 4, "PUT upload": 4, "PUT manifest": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("the first: requests %v, want %v", got, want)
	}
	reg.Forget()
	m.Put(t.Context(), entry("b", "b"), detail("b"), []byte("shared"), []byte("b"))
	if got, want := reg.Counts(), (map[string]int{"HEAD blob": 2, "POST upload": 2, "PUT upload": 2, "PUT manifest": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("the second: requests %v, want %v", got, want)
	}
	reg.Forget()
	other := fresh(t, []string{repo}, nil)
	other.Put(t.Context(), entry("c", "c"), nil, []byte("shared"))
	if got, want := reg.Counts(), (map[string]int{"HEAD blob": 2, "PUT manifest": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("another machine: requests %v, want %v", got, want)
	}
	reg.Forget()
	m.Flush(t.Context())
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 1, "HEAD blob": 1, "POST upload": 1, "PUT upload": 1, "PUT manifest": 1, "HEAD manifest": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("flush: requests %v, want %v", got, want)
	}
	reg.Forget()
	m.Flush(t.Context())
	if got := reg.Counts(); len(got) > 0 {
		t.Errorf("nothing to flush: requests %v", got)
	}
}

// Machines that flush at once lose nothing that is found by its own tag, and
// those that flush one after another nothing of the snapshot.
func TestFlushMerges(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			m := fresh(t, []string{repo}, nil)
			m.Put(t.Context(), entry(fmt.Sprint("p", i), fmt.Sprint("p", i)), nil)
			m.Flush(t.Context())
			quiet(t, m)
		})
	}
	wg.Wait()
	m := fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	for i := range 6 {
		if _, ok := m.Get(t.Context(), fp(fmt.Sprint("p", i))); !ok {
			t.Errorf("p%d is lost", i)
		}
	}
	for i := range 6 {
		m := fresh(t, []string{repo}, nil)
		m.Put(t.Context(), entry(fmt.Sprint("s", i), fmt.Sprint("s", i)), nil)
		m.Flush(t.Context())
	}
	reg.Forget()
	m = fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	for i := range 6 {
		if _, ok := m.Get(t.Context(), fp(fmt.Sprint("s", i))); !ok {
			t.Errorf("s%d is lost", i)
		}
	}
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 1, "GET blob": 1}); !reflect.DeepEqual(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

func TestScopesAreReadInOrder(t *testing.T) {
	reg := testkit.NewRegistry(t)
	main, pr := reg.Host+"/shop/cache/main", reg.Host+"/shop/cache/pr-7"
	publish(t, main, 2, nil)
	asPR := func(o *index.RemoteOptions) {
		o.Scopes[0].Name = "pr-7"
		if len(o.Scopes) > 1 {
			o.Scopes[1].Name = "main"
		}
	}
	before := reg.Count("^(PUT|POST) /v2/shop/cache/main/")

	m := fresh(t, []string{pr, main}, asPR)
	m.Load(t.Context())
	if e, ok := m.Get(t.Context(), fp("t0")); !ok || scopeOf(m, e.Fingerprint) != "main" {
		t.Errorf("t0: %v %+v", ok, e)
	}
	mine := entry("t0", "mine")
	m.Put(t.Context(), mine, detail("mine"))
	m.Flush(t.Context())
	quiet(t, m)
	if n := reg.Count("^(PUT|POST) /v2/shop/cache/main/"); n != before {
		t.Errorf("%d requests have written to another scope", n-before)
	}

	m = fresh(t, []string{pr, main}, asPR)
	m.Load(t.Context())
	for of, want := range map[string]string{"mine": "pr-7", "t1": "main"} {
		if _, ok := m.Get(t.Context(), fp(of)); !ok || scopeOf(m, fp(of)) != want {
			t.Errorf("%s: %v %q, want %q", of, ok, scopeOf(m, fp(of)), want)
		}
	}
	for scope, want := range map[string]string{"": "mine", "pr-7": "mine", "main": "t0", "other": ""} {
		e, ok := m.Latest(scope, "t0")
		if ok != (want != "") || ok && e.Fingerprint != fp(want) {
			t.Errorf("latest of t0 in %q: %v %+v, want %q", scope, ok, e, want)
		}
	}

	m = fresh(t, []string{main}, nil)
	if _, ok := m.Get(t.Context(), fp("mine")); ok {
		t.Error("main reads what a pull request wrote")
	}
}

func TestWithoutWriteNothingIsWritten(t *testing.T) {
	reg := testkit.NewRegistry(t)
	m := fresh(t, []string{reg.Host + "/shop/cache"}, func(o *index.RemoteOptions) { o.Write = false })
	m.Put(t.Context(), entry("a", "a"), detail("a"), []byte("x"))
	m.Flush(t.Context())
	if got := reg.Requests(); len(got) > 0 {
		t.Errorf("requests %v", got)
	}
	quiet(t, m)
}

// The snapshot holds the latest few of each target, and keeps entries byte for
// byte: signatures are over the bytes.
func TestSnapshotIsBounded(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	for i := range 6 {
		m := fresh(t, []string{repo}, nil)
		e := entry("a", fmt.Sprint(i))
		e.Built = built.AddDate(0, 0, i)
		e.Branch = "<&>\u2028\"\\é"
		m.Put(t.Context(), e, nil)
		m.Flush(t.Context())
		quiet(t, m)
	}
	m := fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	reg.Forget()
	for i := range 6 {
		if _, ok := m.Get(t.Context(), fp(fmt.Sprint(i))); !ok {
			t.Errorf("entry %d is lost", i)
		}
	}
	if got, want := reg.Counts(), (map[string]int{"GET manifest": 2}); !reflect.DeepEqual(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
	if e, ok := m.Latest("", "a"); !ok || e.Fingerprint != fp("5") || e.Branch != "<&>\u2028\"\\é" {
		t.Errorf("latest %v %+v", ok, e)
	}
}

func TestEqualInputsInASnapshot(t *testing.T) {
	reg := testkit.NewRegistry(t)
	repo := reg.Host + "/shop/cache"
	m := fresh(t, []string{repo}, nil)
	for _, target := range []string{"a", "b"} {
		m.Put(t.Context(), entry(target, "same"), nil)
	}
	m.Flush(t.Context())
	m = fresh(t, []string{repo}, nil)
	m.Load(t.Context())
	for _, target := range []string{"a", "b"} {
		if e, ok := m.Latest("", target); !ok || e.Fingerprint != fp("same") {
			t.Errorf("%s: %v %+v", target, ok, e)
		}
	}
	quiet(t, m)
}

// Where entries must be signed, an entry that is not is not even written: it
// would take the place of one that counts.
func TestUnsignedIsNotWrittenWhereKeysAre(t *testing.T) {
	public, private := keyPair(t)
	_, stranger := keyPair(t)
	for name, key := range map[string]ed25519.PrivateKey{"unsigned": nil, "stranger": stranger, "signed": private} {
		reg := testkit.NewRegistry(t)
		m := fresh(t, []string{reg.Host + "/shop/cache"}, func(o *index.RemoteOptions) {
			o.Scopes[0].Keys, o.Sign = []ed25519.PublicKey{public}, key
		})
		for i := range 3 {
			m.Put(t.Context(), entry("a", fmt.Sprint(i)), nil)
		}
		m.Flush(t.Context())
		if name == "signed" {
			quiet(t, m)
			continue
		}
		if got, w := reg.Requests(), m.warned(); len(got) > 0 || len(w) != 1 {
			t.Errorf("%s: requests %v, warnings %q", name, got, w)
		}
	}
}

func TestNewRemoteRefusesNonsense(t *testing.T) {
	for _, scopes := range [][]index.Scope{nil, {{Name: "main", Repository: "UPPER CASE"}}} {
		if _, err := index.NewRemote(client(t), index.RemoteOptions{Scopes: scopes}); err == nil {
			t.Errorf("%v was taken", scopes)
		}
	}
}

// BenchmarkFreshMachine200 is a run on a machine without any state, in which
// none of 200 targets changed.
func BenchmarkFreshMachine200(b *testing.B) {
	for what, load := range map[string]bool{"snapshot": true, "tags": false} {
		b.Run(what, func(b *testing.B) {
			reg := testkit.NewRegistry(b)
			repo := reg.Host + "/shop/cache"
			fps := publish(b, repo, 200, nil)
			for b.Loop() {
				m := fresh(b, []string{repo}, nil)
				if load {
					m.Load(b.Context())
				}
				if n := len(m.GetAll(b.Context(), fps)); n != 200 {
					b.Fatal(n)
				}
			}
		})
	}
}

// scopeOf names the scope that an entry was found in.
func scopeOf(m *machine, fp index.Fingerprint) string {
	s, _ := m.FoundIn(fp)
	return s.Name
}
