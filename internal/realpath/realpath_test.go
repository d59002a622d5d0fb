package realpath

import (
	"os"
	"path/filepath"
	"testing"
)

// Every path of a tree full of links comes out as filepath.EvalSymlinks has it.
func TestResolve(t *testing.T) {
	dir := t.TempDir()
	at := func(p string) string { return filepath.Join(dir, p) }
	for _, d := range []string{"a/b/c", "x"} {
		if err := os.MkdirAll(at(d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("a/b/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{
		"up": "..", "a/self": "self", "a/x": "../x", "x/b": "../a/b", "x/abs": at("a/b"), "x/gone": "nothing", "x/file": "b/file", "x/deep": "b/../self",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	var r Resolver
	for range 2 { // the second time from what was seen
		for _, p := range []string{
			"", "a", "a/b", "a/b/c", "a/b/file", "a/b/file/below", "a/none", "a/none/below", "a/self", "a/x", "a/x/b/c", "x/b/c", "x/b/file",
			"x/abs/c", "x/gone", "x/gone/below", "x/file", "x/deep", "a/../x/b", "x/b/./c/",
		} {
			path := dir + "/" + p
			want, wantErr := filepath.EvalSymlinks(path)
			got, err := r.Resolve(path)
			if got != want || (err == nil) != (wantErr == nil) {
				t.Errorf("%s: got %q, %v, want %q, %v", p, got, err, want, wantErr)
			}
		}
	}
	if got, err := r.Resolve("/"); got != "/" || err != nil {
		t.Errorf("the root: %q, %v", got, err)
	}
}
