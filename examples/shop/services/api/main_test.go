package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

func TestProducts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "catalogue.json")
	doc := `{"schema":1,"products":[{"id":"mug","name":"Mug","cents":950,"stock":3}]}`
	if err := os.WriteFile(file, []byte(doc), 0o644); err != nil {
		t.Fatal(err)
	}
	products, err := load(file)
	if err != nil {
		t.Fatal(err)
	}
	h := newHandler(products)
	for path, want := range map[string]int{
		"/products":     http.StatusOK,
		"/products/mug": http.StatusOK,
		"/products/cup": http.StatusNotFound,
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != want {
			t.Errorf("GET %s = %d, want %d", path, rec.Code, want)
		}
	}
}
