package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name       string
		migrations map[string]string
		want       string // "" for an error
	}{
		{"none", nil, ""},
		{"drop of nothing", map[string]string{"1.json": `{"drop":["mug"]}`}, ""},
		{"not JSON", map[string]string{"1.json": `{`}, ""},
		{
			"put, change and drop",
			map[string]string{
				"1.json": `{"put":[{"id":"mug","name":"Mug","cents":900},{"id":"cup","name":"Cup"}]}`,
				"2.json": `{"put":[{"id":"mug","name":"Mug","cents":950,"stock":3}],"drop":["cup"]}`,
			},
			`{
  "schema": 2,
  "products": [
    {
      "id": "mug",
      "name": "Mug",
      "cents": 950,
      "stock": 3
    }
  ]
}
`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.migrations {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			to := filepath.Join(dir, "out", "catalogue.data")
			if err := run(dir, to); err != nil {
				if test.want != "" {
					t.Fatal(err)
				}
				return
			}
			if got, _ := os.ReadFile(to); string(got) != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
