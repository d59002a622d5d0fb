package index_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/cache/index"
)

const journal = "journal.v1"

// three makes an index of three entries and returns its journal, and where each
// entry ends in it.
func three(t *testing.T) (data []byte, ends []int) {
	t.Helper()
	dir := t.TempDir()
	chmod(t, dir)
	l := open(t, dir)
	for i := range 3 {
		put(t, l, small(i), nil)
		data = must(os.ReadFile(filepath.Join(dir, journal)))
		ends = append(ends, len(data))
	}
	return data, ends
}

// small is an entry of few bytes: every one of them will be damaged.
func small(i int) index.Entry {
	return index.Entry{Fingerprint: fp(fmt.Sprint(i)), Target: fmt.Sprint("t", i), Built: built}
}

// indexOf makes a directory with this journal.
func indexOf(t *testing.T, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	chmod(t, dir)
	if err := os.WriteFile(filepath.Join(dir, journal), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// found is which of the entries 0, 1, 2 an index has. Each must be whole.
func found(t *testing.T, l *index.Local) []int {
	t.Helper()
	var all []int
	for i := range 3 {
		e, ok := l.Get(fp(fmt.Sprint(i)))
		if !ok {
			continue
		}
		if want := sealed(small(i), nil); !reflect.DeepEqual(e, want) {
			t.Fatalf("entry %d came back as %+v", i, e)
		}
		all = append(all, i)
	}
	return all
}

// F15: truncated at every byte, the entries before are used, one warning is
// given if anything was lost, and the next Put mends the journal.
func TestFault_F15_truncated(t *testing.T) {
	data, ends := three(t)
	for n := range len(data) {
		dir := indexOf(t, data[:n])
		var want []int
		whole := n == 0
		for i, end := range ends {
			if n >= end {
				want = append(want, i)
			}
			whole = whole || n == end
		}
		whole = whole || n == len("strata index 1\n")
		checkMended(t, fmt.Sprintf("truncated at %d", n), dir, want, whole)
	}
}

// F15: with any bit flipped, only entries that are whole are found.
func TestFault_F15_flipped(t *testing.T) {
	data, ends := three(t)
	for at := range data {
		bad := slices.Clone(data)
		bad[at] ^= 1 << (at % 8)
		var want []int
		for i, end := range ends {
			if at >= end {
				want = append(want, i)
			}
		}
		checkMended(t, fmt.Sprintf("byte %d flipped", at), indexOf(t, bad), want, false)
	}
}

func checkMended(t *testing.T, what, dir string, want []int, whole bool) {
	t.Helper()
	l, warnings := openQuiet(dir)
	if got := found(t, l); !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: entries %v, want %v", what, got, want)
	}
	if whole != (len(*warnings) == 0) || len(*warnings) > 1 {
		t.Fatalf("%s: warnings %q", what, *warnings)
	}
	put(t, l, index.Entry{Fingerprint: fp("new"), Target: "new"}, nil)
	l, warnings = openQuiet(dir)
	if got := found(t, l); !reflect.DeepEqual(got, want) || len(*warnings) > 0 {
		t.Fatalf("%s, mended: entries %v, want %v; warnings %q", what, got, want, *warnings)
	}
	if _, ok := l.Get(fp("new")); !ok {
		t.Fatalf("%s: what was put is not there", what)
	}
}

func TestFault_F15_zeros(t *testing.T) {
	data, _ := three(t)
	for what, tail := range map[string][]byte{
		"zeros":           make([]byte, 4096),
		"text":            []byte("this is no journal, and longer than a head"),
		"an endless body": {0xff, 0xff, 0xff, 0x7f, 1, 2, 3, 4, 5},
		"an empty body":   record(nil),
		"a short entry":   record([]byte("e12")),
		"a short use":     record([]byte("u12345678x")),
	} {
		checkMended(t, what, indexOf(t, append(slices.Clone(data), tail...)), []int{0, 1, 2}, false)
	}
}

// record frames a body as the journal does.
func record(body []byte) []byte {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
	sum := crc32.Checksum(append(slices.Clone(head), body...), crc32.MakeTable(crc32.Castagnoli))
	return append(binary.LittleEndian.AppendUint32(head, sum), body...)
}

// A kind of record that is not known is passed over.
func TestLaterKindsArePassedOver(t *testing.T) {
	data, _ := three(t)
	l := open(t, indexOf(t, append(slices.Clone(data), record([]byte("?later"))...)))
	if got := found(t, l); !reflect.DeepEqual(got, []int{0, 1, 2}) {
		t.Errorf("entries %v", got)
	}
}

// An entry of another schema version is a miss, whatever its form.
func TestOtherSchemaIsAMiss(t *testing.T) {
	data, _ := three(t)
	for _, json := range []string{`{"schema":2}`, `{"schema":2,"built":"tomorrow"}`, `{`, `{"schema":1,"fingerprint":"` + string(fp("9")) + `"}`} {
		body := append([]byte("e12345678"), rawFP("8")...)
		body = append(append(body, make([]byte, 16)...), json...)
		l, warnings := openQuiet(indexOf(t, append(slices.Clone(data), record(body)...)))
		for range 3 {
			if e, ok := l.Get(fp("8")); ok {
				t.Errorf("%s: %+v", json, e)
			}
		}
		if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "is passed over") {
			t.Errorf("%s: warnings %q", json, *warnings)
		}
		if got := found(t, l); !reflect.DeepEqual(got, []int{0, 1, 2}) {
			t.Errorf("entries %v", got)
		}
	}
}

