package lint

import (
	"path"
	"strings"
	"testing"
)

// FuzzIgnore checks that a directory of which nothing is looked at, because it is
// ignored, holds nothing that would not be ignored.
func FuzzIgnore(f *testing.F) {
	for _, seed := range []string{"node_modules\n", "*\n!src\n", "# x\n**/*.go\n", "/a/../b\n", "a[b-]c\n", "\xef\xbb\xbfx\n", "!\n", "**\n"} {
		f.Add(seed, "src/a/b.go")
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		m := parseIgnore(strings.NewReader(text))
		name = strings.TrimPrefix(path.Clean("/"+name), "/")
		dir := path.Dir(name)
		if name == "" || dir == "." {
			return
		}
		out, err := m.MatchesOrParentMatches(dir)
		if err != nil || !out || m.Exclusions() {
			return
		}
		if in, err := m.MatchesOrParentMatches(name); err == nil && !in {
			t.Errorf("%q leaves out %q and not %q", text, dir, name)
		}
	})
}
