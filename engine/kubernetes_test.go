package engine

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeKubectl puts a kubectl on PATH that notes its arguments, answers "get"
// with answer and refuses all else. It returns what was noted.
func fakeKubectl(t *testing.T, answer string, status string) func() string {
	t.Helper()
	dir := t.TempDir()
	script := `#!/bin/sh
echo "$@" >> ` + dir + `/args
if [ "$1" = get ]; then cat ` + dir + `/answer; echo "no rights" >&2; exit ` + status + `; fi
echo "no exec here" >&2
exit 1
`
	for name, text := range map[string]string{"kubectl": script, "answer": answer, "args": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	return func() string {
		noted, err := os.ReadFile(filepath.Join(dir, "args"))
		if err != nil {
			t.Fatal(err)
		}
		return string(noted)
	}
}

const podsAnswer = `{"items": [
  {"metadata": {"name": "pods0-c", "namespace": "ci"}, "spec": {"containers": [{"name": "buildkitd"}]}, "status": {"phase": "Running"}},
  {"metadata": {"name": "pods0-b", "namespace": "ci"}, "spec": {"containers": [{"name": "buildkitd"}, {"name": "proxy"}]}, "status": {"phase": "Running"}},
  {"metadata": {"name": "pods0-a", "namespace": "ci", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"containers": [{"name": "buildkitd"}]}, "status": {"phase": "Running"}},
  {"metadata": {"name": "pods0-0", "namespace": "ci"}, "spec": {"containers": [{"name": "buildkitd"}]}, "status": {"phase": "Pending"}}
]}`

func TestPodOfABuilderIsFoundByKubectl(t *testing.T) {
	noted := fakeKubectl(t, podsAnswer, "0")
	_, err := Open(testContext(t), Options{Address: "kube-app://pods0?namespace=ci", LookupEnv: envOf(nil)})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) {
		t.Fatalf("got %v", err)
	}
	args := strings.Split(strings.TrimSpace(noted()), "\n")
	if args[0] != "get pods --selector=app=pods0 --output=json --namespace=ci" {
		t.Errorf("kubectl was called with %q", args[0])
	}
	if want := "--context= --namespace=ci exec --container=buildkitd -i pods0-b -- buildctl dial-stdio"; len(args) < 2 || args[1] != want {
		t.Errorf("kubectl was called with %q, want %q", args[1:], want)
	}
}

func TestPodProblems(t *testing.T) {
	const address = "kube-app://pods0?namespace=ci"
	tests := []struct{ name, address, answer, status, want string }{
		{"none", address, `{"items": []}`, "0", "no pod of the builder runs"},
		{"no rights", address, "", "1", "kubectl get pods: no rights"},
		{"no JSON", address, "x", "0", "kubectl get pods"},
		{"other cluster", address + "&kubeconfig=/other", podsAnswer, "0", "KUBECONFIG=/other"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fakeKubectl(t, tt.answer, tt.status)
			_, err := Open(testContext(t), Options{Address: tt.address, LookupEnv: envOf(nil)})
			var unreachable *UnreachableError
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), tt.want) || unreachable.Hint == "" {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	t.Run("no kubectl", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := Open(testContext(t), Options{Address: address, LookupEnv: envOf(nil)})
		if err == nil || !strings.Contains(err.Error(), "kubectl is not on PATH") {
			t.Errorf("got %v", err)
		}
	})
}
