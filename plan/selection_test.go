package plan

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/lower"
)

// listing reads "a dir/ dir/b link>a": names of files, directories and links.
func listing(text string) []files.File {
	var out []files.File
	for _, word := range strings.Fields(text) {
		name, link, isLink := strings.Cut(word, ">")
		f := files.File{Path: strings.TrimSuffix(name, "/"), Digest: "sha256:" + word, Link: link}
		if isLink {
			f.Mode = uint32(fs.ModeSymlink)
		}
		if strings.HasSuffix(name, "/") {
			f.Mode = uint32(fs.ModeDir)
		}
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b files.File) int { return strings.Compare(a.Path, b.Path) })
	return out
}

func paths(list []files.File) string {
	var out []string
	for _, f := range list {
		out = append(out, f.Path)
	}
	return strings.Join(out, " ")
}

// use is what takes src; of "src/" only the contents are taken.
func use(src string) lower.Use {
	return lower.Use{Src: strings.TrimSuffix(src, "/"), Contents: strings.HasSuffix(src, "/")}
}

const (
	plainFiles  = "a a.go ab b.go sub/ sub/a sub/x.go sub/deep/ sub/deep/z"
	linkedFiles = "a dir/ dir/a dir/in>../a dlink>dir file>a loop>loop out>../../etc abs>/dir/a twice>dlink nowhere>gone root>/ up>../../../a dir/bare"
)

func TestExpand(t *testing.T) {
	for _, tt := range []struct{ files, src, want string }{ // a src with a slash at its end is taken without its own directory
		{plainFiles, "a", "a"},
		{plainFiles, "a/", "a"},
		{plainFiles, "sub/", "sub/a sub/deep sub/deep/z sub/x.go"},
		{plainFiles, "sub/deep/", "sub/deep/z"},
		{plainFiles, "s*/", "sub sub/a sub/deep sub/deep/z sub/x.go"},
		{plainFiles + " empty/", "empty/", ""},
		{plainFiles, "none/", "all"},
		{plainFiles, "sub", "sub sub/a sub/deep sub/deep/z sub/x.go"},
		{plainFiles, "sub/deep", "sub/deep sub/deep/z"},
		{plainFiles, "*.go", "a.go b.go"},
		{plainFiles, "s*", "sub sub/a sub/deep sub/deep/z sub/x.go"},
		{plainFiles, "*/*.go", "sub/x.go"},
		{plainFiles, "sub/d*p/z", "sub/deep/z"},
		{plainFiles, "none", "all"},
		{plainFiles, "*.md", "all"},
		{plainFiles, "[", "all"},

		{linkedFiles, "a", "a"},
		{linkedFiles, "dir", "dir dir/a dir/bare dir/in"}, // links in it are copied as links
		{linkedFiles, "dir/a", "dir/a"},
		{linkedFiles, "file", "a file"},
		{linkedFiles, "dir/in", "a dir/in"},
		{linkedFiles, "dlink", "dir dir/a dir/bare dir/in dlink"},
		{linkedFiles, "dlink/", "dir/a dir/bare dir/in dlink"},
		{linkedFiles, "dlink/a", "dir/a dlink"},
		{linkedFiles, "twice/a", "dir/a dlink twice"},
		{linkedFiles, "twice/in", "a dir/in dlink twice"},
		{linkedFiles, "abs", "abs dir/a"},
		{linkedFiles, "loop", "all"},
		{linkedFiles, "nowhere", "all"},
		{linkedFiles, "nowhere/a", "all"},
		{linkedFiles, "out/passwd", "all"},
		{linkedFiles, "root/dir/a", "dir/a root"},
		{linkedFiles, "root", "all"},
		{linkedFiles, "up", "a up"},
		{linkedFiles, "dlink/b*", "dir/bare dlink"},
		{linkedFiles, "*", "all"},
		{linkedFiles, "d*/a", "all"},
		{linkedFiles, "dir/*", "all"},
	} {
		list := listing(tt.files)
		got := "all"
		if selections := expand(list, use(tt.src)); selections != nil {
			got = paths(matching(list, selections))
		}
		if got != tt.want {
			t.Errorf("of %q %q takes %q, want %q", tt.files, tt.src, got, tt.want)
		}
	}
}

// TestCountsHasAllThatIsTaken checks that a change of anything that is taken, of
// a parent that may become a link, and of what may come to match, counts.
func TestCountsHasAllThatIsTaken(t *testing.T) {
	for _, tt := range []struct {
		src, file string
		want      bool
	}{
		{"", "anything", true}, {"a", "a", true}, {"a", "b", false}, {"a/b", "a", true}, {"a/b", "a/c", false}, {"a/b", "a/b/c", true},
		{"a/", "a", true}, {"a/", "a/b", true}, {"a/", "ab", false},
		{"*.go", "new.go", true}, {"*.go", "new.md", false}, {"*/x", "d", true}, {"a", "ab", false},
	} {
		tree := Tree{Uses: []string{tt.src}}
		if got := tree.Counts(tt.file); got != tt.want {
			t.Errorf("a change of %q counts for %q: %t, want %t", tt.file, tt.src, got, tt.want)
		}
	}
}

// A fakeFiles has one listing for every set, and counts how often it is asked.
type fakeFiles struct {
	list  []files.File
	tree  files.Tree
	lists int
}

func (f *fakeFiles) Digest(context.Context, files.Set) (*files.Tree, error) { return &f.tree, nil }

func (f *fakeFiles) List(context.Context, files.Set) ([]files.File, error) {
	f.lists++
	return f.list, nil
}

type fakeMemo map[string][]byte

func (m fakeMemo) Load(key string) ([]byte, bool) { v, ok := m[key]; return v, ok }
func (m fakeMemo) Store(key string, value []byte) { m[key] = value }

func TestSelectedIsFoundAnewOnlyWhenTheSetHasChanged(t *testing.T) {
	f := &fakeFiles{list: listing(plainFiles), tree: files.Tree{Digest: "sha256:1"}}
	p := &Planner{Files: f, Memo: fakeMemo{}}
	tree := &Tree{Set: files.Set{Dir: "/d"}, Name: "d", Tree: &f.tree}
	ask := func(want int, src string) string {
		t.Helper()
		d, _, err := p.selected(t.Context(), tree, use(src))
		if err != nil {
			t.Fatal(err)
		}
		if f.lists != want {
			t.Errorf("the files were listed %d times, want %d", f.lists, want)
		}
		return d
	}
	a := ask(1, "a")
	if again := ask(1, "a"); again != a {
		t.Errorf("the memo gives %s, want %s", again, a)
	}
	sub := ask(2, "sub")
	if sub == a {
		t.Error("two selections have one digest")
	}
	if contents := ask(3, "sub/"); contents == sub {
		t.Error("a directory with and without itself has one digest")
	}
	f.list, f.tree.Digest = listing(plainFiles+" new"), "sha256:2"
	if again := ask(4, "a"); again != a {
		t.Error("a file that is not taken changes the digest")
	}
	if none := ask(5, "none"); none != "sha256:2" {
		t.Errorf("what is not there is %s", none)
	}
	if _, selections, err := p.selected(t.Context(), tree, use("none")); err != nil || len(selections) != 1 || selections[0] != "" {
		t.Errorf("the memo says that %q are selected, want all; %v", selections, err)
	}
	if whole := ask(5, ""); whole != "sha256:2" {
		t.Errorf("all of it is %s", whole)
	}
}
