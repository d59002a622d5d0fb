// Package layers holds the test that keeps data flowing one way.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/strata-build/strata/"

// allowed says which packages of ours a package may import. ARCHITECTURE.md
// gives the reasons.
var allowed = map[string][]string{
	"graph":             {},
	"config":            {"graph"},
	"grant":             {"config", "graph"},
	"policy":            {"config"},
	"registry":          {},
	"engine":            {},
	"store":             {"registry"},
	"history":           {"registry", "store"},
	"lower":             {"config", "graph"},
	"cache":             {"cache/index", "config", "graph", "registry"},
	"plan":              {"cache", "cache/files", "cache/index", "config", "graph", "lower"},
	"delivery":          {"cache/index", "config", "plan", "registry", "store"},
	"cache/index":       {"registry"},
	"cache/server":      {},
	"cache/files":       {},
	"lint":              {"cache", "config", "graph", "lower"},
	"draft":             {"config"},
	"lsp":               {"config"},
	"executor":          {"graph"},
	"executor/buildkit": {"cache", "config", "engine", "executor", "graph", "history", "lower", "policy"},
	"report":            {"executor", "history", "plan"},
	"watch":             {},
	"internal/testkit":  {},
	"internal/layers":   {},
	"internal/realpath": {}, "internal/lazyregexp": {},
}

// everywhere are packages that any other may import: they know nothing of strata.
var everywhere = []string{"internal/lazyregexp", "internal/realpath"}

// spoken says which packages alone may import a library.
var spoken = map[string][]string{
	"github.com/sourcegraph/jsonrpc2":                      {"lsp"},
	"github.com/spf13/cobra":                               {"cmd/strata"},
	"github.com/open-policy-agent/opa/v1/ast":              {"policy"},
	"github.com/open-policy-agent/opa/v1/rego":             {"policy"},
	"github.com/fsnotify/fsnotify":                         {"watch"},
	"github.com/hashicorp/hcl/v2/hclparse":                 {"config"},
	"github.com/hashicorp/hcl/v2/hclsyntax":                {"config"},
	"github.com/moby/buildkit/client":                      {"cache", "engine", "executor/buildkit", "internal/testkit"},
	"github.com/moby/buildkit/control":                     {"engine"},
	"github.com/moby/buildkit/frontend/dockerfile/builder": {"engine"},
}

func TestImportsFlowOneWay(t *testing.T) {
	for pkg, imports := range list(t) {
		name := strings.TrimPrefix(pkg, module)
		if strings.HasPrefix(name, "cmd/") || strings.HasPrefix(name, "e2e") || strings.HasPrefix(name, "examples/") {
			continue
		}
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s is not in the table of this test; add it there and in ARCHITECTURE.md", name)
		}
		for _, i := range imports {
			ours, ok := strings.CutPrefix(i, module)
			if ok && !slices.Contains(may, ours) && !slices.Contains(everywhere, ours) {
				t.Errorf("%s imports %s, which ARCHITECTURE.md forbids", name, ours)
			}
		}
	}
}

func TestLibrariesAreSpokenInOnePlace(t *testing.T) {
	for pkg, imports := range list(t) {
		name := strings.TrimPrefix(pkg, module)
		for lib, where := range spoken {
			if slices.Contains(imports, lib) && !slices.Contains(where, name) {
				t.Errorf("%s imports %s; only %v may", name, lib, where)
			}
		}
	}
}

// list returns the imports of all packages of the module, tests left out.
func list(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string][]string{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[p.ImportPath] = p.Imports
	}
}
