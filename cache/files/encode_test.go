package files

import (
	"bytes"
	"crypto/sha256"
	"reflect"
	"testing"
)

var someFiles = []File{
	{Path: "a", Mode: 0o644, Size: 3, Digest: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	{Path: "a/b", Mode: 1<<31 | 0o755, Digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
	{Path: "a/b/link", Mode: 1<<27 | 0o777, Size: 1, Digest: "none", Link: "../x"},
}

func TestEncode(t *testing.T) {
	for _, list := range [][]File{someFiles, {}} {
		b := Encode(list)
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, list) {
			t.Errorf("got %v, %v", got, err)
		}
		if !bytes.Equal(b, Encode(got)) {
			t.Error("other bytes for the same list")
		}
		for i := range b {
			if _, err := Decode(b[:i]); err == nil {
				t.Errorf("cut at %d: no error", i)
			}
			bad := bytes.Clone(b)
			bad[i] ^= 0x10
			if _, err := Decode(bad); err == nil {
				t.Errorf("byte %d: no error", i)
			}
		}
	}
}

func sealList(b []byte) []byte {
	sum := sha256.Sum256(b)
	return append(bytes.Clone(b), sum[:]...)
}

func FuzzDecode(f *testing.F) {
	b := Encode(someFiles)
	f.Add(b[:len(b)-32])
	f.Add([]byte(listing))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Decode(b)
		list, err := Decode(sealList(b)) // beyond the sum
		if err != nil {
			return
		}
		again, err := Decode(Encode(list))
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Fatalf("%v\n%v\n%v", list, again, err)
		}
	})
}

func TestDiff(t *testing.T) {
	sum := func(s string) string { return "sha256:" + s }
	old := []File{
		{Path: "a", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "b", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "c", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "d", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "e", Mode: 1<<27 | 0o777, Size: 1, Digest: sum("1"), Link: "x"},
		{Path: "f", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "g", Mode: 1<<31 | 0o755, Digest: sum("1")},
	}
	new := []File{
		{Path: "a", Mode: 0o644, Size: 1, Digest: sum("1")},
		{Path: "aa", Mode: 0o644, Size: 1, Digest: sum("2")},
		{Path: "c", Mode: 0o644, Size: 1, Digest: sum("2")},
		{Path: "d", Mode: 1<<23 | 0o755, Size: 1, Digest: sum("2")},
		{Path: "e", Mode: 1<<27 | 0o777, Size: 1, Digest: sum("2"), Link: "y"},
		{Path: "f", Mode: 0o755, Size: 2, Digest: sum("2")},
		{Path: "g", Mode: 0o644, Digest: sum("2")},
	}
	want := []Change{
		{"aa", Added, "", sum("2")},
		{"b", Removed, sum("1"), ""},
		{"c", Content, sum("1"), sum("2")},
		{"d", Mode, "0644", "4755"},
		{"e", Content, "x", "y"},
		{"f", Content, sum("1"), sum("2")},
		{"g", Type, "directory", "file"},
	}
	if got := Diff(old, new); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if got := Diff(old, old); len(got) > 0 {
		t.Errorf("the same list differs: %v", got)
	}
	if got := Diff(nil, old); len(got) != len(old) {
		t.Errorf("from nothing: %v", got)
	}
}
