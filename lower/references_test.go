package lower

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/strata-build/strata/config"
)

func TestReferences(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		target     config.Target
		want       string
	}{
		{"plain", "FROM a\nCOPY --from=b / /\nRUN --mount=type=bind,from=c,target=/x true", config.Target{}, "a:1 b:2 c:3"},
		{"nothing", "FROM scratch\nCOPY x /", config.Target{}, ""},
		{"stages", "FROM a AS one\nFROM b AS two\nFROM two\nCOPY --from=0 / /", config.Target{}, "b:2 a:1"},
		{"not reached", "FROM a AS one\nFROM b AS two\nFROM c", config.Target{}, "c:3"},
		{"another stage", "FROM a AS one\nFROM one AS two\nFROM c", config.Target{Stage: "two"}, "a:1"},
		{"arguments", "ARG B=b:1\nARG C=$B-x\nFROM ${C}", config.Target{}, "b:1-x:3"},
		{"given", "ARG B=b\nFROM $B", config.Target{Args: map[string]string{"B": "x/y:2"}}, "x/y:2:2"},
		{"not given", "ARG B\nFROM $B", config.Target{}, ""},
		{"platform", "FROM a-$TARGETARCH", config.Target{Platforms: []string{"linux/arm64"}}, "a-arm64:1"},
		{"contexts", "FROM a\nCOPY --from=docker.io/library/b:latest / /\nCOPY --from=c / /", config.Target{
			Contexts: map[string]string{"a": "x", "b::linux/amd64": "y"},
		}, "c:3"},
		{"context for a stage", "FROM a AS one\nFROM one", config.Target{Contexts: map[string]string{"one": "x"}}, ""},
		{"continued lines", "# x\nFROM \\\n  a\nRUN <<E\nFROM b\nE\n", config.Target{}, "a:2"},
		{"other escape", "# escape=`\nFROM `\n  a\n", config.Target{}, "a:2"},
		{"wrong", "FROM", config.Target{}, ""},
		{"remote", "FROM a", config.Target{Context: "https://example.com/x.git"}, ""},
		{"no such file", "FROM a", config.Target{Dockerfile: "nope"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "app"), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "app/Dockerfile"), []byte(tt.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.target.Context == "" {
				tt.target.Context = "app"
			}
			var got []string
			for _, r := range References(dir, &tt.target) {
				got = append(got, fmt.Sprintf("%s:%d", r.Name, r.Line))
				if r.File != "app/Dockerfile" || string(r.Text) != tt.text {
					t.Errorf("%s is in %s: %q", r.Name, r.File, r.Text)
				}
			}
			if all := strings.Join(got, " "); all != tt.want {
				t.Errorf("got %q, want %q", all, tt.want)
			}
		})
	}
}

// TestReferencesInBuildFiles: steps and inline text are at their lines of the
// build file, whose text is not handed over again.
func TestReferencesInBuildFiles(t *testing.T) {
	at := func(line int) hcl.Range {
		return hcl.Range{Filename: "build.hcl", Start: hcl.Pos{Line: line}, End: hcl.Pos{Line: line}}
	}
	inline := "FROM a\nCOPY --from=b / /\n"
	for name, target := range map[string]*config.Target{
		"steps": {Context: ".", Steps: &config.StepScript{Text: inline, Lines: []hcl.Range{at(7), at(8)}}},
		"inline": {Context: ".", DockerfileInline: &inline, Places: map[string]hcl.Range{
			"dockerfile-inline": {Filename: "build.hcl", Start: hcl.Pos{Line: 6}, End: hcl.Pos{Line: 9}},
		}},
	} {
		got := References(t.TempDir(), target)
		if len(got) != 2 || got[0].Line != 7 || got[1].Line != 8 || got[1].Name != "b" || got[1].File != "build.hcl" || got[1].Text != nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
