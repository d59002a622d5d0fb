package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

// stepText compiles the steps of a target and returns the Dockerfile.
func stepText(t *testing.T, steps string) *Target {
	t.Helper()
	sel := resolveText(t, "target \"default\" {\n"+steps+"\n}\ntarget \"base\" {\n  step { from = \"scratch\" }\n}\n")
	return sel.Targets[len(sel.Targets)-1]
}

func TestStepText(t *testing.T) {
	for _, tt := range []struct{ name, steps, want string }{
		{"from", `step { from = "alpine" }`, "FROM alpine"},
		{"from options", "step {\n from = \"golang:1\"\n as = \"build\"\n platform = \"$BUILDPLATFORM\"\n}", "FROM --platform=$BUILDPLATFORM golang:1 AS build"},
		{"from target", `step { from = "target:base" }`, "FROM target:base"},
		{"run shell", `step { run = "  make  all " }`, "RUN make  all"},
		{"run exec", `step { run = ["make", "a b", "<x>"] }`, `RUN ["make", "a b", "<x>"]`},
		{"run lines", "step { run = \"a\\nb\" }", "RUN <<EOF\na\nb\nEOF"},
		{"run with a here-document", "step { run = \"cat <<EOF\\nx\\nEOF\\n\" }", "RUN <<EOF1\ncat <<EOF\nx\nEOF\nEOF1"},
		{"run that looks like JSON", `step { run = "[ -f x ] && y" }`, "RUN <<EOF\n[ -f x ] && y\nEOF"},
		{"run ends in a backslash", `step { run = "echo \\" }`, "RUN <<EOF\necho \\\nEOF"},
		{"run options", "step {\n run = \"x\"\n network = \"none\"\n security = \"sandbox\"\n device = \"a=b\"\n}",
			"RUN --network=none --security=sandbox --device=a=b x"},
		{"mounts", "step {\n run = \"x\"\n mount {\n type = \"cache\"\n target = \"/c\"\n sharing = \"locked\"\n mode = 0755\n }\n mount {\n type = \"secret\"\n id = \"s\"\n required = true\n }\n}",
			"RUN --mount=type=cache,mode=755,sharing=locked,target=/c --mount=type=secret,id=s,required=true x"},
		{"mount of a target", "step {\n run = \"x\"\n mounts = [\"type=bind,from=target:base,target=/b\"]\n mount {\n from = \"target:base\"\n target = \"/c\"\n }\n}",
			"RUN --mount=type=bind,from=target:base,target=/c --mount=type=bind,from=target:base,target=/b x"},
		{"copy", `step { copy = ["a", "b", "/d/"] }`, "COPY a b /d/"},
		{"copy options", "step {\n copy = [\"a\", \"/d\"]\n from = \"target:base\"\n chown = \"1:2\"\n chmod = 755\n link = true\n parents = true\n exclude = [\"*.md\", \"*.txt\"]\n}",
			"COPY --from=target:base --chown=1:2 --chmod=755 --link --parents --exclude=*.md --exclude=*.txt a /d"},
		{"copy with spaces", `step { copy = ["a b", "/d"] }`, `COPY ["\"a b\"", "/d"]`},
		{"copy content", "step {\n copy = [\"/etc/motd\"]\n content = <<EOT\nhi $X \\\\n\nEOT\n}", "COPY <<EOF /etc/motd\nhi $X \\\\\\\\n\nEOF"},
		{"copy content as it is", "step {\n copy = [\"/m\"]\n expand = false\n content = <<EOT\nhi $X \\n\nEOT\n}", "COPY <<\"EOF\" /m\nhi $X \\n\nEOF"},
		{"add", "step {\n add = [\"https://x/y.tgz\", \"/d\"]\n checksum = \"sha256:12\"\n unpack = false\n keep-git-dir = true\n}",
			"ADD --checksum=sha256:12 --keep-git-dir --unpack=false https://x/y.tgz /d"},
		{"env in order", "step { env = { B = 1, A = \"x y\", C = \"$B/bin\", D = null } }", `ENV B=1 A="x y" C=$B/bin`},
		{"arg", `step { arg = "V" }`, "ARG V"},
		{"arg default", `step { arg = "V=a b" }`, `ARG V="a b"`},
		{"arg map", `step { arg = { V = null, W = "1" } }`, "ARG V W=1"},
		{"label", `step { label = { "org.x.y" = "a\"b", "k k" = "" } }`, `LABEL org.x.y="a\"b" "k k"=""`},
		{"workdir", `step { workdir = "/a b" }`, `WORKDIR "/a b"`},
		{"user", `step { user = "1000:1000" }`, "USER 1000:1000"},
		{"expose", `step { expose = [80, "443/tcp"] }`, "EXPOSE 80 443/tcp"},
		{"volume", `step { volume = "/data" }`, "VOLUME /data"},
		{"entrypoint", `step { entrypoint = ["/x"] }`, `ENTRYPOINT ["/x"]`},
		{"cmd shell", `step { cmd = "exec x $Y" }`, "CMD exec x $Y"},
		{"cmd nothing", `step { cmd = [] }`, "CMD []"},
		{"shell", `step { shell = ["/bin/bash", "-c"] }`, `SHELL ["/bin/bash", "-c"]`},
		{"stopsignal", `step { stopsignal = "SIGTERM" }`, "STOPSIGNAL SIGTERM"},
		{"healthcheck", "step {\n healthcheck = \"curl -f x\"\n interval = \"30s\"\n retries = 3\n}", "HEALTHCHECK --interval=30s --retries=3 CMD curl -f x"},
		{"healthcheck exec", `step { healthcheck = ["/x"] }`, `HEALTHCHECK CMD ["/x"]`},
		{"healthcheck none", `step { healthcheck = "NONE" }`, "HEALTHCHECK NONE"},
		{"onbuild", `step { onbuild = "RUN x" }`, "ONBUILD RUN x"},
		{"onbuild block", "step {\n onbuild {\n run = \"a\\nb\"\n network = \"none\"\n }\n}", "ONBUILD RUN --network=none <<EOF\na\nb\nEOF"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			steps, want := tt.steps, tt.want+"\n"
			if !strings.HasPrefix(tt.want, "FROM") {
				steps, want = "step { from = \"scratch\" }\n"+steps, "FROM scratch\n"+want
			}
			got := stepText(t, steps)
			if got.Steps.Text != want {
				t.Errorf("got:\n%s\nwant:\n%s", got.Steps.Text, want)
			}
			if n := strings.Count(got.Steps.Text, "\n"); n != len(got.Steps.Lines) {
				t.Errorf("%d lines have %d places", n, len(got.Steps.Lines))
			}
			if _, err := commands(got.Steps.Text); err != nil {
				t.Errorf("the front end does not read it: %v", err)
			}
			if strings.Contains(want, "target:base") && got.Steps.Contexts["target:base"] != "target:base" {
				t.Errorf("contexts are %v", got.Steps.Contexts)
			}
		})
	}
}

