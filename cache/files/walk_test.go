package files

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What is listed is what BuildKit would be sent, for any tree and any patterns,
// however the tree changes between commands; and two states of a tree have the
// same digest if and only if the same would be sent.
func TestListIsWhatIsSent(t *testing.T) {
	for seed := range int64(16) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g := newGrower(t, seed)
			for range 60 {
				g.step()
			}
			home := t.TempDir()
			for range 4 {
				s := g.anySet()
				seen := map[string]string{}
				for range 8 {
					check := willChange(t, s)
					step := g.step()
					check(step)
					checkSent(t, home, s, seen, step)
				}
			}
		})
	}
}

// willChange looks at s; what it returns checks that Changed tells just what
// differs from that.
func willChange(t *testing.T, s Set) func(step string) {
	t.Helper()
	c, before := Open("", Options{}), sent(t, s)
	was, err := c.Digest(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return func(step string) {
		t.Helper()
		var want []string
		for _, d := range Diff(before, sent(t, s)) {
			want = append(want, d.Path)
		}
		if got, err := c.Changed(t.Context(), s, was); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("after %q, %+v changed %q, %v; want %q", step, s, got, err, want)
		}
	}
}

func checkSent(t *testing.T, home string, s Set, seen map[string]string, step string) {
	t.Helper()
	want := sent(t, s)
	c := Open(home, Options{Warn: func(err error) { t.Error(err) }})
	sum := digestOf(t, c, s)
	got, err := c.List(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("after %q, %+v\ngot  %v\nwant %v", step, s, got, want)
	}
	if len(seen)%3 == 0 { // the next ones look with an older stat cache
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
	}
	content := fmt.Sprint(want)
	if old, ok := seen[content]; ok && old != sum {
		t.Fatalf("after %q the same files have another digest", step)
	}
	for other, old := range seen {
		if other != content && old == sum {
			t.Fatalf("after %q other files have the same digest:\n%s\n%s", step, other, content)
		}
	}
	seen[content] = sum
}

func TestSpecialEntries(t *testing.T) {
	tr := newTestTree(t, "file", "dir/inner")
	deep := strings.Repeat("d/", 100) + "end"
	tr.write(deep, "deep")
	tr.write(strings.Repeat("n", 255), "long name")
	tr.write("new\nline", "x")
	tr.write(`back\slash`, "x")
	tr.write("-dash", "x")
	tr.write("\u00e9", "NFC")
	tr.write("e\u0301", "NFD")
	tr.must(os.Mkdir(tr.path("empty"), 0o700))
	tr.must(os.Link(tr.path("file"), tr.path("hard")))
	tr.must(os.Symlink("file", tr.path("in")))
	tr.must(os.Symlink("/etc/passwd", tr.path("out")))
	tr.must(os.Symlink("loop", tr.path("loop")))
	tr.must(os.Symlink("nowhere", tr.path("dangling")))
	tr.must(unix.Mkfifo(tr.path("fifo"), 0o600))
	tr.must(unix.Mknod(tr.path("null"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))))
	tr.must(os.Chmod(tr.path("file"), 0o755|os.ModeSetuid|os.ModeSetgid))
	l, err := net.Listen("unix", tr.path("socket"))
	tr.must(err)
	defer l.Close()

	for _, s := range []Set{tr.set(), tr.set("socket", "fifo"), {Dir: tr.dir, Follow: []string{"in", "loop", "out", "dangling"}}} {
		got, err := Open("", Options{}).List(t.Context(), s)
		tr.must(err)
		if want := sent(t, s); !reflect.DeepEqual(got, want) {
			t.Errorf("%+v\ngot  %v\nwant %v", s, got, want)
		}
	}
}

// The directory itself may be named by a link, and is not part of the digest.
func TestSamePathsElsewhere(t *testing.T) {
	a, b := newTestTree(t, "x/y"), newTestTree(t, "x/y")
	link := b.path("../link")
	b.must(os.Symlink(b.dir, link))
	if fresh(t, a.set()) != fresh(t, Set{Dir: link}) {
		t.Error("the digest depends on the directory's path")
	}
}

// Equal Sets are walked once, Sets of one tree share listings, and what the
// patterns leave out is not listed.
func TestListingsAreShared(t *testing.T) {
	var names []string
	for i := range 20 {
		for j := range 10 {
			names = append(names, fmt.Sprintf("d%02d/f%d", i, j))
		}
	}
	tr := newTestTree(t, names...)
	c := Open("", Options{})
	for range 5 {
		digestOf(t, c, tr.set("d03"))
	}
	if n := c.counts.dirs.Load(); n != 2 {
		t.Errorf("%d directories listed, want the root and d03", n)
	}
	if n := c.counts.stats.Load(); n != 11 {
		t.Errorf("%d entries looked at, want 11", n)
	}
	for i := range 20 {
		digestOf(t, c, tr.set(fmt.Sprintf("d%02d", i)))
	}
	if n := c.counts.dirs.Load(); n != 21 {
		t.Errorf("%d directories listed, want 21", n)
	}
	digestOf(t, c, Set{Dir: tr.path("d03")})
	if n := c.counts.dirs.Load(); n != 21 {
		t.Errorf("%d directories listed after d03 alone, want 21", n)
	}
}
