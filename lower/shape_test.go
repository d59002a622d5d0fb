package lower

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb/sourceresolver"
	digest "github.com/opencontainers/go-digest"

	"github.com/strata-build/strata/config"
)

// movedRegistry is a fakeRegistry whose images have another digest.
type movedRegistry struct{ fakeRegistry }

func (r movedRegistry) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	ref, _, img, err := r.fakeRegistry.ResolveImageConfig(ctx, ref, opt)
	d := digest.FromString("moved " + ref)
	return ref + "@" + d.String(), d, img, err
}

// pinRegistry names the digest as the registry of a run does.
type pinRegistry struct{ fakeRegistry }

func (r pinRegistry) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	ref, d, img, err := r.fakeRegistry.ResolveImageConfig(ctx, ref, opt)
	return ref + "@" + d.String(), d, img, err
}

// A case of the shape: files, target and options, each to be changed.
type shapeCase struct {
	files  map[string]string
	target *config.Target
	opts   Options
}

func newShapeCase() *shapeCase {
	return &shapeCase{
		files: map[string]string{
			"Dockerfile": strings.Join([]string{
				"# comment", "ARG BASE=alpine", "FROM $BASE AS build", "ARG V=1", "ENV X=$V", "COPY src /src", "RUN make",
				"RUN --mount=type=secret,id=token --mount=type=bind,source=sub,target=/sub use", "FROM busybox AS unused", "RUN never",
				"FROM scratch", "COPY --link --from=build /out /out", "COPY --from=data f* /data/", `CMD ["/out"]`, "",
			}, "\n"),
			"src/a": "a", "sub/b": "b", "data/f1": "1",
		},
		target: &config.Target{
			Name: "app", Context: ".", Args: map[string]string{"V": "2"}, Labels: map[string]string{"l": "m"},
			Contexts: map[string]string{"data": "data"},
		},
		opts: Options{Resolver: pinRegistry{}, RunID: "run"},
	}
}

