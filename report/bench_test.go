package report

import (
	"io"
	"testing"
	"time"

	"github.com/strata-build/strata/executor"
)

// BenchmarkLog measures a step that prints as fast as it can.
func BenchmarkLog(b *testing.B) {
	line := []byte("\x1b[32mcompiling\x1b[0m github.com/strata-build/strata/report (12/345)\n")
	for _, mode := range []Mode{TTY, Plain, RawJSON} {
		b.Run(string(mode), func(b *testing.B) {
			v, out := newView(mode, Terminal{Err: io.Discard, IsTTY: true})
			log := executor.StepLog{Time: time.Unix(1, 0), Target: "a", Step: executor.Step{ID: "1"}, Data: line}
			b.ReportAllocs()
			for b.Loop() {
				v.event(log)
			}
			v.end()
			if err := out.close(b.Context()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
