package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/strata-build/strata/history"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hello is a record of a target that was built.
func hello() history.Record {
	old, fresh := now.Add(-35*24*time.Hour), now.Add(-2*time.Minute)
	digest := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	return history.Record{
		Schema: history.Schema, Target: "python-hello-world", Ref: "python-hello-world:latest",
		Tags: []string{"python-hello-world:latest", "localhost:5000/hello:1"}, Run: "12", BuiltAt: fresh, Digest: digestA,
		Images: []history.Image{{
			Platform: "linux/amd64", Digest: digestA, Config: digestB, Size: 61_412_312, SizeKind: "compressed",
			Created: fresh, Base: "python:3.8-alpine",
			Layers: []history.Layer{
				{CreatedBy: "/bin/sh -c #(nop) ADD file:1 in / ", Created: old, Size: 50_000_000, State: history.Base, Digest: digest("a"), SharedWith: []string{"web", "api"}},
				{CreatedBy: `/bin/sh -c #(nop)  CMD ["python3"]`, Created: old, State: history.Base, Empty: true},
				{CreatedBy: "RUN /bin/sh -c set -eux; apk add ca-certificates # buildkit", Created: old, Size: 200_000, State: history.Base, Digest: digest("b"), SharedWith: []string{"web"}},
				{Step: 1, CreatedBy: "RUN pip install flask", Place: "Dockerfile:2", Created: now.Add(-3 * time.Hour), Size: 11_212_000, State: history.Cached, Digest: digest("c"), SharedWith: []string{"a", "b", "c", "d"}, SharedCount: 40},
				{Step: 2, CreatedBy: `CMD ["python","app.py"]`, Place: "Dockerfile:3", Created: fresh, State: history.Config, Empty: true},
				{Step: 3, CreatedBy: "COPY app.py /app.py", Place: "Dockerfile:4", Created: fresh, Size: 312, Time: 20 * time.Millisecond, State: history.Built, Digest: digest("d"), SharedWith: []string{"web"}},
			},
		}},
	}
}

// pulled is a record of an image that nobody here built, for two platforms.
func pulled() history.Record {
	layers := []history.Layer{
		{CreatedBy: "/bin/sh -c #(nop) ADD file:1 in / ", Created: now.Add(-48 * time.Hour), Size: 3_400_000, Digest: digestA},
		{CreatedBy: "/bin/sh -c apk add \\\n\tcurl && " + strings.Repeat("very ", 30) + "long", Size: 1_500_000, Digest: digestB},
		{CreatedBy: "ENTRYPOINT [\"curl\"]", Empty: true},
	}
	return history.Record{
		Schema: history.Schema, Ref: "alpine/curl:8", Digest: digestA,
		Images: []history.Image{
			{Platform: "linux/amd64", Digest: digestA, Size: 4_900_000, SizeKind: "compressed", Created: now.Add(-48 * time.Hour), Layers: layers},
			{Platform: "linux/arm64", Digest: digestB, Size: 9_900_000, SizeKind: "disk", Layers: layers},
		},
	}
}

// cacheOnly is a record of a target that made no image.
func cacheOnly() history.Record {
	return history.Record{Target: "lint", Images: []history.Image{{
		Platform: "linux/amd64", Size: -1,
		Layers: []history.Layer{
			{Step: 1, CreatedBy: "FROM scratch", State: history.Cached, Size: -1},
			{Step: 2, CreatedBy: "RUN lint", State: history.Built, Size: -1, Time: time.Minute},
		},
	}}}
}

