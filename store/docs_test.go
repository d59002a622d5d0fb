package store_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/strata-build/strata/store"
)

// The documentation names every field of the JSON forms.
func TestDocumented(t *testing.T) {
	text := string(must(os.ReadFile("../docs/reference/images.md")))
	for _, of := range []reflect.Type{reflect.TypeFor[store.Image](), reflect.TypeFor[store.Problem]()} {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "-" && !strings.Contains(text, "| `"+name+"` |") {
				t.Errorf("docs/reference/images.md does not say what %q is", name)
			}
		}
	}
}
