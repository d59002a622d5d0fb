package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// appScheme is the scheme of the pods of a builder's Deployment or StatefulSet:
// kube-app://NAME?namespace=NS&kubeconfig=FILE. BuildxAddress makes it.
const appScheme = "kube-app"

// podAddress finds a running pod of the application at u by kubectl and returns
// its kube-pod:// address. Of several it is always the first by name, so that
// later builds find what earlier ones have cached.
func podAddress(ctx context.Context, u *url.URL, opts Options) (string, error) {
	hint := "the builder is made by docker buildx; is it running? docker buildx inspect --bootstrap starts it"
	refuse := func(err error, hint string) (string, error) {
		return "", &UnreachableError{Address: u.Redacted(), Err: err, Hint: hint}
	}
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		return refuse(errors.New("kubectl is not on PATH"), "install kubectl, which is how strata reaches the pods of a builder")
	}
	q := u.Query()
	// The connection is made by kubectl too, with the environment of this process.
	if want := q.Get("kubeconfig"); want != "" {
		if have, _ := opts.LookupEnv("KUBECONFIG"); have != want {
			return refuse(fmt.Errorf("the builder was made with KUBECONFIG=%s", want), "set KUBECONFIG to that")
		}
	}
	args := []string{"get", "pods", "--selector=app=" + u.Host, "--output=json"}
	if ns := q.Get("namespace"); ns != "" {
		args = append(args, "--namespace="+ns)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, errNoAnswer)
	defer cancel()
	cmd := exec.CommandContext(ctx, kubectl, args...)
	cmd.WaitDelay = time.Second // what kubectl has started may hold its output open
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if said := strings.TrimSpace(errs.String()); said != "" {
			err = errors.New(said)
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return refuse(fmt.Errorf("kubectl get pods: %w", err), `does "kubectl get pods" work?`)
	}
	pod, err := runningPod(out.Bytes())
	if err != nil {
		return refuse(err, hint)
	}
	return pod.address(), nil
}

// A pod is what of kubectl's answer is needed.
type pod struct {
	Metadata struct {
		Name, Namespace   string
		DeletionTimestamp *string
	}
	Spec   struct{ Containers []struct{ Name string } }
	Status struct{ Phase string }
}

// runningPod picks the first pod that runs and is not about to end.
func runningPod(answer []byte) (*pod, error) {
	var list struct{ Items []*pod }
	if err := json.Unmarshal(answer, &list); err != nil {
		return nil, fmt.Errorf("kubectl get pods: %w", err)
	}
	running := slices.DeleteFunc(list.Items, func(p *pod) bool {
		return p.Status.Phase != "Running" || p.Metadata.DeletionTimestamp != nil || len(p.Spec.Containers) == 0
	})
	if len(running) == 0 {
		return nil, errors.New("no pod of the builder runs")
	}
	return slices.MinFunc(running, func(a, b *pod) int { return strings.Compare(a.Metadata.Name, b.Metadata.Name) }), nil
}

// address is the pod's for BuildKit's client; buildkitd is the first container.
func (p *pod) address() string {
	q := url.Values{"container": {p.Spec.Containers[0].Name}}
	if p.Metadata.Namespace != "" {
		q.Set("namespace", p.Metadata.Namespace)
	}
	return "kube-pod://" + p.Metadata.Name + "?" + q.Encode()
}
