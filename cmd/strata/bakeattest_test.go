package main

import (
	"reflect"
	"testing"

	"github.com/strata-build/strata/config"
)

func TestBakeAttestsWhatLeavesTheMachine(t *testing.T) {
	pushed := config.Output{Type: "image", Attrs: map[string]string{"push": "true"}}
	least := config.Attest{Type: "provenance", Attrs: map[string]string{"mode": "min", "inline-only": "true"}}
	off := config.Attest{Type: "provenance", Disabled: true}
	sbom := config.Attest{Type: "sbom"}
	for _, tt := range []struct {
		name    string
		env     map[string]string
		outputs []config.Output
		attest  []config.Attest
		want    []config.Attest
	}{
		{"a pushed image", nil, []config.Output{pushed}, nil, []config.Attest{least}},
		{"a registry", nil, []config.Output{{Type: "registry"}}, nil, []config.Attest{least}},
		{"an archive", nil, []config.Output{{Type: "oci", Dest: "x"}}, []config.Attest{sbom}, []config.Attest{sbom, least}},
		{"a kept image", nil, []config.Output{{Type: "image"}}, nil, nil},
		{"an image for Docker", nil, []config.Output{{Type: "docker"}}, nil, nil},
		{"files", nil, []config.Output{{Type: "local", Dest: "x"}}, nil, nil},
		{"nothing", nil, nil, nil, nil},
		{"said otherwise", nil, []config.Output{pushed}, []config.Attest{off}, []config.Attest{off}},
		{"switched off", map[string]string{"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}, []config.Output{pushed}, nil, nil},
		{"switched on", map[string]string{"BUILDX_NO_DEFAULT_ATTESTATIONS": "0"}, []config.Output{pushed}, nil, []config.Attest{least}},
	} {
		var o bakeOptions
		if err := o.attest(func(name string) (string, bool) { v, ok := tt.env[name]; return v, ok }); err != nil {
			t.Fatal(err)
		}
		target := &config.Target{Outputs: tt.outputs, Attest: tt.attest}
		o.prepare([]*config.Target{target})
		if !reflect.DeepEqual(target.Attest, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, target.Attest, tt.want)
		}
	}
}

func TestBakeStoresAttestationsInTheOlderForm(t *testing.T) {
	var o bakeOptions
	prepared := 0
	o.prepare = func([]*config.Target) { prepared++ }
	if err := o.attest(func(name string) (string, bool) { return "true", name == "BUILDX_NO_DEFAULT_OCI_ARTIFACT" }); err != nil {
		t.Fatal(err)
	}
	asked := map[string]string{"oci-artifact": "true"}
	target := &config.Target{Outputs: []config.Output{{Type: "registry"}, {Type: "oci", Attrs: asked}, {Type: "local", Dest: "x"}}}
	o.prepare([]*config.Target{target})
	want := []config.Output{{Type: "registry", Attrs: map[string]string{"oci-artifact": "false"}}, {Type: "oci", Attrs: asked}, {Type: "local", Dest: "x"}}
	if !reflect.DeepEqual(target.Outputs, want) || prepared != 1 {
		t.Errorf("outputs are %+v, prepared %d times", target.Outputs, prepared)
	}
	for _, name := range []string{"BUILDX_NO_DEFAULT_OCI_ARTIFACT", "BUILDX_NO_DEFAULT_ATTESTATIONS"} {
		if err := o.attest(func(n string) (string, bool) { return "maybe", n == name }); err == nil {
			t.Errorf("%s=maybe is taken", name)
		}
	}
}
