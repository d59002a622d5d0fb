package config

import (
	"slices"
	"strings"
	"testing"
)

// A library of Dockerfiles by target, as References; it notes who was asked for.
type dockerfiles struct {
	names map[string]string // references by target, separated by spaces
	asked []string
}

func (d *dockerfiles) references(t *Target) []Reference {
	d.asked = append(d.asked, t.Name)
	var out []Reference
	text := "FROM " + strings.ReplaceAll(d.names[t.Name], " ", "\nFROM ")
	for i, name := range strings.Fields(d.names[t.Name]) {
		out = append(out, Reference{Name: name, File: t.Name + ".Dockerfile", Line: i + 1, Text: []byte(text)})
	}
	return out
}

func TestAutoLink(t *testing.T) {
	files := map[string]string{
		"build.hcl": `
strata { link = "auto" }
include { paths = ["a", "b"] }
target "base" { tags = ["acme/base"] }
target "app" {}
target "off" { link = "none" }
target "_on" { link = "auto" }
target "child" { inherits = ["_on", "off"] }
`,
		"a/build.hcl": `
target "base" { tags = ["acme/a:1"] }
target "app" {}
target "self" { tags = ["acme/self"] }
`,
		"b/build.hcl": `
strata { link = "none" }
target "app" {}
target "on" {
  link = "auto"
  contexts = { tool = "docker-image://alpine" }
}
target "one" { tags = ["acme/two:1"] }
target "two" { tags = ["docker.io/acme/two:1"] }
`,
	}
	for _, tt := range []struct{ target, refs, want string }{
		{"app", "base", "base=base"},
		{"app", "acme/base", "acme/base=base"},
		{"app", "docker.io/acme/base:latest alpine:3", "docker.io/acme/base:latest=base"},
		{"app", "base base", "base=base"},
		{"a:app", "base", "base=a:base"},
		{"a:app", "acme/a:1 acme/base:latest acme/base:2", "acme/a:1=a:base acme/base:latest=base"},
		{"a:app", "one", "one=b:one"},
		{"a:self", "acme/self", ""},
		{"b:app", "base", ""},
		{"b:on", "tool on base", "base=base"},
		{"child", "base", ""},
		{"app", "acme/two:1", "Ambiguous link"},
		{"app", "nothing", ""},
	} {
		t.Run(tt.target+" "+tt.refs, func(t *testing.T) {
			d := &dockerfiles{names: map[string]string{tt.target: tt.refs}}
			c, err := load(t, files, LoadOptions{References: d.references})
			if err != nil {
				t.Fatal(err)
			}
			if len(d.asked) > 0 {
				t.Errorf("loading has read the Dockerfiles of %q", d.asked)
			}
			sel, err := c.Resolve(Request{Targets: []string{tt.target}})
			if err != nil {
				d := err.(*Error).Diags[0]
				if d.Summary != tt.want || d.Subject.Filename != "app.Dockerfile" || err.(*Error).Files["app.Dockerfile"] == nil {
					t.Error(err)
				}
				return
			}
			target := sel.Targets[len(sel.Targets)-1]
			var got []string
			for key, to := range target.Contexts {
				if name, ok := targetName(to); ok {
					got = append(got, key+"="+name)
				}
			}
			slices.Sort(got)
			if all := strings.Join(got, " "); all != tt.want {
				t.Errorf("linked %q, want %q", all, tt.want)
			}
		})
	}
}

// TestAutoLinkReadsOnlyWhatIsAsked: without link no Dockerfile is read, and with it
// only those of the targets that are built.
func TestAutoLinkReadsOnlyWhatIsAsked(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{`target "a" {}`, ""},
		{"strata { link = \"none\" }\ntarget \"a\" {}", ""},
		{"target \"a\" { link = \"auto\" }\ntarget \"b\" { link = \"auto\" }", "a"},
		{"strata { link = \"auto\" }\ntarget \"a\" { needs = [\"b\"] }\ntarget \"b\" {}\ntarget \"c\" {}", "a b"},
	} {
		d := &dockerfiles{}
		c, err := load(t, map[string]string{"build.hcl": tt.text}, LoadOptions{References: d.references})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resolve(Request{Targets: []string{"a"}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.asked, " "); got != tt.want {
			t.Errorf("%s\nread the Dockerfiles of %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestAutoLinkCycle(t *testing.T) {
	d := &dockerfiles{names: map[string]string{"a": "alpine b", "b": "acme/a"}}
	c, err := load(t, map[string]string{"build.hcl": `
strata { link = "auto" }
target "a" { tags = ["acme/a"] }
target "b" {}
`}, LoadOptions{References: d.references})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Resolve(Request{Targets: []string{"a"}})
	if err == nil || !strings.Contains(err.Error(), "a.Dockerfile:2:6: Dependency cycle") {
		t.Error(err)
	}
}
