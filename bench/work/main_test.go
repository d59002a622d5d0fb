package main

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestWork(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := work([]string{"sum", dir, out}); err != nil {
		t.Fatal(err)
	}
	want, err := sum(fstest.MapFS{"a": {Data: []byte("a")}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != want+"\n" {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	other, err := sum(fstest.MapFS{"a": {Data: []byte("b")}})
	if err != nil || other == want {
		t.Errorf("another file has the sum %q too (%v)", other, err)
	}
	if work(nil) == nil {
		t.Error("nothing is no work")
	}
}
