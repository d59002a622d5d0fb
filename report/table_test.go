package report

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// TestTable prints one table to a file and to terminals of several widths:
// only free text is cut, only optional columns are left out.
func TestTable(t *testing.T) {
	columns := []Column{
		{Title: "NAME"}, {Title: "SIZE", Kind: Number}, {Title: "EMPTY"},
		{Title: "DESCRIPTION", Kind: Free}, {Title: "STATE", Kind: State}, {Title: "MORE", Optional: true},
	}
	rows := [][]string{
		{"api", "14.2 MB", "", "the interface of the shop, in Go", "built", "x"},
		{"registry.example.com/a/very/long/name:1.2.3", "213 kB", "", "日本語の長い説明がここにあります", "cached"},
		{"evil\x1b[2J\n::error::", "–", "", "", "failed", "a\tb"},
	}
	var out strings.Builder
	for _, width := range []int{0, 200, 100, 80, 40, 5, 1} {
		for _, color := range []bool{false, true} {
			if color && width != 100 {
				continue
			}
			var b bytes.Buffer
			term := Terminal{Out: &b, OutTTY: width > 0, OutColor: color, Size: func() (int, int) { return width, 24 }}
			if err := Table(&b, term, columns, rows); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&out, "=== %d %v\n%s", width, color, b.String())
			for _, row := range rows[:2] {
				if !strings.Contains(b.String(), row[0]) {
					t.Errorf("the name %q is cut at width %d", row[0], width)
				}
			}
		}
	}
	golden(t, "table.golden", out.String())
}

func TestTableOfNothing(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, Terminal{}, []Column{{Title: "NAME"}, {Title: "SIZE", Kind: Number}}, nil); err != nil {
		t.Fatal(err)
	}
	if b.String() != "NAME  SIZE\n" {
		t.Errorf("got %q", b.String())
	}
}

// TestTableWriteError checks that the first write error is returned.
func TestTableWriteError(t *testing.T) {
	err := Table(broken{}, Terminal{}, []Column{{Title: "NAME"}}, [][]string{{"a"}})
	if err != errBroken {
		t.Errorf("got %v", err)
	}
}

type broken struct{}

var errBroken = fmt.Errorf("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }
