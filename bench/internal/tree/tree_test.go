package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestShapes(t *testing.T) {
	for _, c := range []struct {
		name    string
		tree    *Tree
		targets int
		files   int
		paths   int // from the last target to base
	}{
		{"services", Services("os", 10), 10, 200, 1},
		{"shared", Shared("os", 10, 1000), 10, 1000, 1},
		{"chain", Chain("os", 60), 60, 120, 1},
		{"diamond", Diamond("os", 20), 41, 82, 1 << 19}, // and as many from its twin
		{"slow", Slow("os"), 2, 4, 1},
	} {
		files := 0
		paths := map[string]int{"base": 1}
		for _, target := range c.tree.Targets {
			files += target.Files
			for _, need := range target.Needs {
				if paths[need] == 0 {
					t.Errorf("%s: %s needs %s, which comes later", c.name, target.Name, need)
				}
				if !strings.Contains(target.Text, "FROM "+need) && !strings.Contains(target.Text, "--from="+need) {
					t.Errorf("%s: %s does not use %s", c.name, target.Name, need)
				}
				paths[target.Name] += paths[need]
			}
		}
		last := c.tree.Targets[len(c.tree.Targets)-1].Name
		if len(c.tree.Targets) != c.targets || files != c.files || paths[last] != c.paths {
			t.Errorf("%s: %d targets, %d files, %d paths", c.name, len(c.tree.Targets), files, paths[last])
		}
	}
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	tree := Shared("os", 2, 4)
	if err := tree.Write(dir); err != nil {
		t.Fatal(err)
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if got := string(read("docker/svc-0001.Dockerfile")); got != "FROM base\nCOPY src/svc-0001 /app/\n" {
		t.Errorf("Dockerfile is %q", got)
	}
	first, second := read("src/svc-0001/file-0000.txt"), read("src/svc-0001/file-0001.txt")
	if len(first) != FirstSize || len(second) != FileSize || bytes.HasPrefix(first, second) {
		t.Errorf("files of %d and %d bytes", len(first), len(second))
	}
	if err := tree.Change(dir, "svc-0001"); err != nil {
		t.Fatal(err)
	}
	if now := read("src/svc-0001/file-0000.txt"); len(now) != FirstSize || bytes.Equal(now, first) {
		t.Errorf("%d bytes, the same: %v", len(now), bytes.Equal(now, first))
	}
	if tree.Change(dir, "none") == nil {
		t.Error("changed a target that is not there")
	}
}

func TestBuildFile(t *testing.T) {
	got := Slow("os").BuildFile(Output{Images: "h:5/i", LayerCache: "h:5/c", Index: "h:5/x"})
	const want = `cache {
  repository = "h:5/x"
  write = true
}

group "default" {
  targets = [
    "base",
    "slow",
  ]
}

target "base" {
  context = "src/base"
  tags = ["h:5/i/base:dev"]
  output = ["type=registry"]
  cache-from = ["type=registry,ref=h:5/c:base"]
  cache-to = ["type=registry,ref=h:5/c:base,mode=max"]
}

target "slow" {
  context = "src/slow"
  contexts = {
    base = "target:base"
  }
  tags = ["h:5/i/slow:dev"]
  output = ["type=registry"]
  cache-from = ["type=registry,ref=h:5/c:slow"]
  cache-to = ["type=registry,ref=h:5/c:slow,mode=max"]
}
`
	if got != want {
		t.Errorf("got %s", got)
	}
	if got := Slow("os").BuildFile(Output{}); !strings.Contains(got, `output = ["type=cacheonly"]`) || strings.Contains(got, "tags") {
		t.Errorf("got %s", got)
	}
}
