package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A Dockerfile of a remote definition with a context here is an error if it could
// be taken for one that is here.
func TestRemoteDefinitionWithALocalContext(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"Dockerfile", "app.Dockerfile"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("FROM scratch\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const repository = "https://host/shop.git#main"
	for _, tt := range []struct {
		from, body string
		ok         bool
	}{
		{repository, `context = BAKE_CMD_CONTEXT`, false},
		{repository, "context = BAKE_CMD_CONTEXT\n dockerfile = \"app.Dockerfile\"", false},
		{repository, "context = BAKE_CMD_CONTEXT\n dockerfile = \"cwd://app.Dockerfile\"", true},
		{repository, "context = BAKE_CMD_CONTEXT\n dockerfile = \"there.Dockerfile\"", true},
		{repository, "context = BAKE_CMD_CONTEXT\n dockerfile-inline = \"FROM scratch\"", true},
		{repository, `context = "."`, true},
		{"", `context = BAKE_CMD_CONTEXT`, true}, // one file of a web server
	} {
		file := RemoteFile{Name: "docker-bake.hcl", Data: []byte("target \"default\" {\n " + tt.body + "\n}\n")}
		cfg, err := Load(t.Context(), LoadOptions{Dir: dir, Mode: ModeBake, Remote: &Remote{Files: []RemoteFile{file}, Context: tt.from}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = cfg.Resolve(Request{})
		if (err == nil) != tt.ok || err != nil && !strings.Contains(err.Error(), "reading a dockerfile for a remote build invocation is currently not supported") {
			t.Errorf("%s from %q: %v, want ok %v", tt.body, tt.from, err, tt.ok)
		}
	}
}
