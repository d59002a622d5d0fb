package report

import (
	"bytes"
	"testing"
)

func TestTransfer(t *testing.T) {
	for _, tt := range []struct {
		name string
		tty  bool
		want string
	}{
		{"lines", false, "pushing a: 30 kB of 100 kB\npushing a: 60 kB of 100 kB\npushing a: 100 kB of 100 kB\n"},
		{"one line", true, "\rpushing a: 10 kB of\x1b[K\rpushing a: 30 kB of\x1b[K\rpushing a: 40 kB of\x1b[K\rpushing a: 60 kB of\x1b[K\rpushing a: 100 kB o\x1b[K\r\x1b[K"},
	} {
		var out bytes.Buffer
		s := &transfer{what: "pushing a", term: Terminal{Err: &out, IsTTY: tt.tty, Size: func() (int, int) { return 20, 5 }}}
		for _, done := range []int64{10, 30, 40, 60, 100} {
			s.progress(done*1000, 100_000)
		}
		s.end()
		if out.String() != tt.want {
			t.Errorf("%s: got %q", tt.name, &out)
		}
	}
}

func TestTransferOfNothing(t *testing.T) {
	var out bytes.Buffer
	progress, end := Terminal{Err: &out, IsTTY: true}.Transfer("x")
	progress(0, 0)
	end()
	if out.Len() > 0 {
		t.Errorf("got %q", &out)
	}
}
