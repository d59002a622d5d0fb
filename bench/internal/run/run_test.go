package run

import (
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	r := Run(t.TempDir(), "sh", "-c", "echo out")
	if r.Err != nil || string(r.Out) != "out\n" || r.Wall <= 0 || r.Memory < 100<<10 {
		t.Errorf("got %+v", r)
	}
	r = Run("", "sh", "-c", "echo first >&2; echo last >&2; exit 3")
	if r.Err == nil || !strings.HasSuffix(r.Err.Error(), "exit status 3: last") {
		t.Errorf("got %v", r.Err)
	}
}

func TestCommand(t *testing.T) {
	r := Command{Words: []string{"sh", "-c", "echo $WORD; echo e >&2"}, Env: []string{"WORD=w"}}.Run(t.Context())
	if r.Err != nil || string(r.Out) != "w\n" || string(r.Errs) != "e\n" {
		t.Errorf("got %+v", r)
	}
	r = Command{Words: []string{"sleep", "3600"}, Limit: time.Millisecond}.Run(t.Context())
	if r.Err == nil || !strings.HasSuffix(r.Err.Error(), "not done after 1ms") {
		t.Errorf("got %v", r.Err)
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a": 1, "b": 2}`, `{"b":2,"a":1}`, true},
		{`{"a": [1, 2]}`, `{"a": [2, 1]}`, false},
		{``, ``, false},
	} {
		if Same([]byte(c.a), []byte(c.b)) != c.want {
			t.Errorf("%s and %s: want %v", c.a, c.b, c.want)
		}
	}
}