func rawFP(of string) []byte { return must(hex.DecodeString(string(fp(of)))) }

// T23: nothing is read or written through a symbolic link, and nothing that
// others can write to is believed.
func TestThreat_T23(t *testing.T) {
	data, _ := three(t)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(dir string) error{
		"a journal that is a link": func(dir string) error {
			return os.Symlink(victim, filepath.Join(dir, journal))
		},
		"a journal that is a directory": func(dir string) error {
			return os.Mkdir(filepath.Join(dir, journal), 0o700)
		},
		"a journal that others can write to": func(dir string) error {
			err := os.WriteFile(filepath.Join(dir, journal), data, 0o600)
			if err == nil {
				err = os.Chmod(filepath.Join(dir, journal), 0o666)
			}
			return err
		},
		"a lock that is a link": func(dir string) error {
			return os.Symlink(victim, filepath.Join(dir, "lock"))
		},
		"a lease that is a link": func(dir string) error {
			return os.Symlink(victim, filepath.Join(dir, "lease"))
		},
		"blobs elsewhere": func(dir string) error {
			return os.Symlink(filepath.Dir(victim), filepath.Join(dir, "blobs"))
		},
		"a directory that is a link": func(dir string) error {
			if err := os.Remove(dir); err != nil {
				return err
			}
			return os.Symlink(filepath.Dir(victim), dir)
		},
		"a directory that others can write to": func(dir string) error { return os.Chmod(dir, 0o777) },
	} {
		dir := filepath.Join(t.TempDir(), "index")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		l, warnings := openQuiet(dir)
		if got := found(t, l); got != nil {
			t.Errorf("%s: entries %v are believed", what, got)
		}
		if len(*warnings) > 1 {
			t.Errorf("%s: warnings %q", what, *warnings)
		}
		if err := l.Put(t.Context(), entry("new", "new"), detail("x"), []byte("tree")); err == nil {
			t.Errorf("%s: an entry was put", what)
		}
		if got := must(os.ReadFile(victim)); string(got) != string(data) {
			t.Fatalf("%s: the victim was changed", what)
		}
		if others := must(os.ReadDir(filepath.Dir(victim))); len(others) != 1 {
			t.Fatalf("%s: %v was written beside the victim", what, others)
		}
	}
}

// Another user's directory is refused. Only root can make one.
func TestWrongOwner(t *testing.T) {
	data, _ := three(t)
	dir := indexOf(t, data)
	if err := os.Chown(dir, 12345, 12345); err != nil {
		t.Fatalf("the tests run as root: %v", err)
	}
	l, warnings := openQuiet(dir)
	if got := found(t, l); got != nil || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "belongs to user 12345") {
		t.Errorf("entries %v, warnings %q", got, *warnings)
	}
	if err := l.Put(t.Context(), entry("a", "a"), nil); err == nil {
		t.Error("an entry was put")
	}
}

// A blob that is damaged in any way is as good as none, and is written again.
func TestDamagedBlobs(t *testing.T) {
	dir := t.TempDir()
	chmod(t, dir)
	l, warnings := openQuiet(dir)
	e := entry("api", "1")
	blob := filepath.Join(dir, "blobs", index.DigestOf([]byte("tree"))[7:9], index.DigestOf([]byte("tree"))[7:])
	for what, spoil := range map[string]func(data []byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"truncated": func(data []byte) []byte { return data[:len(data)-1] },
		"flipped":   func(data []byte) []byte { data[len(data)-2] ^= 4; return data },
		"no zstd":   func([]byte) []byte { return []byte("tree") },
	} {
		put(t, l, e, nil, "tree")
		got, _ := l.Get(e.Fingerprint)
		if tree, ok := l.Tree(got.Trees[0]); !ok || string(tree) != "tree" {
			t.Fatalf("before it is %s, the blob is %v %q", what, ok, tree)
		}
		if err := os.WriteFile(blob, spoil(must(os.ReadFile(blob))), 0o600); err != nil {
			t.Fatal(err)
		}
		if tree, ok := l.Tree(got.Trees[0]); ok {
			t.Errorf("%s: %q", what, tree)
		}
	}
	if len(*warnings) != 1 {
		t.Errorf("warnings %q, want one for all", *warnings)
	}
	for _, digest := range []string{"", "sha256:xyz", "../../etc/passwd", index.DigestOf([]byte("never put"))} {
		if _, ok := l.Tree(digest); ok {
			t.Errorf("%q is there", digest)
		}
	}
}
