package plan

import (
	"testing"
	"time"

	"github.com/strata-build/strata/cache/index"
)

func TestTakeImage(t *testing.T) {
	away := func(change func(*Parent)) Parent {
		p := Parent{Entry: index.Entry{Engine: "one"}, Engine: "two", Took: 10 * time.Second, Bytes: fetchRate}
		change(&p)
		return p
	}
	for _, tt := range []struct {
		name   string
		change func(*Parent)
		want   bool
	}{
		{"made by another engine", func(*Parent) {}, true},
		{"made by this engine", func(p *Parent) { p.Entry.Engine = "two" }, false},
		{"made by an unknown engine", func(p *Parent) { p.Entry.Engine = "" }, false},
		{"in the shared layer cache", func(p *Parent) { p.Shared = true }, false},
		{"steps are quicker", func(p *Parent) { p.Bytes = 11 * fetchRate }, false},
		{"steps take as long", func(p *Parent) { p.Bytes = 10 * fetchRate }, false},
		{"small layers of short steps", func(p *Parent) { p.Bytes, p.Took = fetchRate/100, time.Second/50 }, true},
		{"nobody knows how long steps take", func(p *Parent) { p.Bytes, p.Took = 1000*fetchRate, 0 }, true},
		{"something has to have the steps", func(p *Parent) { p.Refused = true }, false},
		{"something was made on the steps here", func(p *Parent) { p.Steps = true }, false},
		{"something was made on the image here", func(p *Parent) { p.Image, p.Bytes = true, 11*fetchRate }, true},
		{"the same, and now the engine has the steps", func(p *Parent) { p.Image, p.Entry.Engine = true, "two" }, true},
		{"the same, in the shared layer cache", func(p *Parent) { p.Image, p.Shared = true, true }, true},
		{"made on both here", func(p *Parent) { p.Image, p.Steps = true, true }, false},
		{"made on the image here, but refused", func(p *Parent) { p.Image, p.Refused = true, true }, false},
	} {
		if got := away(tt.change).TakeImage(); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
