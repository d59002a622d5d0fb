package buildkit

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/engine"
	"github.com/strata-build/strata/executor"
)

func environment(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

// httpOnly reads what needs no engine.
func httpOnly() *RemoteReader {
	return &RemoteReader{
		Engine:    func(context.Context) (*engine.Engine, error) { return nil, errors.New("an engine was asked for") },
		LookupEnv: environment(nil),
	}
}

func serveBytes(t *testing.T, data []byte) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/missing") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

func TestRemoteFileIsReadInFull(t *testing.T) {
	text := "target \"default\" {\n" + strings.Repeat("  # a comment\n", 1000) + "}\n"
	address := serveBytes(t, []byte(text)) + "/docker-bake.hcl"
	got, err := httpOnly().Read(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 1 || got.Files[0].Name != address || string(got.Files[0].Data) != text || got.Context != "" {
		t.Errorf("got %d bytes, context %q", len(got.Files[0].Data), got.Context)
	}
}

func TestRemoteFileProblems(t *testing.T) {
	large := serveBytes(t, bytes.Repeat([]byte{'#'}, maxDefinition+1))
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for address, want := range map[string]string{
		large + "/x.hcl":                             "larger than 2 MiB",
		large + "/missing.hcl":                       "the server answers 404",
		closed.URL + "/x.hcl":                        "refused",
		"http://me:secret@" + large[7:] + "/missing": "me:xxxxx@",
	} {
		_, err := httpOnly().Read(t.Context(), address, nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}

func TestIsRemote(t *testing.T) {
	for arg, want := range map[string]bool{
		"https://example.com/x.hcl": true, "http://example.com/x.tar.gz": true, "https://github.com/a/b.git#v1:sub": true,
		"git@github.com:a/b.git": true, "github.com/a/b": true, "ssh://git@host/a.git": true, "git://host/a": true,
		"app": false, "app-*": false, "default": false, "./x": false,
	} {
		if IsRemote(arg) != want {
			t.Errorf("%s: want %v", arg, want)
		}
	}
}

func TestGitSecretsStayOnTheHost(t *testing.T) {
	env := environment(map[string]string{"BUILDX_BAKE_GIT_AUTH_TOKEN": "t"})
	for _, c := range []struct {
		definition, context, want string
	}{
		{"https://example.com/a.git", "https://example.com/b.git#main:sub", "GIT_AUTH_TOKEN.example.com"},
		{"https://example.com/a.git", "https://EXAMPLE.com/b.git", "GIT_AUTH_TOKEN.example.com"},
		{"https://example.com/a.git", "https://evil.example/b.git", ""},
		{"https://example.com/a.git", "https://example.com.evil.example/b.git", ""},
		{"https://example.com/a.git", ".", ""},
		{"https://example.com/bake.hcl", "https://example.com/a.git", ""},
	} {
		got := ""
		if s := GitSecrets(c.definition, c.context, env); len(s) == 1 {
			got = s[0].ID
		}
		if got != c.want {
			t.Errorf("%s and %s: got %q, want %q", c.definition, c.context, got, c.want)
		}
	}
	both := GitSecrets("https://h/a.git", "https://h/a.git", environment(map[string]string{"BUILDX_BAKE_GIT_AUTH_TOKEN": "t", "BUILDX_BAKE_GIT_AUTH_HEADER": "h"}))
	if len(both) != 2 || both[1] != (config.Secret{ID: "GIT_AUTH_HEADER.h", Env: "BUILDX_BAKE_GIT_AUTH_HEADER"}) {
		t.Errorf("got %v", both)
	}
}

// reader reads by the lab's engine.
func (l *lab) reader() *RemoteReader {
	return &RemoteReader{
		Engine:    func(context.Context) (*engine.Engine, error) { return l.engine, nil },
		Dir:       func() (string, error) { return l.t.TempDir(), nil },
		LookupEnv: environment(nil),
	}
}

// What the engine does while it fetches a definition is told.
func TestRemoteReaderTells(t *testing.T) {
	l := newLab(t)
	address := gitServer(t, map[string]string{"docker-bake.hcl": "target \"x\" {}\n"})
	var steps []string
	r := l.reader()
	r.Emit = func(e executor.Event) {
		if u, ok := e.(executor.StepUpdate); ok && u.State == executor.Built {
			steps = append(steps, u.Step.Vertex)
		}
	}
	if _, err := r.Read(t.Context(), address, nil); err != nil {
		t.Fatal(err)
	}
	if len(steps) != 1 || !strings.HasPrefix(steps[0], "[internal] load git source ") {
		t.Errorf("it told of %q", steps)
	}
}

func TestRemoteRepository(t *testing.T) {
	l := newLab(t)
	address := gitServer(t, map[string]string{
		"compose.yaml":    "services: {}\n",
		"docker-bake.hcl": "# " + strings.Repeat("x", 3000) + "\n",
		"sub/own.hcl":     "target \"x\" {}\n",
		"large.hcl":       strings.Repeat("#", maxDefinition+1),
	})
	got, err := l.reader().Read(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 2 || got.Files[0].Name != "compose.yaml" || len(got.Files[1].Data) != 3003 || got.Context != address {
		t.Errorf("got %+v", got)
	}
	got, err = l.reader().Read(t.Context(), address+"#main:sub", []string{"own.hcl"})
	if err != nil || len(got.Files) != 1 || string(got.Files[0].Data) != "target \"x\" {}\n" {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, c := range []struct {
		address string
		names   []string
		want    string
	}{
		{address, []string{"nope.hcl"}, `repo: there is no file "nope.hcl"`},
		{address, []string{"large.hcl"}, "larger than 2 MiB"},
		{address + "#main:sub", nil, "it has none of compose.yaml"},
		{address + "#nope", nil, "nope"},
	} {
		if _, err := l.reader().Read(t.Context(), c.address, c.names); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %v: %v, want %s", c.address, c.names, err, c.want)
		}
	}
}

func TestRemoteArchive(t *testing.T) {
	l := newLab(t)
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range []struct{ name, text, link string }{
		{"docker-bake.hcl", "target \"default\" {}\n", ""}, {"api/Dockerfile", "FROM scratch\n", ""}, {"out.hcl", "", "/etc/passwd"},
	} {
		h := &tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.text)), Linkname: f.link}
		if f.link != "" {
			h.Typeflag = tar.TypeSymlink
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	address := serveBytes(t, packed.Bytes()) + "/shop.tar"
	got, err := l.reader().Read(t.Context(), address, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Files) != 1 || string(got.Files[0].Data) != "target \"default\" {}\n" {
		t.Errorf("got %+v", got)
	}
	if text, err := os.ReadFile(filepath.Join(got.Context, "api/Dockerfile")); err != nil || string(text) != "FROM scratch\n" {
		t.Errorf("the context has %q, %v", text, err)
	}
	if got, err := l.reader().Read(t.Context(), address, []string{"out.hcl"}); err == nil {
		t.Errorf("a link out of the archive was followed: %v", got.Files)
	}
}
