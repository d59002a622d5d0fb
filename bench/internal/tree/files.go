package tree

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// An Output is where images go.
type Output struct {
	// Images is where images are pushed, as "localhost:5000/bench". With ""
	// they stay in the cache of the engine.
	Images string
	// LayerCache is a repository for BuildKit's layer caches, with a tag for
	// every target. "" is none.
	LayerCache string
	// Index is a repository of strata's block cache. "" is none.
	Index string
}

// BuildFile is the tree in HCL, as both programs read it.
func (t *Tree) BuildFile(out Output) string {
	var b strings.Builder
	if out.Index != "" {
		fmt.Fprintf(&b, "cache {\n  repository = %q\n  write = true\n}\n\n", out.Index)
	}
	b.WriteString("group \"default\" {\n  targets = [\n")
	for _, target := range t.Targets {
		fmt.Fprintf(&b, "    %q,\n", target.Name)
	}
	b.WriteString("  ]\n}\n")
	for _, target := range t.Targets {
		target.write(&b, out)
	}
	return b.String()
}

func (t Target) write(b *strings.Builder, out Output) {
	fmt.Fprintf(b, "\ntarget %q {\n  context = %q\n", t.Name, t.Context)
	if t.Context == "." {
		fmt.Fprintf(b, "  dockerfile = %q\n", t.Dockerfile)
	}
	if len(t.Needs) > 0 {
		b.WriteString("  contexts = {\n")
		for _, need := range t.Needs {
			fmt.Fprintf(b, "    %s = \"target:%s\"\n", need, need)
		}
		b.WriteString("  }\n")
	}
	if out.Images == "" {
		b.WriteString("  output = [\"type=cacheonly\"]\n")
	} else {
		fmt.Fprintf(b, "  tags = [\"%s/%s:dev\"]\n  output = [\"type=registry\"]\n", out.Images, t.Name)
	}
	if out.LayerCache != "" {
		ref := fmt.Sprintf("type=registry,ref=%s:%s", out.LayerCache, t.Name)
		fmt.Fprintf(b, "  cache-from = [%q]\n  cache-to = [%q]\n", ref, ref+",mode=max")
	}
	b.WriteString("}\n")
}

// WriteBuildFile writes the build file below dir.
func (t *Tree) WriteBuildFile(dir, name string, out Output) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(t.BuildFile(out)), 0o644)
}
