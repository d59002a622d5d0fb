package buildkit

import (
	"net"
	"sync"
	"testing"

	"github.com/strata-build/strata/config"
	"github.com/strata-build/strata/executor"
	"github.com/strata-build/strata/graph"
)

// The export of a target starts when the target is ready. The step of its child
// here ends only when the export has ended: were it held by the child, neither
// would.
func TestExportIsNotHeldByChildren(t *testing.T) {
	l := newLab(t)
	exported := make(chan struct{})
	var once sync.Once
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return // the step never asked
		}
		defer conn.Close()
		select {
		case <-exported:
			_, _ = conn.Write([]byte("exported"))
		case <-t.Context().Done():
		}
	})
	defer served.Wait()
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	b := l.builder()
	emit := b.Emit
	b.Emit = func(e executor.Event) {
		emit(e)
		if d, ok := e.(executor.TargetDone); ok && d.Target == "base" {
			once.Do(func() { close(exported) })
		}
	}
	targets := []*config.Target{
		{Name: "base", Context: ".", DockerfileInline: ptr("FROM busybox\nRUN echo base > /base\n"), Tags: []string{"base:1"}},
		{
			Name: "child", Context: ".", DockerfileInline: ptr("FROM base\nRUN nc 127.0.0.1 " + port + " </dev/null > /got\n"), Tags: []string{"child:1"},
			Contexts: map[string]string{"base": "target:base"}, Needs: []graph.ID{"base"},
		},
	}
	if err := b.Prepare(t.Context(), targets); err != nil {
		t.Fatal(err)
	}
	g, err := graph.New([]graph.Node{{ID: "base"}, {ID: "child", Needs: []graph.ID{"base"}}})
	if err != nil {
		t.Fatal(err)
	}
	if results, err := executor.Run(t.Context(), g, b, executor.Options{Jobs: 1}, b.Emit); err != nil {
		t.Fatal(err, results)
	}
	if status, out := l.run("child:1", "cat", "/got"); status != 0 || out != "exported" {
		t.Errorf("the child got %q", out)
	}
	var order []string
	for _, e := range l.events {
		switch e := e.(type) {
		case executor.TargetStarted:
			order = append(order, "start "+e.Target)
		case executor.TargetReady:
			order = append(order, "ready "+e.Target)
		case executor.TargetDone:
			order = append(order, "done "+e.Target)
		}
	}
	at := map[string]int{}
	for i, what := range order {
		at[what] = i + 1
	}
	if at["ready base"] == 0 || at["ready base"] > at["start child"] || at["done base"] > at["ready child"] {
		t.Errorf("order is %v", order)
	}
}