func (c *shapeCase) brief(t *testing.T) *Brief {
	t.Helper()
	c.opts.Dir = tree(t, c.files) // another one each time
	b, err := NewLowerer(t.Context(), []*config.Target{c.target}, nil, c.opts).Brief(c.target.Name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *shapeCase) edit(old, now string) {
	c.files["Dockerfile"] = strings.Replace(c.files["Dockerfile"], old, now, 1)
}

func TestShape(t *testing.T) {
	first := newShapeCase().brief(t)
	for name, tt := range map[string]struct {
		change func(*shapeCase)
		same   bool
	}{
		"another checkout":         {func(*shapeCase) {}, true},
		"another run":              {func(c *shapeCase) { c.opts.RunID = "other" }, true},
		"another generation":       {func(c *shapeCase) { c.opts.Generation = func(string) string { return "x" } }, true},
		"content":                  {func(c *shapeCase) { c.files["src/a"] = "other" }, true},
		"comment":                  {func(c *shapeCase) { c.edit("# comment", "# words\n") }, true},
		"what no stage needs":      {func(c *shapeCase) { c.edit("RUN never", "RUN ever") }, true},
		"undeclared argument":      {func(c *shapeCase) { c.target.Args["NOBODY"] = "1" }, true},
		"proxies":                  {func(c *shapeCase) { c.target.Args["HTTP_PROXY"] = "http://proxy" }, true},
		"ignore file":              {func(c *shapeCase) { c.files[".dockerignore"] = "*.md\n" }, true},
		"name of a target":         {func(c *shapeCase) { c.target.Name = "other" }, true},
		"name of a stage":          {func(c *shapeCase) { c.edit("AS build", "AS b1"); c.edit("--from=build", "--from=b1") }, true},
		"place of a named context": {func(c *shapeCase) { c.target.Contexts["data"] = "src" }, true},

		"instruction":    {func(c *shapeCase) { c.edit("RUN make", "RUN make all") }, false},
		"new step":       {func(c *shapeCase) { c.edit("RUN make", "RUN make\nRUN true") }, false},
		"source of COPY": {func(c *shapeCase) { c.edit("COPY src", "COPY src/a") }, false},
		"COPY --chmod":   {func(c *shapeCase) { c.edit("COPY src", "COPY --chmod=600 src") }, false},
		"COPY --exclude": {func(c *shapeCase) { c.edit("COPY src", "COPY --exclude=*.md src") }, false},
		"--link":         {func(c *shapeCase) { c.edit("--from=data", "--link --from=data") }, false},
		"mounted part":   {func(c *shapeCase) { c.edit("source=sub", "source=src") }, false},
		"secret":         {func(c *shapeCase) { c.edit("id=token", "id=key") }, false},
		"argument":       {func(c *shapeCase) { c.target.Args["V"] = "3" }, false},
		"base argument":  {func(c *shapeCase) { c.target.Args["BASE"] = "busybox" }, false},
		"base moved":     {func(c *shapeCase) { c.opts.Resolver = movedRegistry{} }, false},
		"command":        {func(c *shapeCase) { c.edit(`["/out"]`, `["/in"]`) }, false},
		"label":          {func(c *shapeCase) { c.target.Labels["l"] = "n" }, false},
		"platform":       {func(c *shapeCase) { c.target.Platforms = []string{"linux/arm64"} }, false},
		"index":          {func(c *shapeCase) { c.target.Args["BUILDKIT_MULTI_PLATFORM"] = "1" }, false},
		"stage":          {func(c *shapeCase) { c.target.Stage = "build" }, false},
		"network":        {func(c *shapeCase) { c.target.Network = "none" }, false},
		"ulimit":         {func(c *shapeCase) { c.target.Ulimits = []string{"nofile=1:2"} }, false},
		"shm-size":       {func(c *shapeCase) { c.target.ShmSize = "1m" }, false},
		"hosts":          {func(c *shapeCase) { c.target.ExtraHosts = map[string]string{"h": "10.0.0.1"} }, false},
		"timestamps":     {func(c *shapeCase) { c.target.Args["SOURCE_DATE_EPOCH"] = "1" }, false},
		"named image":    {func(c *shapeCase) { c.target.Contexts["alpine"] = "docker-image://busybox" }, false},
		"merged contexts": {func(c *shapeCase) { // src and data are one directory, and one is not ignored as the other
			c.target.Contexts["data"] = "."
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newShapeCase()
			c.target.Args, c.target.Contexts = maps.Clone(c.target.Args), maps.Clone(c.target.Contexts)
			tt.change(c)
			b := c.brief(t)
			if same := b.Shape == first.Shape && reflect.DeepEqual(b.Uses, first.Uses); same != tt.same {
				t.Errorf("same shape and uses: %t, want %t; uses are %v, were %v", same, tt.same, b.Uses, first.Uses)
			}
		})
	}
}

// TestUses writes a slash after what is taken without its own directory.
func TestUses(t *testing.T) {
	for copies, want := range map[string]string{
		"COPY a /":                  "a/",
		"COPY a b/ /x/":             "a/,b/",
		"COPY . /":                  "./",
		"COPY ./a/../b /":           "b/",
		"COPY --parents a/b /":      "./",
		"COPY --parents a/./b /":    "a/",
		"COPY --exclude=*.md a /":   "a/",
		"COPY --chmod=600 a /":      "a/",
		"COPY *.go /":               "*.go/",
		"ADD a /":                   "a/",
		"COPY <<EOF /x\nhello\nEOF": "",
		"COPY --from=ctx a /":       "ctx:a/",
		"RUN --mount=type=bind,source=a,target=/c x":    "a",
		"RUN --mount=type=bind,from=ctx,target=/c x":    "ctx:.",
		"RUN --mount=type=bind,from=ctx,rw,target=/c x": "ctx:.",
		"RUN --mount=type=cache,target=/c x":            "",
		"COPY a /\nCOPY a /b\nCOPY --link a /":          "a/",
		"COPY a /\nRUN --mount=source=a,target=/c x":    "a/,a",
	} {
		dir := tree(t, map[string]string{"Dockerfile": "FROM alpine\n" + copies + "\n", "ctx/a": ""})
		b := briefs(t, dir, nil, &config.Target{Name: "app", Context: ".", Contexts: map[string]string{"ctx": "ctx"}})["app"]
		var got []string
		for _, u := range b.Uses {
			src := u.Src
			if src == "" {
				src = "."
			}
			if u.Contents {
				src += "/"
			}
			if b.Locals[u.Local].Dir != dir {
				src = "ctx:" + src
			}
			got = append(got, src)
		}
		if g := strings.Join(got, ","); g != want {
			t.Errorf("%q takes %q, want %q", copies, g, want)
		}
	}
}

func TestSelectionMatches(t *testing.T) {
	for src, files := range map[string]string{ // files that match, and after | some that do not
		"":        "a a/b .x",
		"a":       "a a/b a/b/c | ab b/a a.go",
		"a/b":     "a/b a/b/c | a a/bc b",
		"a/":      "a/b a/b/c | a ab b/a",
		"*":       "a a/b a.go/x |",
		"*.go":    "a.go a.go/x | a a/b.go .gob",
		"a/*.go":  "a/b.go a/b.go/c | b.go a/b/c.go a",
		"a?":      "ab ab/c | a abc",
		"[ab]":    "a b/c | c ab",
		"[":       "[ [/a | a",
		`a\*`:     "a* | ab",
		"*/*":     "a/b a/b/c | a",
		"a*/b/c*": "a/b/c ax/b/cd/e | a/b b/b/c",
	} {
		yes, no, _ := strings.Cut(files, "|")
		for _, f := range strings.Fields(yes) {
			if !(Selection{Src: src}).Matches(f) {
				t.Errorf("%q does not match %q", src, f)
			}
		}
		for _, f := range strings.Fields(no) {
			if (Selection{Src: src}).Matches(f) {
				t.Errorf("%q matches %q", src, f)
			}
		}
	}
}

// TestForeignTargetsAreNeverTheSame checks that what only the engine can read
// is not taken as it was: what its Dockerfile names is not known here.
func TestForeignTargetsAreNeverTheSame(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "# syntax=example.com/other:1\nFROM alpine\n"})
	if b := briefs(t, dir, nil, &config.Target{Name: "app", Context: "."})["app"]; b.Frontend == "" || len(b.Unpinned) == 0 {
		t.Errorf("the brief is %+v", b)
	}
}

func TestImagesOfNamedContextsArePinned(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM system\nRUN --mount=type=bind,from=tools,target=/t x\n"})
	b := briefs(t, dir, nil, &config.Target{Name: "app", Context: ".", Contexts: map[string]string{
		"system": "docker-image://alpine", "tools": "docker-image://example.com/tools:1",
	}})["app"]
	if len(b.Unpinned) > 0 {
		t.Errorf("%v may change with nothing telling", b.Unpinned)
	}
	if len(b.Images) != 2 {
		t.Errorf("the images are %v", b.Images)
	}
}
