package lower

import (
	"path/filepath"
	"testing"

	"github.com/strata-build/strata/config"
)

func TestHostsCanHaveSeveralAddresses(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	r, err := lowerOne(t, dir, &config.Target{Name: "app", Context: ".", ExtraHosts: map[string]string{
		"one": "192.0.2.1", "two": "192.0.2.1,192.0.2.2", "six": "[2001:db8::1],2001:db8::2",
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "one=192.0.2.1,six=2001:db8::1,six=2001:db8::2,two=192.0.2.1,two=192.0.2.2"
	if got := r.Request.Attrs["add-hosts"]; got != want {
		t.Errorf("the hosts are %q, want %q", got, want)
	}
}

// A Dockerfile that is named by its full path is here, wherever the context is.
func TestDockerfileHereForAContextElsewhere(t *testing.T) {
	dir := tree(t, map[string]string{"app.Dockerfile": "FROM scratch\n"})
	for file, here := range map[string]bool{
		filepath.Join(dir, "app.Dockerfile"): true, "cwd://app.Dockerfile": true, "app.Dockerfile": false, "": false,
	} {
		r, err := lowerOne(t, dir, &config.Target{Name: "app", Context: "https://host/shop.git#main", Dockerfile: file}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Request.Locals[localDockerfile] == dir; got != here || r.Foreign == "" {
			t.Errorf("%q is here: %v, want %v (%+v)", file, got, here, r.Request.Locals)
		}
	}
	if _, err := lowerOne(t, dir, &config.Target{Name: "app", Context: "https://host/shop.git#main", Dockerfile: filepath.Join(dir, "no")}, nil); err == nil {
		t.Error("a file that is not there is taken")
	}
}
