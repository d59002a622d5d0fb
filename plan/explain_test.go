package plan

import (
	"strings"
	"testing"

	"github.com/strata-build/strata/cache/files"
	"github.com/strata-build/strata/cache/index"
	"github.com/strata-build/strata/lower"
)

// inputs reads lines such as "arg V=1 @build.hcl:3". The value of a step is its
// text and, after a bar, its hash.
func inputs(text string) []index.Input {
	var out []index.Input
	for line := range strings.Lines(text) {
		line, place, _ := strings.Cut(strings.TrimSpace(line), " @")
		if line == "" {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		name, value, _ := strings.Cut(rest, "=")
		out = append(out, index.Input{Kind: kind, Name: name, Value: strings.ReplaceAll(value, "|", "\n"), Place: place})
	}
	return out
}

// reasonLines says reasons in lines such as "arg V: 1 -> 2 @build.hcl:3".
func reasonLines(list []Reason) string {
	var out []string
	for _, r := range list {
		line := r.Kind + " " + r.Path + ": " + r.From + " -> " + r.To
		if r.Place != "" {
			line += " @" + r.Place
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestCompare(t *testing.T) {
	for _, tt := range []struct{ name, was, is, want string }{
		{"nothing", "arg V=1", "arg V=1", ""},
		{"argument", "arg V=1", "arg V=2 @build.hcl:3", "arg V: 1 -> 2 @build.hcl:3"},
		{"argument added", "", "arg V=1 @build.hcl:3", "arg V:  -> 1 @build.hcl:3"},
		{"argument removed", "arg V=1 @build.hcl:3", "", "arg V: 1 ->  @build.hcl:3"},
		{"an empty argument is one", "", "arg V=", "arg V:  -> "},
		{"base moved", "base alpine=sha256:a", "base alpine=sha256:b @Dockerfile:1", "base alpine: sha256:a -> sha256:b @Dockerfile:1"},
		{"front end, platform, config, output, parent",
			"frontend f=1\nplatform p=1\nconfig c=1\noutput o=1\nparent x=1", "frontend f=2\nplatform p=2\nconfig c=2\noutput o=2\nparent x=2",
			"frontend f: 1 -> 2\nplatform p: 1 -> 2\nconfig c: 1 -> 2\nparent x: 1 -> 2\noutput o: 1 -> 2"},
		{"causes before what follows", "config Labels=a\narg V=1\nbase b=1", "config Labels=b\narg V=2\nbase b=2",
			"base b: 1 -> 2\narg V: 1 -> 2\nconfig Labels: a -> b"},
		{"step changed", "step 1=RUN a|h1", "step 1=RUN b|h2 @Dockerfile:2", "step RUN b: RUN a -> RUN b @Dockerfile:2"},
		{"step put in", "step 1=RUN a|h1\nstep 2=RUN c|h3", "step 1=RUN a|h1\nstep 2=RUN b|h2\nstep 3=RUN c|h3", "step RUN b:  -> RUN b"},
		{"step taken out", "step 1=RUN a|h1\nstep 2=RUN b|h2", "step 1=RUN a|h1", "step RUN b: RUN b -> "},
		{"a step that follows from an argument is left out", "arg V=1\nstep 1=RUN a|h1", "arg V=2\nstep 1=RUN a|h2", "arg V: 1 -> 2"},
		{"a step that is all there is, is told", "step 1=RUN a|h1", "step 1=RUN a|h2", "step RUN a: h1 -> h2"},
		{"file changed", "files d#1=one", "files d#1=now", "file d/a: 11 -> 22 @Dockerfile:3\nfile d/gone: 44 -> \nfile d/new:  -> 33"},
		{"an old listing that is gone", "files d#1=lost", "files d#1=now", "file d: lost -> now"},
		{"another set of files", "files d#1=one", "files d#2=now", "file d:  -> now\nfile d: one -> "},
		{"a set that differs because of a step is left out", "step 1=RUN a|h\nfiles d#1=one", "step 1=RUN b|i\nfiles d#2=now", "step RUN b: RUN a -> RUN b"},
		{"times of steps are no cause", "key k=1s", "key k=2s\nresponse r=x", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			list := func(text string) []files.File {
				var out []files.File
				for _, word := range strings.Fields(text) {
					name, digest, _ := strings.Cut(word, "=")
					out = append(out, files.File{Path: name, Digest: "sha256:" + digest})
				}
				return out
			}
			set := files.Set{Dir: "/d"}
			c := comparison{
				tree: func(d string) ([]files.File, bool) { return list("a=11 gone=44 same=55"), d == "one" },
				now:  &Target{Trees: []Tree{{Name: "d#1", Set: set, own: list("a=22 new=33 same=55")}}},
				readings: []lower.Reading{
					{Place: "Dockerfile:3", Reads: []lower.Selection{{Local: lower.Local{Dir: "/d"}, Src: "a"}}},
				},
			}
			if got := reasonLines(c.compare(inputs(tt.was), inputs(tt.is))); got != tt.want {
				t.Errorf("the reasons are\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
