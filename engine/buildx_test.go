package engine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestBuildersOfBuildx(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// as docker buildx create writes them
	write("instances/box", `{"Name":"box","Driver":"docker-container","Nodes":[{"Name":"box0","Endpoint":"unix:///var/run/docker.sock","Platforms":null,"DriverOpts":null}],"Dynamic":false}`)
	write("instances/boxctx", `{"Name":"boxctx","Driver":"docker-container","Nodes":[{"Name":"boxctx0","Endpoint":"desktop-linux"}]}`)
	write("instances/far", `{"Name":"far","Driver":"remote","Nodes":[{"Name":"far0","Endpoint":"tcp://far:1234","DriverOpts":{"cacert":"/ca.pem","cert":"/c.pem","key":"/k.pem","servername":"far"}}]}`)
	write("instances/pods", `{"Name":"pods","Driver":"kubernetes","Nodes":[{"Name":"pods0","Endpoint":"kubernetes:///pods","DriverOpts":{"namespace":"ci"}}]}`)
	write("instances/config", `{"Name":"config","Driver":"kubernetes","Nodes":[{"Name":"my_config0","Endpoint":"kubernetes:///config?deployment=my_config0&kubeconfig=/home/me/ci.yaml","DriverOpts":null}]}`)
	write("instances/odd", `{"Name":"odd","Driver":"cloud","Nodes":[{"Name":"odd0"}]}`)
	write("instances/bad", `{`)
	tests := []struct{ flag, env, current, want, err string }{
		{want: ""},
		{current: "box", want: "docker-container://buildx_buildkit_box0"},
		{env: "far", current: "box", want: "tcp://far:1234"},
		{flag: "pods", env: "far", want: "kube-app://pods0?namespace=ci"},
		{flag: "config", want: "kube-app://my-config0?kubeconfig=%2Fhome%2Fme%2Fci.yaml"},
		{flag: "boxctx", want: "docker-container://buildx_buildkit_boxctx0?context=desktop-linux"},
		{flag: "default", want: "docker:default"},
		{flag: "odd", err: "driver"},
		{flag: "bad", err: "reading"},
	}
	for _, tt := range tests {
		os.Remove(filepath.Join(dir, "current"))
		if tt.current != "" {
			write("current", `{"Key":"unix:///var/run/docker.sock","Name":"`+tt.current+`","Global":false}`)
		}
		env := map[string]string{"BUILDX_CONFIG": dir, "BUILDX_BUILDER": tt.env}
		got, tls, err := BuildxAddress(tt.flag, func(k string) (string, bool) { v, ok := env[k]; return v, ok })
		if got != tt.want || (err != nil) != (tt.err != "") {
			t.Errorf("%+v: %q, %v", tt, got, err)
		}
		if tt.env == "far" && tt.flag == "" && (tls.CA != "/ca.pem" || tls.ServerName != "far") {
			t.Errorf("TLS is %+v", tls)
		}
	}
}
