// Package tree makes synthetic monorepos: folders of files with a Dockerfile
// each, and build files in the languages of both programs that say the same.
package tree

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
)

// A Target is an image of the tree.
type Target struct {
	Name       string
	Needs      []string // targets, which its Dockerfile knows by their names
	Context    string   // all paths are relative to the tree
	Dockerfile string
	Text       string // of the Dockerfile
	Folder     string // with its files
	Files      int
}

// A Tree is a monorepo. Base is the image that everything starts from; it has
// /bin/work and nothing else.
type Tree struct {
	Base    string
	Targets []Target
}

// Sizes of files in bytes. The first file of a folder is the one that changes.
const (
	FirstSize = 16 << 10
	FileSize  = 4 << 10
)

// Services is a target named base and n-1 targets that need it, each with a
// context of 20 files of its own.
func Services(base string, n int) *Tree {
	t := &Tree{Base: base}
	t.own("base", nil, 20, "FROM "+base+"\nCOPY . /base/\nRUN [\"/bin/work\", \"sum\", \"/base\", \"/base.sum\"]\n")
	for i := 1; i < n; i++ {
		t.own(Leaf(i), []string{"base"}, 20, "FROM base\nCOPY . /app/\nRUN [\"/bin/work\", \"sum\", \"/app\", \"/app.sum\"]\n")
	}
	return t
}

// Leaf is the name of the i-th target that needs base, from 1.
func Leaf(i int) string { return fmt.Sprintf("svc-%04d", i) }

// Shared is as Services, but all targets have the tree itself as their context,
// with the given number of files in all, and read only their own folder.
func Shared(base string, n, files int) *Tree {
	t := &Tree{Base: base}
	t.shared("base", nil, files/n, "FROM "+base+"\nCOPY src/base /base/\n")
	for i := 1; i < n; i++ {
		name := Leaf(i)
		t.shared(name, []string{"base"}, files/n, fmt.Sprintf("FROM base\nCOPY src/%s /app/\n", name))
	}
	return t
}

// Chain is n targets of which each starts from the one before it. The first is
// named base.
func Chain(base string, n int) *Tree {
	t := &Tree{Base: base}
	t.own("base", nil, 2, "FROM "+base+"\nCOPY . /base/\n")
	last := "base"
	for i := 1; i < n; i++ {
		name := Leaf(i)
		t.own(name, []string{last}, 2, fmt.Sprintf("FROM %s\nCOPY . /%s/\n", last, name))
		last = name
	}
	return t
}

// Diamond is a target named base and levels of two targets that each need both
// targets of the level before: from the last two there are 2^levels ways to
// base.
func Diamond(base string, levels int) *Tree {
	t := &Tree{Base: base}
	t.own("base", nil, 2, "FROM "+base+"\nCOPY . /base/\n")
	left, right := "base", "base"
	for i := range levels {
		needs := []string{left, right}
		if left == right {
			needs = needs[:1]
		}
		text := fmt.Sprintf("FROM %s\nCOPY --from=%s /base/ /%d/\nCOPY . /own/\n", left, right, i)
		l, r := fmt.Sprintf("left-%02d", i), fmt.Sprintf("right-%02d", i)
		t.own(l, needs, 2, text)
		t.own(r, needs, 2, text)
		left, right = l, r
	}
	return t
}

// Slow is a target named base that is built at once and one that needs it and
// takes four seconds.
func Slow(base string) *Tree {
	t := &Tree{Base: base}
	t.own("base", nil, 2, "FROM "+base+"\nCOPY . /base/\n")
	t.own("slow", []string{"base"}, 2, "FROM base\nCOPY . /app/\nRUN [\"/bin/work\", \"sleep\", \"4s\"]\n")
	return t
}

func (t *Tree) own(name string, needs []string, files int, text string) {
	t.Targets = append(t.Targets, Target{
		Name: name, Needs: needs, Text: text, Files: files,
		Context: "src/" + name, Dockerfile: "src/" + name + "/Dockerfile", Folder: "src/" + name,
	})
}

func (t *Tree) shared(name string, needs []string, files int, text string) {
	t.Targets = append(t.Targets, Target{
		Name: name, Needs: needs, Text: text, Files: files,
		Context: ".", Dockerfile: "docker/" + name + ".Dockerfile", Folder: "src/" + name,
	})
}

// Write makes the files of the tree below dir, without build files.
func (t *Tree) Write(dir string) error {
	for _, target := range t.Targets {
		for _, path := range []string{target.Dockerfile, target.Folder + "/x"} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, target.Dockerfile), []byte(target.Text), 0o644); err != nil {
			return err
		}
		for i := range target.Files {
			if err := os.WriteFile(target.file(dir, i), content(size(i)), 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}

// Change gives the first file of a target other content of the same size.
func (t *Tree) Change(dir, name string) error {
	for _, target := range t.Targets {
		if target.Name == name {
			return os.WriteFile(target.file(dir, 0), content(FirstSize), 0o644)
		}
	}
	return fmt.Errorf("no target %q", name)
}

func (t Target) file(dir string, i int) string {
	return filepath.Join(dir, t.Folder, fmt.Sprintf("file-%04d.txt", i))
}

func size(i int) int {
	if i == 0 {
		return FirstSize
	}
	return FileSize
}

var contents atomic.Uint64

// content is text that this process has not made before.
func content(size int) []byte {
	r := rand.New(rand.NewPCG(contents.Add(1), 0))
	out := make([]byte, size)
	for i := range out {
		out[i] = "0123456789abcde\n"[r.IntN(16)]
	}
	return out
}
