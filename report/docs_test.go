package report

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/strata-build/strata/history"
)

func readFile(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fieldsIn lists what a page explains: the code at the start of table rows.
func fieldsIn(t *testing.T, file string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllSubmatch(readFile(t, file), -1) {
		for name := range strings.SplitSeq(string(row[1]), ",") {
			names[strings.Trim(strings.TrimSpace(name), "`")] = true
		}
	}
	return names
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// TestHistoryDocumented checks that the documentation names every field of the
// JSON form of a record and every function of templates.
func TestHistoryDocumented(t *testing.T) {
	documented := fieldsIn(t, "../docs/reference/history.md")
	for _, of := range []reflect.Type{
		reflect.TypeFor[history.Record](), reflect.TypeFor[history.Image](), reflect.TypeFor[history.Layer](),
	} {
		for f := range of.Fields() {
			if !documented[jsonName(f)] {
				t.Errorf("docs/reference/history.md does not say what %q is", jsonName(f))
			}
		}
	}
	for name := range templateFuncs(now) {
		if !documented[name] {
			t.Errorf("docs/reference/history.md does not say what %q does", name)
		}
	}
}
