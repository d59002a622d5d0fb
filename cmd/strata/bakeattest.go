package main

import (
	"maps"
	"slices"
	"strconv"

	"github.com/strata-build/strata/config"
)

// attest has the targets attested as docker buildx does by default: an image that
// leaves the machine tells where it came from. The environment can switch that
// off, and have attestations stored as they were before OCI had artifacts.
func (o *bakeOptions) attest(lookup func(string) (string, bool)) error {
	var none, old bool
	for name, value := range map[string]*bool{"BUILDX_NO_DEFAULT_ATTESTATIONS": &none, "BUILDX_NO_DEFAULT_OCI_ARTIFACT": &old} {
		text, set := lookup(name)
		if !set {
			continue
		}
		var err error
		if *value, err = strconv.ParseBool(text); err != nil {
			return usageError("%s: %q is neither true nor false", name, text)
		}
	}
	before := o.prepare
	o.prepare = func(targets []*config.Target) {
		if before != nil {
			before(targets)
		}
		for _, t := range targets {
			if !none {
				addProvenance(t)
			}
			if old {
				storeAsImages(t)
			}
		}
	}
	return nil
}

// addProvenance asks for the provenance of a target whose image goes elsewhere,
// if the target itself says nothing about it.
func addProvenance(t *config.Target) {
	leaves := slices.ContainsFunc(t.Outputs, func(o config.Output) bool {
		push, _ := strconv.ParseBool(o.Attrs["push"])
		return o.Type == "registry" || o.Type == "oci" || o.Type == "image" && push
	})
	if !leaves || slices.ContainsFunc(t.Attest, func(a config.Attest) bool { return a.Type == "provenance" }) {
		return
	}
	t.Attest = append(t.Attest[:len(t.Attest):len(t.Attest)],
		config.Attest{Type: "provenance", Attrs: map[string]string{"mode": "min", "inline-only": "true"}})
}

// storeAsImages has the attestations of a target stored in the older form, where
// an output does not say which.
func storeAsImages(t *config.Target) {
	for i, o := range t.Outputs {
		_, set := o.Attrs["oci-artifact"]
		if set || !slices.Contains([]string{"image", "registry", "oci"}, o.Type) {
			continue
		}
		attrs := map[string]string{"oci-artifact": "false"}
		maps.Copy(attrs, o.Attrs)
		t.Outputs[i].Attrs = attrs
	}
}
