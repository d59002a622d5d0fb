package index_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/internal/testkit"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STRATA_INDEX_TEST_WRITER"); dir != "" {
		writeMany(dir, os.Getenv("STRATA_INDEX_TEST_NAME"))
		return
	}
	goleak.VerifyTestMain(m, testkit.IgnoreRegistry())
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fp is the fingerprint of anything.
func fp(of string) index.Fingerprint {
	sum := sha256.Sum256([]byte(of))
	return index.Fingerprint(hex.EncodeToString(sum[:]))
}

var built = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// entry is a success of target.
func entry(target, of string) index.Entry {
	return index.Entry{
		Fingerprint: fp(of), Project: "shop", Target: target, Platforms: []string{"linux/amd64"},
		Digest: index.DigestOf([]byte(of)), MediaType: "application/vnd.oci.image.index.v1+json", Size: 856,
		Tags: []string{"registry.example.com/shop/" + target + ":1"}, Repositories: []string{"registry.example.com/shop/" + target},
		Outputs: []index.Output{{Type: "oci", Dest: "out.tar", Digest: index.DigestOf([]byte("out"))}},
		Built:   built, Duration: 3 * time.Second, Run: "r1", Revision: "abc", Branch: "main",
	}
}

func detail(text string) *index.Detail {
	return &index.Detail{
		Inputs: []index.Input{{Kind: "arg", Name: "V", Value: text, Place: "build.hcl:3"}},
		Record: json.RawMessage(`{"schema":1}`),
	}
}

// sealed is what is kept of an entry.
func sealed(e index.Entry, d *index.Detail, trees ...string) index.Entry {
	e.Schema = index.Schema
	if d != nil {
		c := *d
		c.Schema = index.Schema
		e.Detail = index.DigestOf(must(json.Marshal(c)))
	}
	for _, t := range trees {
		e.Trees = append(e.Trees, index.DigestOf([]byte(t)))
	}
	return e
}

// open opens the index in dir. Warnings fail the test.
func open(t testing.TB, dir string) *index.Local { return openLimited(t, dir, index.DefaultLimits()) }

func openLimited(t testing.TB, dir string, limits index.Policy) *index.Local {
	t.Helper()
	l := index.OpenLocal(dir, index.LocalOptions{Limits: &limits, Warn: func(err error) { t.Errorf("warning: %v", err) }})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// openQuiet is open for a damaged index; warnings are collected. It is not
// closed: nothing shall be mended by the way.
func openQuiet(dir string) (*index.Local, *[]string) {
	warnings := new([]string)
	return index.OpenLocal(dir, index.LocalOptions{Warn: func(err error) { *warnings = append(*warnings, err.Error()) }}), warnings
}

func put(t testing.TB, l *index.Local, e index.Entry, d *index.Detail, trees ...string) {
	t.Helper()
	var raw [][]byte
	for _, tree := range trees {
		raw = append(raw, []byte(tree))
	}
	if err := l.Put(t.Context(), e, d, raw...); err != nil {
		t.Fatal(err)
	}
}

// writeMany is what a second process of a test does.
func writeMany(dir, name string) {
	l := index.OpenLocal(dir, index.LocalOptions{})
	for i := range writes {
		target := fmt.Sprintf("%s-%d", name, i)
		if err := l.Put(contextBackground, entry(target, target), detail(target), []byte("shared"), []byte(target)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(target)
	}
	if err := l.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
