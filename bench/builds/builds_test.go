package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/bench/internal/run"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   string
	}{
		{nil, ""},
		{[]float64{3}, "3"},
		{[]float64{3, 1, 2}, "2 (1 to 3)"},
		{[]float64{0.0591, 0.0604, 0.2, 0.051}, "0.060 (0.051 to 0.200)"},
		{[]float64{1234.4, 1234.2}, "1234"},
	} {
		if got := spreadOf(c.values).String(); got != c.want {
			t.Errorf("%v: got %q, want %q", c.values, got, c.want)
		}
	}
}

func TestRatios(t *testing.T) {
	for _, c := range []struct {
		above, below []float64
		want         string
	}{
		{[]float64{10, 30, 20}, []float64{1, 2, 5}, "10 (4 to 15)"}, // of those that follow each other
		{[]float64{30}, []float64{1, 2, 3}, "15"},
		{nil, []float64{1}, ""},
		{[]float64{1}, []float64{0}, ""},
	} {
		if got := spreadOf(ratios(c.above, c.below)).String(); got != c.want {
			t.Errorf("%v by %v: got %q, want %q", c.above, c.below, got, c.want)
		}
	}
}

func TestBrief(t *testing.T) {
	ctx := t.Context()
	r := run.Command{Words: []string{"sh", "-c", "printf 'first\\n\\n  second\\n' >&2; exit 3"}}.Run(ctx)
	if got := brief(r).Error(); got != "exit status 3: first second" {
		t.Errorf("got %q", got)
	}
	r = run.Command{Words: []string{"sleep", "3600"}, Limit: time.Millisecond}.Run(ctx)
	if got := brief(r).Error(); got != "not done after 1ms: " {
		t.Errorf("got %q", got)
	}
}

func TestInPairs(t *testing.T) {
	var order []string
	got, err := (&bench{}).inPairs(t.Context(), 3, func(p program) (sample, error) {
		order = append(order, p.String())
		if p == bake && len(order) > 2 {
			return nil, errors.New("no")
		}
		return sample{wall: float64(len(order))}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(order, " "); s != "strata bake bake strata strata" {
		t.Errorf("ran %s", s)
	}
	if len(got.samples[strata]) != 3 || len(got.samples[bake]) != 1 || got.failed[bake] == nil || got.failed[strata] != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTables(t *testing.T) {
	s := &series{}
	for i := range 2 {
		s.add(strata, sample{wall: 1 + float64(i), solves: 0})
		s.add(bake, sample{wall: 10, solves: 0})
	}
	failed := &series{failed: [2]error{errors.New("a|b"), nil}}
	sections := []section{
		{"first", []figure{wall, solves}, s, []goal{times(7.5, 5), atMost("wall", s.median(strata, wall), 1, "s")}},
		{"second", []figure{wall}, failed, []goal{atMost("wall", 0, 1, "s")}},
	}
	var b strings.Builder
	printGoals(&b, sections)
	printFigures(&b, sections)
	const want = `| case | goal | got | |
|---|---|---|---|
| first | bake takes at least 5 times as long | 7.50 times | met |
| first | wall at most 1 s | 1.50 s | **missed** |
| second | wall at most 1 s | failed | **missed** |
| case | | strata | bake | bake / strata |
|---|---|---|---|---|
| first | wall, s | 1.50 (1 to 2) | 10 | 7.50 (5 to 10) |
| second | strata failed: a\|b | | | |
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
}

func TestReadEvents(t *testing.T) {
	const text = `a warning
{"schema":1,"type":"progress","time":"2026-03-01T12:00:00Z","target":"base","step":{"id":"a","internal":true},"id":"transferring x:","current":10}
{"schema":1,"type":"progress","time":"2026-03-01T12:00:00Z","target":"base","step":{"id":"a","internal":true},"id":"transferring x:","current":300,"done":true}
{"schema":1,"type":"progress","time":"2026-03-01T12:00:00Z","target":"slow","step":{"id":"b"},"id":"transferring x:","current":7}
{"schema":1,"type":"progress","time":"2026-03-01T12:00:00Z","target":"slow","step":{"id":"c"},"id":"extracting","current":1000}
{"schema":1,"type":"step","time":"2026-03-01T12:00:01Z","target":"base","step":{"id":"d"},"state":"built","completed":"2026-03-01T12:00:01Z"}
{"schema":1,"type":"step","time":"2026-03-01T12:00:02Z","target":"base","step":{"id":"e","internal":true},"state":"built","completed":"2026-03-01T12:00:02Z"}
{"schema":1,"type":"step","time":"2026-03-01T12:00:03Z","target":"slow","step":{"id":"f"},"state":"built","completed":"2026-03-01T12:00:03Z"}
{"schema":1,"type":"target-done","time":"2026-03-01T12:00:01.1Z","target":"base"}
`
	got, err := readProgress(strata, []byte(text))
	if err != nil || got != (progress{307, 100 * time.Millisecond}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, bad := range []string{`{"schema":2}`, `{"schema":1,"type":"dropped","count":3}`, `{"schema"`} {
		if _, err := readProgress(strata, []byte(bad)); err == nil {
			t.Errorf("read %s", bad)
		}
	}
}

func TestReadStatus(t *testing.T) {
	const text = `WARN[0000] something
{"vertexes":[{"digest":"sha256:a","name":"[base internal] load build context","completed":"2026-03-01T12:00:09Z"}]}
{"statuses":[{"id":"transferring context:","vertex":"sha256:a","current":10},{"id":"transferring context:","vertex":"sha256:a","current":300}]}
{"statuses":[{"id":"transferring context:","vertex":"sha256:a","current":20},{"id":"pushing layers","vertex":"sha256:z","current":5000}]}
{"statuses":[{"id":"transferring dockerfile:","vertex":"sha256:b","current":7}]}
{"vertexes":[{"digest":"sha256:c","name":"[base 2/2] COPY . /base/","completed":"2026-03-01T12:00:01Z"},{"digest":"sha256:d","name":"[slow 2/3] COPY . /app/","completed":"2026-03-01T12:00:02Z"}]}
{"vertexes":[{"digest":"sha256:e","name":"[base] exporting to image","completed":"2026-03-01T12:00:05Z"}]}
`
	got, err := readProgress(bake, []byte(text))
	if err != nil || got != (progress{307, 4 * time.Second}) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := readProgress(bake, nil); err != nil || got.exportLag >= 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}