func TestHistory(t *testing.T) {
	records := map[string]history.Record{
		"hello": hello(), "pulled": pulled(), "cacheonly": cacheOnly(), "none": {Target: "files"},
	}
	tests := []struct {
		record string
		width  int
		format HistoryFormat
	}{
		{"hello", 0, HistoryFormat{}},
		{"hello", 0, HistoryFormat{Format: "table", All: true}},
		{"hello", 0, HistoryFormat{NoTrunc: true, All: true}},
		{"hello", 110, HistoryFormat{}},
		{"hello", 80, HistoryFormat{}},
		{"hello", 40, HistoryFormat{}},
		{"hello", 40, HistoryFormat{NoTrunc: true}},
		{"pulled", 80, HistoryFormat{}},
		{"pulled", 0, HistoryFormat{}},
		{"cacheonly", 0, HistoryFormat{}},
		{"none", 0, HistoryFormat{}},
		{"hello", 0, HistoryFormat{Format: "json"}},
		{"hello", 0, HistoryFormat{Format: `{{.Target | upper}} {{short .Digest}} {{join .Tags ", "}}
{{range .Images}}{{range .Layers}}{{bytes .Size}} {{ago .Created}} {{json .SharedWith}} {{.State | lower}}
{{end}}{{end}}`}},
	}
	var out strings.Builder
	for _, tt := range tests {
		var b bytes.Buffer
		tt.format.Now = now
		term := Terminal{Out: &b, OutTTY: tt.width > 0, Size: func() (int, int) { return tt.width, 24 }}
		if err := History(&b, term, records[tt.record], tt.format); err != nil {
			t.Error(err)
		}
		f := tt.format
		fmt.Fprintf(&out, "=== %s, width %d, %.5s, whole %v, all %v\n%s", tt.record, tt.width, f.Format, f.NoTrunc, f.All, b.String())
	}
	golden(t, "history.golden", out.String())
}

// TestHistoryJSON checks that the JSON form loses nothing.
func TestHistoryJSON(t *testing.T) {
	for _, want := range []history.Record{hello(), pulled(), hostileRecord("\x1b]0;x\x07 \u202e ##vso[x] \U000e0041")} {
		var b bytes.Buffer
		if err := History(&b, Terminal{}, want, HistoryFormat{Format: "json"}); err != nil {
			t.Fatal(err)
		}
		var got history.Record
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		got.BuiltAt, want.BuiltAt = got.BuiltAt.UTC(), want.BuiltAt.UTC()
		for i := range got.Images {
			for j := range got.Images[i].Layers {
				got.Images[i].Layers[j].Created = got.Images[i].Layers[j].Created.UTC()
				want.Images[i].Layers[j].Created = want.Images[i].Layers[j].Created.UTC()
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
}

func TestHistoryErrors(t *testing.T) {
	tests := []struct{ format, want string }{
		{"{{.Taget}}", `the format names an unknown field "Taget" of a history record: it has Schema, Target, `},
		{"{{range .Images}}{{.Os}}{{end}}", `the format names an unknown field "Os" of a history image: it has Platform, `},
		{"{{range .Images}}{{range .Layers}}{{.X}}{{end}}{{end}}", `the format names an unknown field "X" of a history layer: it has Step, `},
		{"{{.Target", "reading the format: --format:1: unclosed action"},
		{"{{nope .}}", `reading the format: --format:1: function "nope" not defined`},
		{"{{index .Tags 9}}", "filling in the format: --format:1:2: "},
	}
	for _, tt := range tests {
		var b bytes.Buffer
		err := History(&b, Terminal{}, hello(), HistoryFormat{Format: tt.format})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.format, err, tt.want)
		}
		if b.Len() > 0 {
			t.Errorf("%s: printed %q", tt.format, b.String())
		}
	}
}

func TestHistories(t *testing.T) {
	cached := hello()
	cached.Target = "reused"
	cached.Images[0].Layers = cached.Images[0].Layers[:5]
	records := []history.Record{cached, cached, hello(), cacheOnly(), cached, pulled(), {Target: "files"}}
	var out strings.Builder
	for _, show := range []string{"built", "all", "none"} {
		var b bytes.Buffer
		if err := Histories(&b, Terminal{Out: &b}, records, show); err != nil {
			t.Error(err)
		}
		fmt.Fprintf(&out, "=== %s\n%s", show, b.String())
	}
	golden(t, "histories.golden", out.String())
	err := Histories(&bytes.Buffer{}, Terminal{}, records, "some")
	if err == nil || err.Error() != `unknown choice of histories "some": use built, all or none` {
		t.Errorf("got %v", err)
	}
}