func TestStepLinesOfHereDocument(t *testing.T) {
	got := stepText(t, `  step { from = "alpine" }
  step {
    run = <<-EOT
      set -e

      echo ${"hi"} $HOME
    EOT
  }`)
	var places []string
	for _, rng := range got.Steps.Lines {
		places = append(places, fmt.Sprintf("%d:%d", rng.Start.Line, rng.Start.Column))
	}
	want := []string{"2:17", "4:11", "5:7", "6:1", "7:7", "4:11"}
	if !slices.Equal(places, want) {
		t.Errorf("got %v, want %v", places, want)
	}
}

// commands parses a Dockerfile as the front end does and lists the commands of
// its last stage.
func commands(text string) ([]instructions.Command, error) {
	ast, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return nil, err
	}
	return stages[len(stages)-1].Commands, nil
}

// expand reads a word as the front end does, with no variables.
func expand(s string) (string, error) {
	out, _, err := shell.NewLex('\\').ProcessWord(s, shell.EnvsFromSlice(nil))
	return out, err
}

// random makes text of characters that mean something to a Dockerfile.
func random(r *rand.Rand, alphabet string) string {
	runes := []rune(alphabet)
	var b strings.Builder
	for range 1 + r.IntN(12) {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

const nasty = "ab \t\\\"'`#<>[]{}(),;=&|-~:/%@!?*ü日\u00a0\u0085\r\v"

// TestStepWords compiles random strings and reads them back with the Dockerfile
// front end's own parser.
func TestStepWords(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ascii := strings.Map(func(c rune) rune {
		if c > 0x7e || c < 0x20 && c != '\t' {
			return -1
		}
		return c
	}, nasty)
	for i := range 2500 {
		s, flag := random(r, nasty), random(r, ascii)
		for _, tt := range []struct {
			name string
			step func() string
			read func(instructions.Command) ([]string, error)
			want []string
		}{
			{"env", func() string { return "env = { A = " + quote(s) + ", B = \"x\" }" }, func(c instructions.Command) ([]string, error) {
				e := c.(*instructions.EnvCommand)
				err := e.Expand(expand)
				return []string{e.Env[0].Key, e.Env[0].Value, e.Env[1].Value}, err
			}, []string{"A", s, "x"}},
			{"label", func() string {
				return "label = { " + quote("k"+strings.ReplaceAll(s, "=", "")) + " = " + quote(s) + " }"
			}, func(c instructions.Command) ([]string, error) {
				e := c.(*instructions.LabelCommand)
				err := e.Expand(expand)
				return []string{e.Labels[0].Key, e.Labels[0].Value}, err
			}, []string{"k" + strings.ReplaceAll(s, "=", ""), s}},
			{"arg", func() string { return "arg = { A = " + quote(s) + " }" }, func(c instructions.Command) ([]string, error) {
				v, err := expand(*c.(*instructions.ArgCommand).Args[0].Value)
				return []string{v}, err
			}, []string{s}},
			{"workdir", func() string { return "workdir = " + quote(s) }, func(c instructions.Command) ([]string, error) {
				w := c.(*instructions.WorkdirCommand)
				err := w.Expand(expand)
				return []string{w.Path}, err
			}, []string{s}},
			{"copy", func() string { return "copy = [" + quote(s) + ", " + quote("/"+s) + "]\n chown = " + quote(flag) }, func(c instructions.Command) ([]string, error) {
				cp := c.(*instructions.CopyCommand)
				err := cp.Expand(expand)
				return append(slices.Clone(cp.SourcePaths), cp.DestPath, cp.Chown), err
			}, []string{s, "/" + s, flag}},
			{"run", func() string { return "run = " + quote("x"+s+"y") }, func(c instructions.Command) ([]string, error) {
				return []string{shellText(c.(*instructions.RunCommand).ShellDependantCmdLine)}, nil
			}, []string{"x" + s + "y"}},
			{"run exec", func() string { return "run = [" + quote(s) + ", \"\"]" }, func(c instructions.Command) ([]string, error) {
				return c.(*instructions.RunCommand).CmdLine, nil
			}, []string{s, ""}},
			{"mount", func() string {
				return "run = \"x\"\n mount {\n type = \"cache\"\n id = " + quote(flag) + "\n target = " + quote("/"+flag) + "\n }"
			}, func(c instructions.Command) ([]string, error) {
				run := c.(*instructions.RunCommand)
				err := run.Expand(expand)
				m := instructions.GetMounts(run)[0]
				return []string{m.CacheID, m.Target}, err
			}, []string{flag, "/" + flag}},
		} {
			if blank(s) && tt.name != "run" {
				continue
			}
			text := compileStep(t, tt.step())
			cmds, err := commands(text)
			if err != nil {
				t.Fatalf("%d %s %q: %v in\n%s", i, tt.name, s, err, text)
			}
			got, err := tt.read(cmds[0])
			if err != nil || !slices.Equal(got, tt.want) {
				t.Fatalf("%d %s: got %q, want %q (%v) in\n%s", i, tt.name, got, tt.want, err, text)
			}
		}
	}
}

// blank says that s is nothing but space, which some instructions refuse.
func blank(s string) bool { return strings.TrimSpace(s) == "" }

// shellText is what the shell gets of a RUN.
func shellText(c instructions.ShellDependantCmdLine) string {
	if len(c.Files) == 0 {
		return strings.Join(c.CmdLine, " ")
	}
	return strings.TrimSuffix(c.Files[0].Data, "\n")
}

func compileStep(t *testing.T, step string) string {
	t.Helper()
	return stepText(t, "step { from = \"scratch\" }\nstep {\n "+step+"\n}").Steps.Text
}

// TestStepDollar pins what a dollar sign means.
func TestStepDollar(t *testing.T) {
	env := shell.EnvsFromSlice([]string{"X=1"})
	for in, want := range map[string]string{
		`$X`: "1", `\$X`: "$X", `${X}a b`: "1a b", `\\$X`: `\$X`, `a\b`: `a\b`, `cost: 5$`: "cost: 5$",
	} {
		got, _, err := shell.NewLex('\\').ProcessWord(word(in), env)
		if err != nil || got != want {
			t.Errorf("%s is %q, want %q (%v)", in, got, want, err)
		}
	}
}

// TestStepContent reads inline files back.
func TestStepContent(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		want := random(r, nasty+"\n\n") + "\nEOF\n"
		for _, expands := range []bool{true, false} {
			text := compileStep(t, fmt.Sprintf("copy = [\"/m\"]\n expand = %t\n content = %s", expands, quote(want)))
			cmds, err := commands(text)
			if err != nil {
				t.Fatalf("%v in\n%s", err, text)
			}
			c := cmds[0].(*instructions.CopyCommand)
			err = c.ExpandRaw(func(s string) (string, error) {
				lex := shell.NewLex('\\')
				lex.SkipProcessQuotes = true
				out, _, err := lex.ProcessWord(s, shell.EnvsFromSlice(nil))
				return out, err
			})
			if got := c.SourceContents[0].Data; err != nil || got != want {
				t.Fatalf("got %q, want %q (%v) in\n%s", got, want, err, text)
			}
		}
	}
}

// quote writes s as a literal of the language.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(b))
}

func TestStepContextNames(t *testing.T) {
	got := map[string]string{}
	for _, name := range []string{"base", "Base_1", "latest", "-x", strings.Repeat("a", 200)} {
		word, key := contextName(name)
		got[name] = word + " " + key
	}
	want := map[string]string{
		"base": "target:base target:base", "Base_1": "target:Base_1 target:Base_1", "latest": "target:latest target",
		"-x":                     "target-df8a92bbd8d1ee65ed9a14f6b3f7e8a0 target-df8a92bbd8d1ee65ed9a14f6b3f7e8a0",
		strings.Repeat("a", 200): got[strings.Repeat("a", 200)],
	}
	want["-x"] = got["-x"]
	if !maps.Equal(got, want) || !strings.HasPrefix(got["-x"], "target-") || len(got[strings.Repeat("a", 200)]) > 100 {
		t.Errorf("got %v", got)
	}
}
