package config

import (
	"context"
	"maps"
	"testing"
)

func TestRemoteContexts(t *testing.T) {
	const repo = "https://example.com/shop.git"
	for _, c := range []struct{ remote, context, want string }{
		{repo, ".", repo},
		{repo, "api", repo + "#:api"},
		{repo, "./api/", repo + "#:api"},
		{repo + "#v1", ".", repo + "#v1"},
		{repo + "#v1", "api", repo + "#v1:api"},
		{repo + "#v1:services", "api", repo + "#v1:services/api"},
		{repo + "#:services", "api", repo + "#:services/api"},
		{repo + "?ref=v1&subdir=services", "api", repo + "?ref=v1&subdir=services%2Fapi"},
		{"git@example.com:shop.git", "api", "git@example.com:shop.git#:api"},
		{repo, "cwd://local", "local"},
		{repo, "https://example.com/x.tar", "https://example.com/x.tar"},
		{"/unpacked", ".", "/unpacked"},
		{"/unpacked", "../../etc", "/unpacked/etc"},
		{"", "api", "api"},
	} {
		cfg, err := Load(context.Background(), LoadOptions{Mode: ModeBake, Remote: &Remote{
			Files:   []RemoteFile{{"docker-bake.hcl", []byte(`target "default" { context = "` + c.context + `" }`)}},
			Context: c.remote,
		}})
		if err != nil {
			t.Fatal(err)
		}
		sel, err := cfg.Resolve(Request{})
		if err != nil {
			t.Fatal(err)
		}
		if got := sel.Targets[0].Context; got != c.want {
			t.Errorf("%s of %s is %s, want %s", c.context, c.remote, got, c.want)
		}
	}
}

func TestRemoteDefinition(t *testing.T) {
	files := map[string]string{"local.hcl": `target "default" { tags = ["local"] }`, "docker-bake.hcl": "not read"}
	cfg, err := load(t, files, LoadOptions{
		Mode: ModeBake, Files: []string{"cwd://local.hcl"}, CmdContext: "https://example.com/other.git",
		Remote: &Remote{Context: "https://example.com/shop.git", Files: []RemoteFile{{"docker-bake.hcl", []byte(`
target "default" {
  tags     = ["remote"]
  args     = { C = BAKE_CMD_CONTEXT }
  contexts = { a = "lib", b = "target:base", c = "docker-image://alpine", d = "cwd://x", e = "." }
}
target "base" {}
`)}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sel, err := cfg.Resolve(Request{})
	if err != nil {
		t.Fatal(err)
	}
	got := sel.Targets[len(sel.Targets)-1]
	want := map[string]string{
		"a": "https://example.com/shop.git#:lib", "b": "target:base", "c": "docker-image://alpine",
		"d": "x", "e": "https://example.com/shop.git",
	}
	if !maps.Equal(got.Contexts, want) || got.Tags[0] != "local" || got.Args["C"] != "https://example.com/other.git" {
		t.Errorf("got %v, %v, %v", got.Contexts, got.Tags, got.Args)
	}
	if got.Context != "https://example.com/shop.git" || sel.Targets[0].Context != got.Context {
		t.Errorf("the contexts are %s and %s", got.Context, sel.Targets[0].Context)
	}
}
