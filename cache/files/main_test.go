package files

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/cache/contenthash"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Go tries for a minute to make each input smaller that reaches new code: of half a
// kilobyte it takes out every part there is, and hardly tries anything new. So no
// more than a hundred tries, unless the command line says otherwise.
func TestMain(m *testing.M) {
	if f := flag.Lookup("test.fuzzminimizetime"); f != nil {
		_ = f.Value.Set("100x")
	}
	goleak.VerifyTestMain(m)
}

// A tree is a directory that a test writes to.
type tree struct {
	t   testing.TB
	dir string
}

func newTestTree(t testing.TB, files ...string) *tree {
	t.Helper()
	tr := &tree{t, t.TempDir()}
	for _, f := range files {
		tr.write(f, f)
	}
	return tr
}

func (tr *tree) path(name string) string { return filepath.Join(tr.dir, name) }

func (tr *tree) must(err error) {
	tr.t.Helper()
	if err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) write(name, text string) {
	tr.t.Helper()
	tr.must(os.MkdirAll(filepath.Dir(tr.path(name)), 0o755))
	tr.must(os.WriteFile(tr.path(name), []byte(text), 0o644))
}

func (tr *tree) set(include ...string) Set { return Set{Dir: tr.dir, Include: include} }

// later is a clock that stands still long after everything tests write, so that
// nothing is racy.
func later() time.Time { return epoch.Add(time.Hour) }

var epoch = time.Now()

func digestOf(t testing.TB, c *Cache, s Set) string {
	t.Helper()
	tr, err := c.Digest(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return tr.Digest.String()
}

// fresh is the digest that a Cache has that knows nothing.
func fresh(t testing.TB, s Set) string {
	t.Helper()
	return digestOf(t, Open("", Options{}), s)
}

// sent is what BuildKit's client would send of s, by fsutil alone, with
// BuildKit's content hash of each entry.
func sent(t testing.TB, s Set) []File {
	t.Helper()
	disk, err := fsutil.NewFS(s.Dir)
	if err != nil {
		t.Fatal(err)
	}
	filter, err := fsutil.NewFilterFS(disk, s.filter())
	if err != nil {
		t.Fatal(err)
	}
	var list []File
	err = fsutil.WithHardlinkReset(filter).Walk(context.Background(), "/", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st := fi.Sys().(*types.Stat)
		list = append(list, hashSent(t, s.Dir, p, st))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func hashSent(t testing.TB, dir, p string, st *types.Stat) File {
	t.Helper()
	f := File{Path: p, Mode: st.Mode, Size: st.Size}
	if fs.FileMode(st.Mode)&fs.ModeSymlink != 0 {
		f.Link = st.Linkname
	} else {
		st.Linkname = "" // a hard link has the hash of what it links to
	}
	st.Uid, st.Gid = 0, 0
	h, err := contenthash.NewFromStat(st)
	if err != nil {
		t.Fatal(err)
	}
	if fs.FileMode(st.Mode).IsRegular() {
		b, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil && st.Size != 0 { // a socket is sent empty
			t.Fatal(err)
		}
		h.Write(b)
	}
	f.Digest = fmt.Sprintf("sha256:%x", h.Sum(nil))
	return f
}

// A grower makes random trees, patterns and changes of both.
type grower struct {
	*tree
	root *os.Root // links lead nowhere else
	r    *rand.Rand
}

func newGrower(t testing.TB, seed int64) *grower {
	t.Helper()
	tr := newTestTree(t)
	root, err := os.OpenRoot(tr.dir)
	tr.must(err)
	t.Cleanup(func() { root.Close() })
	return &grower{tr, root, rand.New(rand.NewSource(seed))}
}

var words = []string{"a", "b", "ab", "a.go", "b.go", "c.txt", ".git", "a-b", "ä", "x y", "[z]", "src", "node_modules"}

func (g *grower) word() string { return words[g.r.Intn(len(words))] }

// start is how some words begin.
func (g *grower) start() string { return "abcns"[g.r.Intn(5):][:1] }

func (g *grower) name(depth int) string {
	parts := make([]string, 1+g.r.Intn(depth))
	for i := range parts {
		parts[i] = g.word()
	}
	return filepath.Join(parts...)
}

// step changes one thing, or nothing if it happens not to be possible.
func (g *grower) step() string {
	name, r := g.name(4), g.root
	parent := r.MkdirAll(filepath.Dir(name), 0o755) == nil
	fi, _ := r.Lstat(name)
	if fi != nil && fi.Mode()&fs.ModeNamedPipe != 0 {
		_ = r.Remove(name) // opening it would wait for ever
	}
	switch op := g.r.Intn(14); {
	case op < 5 && parent:
		_ = r.WriteFile(name, fmt.Appendf(nil, "%d", g.r.Intn(1000)), os.FileMode(0o600+g.r.Intn(0o100)))
	case op == 5:
		_ = r.Symlink(g.target(), name)
	case op == 6:
		_ = r.Link(g.name(3), name)
	case op == 7 && parent && g.inside(filepath.Dir(name)):
		_ = unix.Mkfifo(g.path(name), 0o644)
	case op == 8 && fi != nil:
		_ = r.RemoveAll(name)
	case op == 9:
		_ = r.Chmod(name, os.FileMode(0o700|g.r.Intn(0o100)))
	case op == 10 && g.inside(name):
		_ = unix.Lsetxattr(g.path(name), "user.strata", []byte{byte(g.r.Intn(4))}, 0)
	case op == 11:
		_ = r.Chtimes(name, epoch, epoch.Add(time.Duration(g.r.Intn(100))*time.Second))
	case op == 12:
		_ = r.Rename(name, g.name(3))
	case op == 13:
		_ = r.Lchown(name, g.r.Intn(100), g.r.Intn(100))
	}
	return name
}

// inside says whether name is in the tree itself, not behind a link.
func (g *grower) inside(name string) bool {
	p, err := filepath.EvalSymlinks(g.path(name))
	return err == nil && p == g.path(name)
}

func (g *grower) target() string {
	switch g.r.Intn(5) {
	case 0:
		return "/" + g.name(3)
	case 1:
		return "../" + g.name(2)
	case 2:
		return "../../../outside"
	case 3:
		return "."
	}
	return g.name(2)
}

func (g *grower) pattern() string {
	switch g.r.Intn(11) {
	case 0:
		return "**/" + g.word()
	case 8:
		return g.start() + "*"
	case 9:
		return g.word() + "/" + g.start() + "?"
	case 1:
		return g.name(2) + "/*"
	case 2:
		return g.name(2) + "/**"
	case 3:
		return "*.go"
	case 4:
		return "**/*.go"
	case 5:
		return "!" + g.name(2)
	case 6:
		return "!" + g.name(1) + "/*.go"
	case 7:
		return "[a-b]*"
	}
	return g.name(3)
}

func (g *grower) patterns(most int) []string {
	var list []string
	for range g.r.Intn(most + 1) {
		list = append(list, g.pattern())
	}
	return list
}

func (g *grower) anySet() Set {
	s := Set{Dir: g.dir, Exclude: g.patterns(3)}
	if g.r.Intn(2) == 0 {
		s.Include = g.patterns(2)
	}
	for range g.r.Intn(3) {
		switch g.r.Intn(6) {
		case 0:
			s.Follow = append(s.Follow, g.name(2)+"/*")
		case 1:
			s.Follow = append(s.Follow, g.start()+"*")
		default:
			s.Follow = append(s.Follow, g.name(3))
		}
	}
	return s
}
